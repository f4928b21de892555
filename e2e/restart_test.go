package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

// moody is a start command whose version ends at boot, or turns bad soon, when its environment says
// so.
const moody = `[ "$MODE" != bad ] || { echo "MODE is bad" >&2; exit 3; }; ` +
	`if [ "$MODE" = turns ]; then export PYTHONPATH=$PWD; cd "$(mktemp -d)"; echo bad-after=2 >BROKEN; fi; ` +
	`exec uvicorn controller.main:app `

// mode is what the version on a port has in its environment.
func mode(w *world.World, port string) string {
	w.T.Helper()
	return strings.TrimSpace(w.Exec("pid=$(curl -fs http://127.0.0.1:" + port + `/version | grep -o '"pid":[0-9]*')
tr '\0' '\n' </proc/${pid#*:}/environ | sed -n s/^MODE=//p`))
}

// kept wants a release's own environment to have a mode, and nothing to be left of another one.
func kept(w *world.World, release, want string) {
	w.T.Helper()
	file := "/home/ubuntu/shop/releases/" + release + "/.deploy-action/environment"
	got := w.Exec("grep MODE " + file + "; stat -c '%a %U' " + file + "; " +
		"ls /home/ubuntu/shop/slots | grep environment || :")
	if strings.TrimSpace(got) != "export MODE="+want+"\n600 ubuntu" {
		w.T.Errorf("environment of %s: %q, want MODE=%s", release, got, want)
	}
}

func TestRestart(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			with := func(more map[string]string) map[string]string {
				return merged(map[string]string{"start": moody + "--host 127.0.0.1 --port $PORT"}, more)
			}
			again := func(more map[string]string) map[string]string {
				return with(merged(map[string]string{"operation": "restart", "before-start": "exit 4"}, more))
			}
			none := w.Run(w.Job("main", again(nil)))
			world.Failed(t, none, "failed", `no release is active, so there is none for operation "restart"`,
				"next: deploy first")
			commit := w.Commit(nil)
			first := w.Deploy(commit, with(map[string]string{"env": "MODE=one"})).Outputs["release"]
			// As an earlier version of this action wrote it.
			w.Exec("sed -i '3s,.*,. .deploy-action/environment,' /home/ubuntu/shop/releases/" + first + "/.deploy-action/start")
			w.UnderLoad()

			two := w.Run(w.Job("main", again(map[string]string{"env": "MODE=two", "after-switch": "echo \"after in $MODE\""})))
			if two.ExitCode != 0 || two.Outputs["outcome"] != "restarted" || two.Outputs["release"] != first ||
				two.Outputs["active-port"] != "8081" || !strings.Contains(two.Log(), "after in two") {
				t.Fatalf("outputs %v\n%s", two.Outputs, two.Log())
			}
			w.Serves(first)
			w.OneFlag("8081")
			kept(w, first, "two")
			if got := mode(w, "8081"); got != "two" {
				t.Errorf("it runs with %q", got)
			}
			if out := w.Exec("tail -n 1 /home/ubuntu/shop/deploys.jsonl"); !strings.Contains(out, `"outcome":"restarted"`) {
				t.Errorf("history: %s", out)
			}

			turned := w.Run(w.Job("main", again(map[string]string{"env": "MODE=turns", "watch-for": "20s"})))
			world.Failed(t, turned, "restored", "verify: GET /health through nginx", "site: restored; "+first+" on port 8081")
			w.Serves(first)
			w.OneFlag("8081")
			kept(w, first, "two")
			bad := w.Run(w.Job("main", again(map[string]string{"env": "MODE=bad"})))
			world.Failed(t, bad, "failed", "exited with status 3 before it was healthy", "MODE is bad", "site: unchanged",
				`correct the input "env"`)
			w.OneFlag("8081")
			kept(w, first, "two")

			killed := w.Job("main", again(map[string]string{"env": "MODE=three", "watch-for": "30s"}))
			cut := killAt(w, "Verifying through nginx", killed)
			w.OneFlag("8080")
			post(w, killed, cut)
			w.OneFlag("8081")
			kept(w, first, "two")
			if out := w.Exec("tail -n 1 /home/ubuntu/shop/deploys.jsonl"); !strings.Contains(out, `"outcome":"failed"`) {
				t.Errorf("history: %s", out)
			}

			as := w.Run(w.Job("main", again(nil)))
			if as.ExitCode != 0 || as.Outputs["outcome"] != "restarted" || mode(w, "8080") != "two" {
				t.Fatalf("outputs %v, mode %s\n%s", as.Outputs, mode(w, "8080"), as.Log())
			}
			kept(w, first, "two")

			// It is not taken for what was deployed, and a rollback finds it in its place.
			second := w.Deploy(commit, with(map[string]string{"env": "MODE=one"})).Outputs["release"]
			if w.Run(w.Job("main", again(nil))).Outputs["outcome"] != "restarted" {
				t.Error("the second release was not started again")
			}
			back := w.Run(w.Job("main", with(map[string]string{"operation": "rollback"})))
			if back.Outputs["outcome"] != "rolled-back" || back.Outputs["release"] != first {
				t.Errorf("outputs %v, want a rollback from %s to %s", back.Outputs, second, first)
			}
			w.Serves(first)
			if got := mode(w, back.Outputs["active-port"]); got != "two" {
				t.Errorf("it runs with %q", got)
			}
		})
	}
}

func TestRestartOneVersionAtATime(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	with := func(more map[string]string) map[string]string {
		return inPlace(merged(map[string]string{"start": moody + "--fd 3"}, more))
	}
	release := w.Deploy(w.Commit(nil), with(map[string]string{"env": "MODE=one"})).Outputs["release"]
	w.UnderPatientLoad(load.DefaultMix)
	two := w.Run(w.Job("main", with(map[string]string{"operation": "restart", "env": "MODE=two"})))
	if two.Outputs["outcome"] != "restarted" || two.Outputs["release"] != release || mode(w, "8081") != "two" {
		t.Fatalf("outputs %v\n%s", two.Outputs, two.Log())
	}
	kept(w, release, "two")
	bad := w.Run(w.Job("main", with(map[string]string{"operation": "restart", "env": "MODE=bad"})))
	world.Failed(t, bad, "restored", "exited with status 3 before it was healthy", "site: restored; "+release)
	w.Serves(release)
	kept(w, release, "two")
	port := strings.TrimSpace(w.Exec("ls /var/lib/deploy-action/shop/active"))
	if got := mode(w, port); got != "two" {
		t.Errorf("it runs with %q", got)
	}
	// A machine that dies goes back, too.
	job := w.Job("main", with(map[string]string{"operation": "restart", "env": "MODE=three", "watch-for": "30s"}))
	post(w, job, killAt(w, "Verifying through nginx", job))
	w.Serves(release)
	kept(w, release, "two")
	port = strings.TrimSpace(w.Exec("ls /var/lib/deploy-action/shop/active"))
	if got := mode(w, port); got != "two" {
		t.Errorf("after a killed run it runs with %q", got)
	}
}
