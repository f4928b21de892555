package faults

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
)

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
	Fault, Place string
	Stage        stage
	Said, Word   string // what the run said of its outcome, and the first line of its error
	Next         string // the next run's outcome
	Requests     int
	Lost         int // failed without the fault being the reason
	Impossible   int // failed, and the fault made them
	Bad          bool
	Image        string // what was tested
	Build        string // and the commit that it was made of
	Seconds      float64
}

func (r row) of(f fault, p place) bool { return r.Fault == f.name && r.Place == p.String() }

// try holds a deployment at a place, lets the fault come, looks at what is left, and deploys again;
// all under load.
func (s *siege) try(t *testing.T, l *list, f fault, p place) {
	t.Helper()
	begun := time.Now()
	x := &trial{
		siege: &siege{World: s.In(t), link: s.link, s3: s.s3, with: s.with}, fault: f, place: p,
		row: row{Fault: f.name, Place: p.String(), Stage: p.stage, Said: "dead", Next: "failed"},
	}
	x.was = x.state()
	t.Cleanup(func() {
		x.requests()
		x.row.Bad, x.row.Seconds = t.Failed(), time.Since(begun).Seconds()
		if err := l.record(x); err != nil {
			t.Error(err)
		}
	})
	if !f.first {
		x.visit()
	}
	x.judge(x.faulty())
	x.heals()
	if f.first {
		x.visit()
	}
}

// uploads last less than the drain-timeout, in which those under way must come to their end.
const uploads = 1500 * time.Millisecond

// visit has users on the site.
func (x *trial) visit() {
	x.T.Helper()
	x.Load = load.Start(context.WithoutCancel(x.Ctx), load.Options{
		// several hosts share a machine
		URL: x.Host.URL(), Mix: load.Mix{
			Get: 12, Post: 3, Slow: 2,
			Upload: 2,
		}, SlowFor: 500 * time.Millisecond, UploadFor: uploads, Think: 400 * time.Millisecond,
		TolerateIdleClose: x.fault.closes, Timeout: 20 * time.Second, // all hosts of a machine may stand still for ten
	})
	x.must(x.Load.WaitAnswers(x.Ctx, load.KindGet, 12))
}

// brief tells whether a fault is over as soon as the site answers again, while the run is held still: what is
// lost later is the run's. Where visitors wait for a version they wait until the run goes on.
func (f fault) brief() bool {
	return f.impossible != "" && f.lift == nil && !f.down && !f.mended && !f.first && !f.inPlace && !f.hangs
}

// aftermath is in which connections that the fault met come to their ends: uploads, and nginx's workers of
// before, which close those that are kept.
const aftermath = 2 * uploads

// faulty is the run that the fault meets; nil when nobody saw its end.
func (x *trial) faulty() *lab.Result {
	x.T.Helper()
	ctx, cancel := context.WithTimeout(x.Ctx, 10*time.Minute)
	defer cancel()
	job := x.Job(x.Commit(x.fault.files), x.fault.with)
	if x.place.left {
		x.must(on("systemctl start shop@$idle")(x))
	}
	if x.fault.before != nil {
		x.must(x.fault.before(x))
	}
	if x.place != after {
		x.must(x.Host.Arm(ctx, x.place.held))
	}
	var err error
	x.running, err = x.Runner.Start(ctx, job)
	x.must(err)
	x.T.Cleanup(func() { _ = x.running.Kill(context.WithoutCancel(x.Ctx)) }) // of a trial that was given up
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
		if err := x.Host.WaitHeld(held); err != nil {
			x.T.Fatalf("the run did not come by: %v\n%s", err, x.running.Log())
		}
		x.came = time.Now()
		x.must(x.fault.come(x))
		if x.fault.brief() {
			x.answers()
			x.up = x.up.Add(aftermath)
		}
		if !x.fault.hangs {
			x.must(x.Host.Release(ctx))
		}
		x.end()
	}
	x.free()
	if x.fault.hangs && !x.fault.late {
		x.must(x.Host.Release(ctx))
	}
	if x.fault.lift != nil {
		x.must(x.fault.lift(x))
	}
	if !x.fault.down && !x.fault.first && x.up.IsZero() {
		x.answers()
	}
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
	case <-time.After(8 * time.Minute):
		_ = x.running.Kill(context.WithoutCancel(x.Ctx))
		x.T.Fatalf("the run goes on for ever:\n%s", x.running.Log())
	}
	if x.came.IsZero() {
		x.came = time.Now()
	}
}

// answers waits until the site can be asked.
func (x *trial) answers() {
	x.T.Helper()
	ctx, cancel := context.WithTimeout(x.Ctx, 2*time.Minute) // hosts share a machine
	defer cancel()
	for ok := false; !ok; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.Host.URL()+"/version", nil)
		x.must(err)
		req.Close = true
		answer, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = answer.Body.Close()
			ok = answer.StatusCode == http.StatusOK
		}
		if ctx.Err() != nil {
			x.T.Errorf("the site did not come back: %v", err)
			break
		}
		if !ok {
			time.Sleep(20 * time.Millisecond) // the others on this machine have work to do
		}
	}
	x.up = time.Now()
}

var siteLine = regexp.MustCompile(`(?m)^site: (\w+)`)

// judge compares what the run said with what there is.
func (x *trial) judge(result *lab.Result) {
	x.T.Helper()
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
		x.row.Said, x.row.Word = outcome, firstLine(said)
		switch {
		case result.ExitCode == 0:
			if outcome != "deployed" || now.answers != result.Outputs["release"] && !x.fault.down {
				x.T.Errorf("the run says %s of %s, and %s answers", outcome, result.Outputs["release"], now.answers)
			}
		case len(site) == 0:
			x.T.Errorf("the run failed without a word about the site:\n%s", result.Log())
		default:
			x.row.Said = outcome + ", site " + site[1]
			if kept := site[1] == "unchanged" || site[1] == "restored"; (kept && fresh) ||
				(site[1] == "switched" && !fresh) {
				x.T.Errorf("the run says %q; before it %s answered, now %s", site[0], x.was.answers, now.answers)
			}
			if x.fault.says == "" || !regexp.MustCompile(x.fault.says).MatchString(said) {
				x.T.Errorf("the run's word does not name the cause, %q:\n%s", x.fault.says, said)
			}
		}
		if x.fault.stays && strings.Contains(result.Log(), "dialling again") {
			x.T.Error("the run has lost its connection")
		}
		x.T.Logf("%s: %s\n%s", x.place, x.row.Said, said)
		if x.T.Failed() {
			x.T.Log(result.Log())
		}
	} else if wrong := map[stage]bool{preparing: fresh, retiring: !fresh}; wrong[x.place.stage] && !x.fault.first {
		x.T.Errorf("the runner died while the run was %s; before it %s answered, now %s", x.place.stage, x.was.answers,
			now.answers)
	}
	switch {
	case x.fault.flags || x.fault.down:
	// nothing was switched yet; once the site is there its fall-back names the only slot
	case x.fault.first && len(now.flags) == 0 && (result == nil || result.ExitCode != 0):
	case x.fault.first && now.answers == "":
		if len(now.flags) > 1 {
			x.T.Errorf("flags %v on a host that serves nothing yet", now.flags)
		}
	default:
		x.flag(now)
	}
}

// heals wants the next deployment to succeed, and nothing of the last one to be left.
func (x *trial) heals() {
	x.T.Helper()
	with := map[string]string{"watch-for": "200ms"} // whether it heals is what is to be seen
	if x.fault.again {
		maps.Copy(with, x.fault.with)
	}
	running, err := x.Runner.Start(x.Ctx, x.Job(x.Commit(nil), with))
	x.must(err)
	if x.fault.late {
		x.must(running.WaitLog(x.Ctx, "Checking the host"))
		x.must(x.Host.Release(x.Ctx))
	}
	result, err := running.Wait()
	x.must(err)
	x.row.Next = result.Outputs["outcome"]
	if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		x.T.Errorf("the next run does not heal:\n%s", result.Log())
		return
	}
	now := x.state()
	if now.answers != result.Outputs["release"] {
		x.T.Errorf("after the next run %s answers, want %s", now.answers, result.Outputs["release"])
	}
	x.flag(now)
	x.quiet()
	x.tidy(now)
	if x.fault.down || x.fault.mended {
		x.up = time.Now()
	}
	if x.fault.healed != nil {
		x.fault.healed(x, result)
	}
}

// requests ends the load.
func (x *trial) requests() {
	x.T.Helper()
	if x.Load == nil {
		return // nobody could be there yet
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.Ctx), 30*time.Second)
	defer cancel()
	x.blame(x.Load.Stop(ctx))
}

// blame counts the requests that failed: the fault's are those that were under way at some time
// between its coming and its end.
func (x *trial) blame(report load.Report) {
	x.T.Helper()
	x.row.Requests = report.Requests
	for _, f := range report.Failures {
		if x.fault.impossible != "" && f.Time.After(x.came) && f.Time.Add(-f.Took).Before(x.up) {
			x.row.Impossible++
			continue
		}
		x.row.Lost++
		x.T.Errorf("a request was lost: %s (at %s; the fault came at %s and lasted %s)",
			f, f.Time.Format("15:04:05.000"), x.came.Format("15:04:05.000"), x.up.Sub(x.came).Round(time.Millisecond))
	}
	if report.Failed > len(report.Failures) || report.Unfinished > 0 {
		x.T.Errorf("more requests failed than are known: %s", report)
	}
}

func (x *trial) must(err error) {
	x.T.Helper()
	if err != nil {
		x.T.Fatal(fmt.Errorf("%s, %s: %w", x.fault.name, x.place, err))
	}
}
