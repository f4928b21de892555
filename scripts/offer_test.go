package scripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The id that other hosts have a release by is free unless a complete one has it here.
func TestAnIDThatIsTaken(t *testing.T) {
	for known, want := range map[string]string{
		"": "no", "20261128T000000Z-aaaaaaa": "yes", "20261128T000000Z-bbbbbbb": "no",
	} {
		dir := t.TempDir()
		for _, err := range []error{
			os.MkdirAll(filepath.Join(dir, "releases", "20261128T000000Z-aaaaaaa", ".deploy-action"), 0o700),
			os.MkdirAll(filepath.Join(dir, "releases", "20261128T000000Z-bbbbbbb", ".deploy-action"), 0o700),
			os.WriteFile(filepath.Join(dir, "releases/20261128T000000Z-aaaaaaa/.deploy-action/complete"), nil, 0o600),
			os.WriteFile(filepath.Join(dir, ".lock.holder"), []byte("t\n"), 0o600),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		text, err := Compose(Offer, Values{
			"app": "no-such-app", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "active": "", "known": known,
		})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-s")
		cmd.Stdin = bytes.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "\ntaken="+want+"\n") {
			t.Errorf("%q: %v, want taken=%s in\n%s", known, err, want, out)
		}
	}
}
