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
	"time"
)

// What tar says of a stream is what counts, however often was looked meanwhile whether it has ended:
// a pause has a process of its own, which ends well.
func TestAStreamThatCannotBeUnpacked(t *testing.T) {
	dir := t.TempDir()
	transfer := filepath.Join(dir, ".transfer")
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "releases"), 0o700), os.Mkdir(transfer, 0o700),
		syscall.Mkfifo(filepath.Join(transfer, "stream"), 0o600),
		os.WriteFile(filepath.Join(dir, ".lock.holder"), []byte("t\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := Compose(Receive, Values{
		"app": "no-such-app", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "transfer": transfer, "base": "",
		"identity": strings.Repeat("0", 64), "share": "no", "compressed": "no", "release": "20261128T000000Z-aaaaaaa",
		"recipe": "r", "sha": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stream, err := os.OpenFile(filepath.Join(transfer, "stream"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !hasPaused(t, cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nobody looks whether it has ended\n%s", out.String())
		}
	}
	_, _ = stream.Write(bytes.Repeat([]byte("no tar"), 1000))
	_ = stream.Close()
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != ExitReceive ||
		!strings.HasSuffix(out.String(), "\nwhat was sent could not be unpacked\n") {
		t.Errorf("exit code %d, want %d\n%s", cmd.ProcessState.ExitCode(), ExitReceive, out.String())
	}
}

// hasPaused tells whether a shell has the file that it waits with, see pause in lib/base.sh.
func hasPaused(t *testing.T, pid int) bool {
	t.Helper()
	files, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if n, _ := strconv.Atoi(f.Name()); n >= 10 && n < 255 {
			return true
		}
	}
	return false
}
