package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// farAway is how long everything takes each way between a runner in the US and a host in Seoul.
const farAway = 90 * time.Millisecond

// BenchmarkFarAway redeploys a tiny application over a link without delay and over one of a
// distance, in turns. What the delay adds, divided by what a question and its answer take, is how
// many round trips a run waits for. The medians of the near rounds are the action's own time, the
// application's boot among it. What the host has to do is counted by its process numbers, threads
// among them, and by the processors' time of its own control group, of which no other container is
// part, less what systemd and the application take for a start of it.
func BenchmarkFarAway(b *testing.B) {
	w, _, job := benchHost(b)
	link, err := world.Shared.Lab.Link(w.Ctx, w.Host)
	if err != nil {
		b.Fatal(err)
	}
	job.With = maps.Clone(job.With)
	job.With["host"], job.With["port"], job.With["known-hosts"] = link.Host, link.Port, ""
	job.With["fingerprint"] = strings.Join(slices.Sorted(maps.Values(w.Host.Fingerprints())), "\n")
	job.With["watch-for"] = "1s"
	w.Exec("install -o ubuntu -m 755 /home/ubuntu/*/releases/*/server " + helloOnHost)
	for _, source := range []string{"git", "workspace"} {
		b.Run(source, func(b *testing.B) {
			in := *w
			in.T = b
			c := &checkout{&in}
			for b.Loop() {
				var far, near []run
				for range 5 {
					near = append(near, c.overLink(job, source, link, 0))
					far = append(far, c.overLink(job, source, link, farAway))
				}
				live, whole := middle(near, run.untilLive), middle(near, run.inAll)
				farLive, farWhole := middle(far, run.untilLive), middle(far, run.inAll)
				b.ReportMetric(live, "near-live-s")
				b.ReportMetric(whole, "near-s")
				b.ReportMetric(farLive, "far-live-s")
				b.ReportMetric(farWhole, "far-s")
				b.ReportMetric((farLive-live)/(2*farAway).Seconds(), "round-trips-live")
				b.ReportMetric((farWhole-whole)/(2*farAway).Seconds(), "round-trips")
				b.ReportMetric(middle(near, func(r run) float64 { return float64(r.sent) / 1000 }), "KB-sent")
				own := c.ownStart()
				b.ReportMetric(middle(near, func(r run) float64 { return float64(r.processes - own.processes) }), "host-processes")
				b.ReportMetric(middle(near, func(r run) float64 { return r.cpu - own.cpu }), "host-cpu-s")
				b.ReportMetric(float64(own.processes), "own-processes")
				b.ReportMetric(own.boot, "boot-s")
			}
		})
	}
}

// run is one deployment over a link.
type run struct {
	live, whole time.Duration // from the run's begin
	sent        int64         // bytes, to the host
	used
}

func (r run) untilLive() float64 { return r.live.Seconds() }
func (r run) inAll() float64     { return r.whole.Seconds() }

func middle[R any](runs []R, of func(R) float64) float64 {
	var all []float64
	for _, r := range runs {
		all = append(all, of(r))
	}
	return median(all)
}

func (c *checkout) overLink(job lab.Job, source string, link *lab.Link, delay time.Duration) run {
	c.T.Helper()
	job.With = maps.Clone(job.With)
	job.With["source"] = source
	round := fmt.Sprint(time.Now().UnixNano())
	if source == "workspace" {
		c.put("round", round)
		job.With["build"], job.With["start"] = "", helloOnHost
	} else {
		job.With["env"] = "ROUND=" + round // the same commit, made in another way
	}
	link.Slow(delay, 0)
	sent, before := link.Sent(), c.used()
	result, err := c.Runner.Run(c.Ctx, job)
	if err != nil || result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		c.T.Fatalf("deploy: %v\n%s", err, result.Log())
	}
	r := run{sent: link.Sent() - sent, used: c.used()}
	r.processes, r.cpu = r.processes-before.processes, r.cpu-before.cpu
	var hosts []struct {
		Live int64 `json:"live-ms"`
	}
	if err := json.Unmarshal([]byte(result.Outputs["hosts"]), &hosts); err != nil || len(hosts) != 1 {
		c.T.Fatalf("hosts: %v: %s", err, result.Outputs["hosts"])
	}
	r.live = time.Duration(hosts[0].Live) * time.Millisecond
	if r.whole, err = time.ParseDuration(result.Outputs["duration"]); err != nil {
		c.T.Fatal(err)
	}
	return r
}

// helloOnHost is the application outside of any release.
const helloOnHost = "/home/ubuntu/hello"

// ownStart is what systemd and the application do when it is started once: the median of five times,
// less what a question to systemd takes.
func (c *checkout) ownStart() start {
	c.T.Helper()
	unit := strings.Fields(c.Exec("systemctl list-units --plain --no-legend --state running '*@808?.service'"))[0]
	_, port, _ := strings.Cut(strings.TrimSuffix(unit, ".service"), "@")
	cost := func(command string) used {
		before := c.used()
		c.Exec(command)
		after := c.used()
		return used{after.processes - before.processes, after.cpu - before.cpu}
	}
	var processes, cpu, boots []float64
	for range 5 {
		asked, started := cost("systemctl is-active "+unit), cost("systemctl restart "+unit)
		processes = append(processes, float64(started.processes-asked.processes))
		cpu = append(cpu, started.cpu-asked.cpu)
		boot, err := strconv.ParseFloat(strings.TrimSpace(c.Exec(fmt.Sprintf(`bash -c 'systemctl stop %[1]s
begin=${EPOCHREALTIME/./}; systemctl start %[1]s; until curl -fso /dev/null http://127.0.0.1:%[2]s/health; do :; done
echo $((${EPOCHREALTIME/./} - begin))'`, unit, port))), 64)
		if err != nil {
			c.T.Fatal(err)
		}
		boots = append(boots, boot/1e6)
	}
	return start{used{int(median(processes)), median(cpu)}, median(boots)}
}

// start is what one of the application takes.
type start struct {
	used
	boot float64 // seconds until it answers
}

// used is what a host has done so far.
type used struct {
	processes int     // that were started, and threads
	cpu       float64 // seconds
}

func (c *checkout) used() (u used) {
	c.T.Helper()
	var micros int64
	out := c.Exec(`bash -c 'echo $BASHPID'; group=$(sed -n 's,^0::\(.*\)/init.scope$,\1,p' /proc/1/cgroup)
for file in /sys/fs/cgroup$group/cpu.stat /sys/fs/cgroup/unified$group/cpu.stat; do
  if sed -n 's/^usage_usec //p' $file 2>/dev/null | grep .; then break; fi
done`)
	if _, err := fmt.Sscan(out, &u.processes, &micros); err != nil {
		c.T.Fatalf("what the host's own control group has used: %v: %s", err, out)
	}
	u.cpu = time.Duration(micros * int64(time.Microsecond)).Seconds()
	return u
}
