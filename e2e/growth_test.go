package e2e

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// footprint is what a host has in use, the system's own logs aside.
type footprint struct {
	disk, files, processes, units, failed int
	text                                  string // by folder, for people
}

func (w *world) footprint() (f footprint) {
	w.t.Helper()
	out := w.exec(`timeout 30 bash -c 'while pgrep -f "^sshd: ubuntu" >/dev/null; do sleep 0.1; done'; sync
du -xs --block-size=1 --exclude=/var/log / | cut -f1
find / -xdev -path /var/log -prune -o -print | wc -l
pgrep -c -u ubuntu
systemctl list-units --all --plain --no-legend | grep -vc '\.scope '
systemctl list-units --all --failed --no-legend | wc -l`)
	if _, err := fmt.Sscan(out, &f.disk, &f.files, &f.processes, &f.units, &f.failed); err != nil {
		w.t.Fatalf("%v in %q", err, out)
	}
	f.text = w.exec("du -xs --block-size=1K /home/ubuntu/shop/* /var/lib/deploy-action /etc /tmp /var/tmp /var/lib /home | tr '\\t\\n' ' ,'")
	return f
}

// A deployment leaves its line in the history, a few in the slot's log, and nothing else: what goes is worth as much as what comes.
func TestTwoHundredDeploymentsLeaveNoMoreThanTheirReleases(t *testing.T) {
	const warmUp, deployments = 20, 200
	w := newWorld(t, lab.HostOptions{})
	begin := time.Now()
	var before footprint
	for n := 1; n <= deployments; n++ {
		var noise strings.Builder // 64 KB that are different each time, so that one that stays is seen
		for i := range 1000 {
			fmt.Fprintf(&noise, "%x", sha256.Sum256(fmt.Append(nil, n, i)))
		}
		sha, err := w.repo.Commit(w.ctx, "next", nil, map[string]string{"health": fmt.Sprint(n), "page": noise.String()})
		if err != nil {
			t.Fatal(err)
		}
		w.deploy(sha, gitFiles(map[string]string{"build": "true", "keep-releases": "3"}))
		if n == warmUp {
			before = w.footprint()
		}
	}
	after := w.footprint()
	t.Logf("%.1f s each; after %d deployments: %+v; after %d: %+v", time.Since(begin).Seconds()/deployments, warmUp, before, deployments, after)
	// The history has some 600 bytes a deployment, the log 300, and mirrors are collected in a rhythm of six.
	if grown := after.disk - before.disk; grown > 512<<10 {
		t.Errorf("%d bytes more are in use after %d deployments than after %d", grown, deployments, warmUp)
	}
	if grown := after.files - before.files; grown > 30 {
		t.Errorf("%d more files are there", grown)
	}
	if after.processes > before.processes || after.units > before.units || after.failed > before.failed {
		t.Errorf("processes, units or failed units are left: %+v, then %+v", before, after)
	}
}
