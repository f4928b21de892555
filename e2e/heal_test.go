package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// killAt starts a deployment and kills the action when its log says a word.
func killAt(w *world.World, word string, job lab.Job) *lab.Result {
	w.T.Helper()
	running, err := w.Runner.Start(w.Ctx, job)
	if err != nil {
		w.T.Fatal(err)
	}
	if err := running.WaitLog(w.Ctx, word); err != nil {
		w.T.Fatal(err)
	}
	if err := running.Kill(w.Ctx); err != nil {
		w.T.Fatal(err)
	}
	result, err := running.Wait()
	if err != nil {
		w.T.Fatal(err)
	}
	return result
}

// A runner that dies while the new version is on probation leaves the flag on it. The next run must
// not take it for proved.
func TestAnUnprovedReleaseIsNotTrusted(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	good := w.Deploy(w.Commit(nil), nil).Outputs
	w.UnderLoad()
	bad := w.Commit(map[string]string{"BROKEN": "bad-when=/home/ubuntu/bad"})
	job := w.Job(bad, map[string]string{"watch-for": "2m"})
	killAt(w, "Verifying through nginx", job)
	w.Exec(`touch /home/ubuntu/bad
timeout 120 bash -c 'while curl -fs http://127.0.0.1/health >/dev/null; do sleep 0.2; done'
rm /home/ubuntu/bad; cd /var/lib/deploy-action/shop/active
setsid bash -c 'until [ -e /tmp/again ] && [ -e 8081 ]; do sleep 0.02; done; touch /home/ubuntu/bad' \
  >/dev/null 2>&1 </dev/null &`)
	job.With["before-start"] = "touch /tmp/again" // the flag is back on the old version by then
	again := w.Run(job)
	world.Failed(t, again, "restored", "verify: GET /health through nginx", "site: restored",
		good["release"]+" on port 8080 serves")
	w.Serves(good["release"])
	w.OneFlag("8080")
}

// As before, but the unproved version is dead when the next run comes, and nginx answers from the
// one before.
func TestTheVersionThatServesIsKept(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	good := w.Deploy(w.Commit(nil), nil).Outputs
	killAt(w, "Verifying through nginx", w.Job(w.Commit(nil), map[string]string{"watch-for": "2m"}))
	w.Exec("systemctl stop shop@8081")
	w.UnderLoad()
	// It has ended before systemd takes it for started, as on a host where systemd is slow.
	w.Exec("install -d /etc/systemd/system/shop@8081.service.d; printf '[Service]\\nType=notify\\n' " +
		">/etc/systemd/system/shop@8081.service.d/x.conf; systemctl daemon-reload")
	refused := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "exit-at-boot"}), nil))
	world.Failed(t, refused, "failed", "health: the application exited with status 3 before it was healthy",
		good["release"]+" on port 8080 serves")
	w.Serves(good["release"])
	w.OneFlag("8080")
}

// The load begins once the listener is closed: a connection that the kernel has accepted for it by
// then is lost with it, and a POST on it cannot be sent again.
func TestADeadListenerBehindALiveParentIsNoticed(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	good := w.Deploy(w.Commit(nil), nil).Outputs
	w.Must(w.Host.MakePlaces(w.Ctx))
	w.Must(w.Host.Arm(w.Ctx, lab.Place{Verb: "verify"}))
	running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil), map[string]string{
		"watch-for": "20s", "start": "uvicorn controller.main:app --port $PORT & child=$!; until [ -e " +
			"/home/ubuntu/now ]; do sleep 0.1; done; kill -INT $child; wait; exec sleep infinity",
		"after-switch": "true",
	}))
	w.Must(err)
	w.Must(w.Host.WaitHeld(w.Ctx))
	w.Exec("test -e /var/lib/deploy-action/shop/active/8081; touch /home/ubuntu/now; " +
		"timeout 60 bash -c 'while [[ -n $(ss -Hltn \"sport = :8081\") ]]; do sleep 0.05; done'")
	w.UnderLoad()
	w.Must(w.Host.Release(w.Ctx))
	result, err := running.Wait()
	w.Must(err)
	world.Failed(t, result, "restored", "verify: ", "site: restored")
	w.Serves(good["release"])
}

func TestACrashLoopingOldVersionIsRetired(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.Exec("echo exit-at-boot >/home/ubuntu/shop/slots/8080/BROKEN; systemctl kill -s KILL shop@8080; timeout 120 " +
		"bash -c 'until [ $(systemctl show -p NRestarts --value shop@8080) -ge 2 ]; do sleep 0.1; done'")
	broken := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "exit-at-boot"}), nil))
	world.Failed(t, broken, "failed", "site: unchanged; it is down (answered 502 ")
	next := w.Deploy(w.Commit(nil), nil)
	w.Serves(next.Outputs["release"])
	if out := w.Exec("systemctl is-active shop@8080 || true; " +
		"systemctl is-enabled shop@8080 || true"); strings.Contains(out, "activating") ||
		strings.Contains(out, "enabled") {
		t.Errorf("the old version goes on: %s", out)
	}
}

// The new version starts on the very port that nginx falls back to without a flag: nobody may meet
// it before it has proved itself.
func TestAFlagLostDuringADeploymentIsPutBack(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	good := w.Deploy(w.Commit(nil), nil).Outputs["release"]
	w.Exec("grep -q '^set .*_fallback 8080;' /etc/nginx/conf.d/service-url.inc")
	w.Exec(`setsid bash -c 'until [ -e /tmp/enough ]; do curl -fs -D - -o /dev/null http://127.0.0.1/version | ` +
		`grep -i ^x-release; sleep 0.1; done' >/tmp/seen 2>&1 </dev/null &`)
	result := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "health-500"}), map[string]string{
		"health-timeout": "30s", "before-start": "rm /var/lib/deploy-action/shop/active/8081",
	}))
	world.Failed(t, result, "failed", "health: GET /health on port 8080: answered 500", "site: unchanged",
		good+" on port 8081 serves")
	if !strings.Contains(result.Log(), "the flag of port 8081 was gone; it is back") {
		t.Errorf("log:\n%s", result.Log())
	}
	if out := w.Exec("touch /tmp/enough; tr -d '\\r' </tmp/seen | " +
		"sort -u | cut -d' ' -f2"); strings.TrimSpace(out) != good {
		t.Errorf("who answered: %s; want just %s", out, good)
	}
	w.OneFlag("8081")
}

func TestAFirstDeploymentIsTakenBackWhole(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	before := w.Exec("find /etc/nginx -type f -o -type l | sort | xargs md5sum 2>/dev/null; ls -l " +
		"/etc/nginx/sites-enabled")
	result := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "bad-after=1"}),
		map[string]string{"watch-for": "20s", "nginx-include": "/srv/nginx/shop.inc"}))
	world.Failed(t, result, "failed", "verify: ", "site: restored")
	if strings.Contains(result.Log(), "taking it back failed") {
		t.Errorf("log:\n%s", result.Log())
	}
	if after := w.Exec("find /etc/nginx -type f -o -type l | sort | xargs md5sum 2>/dev/null; ls -l " +
		"/etc/nginx/sites-enabled; ls /srv/nginx"); after != before {
		t.Errorf("nginx's files before:\n%s\nafter:\n%s", before, after)
	}
	w.Exec("curl -fs http://127.0.0.1/ | grep -q 'Welcome to nginx'")
	w.Deploy(w.Commit(nil), nil)
}

func TestAnotherPathIsRefusedWhileTheOldOneRuns(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	result := w.Run(w.Job(w.Commit(nil), map[string]string{"path": "/srv/shop"}))
	world.Failed(t, result, "failed", "lock: shop runs on this host from /home/ubuntu/shop, and not from /srv/shop",
		"site: unchanged")
	w.Exec("test ! -e /srv/shop")
	w.Exec("systemctl kill -s KILL shop@8080; timeout 120 bash -c 'until curl -fs http://127.0.0.1/health; do sleep " +
		"0.1; done'")
}

func TestSomebodyElsesUnitIsLeftAlone(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Exec("printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/etc/systemd/system/shop@.service; mkdir -p " +
		"/etc/systemd/system/shop@9000.service.d; systemctl daemon-reload; systemctl start shop@9000")
	for range 3 {
		world.Failed(t, w.Run(w.Job(w.Commit(nil), nil)), "failed",
			"setup: the host already has a unit shop@.service that this action did not write")
	}
	w.Exec("grep -q infinity /etc/systemd/system/shop@.service && systemctl is-active -q shop@9000")
}

func TestNestedRequirementsBelongToTheVenvsKey(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	files := map[string]string{
		"requirements.txt":      "# docs/requirements\n-r requirements/prod.txt\r\n",
		"requirements/prod.txt": "-rbase.txt  # what all need\n",
		"requirements/base.txt": "fastapi\nuvicorn\nwebsockets\n",
	}
	w.Deploy(w.Commit(files), nil)
	if same := w.Deploy(w.Commit(files), nil); !strings.Contains(same.Log(), "venv reused") {
		t.Error("unchanged requirements made a new venv")
	}
	files["requirements/base.txt"] += "python-multipart\n"
	if changed := w.Deploy(w.Commit(files), nil); strings.Contains(changed.Log(), "venv reused") {
		t.Error("a changed nested file was not noticed")
	}
}

func TestWhatABuildLeavesRunningBlocksNobody(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), map[string]string{"build": "python3 -m venv .venv && .venv/bin/pip -q install -r " +
		"requirements.txt\nsetsid sleep infinity >/dev/null 2>&1 </dev/null &"})
	hung := w.Job(w.Commit(nil), map[string]string{"build": "echo hang''ing; sleep infinity"})
	killAt(w, "hanging", hung)
	next := w.Deploy(w.Commit(nil), nil)
	w.Serves(next.Outputs["release"])
	// The same with the script itself killed, as by the kernel for want of memory: what it waited
	// for lives on.
	killAt(w, "hanging", hung)
	w.Exec("kill -KILL $(cut -d' ' -f1 /home/ubuntu/shop/.lock.leader)")
	next = w.Deploy(w.Commit(nil), nil)
	w.Serves(next.Outputs["release"])
	if out := w.Exec("pgrep -cx sleep || true"); strings.TrimSpace(out) != "1" {
		t.Errorf("%s processes of builds are left, want just the daemon", strings.TrimSpace(out))
	}
}

func TestAnotherPairOfPortsIsReachedInTwoSteps(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	result := w.Run(w.Job(w.Commit(nil), map[string]string{"ports": "9000,9001"}))
	world.Failed(t, result, "failed", "detect: port 8080 is active, and not one of the pair",
		`"8080,9000", and from then on with "9000,9001"`)
	w.Deploy(w.Commit(nil), map[string]string{"ports": "8080,9000"})
	moved := w.Deploy(w.Commit(nil), map[string]string{"ports": "9000,9001"})
	w.Serves(moved.Outputs["release"])
	w.OneFlag("9001")
	if out := w.Exec("systemctl list-units --plain --no-legend 'shop@*' | " +
		"cut -d' ' -f1"); strings.TrimSpace(out) != "shop@9001.service" {
		t.Errorf("running units: %s", out)
	}
}

// certbot --nginx edits the file it finds.
func TestEditsOfTheSiteSurvive(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.Exec("printf 'server { listen 8443; location / { return 200 theirs; } } # managed by Certbot\\n' " +
		">>/etc/nginx/conf.d/shop.conf; nginx -t && nginx -s reload")
	result := w.Deploy(w.Commit(nil), nil)
	if !strings.Contains(result.Log(), "was edited since this action wrote it") ||
		!strings.Contains(result.Log(), "no reload") {
		t.Errorf("log:\n%s", result.Log())
	}
	w.Exec("test \"$(curl -fs http://127.0.0.1:8443/)\" = theirs")
	other := w.Run(w.Job(w.Commit(nil), map[string]string{"server-name": "shop.example"}))
	world.Failed(t, other, "failed", "setup: /etc/nginx/conf.d/shop.conf was edited since this action wrote it",
		"site: unchanged")
	w.Exec("test \"$(curl -fs http://127.0.0.1:8443/)\" = theirs")
}

func TestAHungVersionIsReplacedWithoutAReload(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.Exec("systemctl kill -s STOP shop@8080")
	next := w.Deploy(w.Commit(nil), map[string]string{"stop-timeout": "1s"})
	if measured(t, next).Reloaded {
		t.Error("nginx was reloaded because the application hung")
	}
	w.Serves(next.Outputs["release"])
}

func TestAProcessThatHidesItsFilesIsOurs(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	hiding := "import ctypes\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n" + printer
	w.Deploy(w.Commit(map[string]string{"app.py": hiding}),
		map[string]string{"build": "true", "start": "python3 app.py"})
	w.Deploy(w.Commit(map[string]string{"app.py": hiding}),
		map[string]string{"build": "true", "start": "python3 app.py"})
}

func TestADamagedMirrorIsFetchedAnew(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	sha := w.Commit(nil)
	w.Deploy(sha, nil)
	w.Exec("cd /home/ubuntu/shop/repo.git/objects && find . -type f -name '*.pack' -exec truncate -s 100 {} +")
	again := w.Deploy(sha, map[string]string{"start": "uvicorn controller.main:app --port $PORT"})
	w.Serves(again.Outputs["release"])
}

// A version that crashes once it has proved itself is back in a moment; for that moment nginx turns
// to the old one, which must still be there.
func TestTheOldVersionStaysWhileTheNewOneIsDown(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.Must(w.Host.MakePlaces(w.Ctx))
	w.Must(w.Host.Arm(w.Ctx, lab.Place{Verb: "stop"}))
	waits := map[string]string{ // for as long as the file is there, with all else done
		"controller/__init__.py": "import os, time\nimport fastapi\n" +
			"while os.path.exists('/home/ubuntu/wait'): time.sleep(0.05)\n",
	}
	running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(waits), map[string]string{
		"after-switch": "touch /home/ubuntu/wait; kill -KILL $(systemctl show -p MainPID --value shop@8081); while [ -n " +
			"\"$(ss -Hltn sport = :8081)\" ]; do sleep 0.1; done; echo down; until [ -e /tmp/go ]; do sleep 0.1; done",
	}))
	w.Must(err)
	w.Must(running.WaitLog(w.Ctx, "│ down"))
	w.UnderLoad()
	w.Exec("touch /tmp/go")
	w.Must(w.Host.WaitHeld(w.Ctx))
	// What the kernel has accepted for the old one is that one's, though it gets to it later.
	w.Exec("systemctl kill -s STOP shop@8080; " +
		"timeout 60 bash -c 'until ss -Htn \"sport = :8080\" | grep -q ESTAB; do sleep 0.05; done'")
	w.Must(w.Host.Release(w.Ctx)) // it waits ten seconds for the new one
	w.Must(running.WaitLog(w.Ctx, "nothing listens on port 8081 just now; port 8080 stands in"))
	w.Exec("rm /home/ubuntu/wait")
	w.Must(running.WaitLog(w.Ctx, "port 8081 is back; port 8080 finishes "))
	w.Exec("systemctl kill -s CONT shop@8080")
	result, err := running.Wait()
	w.Must(err)
	if result.Outputs["outcome"] != "deployed" || strings.Contains(result.Log(), "Could not stop") {
		t.Errorf("outputs %v\n%s", result.Outputs, result.Log())
	}
	w.Serves(result.Outputs["release"])
}
