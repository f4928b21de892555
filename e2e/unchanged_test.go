package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

func TestTheActiveReleaseIsAskedBeforeItIsLeftAsItIs(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	sha := w.Commit(nil)
	first := w.Deploy(sha, nil).Outputs
	const state = "systemctl show -p MainPID -p NRestarts shop@8080; ls -A /home/ubuntu/shop/releases " +
		"/home/ubuntu/shop/slots; md5sum /etc/nginx/conf.d/*"
	before := w.Exec(state)
	unchanged := func(with map[string]string) {
		t.Helper()
		result := w.Run(w.Job(sha, with))
		if result.ExitCode != 0 || result.Outputs["outcome"] != "unchanged" ||
			result.Outputs["release"] != first["release"] {
			t.Errorf("outputs %v\n%s", result.Outputs, result.Log())
		}
		if !strings.Contains(result.Log(),
			"✓ confirm: "+first["release"]+" answers right, directly and through nginx") {
			t.Errorf("log:\n%s", result.Log())
		}
	}
	unchanged(nil)
	unchanged(map[string]string{"operation": "rollback", "release": first["release"]})
	// One answer that comes too late condemns nobody.
	w.Exec(`systemctl kill -s STOP shop@8080
asked() { ss -Htnp state established "( dport = :8080 )" | grep bash; }; export -f asked
setsid bash -c 'until asked; do sleep 0.05; done; while asked; do sleep 0.05; done; ` +
		`systemctl kill -s CONT shop@8080' >/dev/null 2>&1 </dev/null &`)
	unchanged(nil)
	if after := w.Exec(state); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestAnActiveReleaseThatAilsIsStartedAnew(t *testing.T) {
	// The process that runs now does, and not the next one of the same release.
	const turnedBad = `file=/home/ubuntu/shop/slots/%s/bad; touch "$file"
timeout 120 bash -c 'while curl -fs http://127.0.0.1/health >/dev/null; do sleep 0.2; done'; rm "$file"`
	w := world.New(t, lab.HostOptions{})
	sha := w.Commit(map[string]string{"BROKEN": "bad-when=bad"})
	first := w.Deploy(sha, nil).Outputs
	w.UnderLoad() // it asks for anything but the health
	w.Exec(fmt.Sprintf(turnedBad, "8080"))
	again := w.Deploy(sha, nil)
	if again.Outputs["release"] == first["release"] || again.Outputs["active-port"] != "8081" {
		t.Errorf("outputs %v", again.Outputs)
	}
	for _, word := range []string{first["release"] + " is active and not healthy, so it is started anew beside " +
		"itself: GET /health on port 8080: answered 500", "lost its model (BROKEN says bad-when)"} {
		if !strings.Contains(again.Log(), word) {
			t.Errorf("the log lacks %q:\n%s", word, again.Log())
		}
	}
	w.Exec(fmt.Sprintf(turnedBad, "8081"))
	back := w.Run(w.Job(sha, map[string]string{"operation": "rollback", "release": again.Outputs["release"]}))
	if back.Outputs["outcome"] != "rolled-back" || back.Outputs["release"] != again.Outputs["release"] ||
		back.Outputs["active-port"] != "8080" {
		t.Errorf("outputs %v\n%s", back.Outputs, back.Log())
	}
	w.OneFlag("8080")
	w.Exec(fmt.Sprintf(turnedBad, "8080"))
	w.Exec("echo exit-at-boot >/home/ubuntu/shop/slots/8080/BROKEN")
	world.Failed(t, w.Run(w.Job(sha, map[string]string{"operation": "rollback", "release": again.Outputs["release"]})),
		"failed",
		"health: ", "site: unchanged; it does not answer right, as it did not when this run began (answered 500",
		again.Outputs["release"]+" on port 8080 is active")
}
