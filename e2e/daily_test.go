package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// ended waits until nothing of a command is left on the host: it is known by how long it sleeps.
func ended(w *world.World, seconds string) {
	w.T.Helper()
	w.Exec("timeout 40 bash -c 'while pgrep -x -f \"sleep " + seconds + "\" >/dev/null; do sleep 0.1; done'")
}

func TestRunACommand(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	env := "GREETING=hello\nTOKEN=swordfish-4711"
	release := w.Deploy(w.Commit(nil), map[string]string{"env": env}).Outputs["release"]
	w.UnderLoad()
	command := func(text string, more map[string]string) lab.Job {
		return w.Job("main", merged(map[string]string{"operation": "run", "command": text, "env": env}, more))
	}

	good := w.Run(command(`echo "$GREETING from $RELEASE, as $(id -un), for $PORT"; pwd -P; which python`, nil))
	if good.ExitCode != 0 || good.Outputs["outcome"] != "ran" || good.Outputs["release"] != release {
		t.Fatalf("outputs %v\n%s", good.Outputs, good.Log())
	}
	world.Says(t, good, "hello from "+release+", as ubuntu, for 8080", "/home/ubuntu/shop/releases/"+release,
		release+"/.venv/bin/python")

	bad := w.Run(command("echo ::error::forged; echo \"it is $TOKEN\" >&2\nfalse || exit 7\necho never", nil))
	world.Failed(t, bad, "failed", "run: the command exited with status 7", "site: unchanged; "+release)
	if bad.ExitCode != 7 || !strings.Contains(bad.Log(), "│ it is ***") || strings.Contains(bad.Log(), "never") {
		t.Errorf("exit code %d\n%s", bad.ExitCode, bad.Log())
	}

	first, err := w.Runner.Start(w.Ctx, command("cd /; setsid sleep 3001 & echo begun; "+
		"trap '' TERM; sleep 3002; sleep 3002", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.WaitLog(w.Ctx, "│ begun"); err != nil {
		t.Fatal(err)
	}
	busy := w.Run(command("true", map[string]string{"lock-timeout": "0s"}))
	world.Failed(t, busy, "failed", "run: another command runs on this host (ada ")
	if beside := w.Run(command("true", map[string]string{"run-at-once": "true"})); beside.Outputs["outcome"] != "ran" {
		t.Errorf("beside another one:\n%s", beside.Log())
	}
	// Deployments do not wait for it, and leave it its release, wherever it works.
	w.Deploy(w.Commit(nil), map[string]string{"env": env, "keep-releases": "2"})
	w.Deploy(w.Commit(nil), map[string]string{"env": env, "keep-releases": "2"})
	w.Exec("test -e /home/ubuntu/shop/releases/" + release + "/.deploy-action/complete")
	if err := first.Cancel(); err != nil {
		t.Fatal(err)
	}
	cancelled, err := first.Wait()
	if err != nil || cancelled.ExitCode == 0 {
		t.Errorf("cancelled: %v, exit code %d\n%s", err, cancelled.ExitCode, cancelled.Log())
	}
	ended(w, "3001")
	ended(w, "3002")

	killAt(w, "│ begun", command("echo begun; setsid sleep 3003 & sleep 3004", nil))
	ended(w, "3003")
	ended(w, "3004")

	late := w.Run(command("trap '' TERM; setsid sleep 3005 & while :; do sleep 3006; done",
		map[string]string{"timeout": "15s"}))
	world.Failed(t, late, "failed", "time-out after 15s")
	ended(w, "3005")
	ended(w, "3006")

	left := w.Run(command("setsid sleep 3007 >/dev/null 2>&1 &", nil))
	if left.Outputs["outcome"] != "ran" {
		t.Errorf("it leaves something running:\n%s", left.Log())
	}
	ended(w, "3007")
	next := w.Deploy(w.Commit(nil), map[string]string{"env": env, "keep-releases": "2"}).Outputs["release"]
	w.Exec("! test -e /home/ubuntu/shop/releases/" + release)
	w.Serves(next)
}

func TestLogs(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	logs := func(with map[string]string) *lab.Result {
		return w.Run(w.Job("main", merged(map[string]string{"operation": "logs"}, with)))
	}
	world.Failed(t, logs(nil), "failed", `no release is active, so there is none for operation "logs"`)
	w.Deploy(w.Commit(nil), nil)
	w.UnderLoad()
	log := "/home/ubuntu/shop/logs/8080.log"
	w.Exec(`{ echo "$(date -u -d '-2 hours' +%FT%T,123Z) first ::error::forged"; echo "  its trace (a.b"
echo "$(date -d '-5 minutes' '+%F %T') second 503"; echo "  its own trace"; } >>` + log)

	shown := func(result *lab.Result) string {
		t.Helper()
		if result.ExitCode != 0 || result.Outputs["outcome"] != "unchanged" || len(result.Annotations()) > 0 {
			t.Errorf("outputs %v, annotations %v\n%s", result.Outputs, result.Annotations(), result.Log())
		}
		return result.Log()
	}
	for _, tt := range []struct {
		name            string
		with            map[string]string
		wanted, without []string
	}{
		{
			"a text",
			map[string]string{"log-filter": "trace"},
			[]string{"its trace (a.b", "its own trace"},
			[]string{"first", "second"},
		},
		{"a text is no expression", map[string]string{"log-filter": "(a.b"}, []string{"its trace (a.b"}, []string{"its own"}},
		{
			"an expression",
			map[string]string{"log-filter": "/second (50[0-9])$/"},
			[]string{"second 503", "1 line(s)"},
			[]string{"first", "trace"},
		},
		{
			"an age",
			map[string]string{"log-since": "10m", "log-filter": "/trace|first|second/"},
			[]string{"second 503", "its own trace"},
			[]string{"first", "(a.b"},
		},
		{
			"few",
			map[string]string{"log-lines": "1", "log-filter": "trace"},
			[]string{"its own trace", "1 line(s)"},
			[]string{"(a.b"},
		},
		{"none", map[string]string{"log-filter": "no such text"}, []string{"no line of it is wanted", "0 line(s)"}, nil},
		{
			"nginx",
			map[string]string{"log-of": "nginx", "log-filter": "/version"},
			[]string{"/var/log/nginx/access.log", "GET /version HTTP/1.1", "/var/log/nginx/error.log"},
			[]string{log},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := shown(logs(tt.with))
			for _, word := range tt.wanted {
				if !strings.Contains(text, word) {
					t.Errorf("the log lacks %q:\n%s", word, text)
				}
			}
			for _, word := range tt.without {
				if strings.Contains(text, word) {
					t.Errorf("the log has %q:\n%s", word, text)
				}
			}
		})
	}
	world.Failed(t, logs(map[string]string{"log-filter": "/(/"}), "failed",
		"the input log-filter is no extended regular expression: Unmatched (")

	w.EndLoad() // a reload closes connections
	w.Exec(`echo 'access_log /var/log/nginx/shop.log;' >/etc/nginx/shop.d/log.conf && nginx -t -q && nginx -s reload
timeout 60 bash -c 'until curl -fs http://127.0.0.1/version >/dev/null && grep -q version /var/log/nginx/shop.log; ` +
		`do sleep 0.2; done'`)
	own := shown(logs(map[string]string{"log-of": "app,nginx", "log-lines": "3"}))
	if !strings.Contains(own, "=== /var/log/nginx/shop.log") || strings.Contains(own, "=== /var/log/nginx/access.log") ||
		!strings.Contains(own, "=== "+log) {
		t.Errorf("log:\n%s", own)
	}
}
