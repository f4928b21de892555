package scripts

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// What was moved away because it was large is shown, also before anything is written anew.
func TestALogThatWasMovedAwayIsShown(t *testing.T) {
	for _, tt := range []struct{ name, host, want string }{
		{"both", "echo older >logs/8080.log.1; echo newer >logs/8080.log", "older\nnewer\n"},
		{"only what was moved away", "echo older >logs/8080.log.1", "older\n"},
		{"none", ":", "there is no such file, as far as "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			bash(t, "cd "+quote(dir)+"; mkdir logs; "+tt.host)
			text, err := Compose(Logs, Values{
				"app": "shop", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "ports": "8080 8081",
				"port": "8080", "nginx_include": "/nowhere", "server_name": "_", "of": "app", "lines": "9", "ago": "",
				"since": "", "filter": "", "filter_kind": "",
			})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-s")
			cmd.Stdin = bytes.NewReader(text)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "8080.log\n"+tt.want) {
				t.Errorf("%v, want %q:\n%s", err, tt.want, out)
			}
		})
	}
}
