package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// BenchmarkFarFleet redeploys a tiny application to one host and to five, in turns, over links without
// delay and over ones of a distance. What five take, divided by what one takes, is what the others
// cost. They are machines of one size, also when one is alone: each has a fifth of a processor, which all
// five have at once on a machine of two, beside the runner. It is what an EC2 t3.micro may use for good
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html). The skew is how
// much later than the first of five the last one serves the new version.
func BenchmarkFarFleet(b *testing.B) {
	const hosts = 5
	w, _, job := benchHost(b)
	fl := fleet{w}
	for len(fl) < hosts {
		fl = append(fl, world.New(b, lab.HostOptions{}))
	}
	links := make([]*lab.Link, hosts)
	for i := range links {
		if err := fl[i].Host.LimitCPU(w.Ctx, "0.2"); err != nil {
			b.Fatal(err)
		}
		var err error
		if links[i], err = world.Shared.Lab.Link(w.Ctx, fl[i].Host); err != nil {
			b.Fatal(err)
		}
	}
	job.With = maps.Clone(job.With)
	job.With["watch-for"] = "1s"
	for range 2 { // both slots are used
		fl.overLinks(job, links, 0)
	}
	for b.Loop() {
		of := map[string][]fleetRun{}
		for range 3 {
			for _, n := range []int{1, hosts} {
				for where, delay := range map[string]time.Duration{"near": 0, "far": farAway} {
					key := fmt.Sprintf("%s-%d", where, n)
					of[key] = append(of[key], fl.overLinks(job, links[:n], delay))
				}
			}
		}
		for _, where := range []string{"near", "far"} {
			one, five := of[where+"-1"], of[fmt.Sprintf("%s-%d", where, hosts)]
			b.ReportMetric(middle(one, fleetRun.inAll), where+"-1-s")
			b.ReportMetric(middle(five, fleetRun.inAll), fmt.Sprintf("%s-%d-s", where, hosts))
			b.ReportMetric(middle(five, fleetRun.inAll)/middle(one, fleetRun.inAll), where+"-ratio")
			b.ReportMetric(middle(five, fleetRun.untilLive)/middle(one, fleetRun.untilLive), where+"-live-ratio")
			b.ReportMetric(middle(five, func(r fleetRun) float64 { return r.skew.Seconds() }), where+"-skew-s")
		}
	}
}

// fleetRun is one deployment to several hosts.
type fleetRun struct {
	run                // live is when the last of them is
	skew time.Duration // since the first one was
}

// farSpread is how much farther away the farthest of several hosts is than the nearest, each way.
const farSpread = 30 * time.Millisecond

// overLinks deploys to the hosts behind some links, which are as far away as a delay says on average.
func (fl fleet) overLinks(job lab.Job, links []*lab.Link, delay time.Duration) fleetRun {
	t := fl[0].T
	t.Helper()
	var hosts, keys []string
	for i, link := range links {
		away := delay
		if n := len(links) - 1; n > 0 && delay > 0 {
			away += time.Duration(2*i-n) * farSpread / time.Duration(2*n)
		}
		link.Slow(away, 0)
		hosts = append(hosts, link.Host+":"+link.Port)
		keys = slices.AppendSeq(keys, maps.Values(fl[i].Host.Fingerprints()))
	}
	job.With = maps.Clone(job.With)
	job.With["host"], job.With["known-hosts"] = strings.Join(hosts, "\n"), ""
	job.With["fingerprint"] = strings.Join(keys, "\n")
	job.With["env"] = fmt.Sprintf("ROUND=%d", time.Now().UnixNano()) // the same commit, made in another way
	result, err := fl[0].Runner.Run(fl[0].Ctx, job)
	if err != nil || result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		t.Fatalf("deploy: %v\n%s", err, result.Log())
	}
	var each []struct {
		Live int64 `json:"live-ms"`
	}
	if err := json.Unmarshal([]byte(result.Outputs["hosts"]), &each); err != nil || len(each) != len(links) {
		t.Fatalf("hosts: %v: %s", err, result.Outputs["hosts"])
	}
	var r fleetRun
	first := time.Duration(each[0].Live) * time.Millisecond
	for _, h := range each {
		live := time.Duration(h.Live) * time.Millisecond
		r.live, first = max(r.live, live), min(first, live)
	}
	r.skew = r.live - first
	if r.whole, err = time.ParseDuration(result.Outputs["duration"]); err != nil {
		t.Fatal(err)
	}
	return r
}
