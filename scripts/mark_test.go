package scripts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A release is marked as proved while the very process that proved it runs, and not once that has
// ended.
func TestOnlyWhatRunsIsMarked(t *testing.T) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	began := strings.Fields(after)[19]
	for _, tt := range []struct {
		name, starttime string
		code            int
		want            string
	}{
		{"it runs", began, 0, "marked=yes"},
		{"it has ended", began + "1", ExitDied, "exited after the switch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			own := filepath.Join(dir, "releases", "r", ".deploy-action")
			for _, err := range []error{
				os.MkdirAll(own, 0o700), os.Mkdir(filepath.Join(dir, "logs"), 0o700),
				os.WriteFile(filepath.Join(dir, ".lock.holder"), []byte("t\n"), 0o600),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			text, err := Compose(Mark, Values{
				"app": "no-such-app", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "ports": "1 2",
				"release": "r", "port": "1", "pid": fmt.Sprint(os.Getpid()), "starttime": tt.starttime,
				"log_offset": "0", "by": `{"run":"7"}`,
			})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-s")
			cmd.Stdin = bytes.NewReader(text)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
				t.Errorf("exit code %d, want %d:\n%s", code, tt.code, out)
			}
			live, _ := os.ReadFile(filepath.Join(own, "live"))
			by, _ := os.ReadFile(filepath.Join(own, "by"))
			if marked := string(live) == "1\n" && string(by) == "{\"run\":\"7\"}\n"; marked != (tt.code == 0) ||
				!marked && len(live)+len(by) > 0 {
				t.Errorf("live %q, by %q", live, by)
			}
		})
	}
}
