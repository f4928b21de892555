package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What looks around before its turn ends with who does not get one.
func TestWhatLooksAheadEndsWithItsVerb(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "app=a tag=T path=. turn=1 EX_NOT_BEGUN=9\n"+
		read(t, "lib/base.sh")+read(t, "lib/step.sh")+read(t, "lib/turn.sh")+
		"facts() { : >looks; sleep 600; }\n"+
		"exec {turn_fd}< <(until [[ -e looks ]]; do sleep 0.01; done; echo end)\n"+
		string(ofNoFile("early"))+"await_turn")
	cmd.Dir, cmd.SysProcAttr = t.TempDir(), &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("%v", cmd.ProcessState)
	}
	until(t, "all of it has ended", func() bool { return syscall.Kill(-cmd.Process.Pid, 0) != nil })
}

// What port.sh tells at its turn it has found out before, and nothing else is told of that.
func TestPortLooksWhileAnotherVerbHasItsTurn(t *testing.T) {
	t.Parallel()
	const after = "for n in {1..1000}; do [[ ! -e looks ]] || break; sleep 0.01; done; " + // not its turn before that
		"((n < 1000)) || { echo end; exit; }; "
	for _, tt := range []struct {
		name, values, facts, turn, want string
		looks                           int
	}{
		{"only results", "turn=1 behind_lock=yes", "result a 1; result b 'x y'", after + "echo 1", "T a=1\nT b=x y\n", 1},
		{"the lock was held before", "turn=1", "result a 1", after + "echo 1", "T a=1\n", 1},
		{"words, too", "turn=1", "result a 1; say words", after + "echo 1", "T a=1\n", 2},
		{
			"it fails once", "turn=1", "[[ -e again ]] || { : >again; result a 0; false; }; result a 1", after + "echo 1",
			"T a=1\n", 2,
		},
		{"its turn comes late", "turn=1", "result a 1", after + "sleep 2.5; echo 1", "T a=1\n", 2},
		{"it takes its time", "turn=1", "sleep 2.5; result a 1", after + "echo 1", "T a=1\n", 1},
		{"no turn", "turn=1", "result a 1", after + "echo end", "", 1},
		{
			"the lock is not held soon", "turn=1 behind_lock=yes held=no", "result a 1",
			"sleep 0.5; : >.lock.steps/.token; echo 1", "T a=1\n", 1,
		},
		{"by itself", "", "result a 1", "", "T a=1\n", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, ".lock.steps"), 0o700); err != nil {
				t.Fatal(err)
			}
			script := "cd " + dir + "; app=a tag=T path=. lock_token=token EX_NOT_BEGUN=9 EX_LOCK_BUSY=8 " + tt.values + "\n" +
				`[[ ${held-} == no ]] || : >.lock.steps/.token` + "\n" +
				read(t, "lib/base.sh") + read(t, "lib/step.sh") + read(t, "lib/turn.sh") +
				"facts() { printf x >>looks; " + tt.facts + "; }\n" +
				"if [[ -n ${turn-} ]]; then exec {turn_fd}< <(" + tt.turn + "); fi\n" +
				`trap 'status=$?; ((status == 9)) && exit 0' EXIT` + "\n" +
				string(ofNoFile("early")) + "await_turn; await_lock\n" + read(t, "port.sh")
			if out := bash(t, script); out != tt.want {
				t.Errorf("it printed %q, want %q", out, tt.want)
			}
			looks, err := os.ReadFile(filepath.Join(dir, "looks"))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Count(string(looks), "x"); got != tt.looks {
				t.Errorf("it looked %d times, want %d", got, tt.looks)
			}
		})
	}
}
