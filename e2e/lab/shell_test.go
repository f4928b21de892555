package lab

import (
	"strings"
	"testing"
)

func TestAShellRunsOneScriptAfterTheOther(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	shell, err := h.Shell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ script, want, fails string }{
		{script: "id -un; pwd", want: "root\n/root"},
		{script: "cat; echo 'no input for it'\necho twice", want: "no input for it\ntwice"},
		{script: "echo said >&2; exit 3", want: "said", fails: "exit status 3: said"},
		{script: "printf 'a\\nb\\n\\n'; printf 한글", want: "a\nb\n\n한글"},
		{script: "true", want: ""},
	} {
		out, err := shell.Run(tt.script)
		if out != tt.want || (err == nil) != (tt.fails == "") || err != nil &&
			!strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%q: %q, %v; want %q, %q", tt.script, out, err, tt.want, tt.fails)
		}
	}
	if err := shell.Close(); err != nil {
		t.Error(err)
	}
	if _, err := shell.Run("true"); err == nil {
		t.Error("a closed one still runs")
	}
}
