package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// cutSSH ends the connections of the login user as a crash of sshd's processes does.
const cutSSH = "kill -KILL $(pgrep -f '^sshd: ubuntu')"

// A deployment whose connection is cut goes on over another one, and does nothing twice that was
// done.
func TestALostConnectionIsMadeAnew(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.UnderLoad()
	// Each says that it ran, and the one that is to be cut waits for that.
	const command = "echo %[1]s >>/tmp/ran; echo at %[1]s; until [ ! -e /tmp/%[1]s ]; do sleep 0.1; done; "
	const ended, again = "ending it", "connected again"
	for _, during := range []struct{ name, word, then string }{
		{"build", "│ at build", ended},
		{"before", "│ at before", ended},
		{"health", "Waiting for the new version's health", again},
		{"verify", "Verifying through nginx", again},
		{"after", "│ at after", ended},
	} {
		t.Run(during.name, func(t *testing.T) {
			w.Exec("rm -f /tmp/ran; touch /tmp/" + during.name)
			// What waits for nothing of the test takes long enough.
			files, watch := map[string]string(nil), "3s"
			switch during.name {
			case "health":
				files = map[string]string{"BROKEN": "slow-boot=10"}
			case "verify":
				watch = "20s"
			}
			job := w.Job(w.Commit(files), map[string]string{
				"build":        fmt.Sprintf(command, "build") + `ln -sfnT "../../venvs/$(ls ../../venvs)" .venv`,
				"before-start": fmt.Sprintf(command, "before"), "after-switch": fmt.Sprintf(command,
					"after"), "watch-for": watch,
			})
			running, err := w.Runner.Start(w.Ctx, job)
			if err != nil {
				t.Fatal(err)
			}
			if err := running.WaitLog(w.Ctx, during.word); err != nil {
				t.Fatal(err)
			}
			w.Exec(cutSSH)
			if err := running.WaitLog(w.Ctx, during.then); err != nil {
				t.Fatal(err)
			}
			// and what was ended begins anew: it would go on otherwise, before it is told to end
			if during.then == ended {
				w.Exec(fmt.Sprintf(`timeout 60 bash -c 'until [ "$(grep -c %s /tmp/ran)" = 2 ]; do sleep 0.1; done'`,
					during.name))
			}
			w.Exec("rm /tmp/" + during.name)
			result, err := running.Wait()
			if err != nil {
				t.Fatal(err)
			}
			if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
				t.Fatalf("exit code %d, outputs %v\n%s", result.ExitCode, result.Outputs, result.Log())
			}
			w.Serves(result.Outputs["release"])
			w.OneFlag(result.Outputs["active-port"])
			ran := w.Exec("cat /tmp/ran")
			for _, name := range []string{"build", "before", "after"} {
				want := 1
				if name == during.name {
					want = 2 // it was ended half-way
				}
				if got := strings.Count(ran, name); got != want {
					t.Errorf("%s ran %d times, want %d\n%s", name, got, want, result.Log())
				}
			}
		})
	}
}
