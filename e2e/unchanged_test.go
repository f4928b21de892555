package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
)

func TestTheActiveReleaseIsAskedBeforeItIsLeftAsItIs(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	sha := w.commit(nil)
	first := w.deploy(sha, nil).Outputs
	const state = "systemctl show -p MainPID -p NRestarts shop@8080; ls -A /home/ubuntu/shop/releases /home/ubuntu/shop/slots; md5sum /etc/nginx/conf.d/*"
	before := w.exec(state)
	unchanged := func(with map[string]string) {
		t.Helper()
		result := w.run(w.job(sha, with))
		if result.ExitCode != 0 || result.Outputs["outcome"] != "unchanged" || result.Outputs["release"] != first["release"] {
			t.Errorf("outputs %v\n%s", result.Outputs, result.Log())
		}
		if !strings.Contains(result.Log(), "✓ confirm: "+first["release"]+" answers right, directly and through nginx") {
			t.Errorf("log:\n%s", result.Log())
		}
	}
	unchanged(nil)
	unchanged(map[string]string{"operation": "rollback", "release": first["release"]})
	// One answer that comes too late condemns nobody.
	w.exec(`systemctl kill -s STOP shop@8080
setsid bash -c 'probe="[X]-Deploy-Action: probe"; until pgrep -f "$probe"; do sleep 0.05; done; while pgrep -f "$probe"; do sleep 0.05; done; systemctl kill -s CONT shop@8080' >/dev/null 2>&1 </dev/null &`)
	unchanged(nil)
	if after := w.exec(state); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestAnActiveReleaseThatAilsIsStartedAnew(t *testing.T) {
	const turnedBad = "timeout 30 bash -c 'while curl -fs http://127.0.0.1/health >/dev/null; do sleep 0.1; done'"
	w := newWorld(t, lab.HostOptions{})
	sha := w.commit(map[string]string{"BROKEN": "bad-after=4"})
	first := w.deploy(sha, nil).Outputs
	w.underLoad() // it asks for anything but the health
	w.exec(turnedBad)
	again := w.deploy(sha, nil)
	if again.Outputs["release"] == first["release"] || again.Outputs["active-port"] != "8081" {
		t.Errorf("outputs %v", again.Outputs)
	}
	for _, word := range []string{first["release"] + " is active and not healthy, so it is started anew beside itself: GET /health on port 8080: answered 500", "lost its model (BROKEN says bad-after)"} {
		if !strings.Contains(again.Log(), word) {
			t.Errorf("the log lacks %q:\n%s", word, again.Log())
		}
	}
	w.exec(turnedBad)
	back := w.run(w.job(sha, map[string]string{"operation": "rollback", "release": again.Outputs["release"]}))
	if back.Outputs["outcome"] != "rolled-back" || back.Outputs["release"] != again.Outputs["release"] || back.Outputs["active-port"] != "8080" {
		t.Errorf("outputs %v\n%s", back.Outputs, back.Log())
	}
	w.oneFlag("8080")
	w.exec(turnedBad)
	w.exec("echo exit-at-boot >/home/ubuntu/shop/slots/8080/BROKEN")
	failed(t, w.run(w.job(sha, map[string]string{"operation": "rollback", "release": again.Outputs["release"]})), "failed",
		"health: ", "site: unchanged", again.Outputs["release"]+" on port 8080 serves; it did not answer the health check when this run began either")
}
