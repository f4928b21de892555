package scripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// receiving is the verb at work in a session of its own, with somebody at the other end of its stream.
type receiving struct {
	cmd      *exec.Cmd
	stream   *os.File
	transfer string
	partial  string
	out      *bytes.Buffer
}

func receive(t *testing.T, dir string, env ...string) receiving {
	t.Helper()
	r := receiving{transfer: filepath.Join(dir, ".transfer"), out: new(bytes.Buffer)}
	r.partial = filepath.Join(dir, "releases", "20261128T000000Z-aaaaaaa.partial")
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "releases"), 0o700), os.Mkdir(r.transfer, 0o700),
		syscall.Mkfifo(filepath.Join(r.transfer, "stream"), 0o600),
		os.WriteFile(filepath.Join(dir, ".lock.holder"), []byte("t\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := Compose(Receive, Values{
		"app": "no-such-app", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "transfer": r.transfer,
		"base": "", "identity": strings.Repeat("0", 64), "share": "no", "compressed": "no",
		"release": "20261128T000000Z-aaaaaaa", "recipe": "r", "sha": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	r.cmd = exec.CommandContext(t.Context(), "bash", "-s")
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = bytes.NewReader(text), r.out, r.out
	r.cmd.Env, r.cmd.SysProcAttr = append(os.Environ(), env...), &syscall.SysProcAttr{Setsid: true}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if r.stream, err = os.OpenFile(filepath.Join(r.transfer, "stream"), os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	until(t, "it looks whether tar has ended", func() bool { return hasPaused(t, r.cmd.Process.Pid) })
	return r
}

// What tar says of a stream is what counts, however often was looked meanwhile whether it has ended:
// a pause has a process of its own, which ends well.
func TestAStreamThatCannotBeUnpacked(t *testing.T) {
	r := receive(t, t.TempDir())
	_, _ = r.stream.Write(bytes.Repeat([]byte("no tar"), 1000))
	_ = r.stream.Close()
	if _ = r.cmd.Wait(); r.cmd.ProcessState.ExitCode() != ExitReceive ||
		!strings.HasSuffix(r.out.String(), "\nwhat was sent could not be unpacked\n") {
		t.Errorf("exit code %d, want %d\n%s", r.cmd.ProcessState.ExitCode(), ExitReceive, r.out.String())
	}
}

// A run that is cancelled ends the transfer, and its next step ends what it still finds of it: that
// does not keep the transfer from taking away what it has made.
func TestATransferThatIsEndedTwiceLeavesNothing(t *testing.T) {
	bin := t.TempDir()
	removing, on := filepath.Join(bin, "removing"), filepath.Join(bin, "on")
	program := "#!/bin/sh\n: >" + removing + "\nuntil [ -e " + on + " ]; do sleep 0.01; done\nexec /bin/rm \"$@\"\n"
	//nolint:gosec // a program
	if err := os.WriteFile(filepath.Join(bin, "rm"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	r := receive(t, t.TempDir(), "PATH="+bin+":"+os.Getenv("PATH"))
	for range 2 {
		if err := syscall.Kill(-r.cmd.Process.Pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		until(t, "it takes away what it has made", func() bool { _, err := os.Stat(removing); return err == nil })
	}
	if err := os.WriteFile(on, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = r.cmd.Wait()
	for _, left := range []string{r.transfer, r.partial} {
		if _, err := os.Stat(left); err == nil {
			t.Errorf("%s is left\n%s", left, r.out.String())
		}
	}
}

// hasPaused tells whether a shell has the pipe that it waits with, see pause in lib/base.sh. The lock
// of steps is open before that, and no pipe; a command's standard error that is kept is not open for
// reading.
func hasPaused(t *testing.T, pid int) bool {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		at, _ := os.Readlink(filepath.Join(dir, f.Name()))
		info, err := f.Info()
		n, _ := strconv.Atoi(f.Name())
		if err == nil && info.Mode().Perm()&0o600 == 0o600 && n >= 10 && n < 255 && strings.HasPrefix(at, "pipe:") {
			return true
		}
	}
	return false
}
