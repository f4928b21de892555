package scripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// A job is cancelled at any moment, also while a verb's shell is between two forks of a pipeline, of
// which the first has been ended already: what it does at its end it does all the same.
func TestAVerbThatIsEndedWhileItForksSeesToItsEnd(t *testing.T) {
	begin, err := partText("begin")
	if err != nil {
		t.Fatal(err)
	}
	trap := regexp.MustCompile(`(?m)^ *trap .* EXIT`)
	for name, set := range map[string]string{
		"a verb that only asks":           string(begin),
		"what takes the lock":             read(t, "lock.sh"),
		"a step that holds the step lock": read(t, "lib/step.sh"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 60 {
				dir := t.TempDir()
				seen := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
				var out bytes.Buffer
				cmd := exec.CommandContext(t.Context(), "bash", "-c", "app=a path=.\n"+
					read(t, "lib/base.sh")+read(t, "lib/step.sh")+
					"hush() { :; }\nblame() { :; : >blamed; }\n"+trap.FindString(set)+"\nsleep 60 &\n"+
					": >on\nwhile :; do : | : | : | : | : | : || :; done")
				cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = dir, &out, &out, &syscall.SysProcAttr{Setsid: true}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				until(t, "it is at work", func() bool { return seen("on") })
				time.Sleep(time.Duration(cmd.Process.Pid%10) * time.Millisecond) // anywhere in its round
				if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				if _ = cmd.Wait(); !seen("blamed") {
					t.Fatalf("%s has not been called: %v\n%s", trap.FindString(set), cmd.ProcessState, &out)
				}
			}
		})
	}
}
