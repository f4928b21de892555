package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// Each bad release is deployed under load over a good one: nobody who uses the site may notice, and
// the log must tell the cause.
func TestABadReleaseLeavesTheOldOneServing(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			good := w.Deploy(w.Commit(nil), nil).Outputs
			w.UnderDenseLoad()
			log := "/home/ubuntu/shop/logs/8081.log"
			for _, tt := range []struct {
				name    string
				files   map[string]string
				with    map[string]string
				outcome string
				words   []string
				unasked bool // what this run asks for the version that serves has not, either
			}{
				{
					name:    "requirements that can't be installed",
					files:   map[string]string{"requirements.txt": "no-such-package-of-ours==1.0\n"},
					outcome: "failed", words: []string{
						"build: pip could not install requirements.txt",
						"no-such-package-of-ours", "site: unchanged",
					},
				},
				{
					name: "a build command that fails", with: map[string]string{"build": "echo compiling; echo " +
						"'main.c:1: no' >&2; exit 7"},
					outcome: "failed", words: []string{
						"build: the build command exited with status 7", "main.c:1: no",
						"site: unchanged",
					},
				},
				{
					name: "a build command that is not there", with: map[string]string{"build": "no-such-npm ci"},
					outcome: "failed", words: []string{
						"no-such-npm: command not found",
						"build: the build command exited with status 127 (a command or file in it was not found; if " +
							"this host lacks it, name its package in the input packages)", "site: unchanged",
					},
				},
				{
					name: "exits at boot", files: map[string]string{"BROKEN": "exit-at-boot"},
					with:    map[string]string{"health-timeout": "10m"},
					outcome: "failed", words: []string{"health: the application exited with status 3 before it was " +
						"healthy", "Traceback", log, "site: unchanged"},
				},
				{
					name: "listens and answers 500", files: map[string]string{"BROKEN": "health-500"},
					with:    map[string]string{"health-timeout": "20s"},
					outcome: "failed", words: []string{
						"health: GET /health on port 8081: answered 500",
						"wanted status 200", "lost its model", "site: unchanged",
					},
				},
				{
					name: "never listens", files: map[string]string{"BROKEN": "never-listen"},
					with:    map[string]string{"health-timeout": "10s"},
					outcome: "failed", words: []string{
						"did not listen on port 8081 within 10s", "$PORT",
						"site: unchanged",
					},
				},
				{
					name: "listens on another port", with: map[string]string{"start": "uvicorn controller.main:app " +
						"--host 127.0.0.1 --port 8123", "health-timeout": "20s"},
					outcome: "failed", words: []string{
						"it listens on 8123 instead",
						"did not listen on port 8081 within 20s", "site: unchanged",
					},
				},
				{
					name: "hangs in the health check", files: map[string]string{"BROKEN": "health-hang"},
					with:    map[string]string{"health-timeout": "20s", "stop-timeout": "2s"},
					outcome: "failed", words: []string{"GET /health on port 8081", "timed out", "site: unchanged"},
				},
				{
					name: "answers on the wrong path", files: map[string]string{"BROKEN": "wrong-path"},
					with:    map[string]string{"health-timeout": "20s"},
					outcome: "failed", words: []string{
						"GET /health on port 8081: answered 404", "more like it)",
						"health-path", "site: unchanged",
					},
				},
				{
					name: "answers with the wrong body", with: map[string]string{
						"health-timeout": "20s",
						"health-body":    "no such words",
					},
					outcome: "failed", words: []string{
						`answered 200`, `a body with "no such words"`, "health-body",
						"site: unchanged; it does not answer right (answered 200",
					},
					unasked: true,
				},
				{
					name: "can't be started", with: map[string]string{"start": "no-such-program --port $PORT"},
					outcome: "failed", words: []string{
						"exited with status 127", "no-such-program: command not found",
						"site: unchanged",
					},
				},
				{
					name: "turns bad after the switch", files: map[string]string{"BROKEN": "bad-after=2"},
					with:    map[string]string{"watch-for": "30s"},
					outcome: "restored", words: []string{
						"verify: GET /health through nginx: answered 50",
						"lost its model", "site: restored",
					},
				},
			} {
				t.Run(tt.name, func(t *testing.T) {
					w := w.In(t)
					result := w.Run(w.Job(w.Commit(tt.files), tt.with))
					serves := good["release"] + " on port 8080 serves"
					if tt.unasked {
						serves = good["release"] + " on port 8080 is active"
					}
					world.Failed(t, result, tt.outcome, append(tt.words, "host: ubuntu@"+w.Host.IP, serves,
						"next: ")...)
					if result.Outputs["active-port"] != "8080" {
						t.Errorf("outputs %v", result.Outputs)
					}
					w.Serves(good["release"])
					w.OneFlag("8080")
					if out := w.Exec("ss -Hltn 'sport = :8081'; " +
						"ps -eo args | grep -c '[u]vicorn.*8081' || true"); strings.TrimSpace(out) != "0" {
						t.Errorf("the bad version still runs: %s", out)
					}
					if result.Duration() > 5*time.Minute { // health-timeout is 10m
						t.Errorf("took %s: the failure was not noticed when it happened", result.Duration())
					}
				})
			}
			next := w.Deploy(w.Commit(nil), nil)
			w.Serves(next.Outputs["release"])
			history := w.Exec("cat /home/ubuntu/shop/deploys.jsonl")
			if !strings.Contains(history, `"outcome":"restored"`) || strings.Count(history, `"outcome":"failed"`) < 8 {
				t.Errorf("history:\n%s", history)
			}
		})
	}
}

func TestNginxRefusesTheSiteOnFirstUse(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	// Somebody's own site for every name on port 80: ours can't be added.
	w.Exec("sed -i 's/# Default server configuration/# ours/' /etc/nginx/sites-available/default && nginx -s reload")
	before := w.Exec("cd /etc/nginx && find . -type f -o -type l | sort | xargs ls -l && cat conf.d/* " +
		"sites-enabled/* 2>/dev/null || true")
	result := w.Run(w.Job(w.Commit(nil), nil))
	world.Failed(t, result, "failed", "check: /etc/nginx/sites-enabled/default:",
		"is the default_server of port 80 already", "site: unchanged; nothing was touched", "next: ")
	if after := w.Exec("cd /etc/nginx && find . -type f -o -type l | sort | xargs ls -l && cat conf.d/* " +
		"sites-enabled/* 2>/dev/null || true"); after != before {
		t.Errorf("nginx's files before:\n%s\nafter:\n%s", before, after)
	}
	w.Exec("nginx -t && curl -fs http://127.0.0.1/ >/dev/null && test -z \"$(ss -Hltn 'sport = :8080')\" && test -z " +
		"\"$(ls /var/lib/deploy-action/shop/active 2>/dev/null)\"")
	w.Deploy(w.Commit(nil), map[string]string{"server-name": "shop.example"})
	w.Exec("curl -fs -H 'Host: shop.example' http://127.0.0.1/health")
}

func TestAForeignProcessIsNamedAndLeftAlone(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Exec("useradd bob; setsid runuser -u bob -- python3 -m http.server 8081 --bind 127.0.0.1 >/dev/null 2>&1 " +
		"</dev/null & timeout 120 bash -c 'until curl -s http://127.0.0.1:8081/ >/dev/null; do sleep 0.2; done'")
	result := w.Run(w.Job(w.Commit(nil), nil))
	world.Failed(t, result, "failed", "detect: port 8081 is held by a process that is not this action's",
		"user bob, program python3", "ports")
	w.Exec("curl -s http://127.0.0.1:8081/ >/dev/null")

	// Another application of this action's is named, too, with all that is in the way at once.
	other := w.Deploy(w.Commit(nil), map[string]string{"app": "hello", "ports": "8080,8090"}).Outputs["release"]
	for _, with := range []map[string]string{{"operation": "check"}, {"dry-run": "true"}} {
		world.Failed(t, w.Run(w.Job(w.Commit(nil), with)), "failed",
			"detect: /etc/nginx/conf.d/service-url.inc is that of the application hello, which this action runs on "+
				"this host",
			"if this is hello under a new name", "(input ports, such as ", "port 8081 is held by a process that is "+
				"not this action's", "site: unchanged")
	}
	w.Serves(other)
}

func TestWhatIsMissingIsNamedBeforeAnythingIsTouched(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Exec("mv /usr/bin/git /usr/bin/git.gone; mv /usr/bin/curl /usr/bin/curl.gone; echo 'ubuntu ALL=(ALL) !ALL' " +
		">/etc/sudoers.d/zz")
	result := w.Run(w.Job(w.Commit(nil), nil))
	world.Failed(t, result, "failed", "git is not installed: apt-get install -y git", "curl is not installed",
		"without a password", "site: unchanged")
	if out := w.Exec("ls /home/ubuntu/shop /etc/nginx/conf.d " +
		"/var/lib/deploy-action 2>/dev/null || true"); strings.Contains(out, "releases") ||
		strings.Contains(out, "shop.conf") {
		t.Errorf("something was touched: %s", out)
	}
}

func TestCancelBeforeTheSwitchStopsTheNewVersion(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	good := w.Deploy(w.Commit(nil), nil).Outputs
	w.UnderLoad()
	running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(map[string]string{"BROKEN": "slow-boot=60"}),
		map[string]string{"health-timeout": "2m"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(w.Ctx, "Waiting for the new version"); err != nil {
		t.Fatal(err)
	}
	if err := running.Cancel(); err != nil {
		t.Fatal(err)
	}
	result, err := running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if running.Alive(w.Ctx) {
		t.Error("the action outlived the runner's signals")
	}
	world.Failed(t, result, "failed", "health: cancelled: interrupt signal received", "site: unchanged",
		good["release"]+" on port 8080 serves")
	w.Serves(good["release"])
	w.Exec("test -z \"$(ss -Hltn 'sport = :8081')\" && flock -w 30 /home/ubuntu/shop/.lock true")
	w.Deploy(w.Commit(nil), nil)
}

func TestACancelledRunOnAHostThatHangsSaysWhatIsKnown(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	good := w.Deploy(w.Commit(nil), nil).Outputs
	running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(map[string]string{"BROKEN": "slow-boot=60"}),
		map[string]string{"health-timeout": "2m"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(w.Ctx, "Waiting for the new version"); err != nil {
		t.Fatal(err)
	}
	err = w.Host.Pause(w.Ctx)
	if err == nil {
		err = running.Cancel()
	}
	result, failed := running.Wait()
	if err := errors.Join(err, failed, w.Host.Unpause(context.Background())); err != nil {
		t.Fatal(err)
	}
	world.Failed(t, result, "failed", "health: cancelled: interrupt signal received", "site: unchanged",
		good["release"]+" on port 8080 serves, as far as is known: it could not be asked")
	w.Serves(good["release"])
	w.Deploy(w.Commit(nil), nil)
}

func TestAKilledRunnerIsHealedByTheNextRun(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"Building the release", "Waiting for the new version", "Verifying through nginx",
		"Draining the old version",
	} {
		t.Run(at, func(t *testing.T) {
			w := world.New(t, lab.HostOptions{})
			w.Deploy(w.Commit(nil), nil)
			w.UnderLoad()
			running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(map[string]string{"BROKEN": "slow-boot=1"}), nil))
			if err != nil {
				t.Fatal(err)
			}
			if err := running.WaitLog(w.Ctx, at); err != nil {
				t.Fatal(err)
			}
			if err := running.Kill(w.Ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := running.Wait(); err != nil {
				t.Fatal(err)
			}
			next := w.Deploy(w.Commit(nil), nil)
			w.Serves(next.Outputs["release"])
			w.OneFlag(next.Outputs["active-port"])
			if out := w.Exec("ps -eo args | grep -c '[u]vicorn.*--port'"); strings.TrimSpace(out) != "1" {
				t.Errorf("%s processes of the application, want 1", strings.TrimSpace(out))
			}
		})
	}
}

func TestTwoRunsAtOnceTakeTurns(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.UnderLoad()
	first, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil),
		map[string]string{
			"build": "touch /tmp/building; until [ -e /tmp/go-on ]; do sleep 0.05; done",
			"start": ".././../venvs/*/bin/uvicorn controller.main:app --port $PORT",
		}))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.WaitLog(w.Ctx, "Building the release"); err != nil {
		t.Fatal(err)
	}
	busy := w.Run(w.Job(w.Commit(nil), map[string]string{"lock-timeout": "1s"}))
	world.Failed(t, busy, "failed",
		"lock: the deploy lock is still held by ada "+w.Git.URL()+"/"+w.Repo.Name()+"/actions/runs/4711",
		"lock-timeout", "site: unchanged")
	second, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil), map[string]string{"lock-timeout": "5m"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.WaitLog(w.Ctx, "the deploy lock is held by ada"); err != nil {
		t.Fatal(err)
	}
	w.Exec("touch /tmp/go-on")
	for _, running := range []*lab.Running{first, second} {
		result, err := running.Wait()
		if err != nil || result.ExitCode != 0 {
			t.Fatalf("err %v\n%s", err, result.Log())
		}
	}
	w.OneFlag("8080")
}

func TestConnectingFailsWithItsOwnMessage(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	sha := w.Commit(nil)
	stranger, err := lab.StrangerKey(w.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	other := world.New(t, lab.HostOptions{})
	paused := world.New(t, lab.HostOptions{})
	if err := paused.Host.Pause(w.Ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := paused.Host.Unpause(context.Background()); err != nil {
			t.Error(err)
		}
	})
	dropSYN(w, 2200)
	for _, tt := range []struct {
		name  string
		with  map[string]string
		words []string
	}{
		{
			"no host key pinned",
			map[string]string{"known-hosts": ""},
			[]string{w.Host.IP + " ssh-", "put this line into known-hosts"},
		},
		{
			"another host's key",
			map[string]string{"known-hosts": strings.ReplaceAll(other.Host.KnownHosts(), other.Host.IP, w.Host.IP)},
			[]string{"SHA256:", "attack"},
		},
		{
			"connection refused",
			map[string]string{
				"port": "2222", "known-hosts": "", "fingerprint": "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
			},
			[]string{"refused", "2222"},
		},
		{
			"login refused",
			map[string]string{"key": stranger.Private},
			[]string{"ubuntu", stranger.Fingerprint, "authorized_keys"},
		},
		{
			"no answer at all",
			map[string]string{"port": "2200", "connect-timeout": "2s"},
			[]string{"no answer within 2s", "security group"},
		},
		{
			"a host that hangs",
			map[string]string{"host": paused.Host.IP, "known-hosts": paused.Host.KnownHosts(), "connect-timeout": "2s"},
			[]string{"no answer within 2s", "overloaded"},
		},
		{
			"a name that does not exist",
			map[string]string{"host": "no-such-host.invalid"},
			[]string{"no-such-host.invalid"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.In(t)
			result := w.Run(w.Job(sha, tt.with))
			world.Failed(t, result, "failed", append(tt.words, "connect: ", "site: unchanged", "next: ")...)
		})
	}
	t.Run("the line to paste works", func(t *testing.T) {
		w := w.In(t)
		result := w.Run(w.Job(sha, map[string]string{"known-hosts": ""}))
		for _, line := range strings.Split(result.Annotations()[0].Message, "\n") {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, w.Host.IP+" ") {
				w.Deploy(sha, map[string]string{"known-hosts": line})
				return
			}
		}
		t.Errorf("no line to paste:\n%s", result.Annotations()[0].Message)
	})
}

// dropSYN makes a port of the host swallow connection attempts as a security group does: the queue
// of a listener that accepts nothing is full, and the kernel then drops what else comes.
func dropSYN(w *world.World, port int) {
	w.T.Helper()
	w.Exec(fmt.Sprintf(`cat >/tmp/drop.py <<'PY'
import signal, socket
s = socket.socket(); s.bind(("0.0.0.0", %d)); s.listen(0); held = []
while True:
    c = socket.socket(); c.settimeout(1)
    try:
        c.connect(("127.0.0.1", %[1]d)); held.append(c)
    except TimeoutError:
        break
open("/tmp/drop.ready", "w").close()
signal.pause()
PY
setsid python3 /tmp/drop.py >/tmp/drop.log 2>&1 </dev/null & `+
		`timeout 120 bash -c 'until [ -e /tmp/drop.ready ]; do sleep 0.05; done'`, port))
}

func TestBadInputsAreAllNamedAtOnce(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	result := w.Run(w.Job(w.Commit(nil), map[string]string{
		"host": "", "key": "not a key", "health-path": "healthz", "ports": "8080,8080", "watch-for": "5",
		"path": "/etc",
	}))
	world.Failed(t, result, "failed", `input "host": `, `input "key": `,
		`input "health-path": must start with "/" (got "healthz")`, `input "ports": `,
		`input "watch-for": `, `input "path": `)
	locked, err := world.Shared.Lab.Key(w.Ctx, lab.RSA, lab.PEM, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	result = w.Run(w.Job(w.Commit(nil), map[string]string{"key": locked.Private, "passphrase": "wrong horse"}))
	world.Failed(t, result, "failed", `input "passphrase": `)
	if strings.Contains(result.Annotations()[0].Message, "wrong horse") {
		t.Error("the passphrase is in the message")
	}
}
