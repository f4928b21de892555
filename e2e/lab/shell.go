package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Shell is a bash on a host that runs one script after the other. What is done over and over is
// done by it: a process of the container engine's for each takes twenty times as long.
type Shell struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// shellLoop reads scripts, each behind a line with its length, and says of each its exit status and
// the length of what it said.
const shellLoop = `export LC_ALL=C
while IFS= read -r bytes && IFS= read -r -N "$bytes" script; do
	said=$(bash -c "$script" 2>&1 </dev/null)
	printf '%d %d\n%s' "$?" "${#said}" "$said"
done`

// Shell starts one, as root, in root's home. It ends with the context, or when it is closed.
func (h *Host) Shell(ctx context.Context) (*Shell, error) {
	cmd := exec.CommandContext(ctx, "docker", "exec", "--interactive", "--user", "root", "--workdir", "/root",
		"--env", "HOME=/root", "--env", "USER=root", h.container, "bash", "-c", shellLoop)
	cmd.SysProcAttr = ownGroup
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("shell on %q: %w", h.Name, err)
	}
	return &Shell{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
}

// Run runs a bash script, and returns what it said, without the line breaks at the end. It is not
// for several goroutines at once.
func (s *Shell) Run(script string) (string, error) {
	if _, err := fmt.Fprintf(s.in, "%d\n%s", len(script), script); err != nil {
		return "", err
	}
	var status, size int
	line, err := s.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the shell has ended: %w", err)
	}
	if _, err := fmt.Sscan(line, &status, &size); err != nil {
		return "", fmt.Errorf("the shell said %q: %w", line, err)
	}
	said := make([]byte, size)
	if _, err := io.ReadFull(s.out, said); err != nil {
		return "", fmt.Errorf("the shell has ended: %w", err)
	}
	if status != 0 {
		return string(said), fmt.Errorf("exit status %d: %s", status, strings.TrimSpace(string(said)))
	}
	return string(said), nil
}

// Close ends it.
func (s *Shell) Close() error {
	return errors.Join(s.in.Close(), s.cmd.Wait())
}
