package scripts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Who waits for the deploy lock is ended with its run: it must not get the lock later, and take it from the record of a run that resumes.
func TestAWaiterForTheLockEndsWithItsRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timeout string // s
		leave   bool   // the connection closes
		code    int    // -1: by a signal
	}{
		{"the connection closes", "600", true, -1},
		{"the time is over", "1", false, ExitLockBusy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			held, err := os.Create(filepath.Join(dir, ".lock"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = held.Close() }()
			if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			text, err := Compose(Lock, Values{
				"app": "a", "path": dir, "lock_token": "t-0", "step_id": "", "undo": "no", "lock_note": "ada", "lock_timeout": tt.timeout, "beat": "600", "resume": "no",
			})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-c", Command(Lock))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			in, _ := cmd.StdinPipe()
			words, _ := cmd.StderrPipe()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := in.Write(text); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(words)
			for waits := false; !waits && lines.Scan(); {
				waits = strings.Contains(lines.Text(), "the deploy lock is held by")
			}
			if tt.leave {
				_ = in.Close()
			}
			rest, _ := io.ReadAll(words) // until nobody of the session can write any more
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d; %s", code, tt.code, rest)
			}
			if left := bash(t, read(t, "lib/process.sh")+fmt.Sprintf(`for _ in {1..200}; do
				left=$(session %d); [[ -n $left ]] || break; sleep 0.05
			done; printf %%s "$left"`, cmd.Process.Pid)); left != "" {
				t.Errorf("still there: %s", left)
			}
			if text, err := os.ReadFile(held.Name()); err != nil || len(text) > 0 {
				t.Errorf("the lock's file says %q (%v)", text, err)
			}
		})
	}
}
