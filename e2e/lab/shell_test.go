package lab

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAHostRunsOneScriptAfterTheOther(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	for _, tt := range []struct{ script, want, fails string }{
		{script: "id -un; pwd; echo $0 $#", want: "root\n/root\nbash 0"},
		{script: "cat; echo 'no input for it'\necho twice", want: "no input for it\ntwice"},
		{script: "echo out; echo said >&2; exit 3", want: "out", fails: "exit status 3: said"},
		{script: "printf 'a\\nb\\0c\\n\\n'; printf 한글", want: "a\nb\x00c\n\n한글"},
		{script: "head -c 300000 /dev/zero | tr '\\0' x >&2", want: ""},
		{script: "kill -9 $$", fails: "exit status 137"},
		{script: "true", want: ""},
	} {
		out, err := h.Exec(t.Context(), tt.script)
		if out != tt.want || (err == nil) != (tt.fails == "") || err != nil &&
			!strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%q: %q, %v; want %q, %q", tt.script, out, err, tt.want, tt.fails)
		}
	}
	if len(h.shells.idle["root"]) != 1 {
		t.Errorf("%d shells for one script after the other, want 1", len(h.shells.idle["root"]))
	}
	if out, err := h.ExecUser(t.Context(), "id -un; pwd"); out != "ubuntu\n/home/ubuntu" || err != nil {
		t.Errorf("as the login user: %q, %v", out, err)
	}
}

func TestScriptsRunSideBySide(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	var all sync.WaitGroup
	errs := make([]error, 2)
	for i, script := range []string{
		"mkfifo /tmp/met; chmod 666 /tmp/met; echo >/tmp/met",
		"until [ -p /tmp/met ]; do sleep 0.01; done; read -r </tmp/met",
	} {
		all.Go(func() { _, errs[i] = h.Exec(t.Context(), script) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

func TestAScriptEndsWithItsHostAndItsContext(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := h.Exec(ctx, "sleep 1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with its context: %v", err)
	}
	if out, err := h.Exec(t.Context(), "echo goes on"); out != "goes on" || err != nil {
		t.Errorf("after one that was cut off: %q, %v", out, err)
	}
	if err := h.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := h.Exec(t.Context(), "echo again"); out != "again" || err != nil {
		t.Errorf("after the host was off: %q, %v", out, err)
	}
	if err := h.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Exec(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "the shell has ended") {
		t.Errorf("on a host that is gone: %v", err)
	}
}
