package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// siege is a host that one fault after the other comes over.
type siege struct {
	*world
	link *lab.Link
}

// newSiege makes a host with both slots used once, so that every deployment to come is like the ones that users make.
func newSiege(t *testing.T, options lab.HostOptions) *siege {
	t.Helper()
	s := &siege{world: newWorld(t, options)}
	if err := s.host.MakePlaces(s.ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.link, err = shared.lab.Link(s.ctx, s.host); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if result := s.run(s.job(s.commit(nil), nil)); result.ExitCode != 0 {
			t.Fatal(result.Log())
		}
	}
	return s
}

// job is world's, over the link, with hooks that are places.
func (s *siege) job(sha string, with map[string]string) lab.Job {
	inputs := map[string]string{
		"host": s.link.Host, "port": s.link.Port, "known-hosts": "", "fingerprint": strings.Join(slices.Sorted(maps.Values(s.host.Fingerprints())), "\n"),
		"before-start": "bash " + lab.HoldScript + " before-start", "after-switch": "bash " + lab.HoldScript + " after-switch",
		"drain-timeout": "2s",
	}
	maps.Copy(inputs, with)
	return s.world.job(sha, inputs)
}

// trial is one fault at one place, and what came of it.
type trial struct {
	*siege
	fault    fault
	place    place
	running  *lab.Running
	was      state     // before the run
	came, up time.Time // the fault came; the site could be asked again
	row      row
}

// row is a trial's line in the report.
type row struct {
	fault, said, next string
	place             place
	requests, lost    int // lost without the fault being the reason
	impossible        int // failed, and the fault made them
}

// try holds a deployment at a place, lets the fault come, looks at what is left, and deploys again; all under load.
func (s *siege) try(t *testing.T, f fault, p place) row {
	t.Helper()
	w := *s.world
	w.t, w.ctx = t, t.Context()
	x := &trial{siege: &siege{&w, s.link}, fault: f, place: p, row: row{fault: f.name, place: p, said: "nothing: it was dead", next: "did not heal"}}
	x.was = x.state()
	x.load = lab.StartLoad(context.WithoutCancel(x.ctx), lab.LoadOptions{
		URL: x.host.URL(), Mix: lab.Mix{Get: 12, Post: 3, Slow: 2, Upload: 2}, SlowFor: 500 * time.Millisecond, UploadFor: 4 * time.Second,
		TolerateIdleClose: f.closes,
	})
	t.Cleanup(x.requests)
	x.must(x.load.WaitAnswers(x.ctx, lab.KindGet, 50))
	x.judge(x.faulty())
	x.heals()
	x.requests()
	return x.row
}

// faulty is the run that the fault meets; nil when nobody saw its end.
func (x *trial) faulty() *lab.Result {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.ctx, 5*time.Minute)
	defer cancel()
	job := x.job(x.commit(x.fault.files), x.fault.with)
	if x.place != after {
		x.must(x.host.Arm(ctx, x.place.held))
	}
	var err error
	x.running, err = shared.runner.Start(ctx, job)
	x.must(err)
	x.t.Cleanup(func() { _ = x.running.Kill(context.WithoutCancel(x.ctx)) }) // of a trial that was given up
	if x.place == after {
		x.end()
		x.must(x.fault.come(x))
	} else {
		held, stop := context.WithCancel(ctx)
		go func() {
			select {
			case <-x.running.Done():
			case <-held.Done():
			}
			stop()
		}()
		if err := x.host.WaitHeld(held); err != nil {
			x.t.Fatalf("the run did not come by: %v\n%s", err, x.running.Log())
		}
		x.came = time.Now()
		x.must(x.fault.come(x))
		if !x.fault.hangs {
			x.must(x.host.Release(ctx))
		}
		x.end()
	}
	if x.fault.hangs && !x.fault.late {
		x.must(x.host.Release(ctx))
	}
	if x.fault.lift != nil {
		x.must(x.fault.lift(x))
	}
	x.answers()
	result, err := x.running.Wait()
	x.must(err)
	if x.fault.mute && x.place != after {
		return nil
	}
	return result
}

// end waits for the run's end.
func (x *trial) end() {
	select {
	case <-x.running.Done():
	case <-time.After(4 * time.Minute):
		_ = x.running.Kill(context.WithoutCancel(x.ctx))
		x.t.Fatalf("the run goes on for ever:\n%s", x.running.Log())
	}
	if x.came.IsZero() {
		x.came = time.Now()
	}
}

// answers waits until the site can be asked.
func (x *trial) answers() {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.ctx, 30*time.Second)
	defer cancel()
	for ok := false; !ok; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.host.URL()+"/version", nil)
		x.must(err)
		req.Close = true
		answer, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = answer.Body.Close()
			ok = answer.StatusCode == http.StatusOK
		}
		if ctx.Err() != nil {
			x.t.Errorf("the site did not come back: %v", err)
			break
		}
	}
	x.up = time.Now()
}

var siteLine = regexp.MustCompile(`(?m)^site: (\w+)`)

// judge compares what the run said with what there is.
func (x *trial) judge(result *lab.Result) {
	x.t.Helper()
	if !x.fault.late {
		x.quiet()
	}
	now := x.state()
	fresh := now.answers != x.was.answers
	if result != nil {
		outcome, said := result.Outputs["outcome"], ""
		for _, a := range result.Annotations() {
			if a.Level == "error" {
				said = a.Message
			}
		}
		site := siteLine.FindStringSubmatch(said)
		x.row.said = outcome
		switch {
		case result.ExitCode == 0:
			if outcome != "deployed" || now.answers != result.Outputs["release"] {
				x.t.Errorf("the run says %s of %s, and %s answers", outcome, result.Outputs["release"], now.answers)
			}
		case len(site) == 0:
			x.t.Errorf("the run failed without a word about the site:\n%s", result.Log())
		default:
			x.row.said = outcome + ", site " + site[1]
			if kept := site[1] == "unchanged" || site[1] == "restored"; (kept && fresh) || (site[1] == "switched" && !fresh) {
				x.t.Errorf("the run says %q; before it %s answered, now %s", site[0], x.was.answers, now.answers)
			}
			if x.fault.says == "" || !regexp.MustCompile(x.fault.says).MatchString(said) {
				x.t.Errorf("the run's word does not name the cause, %q:\n%s", x.fault.says, said)
			}
		}
		x.t.Logf("%s: %s\n%s", x.place, x.row.said, said)
		if x.t.Failed() {
			x.t.Log(result.Log())
		}
	}
	if !x.fault.flags {
		x.flag(now)
	}
}

// heals wants the next deployment to succeed, and nothing of the last one to be left.
func (x *trial) heals() {
	x.t.Helper()
	running, err := shared.runner.Start(x.ctx, x.job(x.commit(nil), nil))
	x.must(err)
	if x.fault.late {
		x.must(running.WaitLog(x.ctx, "Checking the host"))
		x.must(x.host.Release(x.ctx))
	}
	result, err := running.Wait()
	x.must(err)
	x.row.next = result.Outputs["outcome"]
	if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		x.t.Errorf("the next run does not heal:\n%s", result.Log())
		return
	}
	now := x.state()
	if now.answers != result.Outputs["release"] {
		x.t.Errorf("after the next run %s answers, want %s", now.answers, result.Outputs["release"])
	}
	x.flag(now)
	x.quiet()
	if out, err := x.host.Exec(x.ctx, strays); err != nil {
		x.t.Errorf("processes of nobody: %s", out)
	}
}

// requests ends the load. Of the requests that failed, those are the fault's that were under way at some time between its coming and its end.
func (x *trial) requests() {
	x.t.Helper()
	if x.load == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), 30*time.Second)
	defer cancel()
	report := x.load.Stop(ctx)
	x.load = nil
	x.row.requests = report.Requests
	for _, f := range report.Failures {
		if x.fault.impossible != "" && f.Time.After(x.came) && f.Time.Add(-f.Took).Before(x.up) {
			x.row.impossible++
			continue
		}
		x.row.lost++
		x.t.Errorf("a request was lost: %s (at %s; the fault came at %s and lasted %s)",
			f, f.Time.Format("15:04:05.000"), x.came.Format("15:04:05.000"), x.up.Sub(x.came).Round(time.Millisecond))
	}
	if report.Failed > len(report.Failures) || report.Unfinished > 0 {
		x.t.Errorf("more requests failed than are known: %s", report)
	}
}

// state is what the host says of itself.
type state struct {
	flags   []string
	answers string // the release that a request through nginx gets
	slots   map[string]string
}

func (x *trial) state() state {
	x.t.Helper()
	out := x.exec(`echo "flags $(ls /var/lib/deploy-action/shop/active 2>/dev/null | tr '\n' ' ')"
		curl -s -D - -o /dev/null --max-time 5 http://127.0.0.1/version | tr -d '\r' | sed -n 's/^x-release: //ip'
		cd /home/ubuntu/shop/slots && for port in 80*; do echo "$port $(basename "$(readlink "$port")")"; done`)
	lines := strings.Split(out, "\n")
	s := state{slots: map[string]string{}}
	s.flags = strings.Fields(lines[0])[1:]
	for _, line := range lines[1:] {
		if port, release, two := strings.Cut(line, " "); two {
			s.slots[port] = release
		} else {
			s.answers = line
		}
	}
	return s
}

// flag wants exactly one, on the slot that answers.
func (x *trial) flag(s state) {
	x.t.Helper()
	if len(s.flags) != 1 || s.slots[s.flags[0]] != s.answers {
		x.t.Errorf("flags %v; slots %v; %s answers", s.flags, s.slots, s.answers)
	}
}

// quiet wants every verb on the host to end, the holder of the lock too.
func (x *trial) quiet() {
	x.t.Helper()
	if out, err := x.host.Exec(x.ctx, `timeout 30 bash -c "while pgrep -fx 'bash -s -- .*' >/dev/null; do sleep 0.1; done" || { pgrep -afx 'bash -s -- .*'; false; }`); err != nil {
		x.t.Errorf("a verb is still at work: %s", out)
	}
}

// strays fails with the processes of the login user that belong to no unit of the application, no login, and no test.
const strays = `for try in $(seq 50); do
		found=$(for pid in $(pgrep -u ubuntu); do
			grep -qs shop@ /proc/$pid/cgroup || { read -r name </proc/$pid/comm; [[ $name == systemd || $name == '(sd-pam)' || $name == sshd ]] || ps -o pid=,args= -p $pid; } 2>/dev/null
		done)
		[[ -n $found ]] || exit 0
		sleep 0.1
	done; echo "$found"; exit 1`

func (x *trial) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(fmt.Errorf("%s, %s: %w", x.fault.name, x.place, err))
	}
}
