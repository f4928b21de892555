package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// killAt starts a deployment and kills the action when its log says a word.
func (w *world) killAt(word string, job lab.Job) *lab.Result {
	w.t.Helper()
	running, err := shared.runner.Start(w.ctx, job)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := running.WaitLog(w.ctx, word); err != nil {
		w.t.Fatal(err)
	}
	if err := running.Kill(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	result, err := running.Wait()
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// A runner that dies while the new version is on probation leaves the flag on it. The next run must not take it for proved.
func TestAnUnprovedReleaseIsNotTrusted(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	good := w.deploy(w.commit(nil), nil).Outputs
	w.underLoad()
	bad := w.commit(map[string]string{"BROKEN": "bad-after=2"})
	job := w.job(bad, map[string]string{"watch-for": "20s"})
	w.killAt("Verifying through nginx", job)
	w.exec("timeout 30 bash -c 'while curl -fs http://127.0.0.1/health >/dev/null; do sleep 0.1; done'")
	again := w.run(job)
	failed(t, again, "restored", "verify: GET /health through nginx", "site: restored", good["release"]+" on port 8080 serves")
	w.serves(good["release"])
	w.oneFlag("8080")
}

// As before, but the unproved version is dead when the next run comes, and nginx answers from the one before.
func TestTheVersionThatServesIsKept(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	good := w.deploy(w.commit(nil), nil).Outputs
	w.killAt("Verifying through nginx", w.job(w.commit(nil), map[string]string{"watch-for": "20s"}))
	w.exec("systemctl stop shop@8081")
	w.underLoad()
	refused := w.run(w.job(w.commit(map[string]string{"BROKEN": "exit-at-boot"}), nil))
	failed(t, refused, "failed", "health: ", good["release"]+" on port 8080 serves")
	w.serves(good["release"])
	w.oneFlag("8080")
}

func TestADeadListenerBehindALiveParentIsNoticed(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	good := w.deploy(w.commit(nil), nil).Outputs
	w.underLoad()
	result := w.run(w.job(w.commit(nil), map[string]string{
		"watch-for": "20s", "start": "uvicorn controller.main:app --port $PORT & child=$!; until [ -e /home/ubuntu/now ]; do sleep 0.1; done; kill -INT $child; wait",
		"after-switch": "true", "before-start": "setsid sh -c 'until [ -e /var/lib/deploy-action/shop/active/8081 ]; do sleep 0.1; done; touch /home/ubuntu/now' >/dev/null 2>&1 </dev/null &",
	}))
	if result.ExitCode == 0 || result.Outputs["outcome"] != "restored" {
		t.Errorf("outputs %v\n%s", result.Outputs, result.Log())
	}
	w.serves(good["release"])
}

func TestACrashLoopingOldVersionIsRetired(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.deploy(w.commit(nil), nil)
	w.exec("echo exit-at-boot >/home/ubuntu/shop/slots/8080/BROKEN; systemctl kill -s KILL shop@8080; timeout 30 bash -c 'until [ $(systemctl show -p NRestarts --value shop@8080) -ge 2 ]; do sleep 0.1; done'")
	broken := w.run(w.job(w.commit(map[string]string{"BROKEN": "exit-at-boot"}), nil))
	failed(t, broken, "failed", "nothing listened on its port 8080")
	next := w.deploy(w.commit(nil), nil)
	w.serves(next.Outputs["release"])
	if out := w.exec("systemctl is-active shop@8080 || true; systemctl is-enabled shop@8080 || true"); strings.Contains(out, "activating") || strings.Contains(out, "enabled") {
		t.Errorf("the old version goes on: %s", out)
	}
}

// The new version starts on the very port that nginx falls back to without a flag: nobody may meet it before it has proved itself.
func TestAFlagLostDuringADeploymentIsPutBack(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.deploy(w.commit(nil), nil)
	good := w.deploy(w.commit(nil), nil).Outputs["release"]
	w.exec("grep -q '^set .*shop_8080;' /etc/nginx/conf.d/service-url.inc")
	w.exec(`setsid bash -c 'until [ -e /tmp/enough ]; do curl -fs -D - -o /dev/null http://127.0.0.1/version | grep -i ^x-release; done' >/tmp/seen 2>&1 </dev/null &`)
	result := w.run(w.job(w.commit(map[string]string{"BROKEN": "health-500"}), map[string]string{
		"health-timeout": "3s", "before-start": "rm /var/lib/deploy-action/shop/active/8081",
	}))
	failed(t, result, "failed", "health: GET /health on port 8080: answered 500", "site: unchanged", good+" on port 8081 serves")
	if !strings.Contains(result.Log(), "the flag of port 8081 was gone; it is back") {
		t.Errorf("log:\n%s", result.Log())
	}
	if out := w.exec("touch /tmp/enough; tr -d '\\r' </tmp/seen | sort -u | cut -d' ' -f2"); strings.TrimSpace(out) != good {
		t.Errorf("who answered: %s; want just %s", out, good)
	}
	w.oneFlag("8081")
}

func TestAFirstDeploymentIsTakenBackWhole(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	before := w.exec("find /etc/nginx -type f -o -type l | sort | xargs md5sum 2>/dev/null; ls -l /etc/nginx/sites-enabled")
	result := w.run(w.job(w.commit(map[string]string{"BROKEN": "bad-after=1"}), map[string]string{"watch-for": "20s", "nginx-include": "/srv/nginx/shop.inc"}))
	failed(t, result, "failed", "verify: ", "site: restored")
	if strings.Contains(result.Log(), "taking it back failed") {
		t.Errorf("log:\n%s", result.Log())
	}
	if after := w.exec("find /etc/nginx -type f -o -type l | sort | xargs md5sum 2>/dev/null; ls -l /etc/nginx/sites-enabled; ls /srv/nginx"); after != before {
		t.Errorf("nginx's files before:\n%s\nafter:\n%s", before, after)
	}
	w.exec("curl -fs http://127.0.0.1/ | grep -q 'Welcome to nginx'")
	w.deploy(w.commit(nil), nil)
}

func TestAnotherPathIsRefusedWhileTheOldOneRuns(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.deploy(w.commit(nil), nil)
	result := w.run(w.job(w.commit(nil), map[string]string{"path": "/srv/shop"}))
	failed(t, result, "failed", "setup: shop already runs on this host with User=ubuntu WorkingDirectory=/home/ubuntu/shop/slots/%i")
	w.exec("systemctl kill -s KILL shop@8080; timeout 30 bash -c 'until curl -fs http://127.0.0.1/health; do sleep 0.1; done'")
}

func TestSomebodyElsesUnitIsLeftAlone(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.exec("printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/etc/systemd/system/shop@.service; mkdir -p /etc/systemd/system/shop@9000.service.d; systemctl daemon-reload; systemctl start shop@9000")
	for range 3 {
		failed(t, w.run(w.job(w.commit(nil), nil)), "failed", "setup: the host already has a unit shop@.service that this action did not write")
	}
	w.exec("grep -q infinity /etc/systemd/system/shop@.service && systemctl is-active -q shop@9000")
}

func TestNestedRequirementsBelongToTheVenvsKey(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	files := map[string]string{"requirements.txt": "# docs/requirements\n-r requirements/prod.txt\r\n", "requirements/prod.txt": "-rbase.txt  # what all need\n", "requirements/base.txt": "fastapi\nuvicorn\nwebsockets\n"}
	w.deploy(w.commit(files), nil)
	if same := w.deploy(w.commit(files), nil); !strings.Contains(same.Log(), "venv reused") {
		t.Error("unchanged requirements made a new venv")
	}
	files["requirements/base.txt"] += "python-multipart\n"
	if changed := w.deploy(w.commit(files), nil); strings.Contains(changed.Log(), "venv reused") {
		t.Error("a changed nested file was not noticed")
	}
}

func TestWhatABuildLeavesRunningBlocksNobody(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.deploy(w.commit(nil), map[string]string{"build": "python3 -m venv .venv && .venv/bin/pip -q install -r requirements.txt\nsetsid sleep infinity >/dev/null 2>&1 </dev/null &"})
	hung := w.job(w.commit(nil), map[string]string{"build": "echo hang''ing; sleep infinity"})
	w.killAt("hanging", hung)
	next := w.deploy(w.commit(nil), nil)
	w.serves(next.Outputs["release"])
	// The same with the script itself killed, as by the kernel for want of memory: what it waited for lives on.
	w.killAt("hanging", hung)
	w.exec("kill -KILL $(cut -d' ' -f1 /home/ubuntu/shop/.lock.leader)")
	next = w.deploy(w.commit(nil), nil)
	w.serves(next.Outputs["release"])
	if out := w.exec("pgrep -cx sleep || true"); strings.TrimSpace(out) != "1" {
		t.Errorf("%s processes of builds are left, want just the daemon", strings.TrimSpace(out))
	}
}

func TestAnotherPairOfPortsIsReachedInTwoSteps(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.deploy(w.commit(nil), nil)
	result := w.run(w.job(w.commit(nil), map[string]string{"ports": "9000,9001"}))
	failed(t, result, "failed", "detect: port 8080 is active, and not one of the pair", `"8080,9000", and from then on with "9000,9001"`)
	w.deploy(w.commit(nil), map[string]string{"ports": "8080,9000"})
	moved := w.deploy(w.commit(nil), map[string]string{"ports": "9000,9001"})
	w.serves(moved.Outputs["release"])
	w.oneFlag("9001")
	if out := w.exec("systemctl list-units --plain --no-legend 'shop@*' | cut -d' ' -f1"); strings.TrimSpace(out) != "shop@9001.service" {
		t.Errorf("running units: %s", out)
	}
}

// certbot --nginx edits the file it finds.
func TestEditsOfTheSiteSurvive(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.deploy(w.commit(nil), nil)
	w.exec("printf 'server { listen 8443; location / { return 200 theirs; } } # managed by Certbot\\n' >>/etc/nginx/conf.d/shop.conf; nginx -t && nginx -s reload")
	result := w.deploy(w.commit(nil), nil)
	if !strings.Contains(result.Log(), "was edited since this action wrote it") || !strings.Contains(result.Log(), "no reload") {
		t.Errorf("log:\n%s", result.Log())
	}
	w.exec("test \"$(curl -fs http://127.0.0.1:8443/)\" = theirs")
	other := w.run(w.job(w.commit(nil), map[string]string{"server-name": "shop.example"}))
	failed(t, other, "failed", "setup: /etc/nginx/conf.d/shop.conf was edited since this action wrote it", "site: unchanged")
	w.exec("test \"$(curl -fs http://127.0.0.1:8443/)\" = theirs")
}

func TestAHungVersionIsReplacedWithoutAReload(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.deploy(w.commit(nil), nil)
	w.exec("systemctl kill -s STOP shop@8080")
	next := w.deploy(w.commit(nil), map[string]string{"stop-timeout": "1s"})
	if measured(t, next).Reloaded {
		t.Error("nginx was reloaded because the application hung")
	}
	w.serves(next.Outputs["release"])
}

func TestAProcessThatHidesItsFilesIsOurs(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	hiding := "import ctypes\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n" + printer
	w.deploy(w.commit(map[string]string{"app.py": hiding}), map[string]string{"build": "true", "start": "python3 app.py"})
	w.deploy(w.commit(map[string]string{"app.py": hiding}), map[string]string{"build": "true", "start": "python3 app.py"})
}

func TestADamagedMirrorIsFetchedAnew(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	sha := w.commit(nil)
	w.deploy(sha, nil)
	w.exec("cd /home/ubuntu/shop/repo.git/objects && find . -type f -name '*.pack' -exec truncate -s 100 {} +")
	again := w.deploy(sha, map[string]string{"start": "uvicorn controller.main:app --port $PORT"})
	w.serves(again.Outputs["release"])
}

// A version that crashes once it has proved itself is back in a moment; for that moment nginx turns to the old one, which must still be there.
func TestTheOldVersionStaysWhileTheNewOneIsDown(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.deploy(w.commit(nil), nil)
	w.exec("mkdir /etc/systemd/system/shop@8081.service.d; printf '[Service]\\nRestartSec=6\\n' >/etc/systemd/system/shop@8081.service.d/slow.conf; systemctl daemon-reload")
	running, err := shared.runner.Start(w.ctx, w.job(w.commit(nil), map[string]string{
		"after-switch": "kill -KILL $(systemctl show -p MainPID --value shop@8081); echo down; until [ -e /tmp/go ]; do sleep 0.1; done",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(w.ctx, "│ down"); err != nil {
		t.Fatal(err)
	}
	w.underLoad()
	w.exec("touch /tmp/go")
	result, err := running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if result.Outputs["outcome"] != "deployed" || strings.Contains(result.Log(), "Could not stop") {
		t.Errorf("outputs %v\n%s", result.Outputs, result.Log())
	}
	w.serves(result.Outputs["release"])
}
