package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// shell is a bash on a host that runs one script after the other. Tests run thousands of scripts,
// and a process of the container engine's for each takes twenty times as long as the script.
type shell struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out, err *bufio.Reader
	end      string        // stands before a script's exit status, and ends its standard error
	gone     chan struct{} // closed when it has ended
}

// shells are a host's that have nothing to do at the moment, by their user.
type shells struct {
	mu   sync.Mutex
	idle map[string][]*shell
}

// shellLoop reads scripts, each behind a line with its length in bytes.
const shellLoop = `LC_ALL=C
while IFS= read -r bytes && IFS= read -r -N "$bytes" script; do
	bash -c "$script" bash </dev/null
	printf '\n%s %d\n' "$1" "$?"
	printf '\n%s \n' "$1" >&2
done`

// run runs a script as a user, in a shell that is free or else a new one. It returns what the
// script wrote to standard output, trimmed; its error carries standard error.
func (h *Host) run(ctx context.Context, user, script string) (string, error) {
	s := h.shells.take(user)
	if s == nil {
		var err error
		if s, err = h.newShell(ctx, user); err != nil {
			return "", err
		}
	}
	out, err := s.run(ctx, script)
	var exit *exitError
	if err == nil || errors.As(err, &exit) {
		h.shells.put(user, s)
	} else {
		s.close()
	}
	return out, err
}

// newShell starts one that outlives the context of its first script.
func (h *Host) newShell(ctx context.Context, user string) (*shell, error) {
	end := randomHex(8)
	args := append(h.execArgs(user), "bash", "-c", shellLoop, "bash", end)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "docker", args...)
	cmd.SysProcAttr = ownGroup
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, outEnd := io.Pipe()
	failed, failedEnd := io.Pipe()
	cmd.Stdout, cmd.Stderr = outEnd, failedEnd
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &shell{
		cmd: cmd, in: in, out: bufio.NewReader(out), err: bufio.NewReader(failed), end: end, gone: make(chan struct{}),
	}
	go func() {
		_ = cmd.Wait()
		close(s.gone)
		_, _ = outEnd.Close(), failedEnd.Close()
	}()
	return s, nil
}

// exitError is a script's that has failed.
type exitError struct {
	status int
	said   string
}

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d: %s", e.status, e.said) }

func (s *shell) run(ctx context.Context, script string) (string, error) {
	defer context.AfterFunc(ctx, s.close)()
	type part struct{ text, last string }
	said := make(chan part, 1)
	go func() {
		text, last := s.read(s.err)
		said <- part{text, last}
	}()
	_, wrong := fmt.Fprintf(s.in, "%d\n%s", len(script), script)
	if wrong != nil {
		s.close()
	}
	out, last := s.read(s.out)
	failed := <-said
	status, err := strconv.Atoi(last)
	switch {
	case ctx.Err() != nil:
		return out, context.Cause(ctx)
	case err != nil: // the host was stopped, or there is none
		return out, fmt.Errorf("the shell has ended: %s", failed.text)
	case status != 0:
		return out, &exitError{status, failed.text}
	}
	return out, nil
}

// read returns what came before the line that ends it, trimmed, and what stands in that; nothing
// does when there is none.
func (s *shell) read(from *bufio.Reader) (text, last string) {
	var all bytes.Buffer
	for {
		line, err := from.ReadBytes('\n')
		if rest, found := bytes.CutPrefix(line, []byte(s.end+" ")); found {
			return strings.TrimSpace(all.String()), strings.TrimSpace(string(rest))
		}
		all.Write(line)
		if err != nil {
			return strings.TrimSpace(all.String()), ""
		}
	}
}

// close ends it, and what it runs if that asks for anything.
func (s *shell) close() {
	_ = s.in.Close()
	_ = s.cmd.Process.Kill()
}

// take returns one that still runs, or nil.
func (s *shells) take(user string) *shell {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.idle[user]) > 0 {
		last := len(s.idle[user]) - 1
		one := s.idle[user][last]
		s.idle[user] = s.idle[user][:last]
		select {
		case <-one.gone:
		default:
			return one
		}
	}
	return nil
}

func (s *shells) put(user string, one *shell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == nil {
		s.idle = map[string][]*shell{}
	}
	s.idle[user] = append(s.idle[user], one)
}

// end ends all that are idle: the host is about to stop, or another one to begin in its place.
func (s *shells) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, some := range s.idle {
		for _, one := range some {
			one.close()
			<-one.gone
		}
	}
	s.idle = nil
}
