package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// A host as a cloud image has it: no nginx, no git, no curl, no venv module. Another apt holds the lock at first, and an earlier installation was cut off.
func TestABareHostIsDeployedToInOneRun(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.exec(`systemctl stop nginx
DEBIAN_FRONTEND=noninteractive apt-get purge -y --auto-remove nginx nginx-common git curl python3-venv python3.11-venv python3-pip >/dev/null 2>&1
rm -rf /etc/nginx; ! command -v nginx && ! command -v git && ! command -v curl && ! python3 -c 'import ensurepip' 2>/dev/null
cat >/tmp/hold.py <<'PY'
import fcntl, os, signal
f = open("/var/lib/dpkg/lock-frontend", "w"); fcntl.lockf(f, fcntl.LOCK_EX)
open("/tmp/held", "w").close()
signal.pause()
PY
setsid python3 /tmp/hold.py >/dev/null 2>&1 </dev/null & echo $! >/tmp/hold.pid
timeout 10 bash -c 'until [ -e /tmp/held ]; do sleep 0.05; done'`)
	running, err := shared.runner.Start(w.ctx, w.job(w.commit(nil), map[string]string{"packages": "unzip"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(w.ctx, "Could not get lock /var/lib/dpkg/lock-frontend"); err != nil {
		w.exec("kill $(cat /tmp/hold.pid)")
		t.Fatal(err)
	}
	w.exec("kill $(cat /tmp/hold.pid)")
	first, err := running.Wait()
	if err != nil || first.ExitCode != 0 {
		t.Fatalf("err %v\n%s", err, first.Log())
	}
	for _, word := range []string{"; installed ", "nginx", "git", "curl", "python3.11-venv", "unzip"} {
		if !strings.Contains(strings.Join(first.Outside(), "\n"), word) {
			t.Errorf("the log does not say that %q was installed:\n%s", word, strings.Join(first.Outside(), "\n"))
		}
	}
	w.serves(first.Outputs["release"])
	w.exec("command -v unzip && systemctl is-enabled -q nginx")

	before := w.exec("dpkg-query -W | sha256sum; find /etc/nginx /etc/systemd/system -type f -newer /proc/1/cmdline | xargs ls -l --time-style=full-iso")
	second := w.run(w.job(w.commit(nil), map[string]string{"packages": "unzip", "operation": "check"}))
	if second.ExitCode != 0 || strings.Contains(second.Log(), "installing") {
		t.Errorf("the second look finds something to install:\n%s", second.Log())
	}
	third := w.deploy(w.commit(nil), map[string]string{"packages": "unzip"})
	if strings.Contains(third.Log(), "installing") || !strings.Contains(third.Log(), "✓ setup: already") {
		t.Errorf("the second deployment sets up again:\n%s", third.Log())
	}
	after := w.exec("dpkg-query -W | sha256sum; find /etc/nginx /etc/systemd/system -type f -newer /proc/1/cmdline -not -name service-url.inc | xargs ls -l --time-style=full-iso")
	for _, line := range strings.Split(strings.TrimSpace(after), "\n") {
		if !strings.Contains(before, line) {
			t.Errorf("changed by the second deployment: %s", line)
		}
	}
}

func TestSetupNeverOnlyNamesWhatIsMissing(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	result := w.run(w.job(w.commit(nil), map[string]string{"setup": "never", "packages": "unzip"}))
	failed(t, result, "failed", "check: package unzip is not installed: apt-get install -y unzip", "site: unchanged")
	none := w.run(w.job(w.commit(nil), map[string]string{"packages": "no-such-package-of-ours"}))
	failed(t, none, "failed", "package no-such-package-of-ours is not installed", "site: unchanged")
}
