package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// BenchmarkFirstTransfer compares a first `source: workspace` with what people write by hand, `tar
// | ssh tar`, in alternating rounds to one w.Host. The action's share is the whole step: hashing,
// sending, unpacking, checking. All goes into memory: a disk takes longer with each round, as it
// has the files of those before to clear away.
func BenchmarkFirstTransfer(b *testing.B) {
	ctx := b.Context()
	w := world.New(b, lab.HostOptions{Tmpfs: map[string]string{"/srv": "size=3g,mode=0777"}})
	dir := b.TempDir()
	key, known := filepath.Join(dir, "key"), filepath.Join(dir, "known_hosts")
	for name, text := range map[string]string{key: world.Shared.Key.Private, known: w.Host.KnownHosts()} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for _, tree := range []struct {
		name string
		make func(*checkout)
	}{
		{"500MB", func(c *checkout) { c.noise("model.bin", 500_000_000) }},
		{"20000files", func(c *checkout) { c.thousands(20) }},
	} {
		b.Run(tree.name, func(b *testing.B) {
			in := *w
			in.T = b
			c := &checkout{&in}
			c.put("health", "ok")
			tree.make(c)
			for b.Loop() {
				var action, tar []float64
				for range 5 {
					c.Exec("rm -rf /srv/by-hand /srv/shop/releases/*; install -d -o ubuntu /srv/by-hand")
					begin := time.Now()
					cmd := exec.CommandContext(ctx, "bash", "-c",
						`set -o pipefail; tar -C "$1" -c . | ssh -i "$2" -o UserKnownHostsFile="$3" ubuntu@"$4" tar -C /srv/by-hand -x`,
						"bash", c.Runner.Workspace, key, known, w.Host.IP)
					if out, err := cmd.CombinedOutput(); err != nil {
						b.Fatalf("tar | ssh tar: %v\n%s", err, out)
					}
					tar = append(tar, time.Since(begin).Seconds())
					c.Exec("rm -rf /srv/by-hand")
					action = append(action, fetchTime(c.deployed(map[string]string{"path": "/srv/shop"})).Seconds())
				}
				b.ReportMetric(median(action), "action-s")
				b.ReportMetric(median(tar), "tar-ssh-tar-s")
				b.ReportMetric(median(action)/median(tar), "ratio")
			}
		})
	}
}
