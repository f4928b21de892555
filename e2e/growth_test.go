package e2e

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

var growing = flag.Int("deployments", 40, "how often TestDeploymentsLeaveNoMoreThanTheirReleases deploys, at least "+
	"40 times")

// A deployment leaves its line in the history, a few in the slot's log, and nothing else: what goes
// is worth as much as what comes. What stayed of each would be seen after a few; a thousand of them
// are the soak's.
func TestDeploymentsLeaveNoMoreThanTheirReleases(t *testing.T) {
	const warmUp = 20
	deployments := max(*growing, 2*warmUp)
	w := world.New(t, lab.HostOptions{})
	begin := time.Now()
	var before world.Footprint
	for n := 1; n <= deployments; n++ {
		var noise strings.Builder // 64 KB that are different each time, so that one that stays is seen
		for i := range 1000 {
			fmt.Fprintf(&noise, "%x", sha256.Sum256(fmt.Append(nil, n, i)))
		}
		sha, err := w.Repo.Commit(w.Ctx, "next", nil, map[string]string{
			"health": fmt.Sprint(n),
			"page":   noise.String(),
		})
		if err != nil {
			t.Fatal(err)
		}
		w.Deploy(sha, gitFiles(map[string]string{"build": "true", "keep-releases": "3"}))
		if n == warmUp {
			before = w.Footprint()
		}
	}
	after := w.Footprint()
	t.Logf("%.1f s each; after %d deployments: %+v; after %d: %+v", time.Since(begin).Seconds()/float64(deployments),
		warmUp, before, deployments, after)
	// The history has some 600 bytes a deployment, the log 300, and mirrors are collected in a
	// rhythm of six.
	if grown := after.Disk - before.Disk; grown > 512<<10 {
		t.Errorf("%d bytes more are in use after %d deployments than after %d", grown, deployments, warmUp)
	}
	if grown := after.Files - before.Files; grown > 15 {
		t.Errorf("%d more files are there", grown)
	}
	if after.Processes > before.Processes || len(before.NewUnits(after)) > 0 || after.Failed > before.Failed {
		t.Errorf("processes, units or failed units are left: %+v, then %+v", before, after)
	}
}
