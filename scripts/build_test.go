package scripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A command that the host does not have is not a fault of the release's: what to do about it is said.
func TestACommandThatIsNotFoundIsSaidToBeMissing(t *testing.T) {
	const hint = " (a command or file in it was not found; if this host lacks it, name its package in the input packages)"
	for _, tt := range []struct {
		verb    Verb
		command string
		want    string
		code    int
	}{
		{Build, "no-such-npm ci", "the build command exited with status 127" + hint, ExitBuild},
		{Build, "exit 7", "the build command exited with status 7", ExitBuild},
		{Hook, "no-such-npm run migrate", `the command of input "before-start" exited with status 127` + hint, ExitHook},
		{Hook, "exit 7", `the command of input "before-start" exited with status 7`, ExitHook},
	} {
		t.Run(string(tt.verb)+" "+tt.command, func(t *testing.T) {
			dir := t.TempDir()
			release := filepath.Join(dir, "releases", "r", ".deploy-action")
			for _, err := range []error{
				os.MkdirAll(release, 0o700), os.WriteFile(filepath.Join(release, "environment"), nil, 0o600), os.WriteFile(filepath.Join(dir, ".lock.holder"), []byte("t\n"), 0o600),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			text, err := Compose(tt.verb, Values{
				"app": "a", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "release": "r", "build": tt.command, "command": tt.command,
				"shared": "", "clone": "", "port": "1", "name": "before-start",
			})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-s")
			cmd.Stdin = bytes.NewReader(text)
			out, _ := cmd.CombinedOutput()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if last := lines[len(lines)-1]; last != tt.want || cmd.ProcessState.ExitCode() != tt.code {
				t.Errorf("exit code %d, want %d; its last words:\n%s\nwant:\n%s\nall:\n%s", cmd.ProcessState.ExitCode(), tt.code, last, tt.want, out)
			}
		})
	}
}
