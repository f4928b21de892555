package faults

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

// fleetSiege is hosts that one fault after the other comes over, and the repository and the runner of
// the first of them.
type fleetSiege []*siege

// newFleetSiege makes hosts with both slots used once.
func newFleetSiege(t *testing.T, options lab.HostOptions) fleetSiege {
	t.Helper()
	fl := make(fleetSiege, fleetSize)
	for i := range fl {
		fl[i] = &siege{World: world.New(t, options)}
		if err := fl[i].Host.MakePlaces(fl[i].Ctx); err != nil {
			t.Fatal(err)
		}
		var err error
		if fl[i].link, err = world.Shared.Lab.Link(fl[i].Ctx, fl[i].Host); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if result := fl[0].Run(fl.job(fl[0].Commit(nil), nil)); result.ExitCode != 0 {
			t.Fatal(result.Log())
		}
	}
	return fl
}

// address is how a run names a host.
func (s *siege) address() string { return "ubuntu@" + s.link.Host + ":" + s.link.Port }

// job deploys a commit to all hosts, each over its link, in two batches.
func (fl fleetSiege) job(sha string, with map[string]string) lab.Job {
	var hosts, keys []string
	for _, s := range fl {
		hosts = append(hosts, s.link.Host+":"+s.link.Port)
		keys = slices.AppendSeq(keys, maps.Values(s.Host.Fingerprints()))
	}
	inputs := map[string]string{
		"host": strings.Join(hosts, "\n"), "known-hosts": "", "fingerprint": strings.Join(keys, "\n"),
		"batch": "1, 100%", "processes": "ticker: trap 'exit 0' TERM; while :; do sleep 0.2; done",
		"drain-timeout": "2s", "connect-timeout": "30s",
	}
	maps.Copy(inputs, with)
	return fl[0].World.Job(sha, inputs)
}

// fleetTrial is one fault that comes over one host at one place, and what came of it for all.
type fleetTrial struct {
	fleetTodo
	t       *testing.T
	ctx     context.Context
	fleet   fleetSiege
	hosts   []*trial // each host's own view
	running *lab.Running
	row     fleetRow
}

// fleetRow is a trial's cell in the report.
type fleetRow struct {
	Fault, Host, Place string
	Said, Word         string // what the run said of its outcome, and the first line of its error
	Serve              string // what the hosts served then: old or new, in their order
	Next               string // the next run's outcome
	Requests           int
	Lost               int // failed without the fault being the reason
	Impossible         int // failed, and the fault made them: of the host that was rebooted
	Bad                bool
	Image, Build       string
	Seconds            float64
}

// tryFleet holds a run at a place, lets the fault come over one host, looks at what is left on all,
// and deploys again; all under load.
func (fl fleetSiege) tryFleet(t *testing.T, todo fleetTodo, record func(fleetRow) error) {
	t.Helper()
	begun := time.Now()
	x := &fleetTrial{
		fleetTodo: todo, t: t, ctx: t.Context(), fleet: slices.Clone(fl),
		row: fleetRow{
			Fault: todo.fault.name, Host: positions[todo.victim], Place: string(todo.place), Said: "dead", Next: "failed",
		},
	}
	t.Cleanup(func() {
		x.requests()
		x.row.Bad, x.row.Seconds = t.Failed(), time.Since(begun).Seconds()
		if err := record(x.row); err != nil {
			t.Error(err)
		}
	})
	for i, s := range fl {
		f := fault{name: todo.fault.name}
		if f.closes = todo.fault.down && i == todo.victim; f.closes {
			f.impossible = "all while it is down"
		}
		h := &trial{siege: &siege{World: s.In(t), link: s.link}, fault: f, place: place{step: string(todo.place)}}
		h.was = h.state()
		x.hosts, x.fleet[i] = append(x.hosts, h), h.siege
	}
	x.visit()
	x.judge(x.faulty())
	x.heals()
}

// visit has users on every site.
func (x *fleetTrial) visit() {
	x.t.Helper()
	for _, h := range x.hosts {
		h.Load = load.Start(context.WithoutCancel(x.ctx), load.Options{
			URL: h.Host.URL(), Mix: load.Mix{Get: 8, Post: 2, Slow: 1, Upload: 1},
			SlowFor: 500 * time.Millisecond, UploadFor: uploads, Think: 500 * time.Millisecond,
			TolerateIdleClose: h.fault.closes, Timeout: 30 * time.Second, // hosts share a machine
		})
	}
	for _, h := range x.hosts {
		x.must(h.Load.WaitAnswers(x.ctx, load.KindGet, 12))
	}
}

// faulty is the run that the fault meets; nil when nobody saw its end.
func (x *fleetTrial) faulty() *lab.Result {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.ctx, 7*time.Minute)
	defer cancel()
	var files map[string]string
	if x.fault.bad != "" {
		files = map[string]string{"BROKEN": x.fault.bad}
	}
	job := x.fleet.job(x.fleet[0].Commit(files), x.fault.with)
	if x.fault.before != nil {
		x.must(x.fault.before(x))
	}
	at, held := x.place.held(x.victim)
	if x.fault.come != nil {
		x.must(x.hosts[at].Host.Arm(ctx, held))
	}
	var err error
	x.running, err = x.hosts[0].Runner.Start(ctx, job)
	x.must(err)
	x.t.Cleanup(func() { _ = x.running.Kill(context.WithoutCancel(ctx)) }) // of a trial that was given up
	if x.fault.come != nil {
		x.comes(ctx, x.hosts[at].Host)
	}
	result, err := x.running.Wait()
	x.must(err)
	if x.fault.lift != nil {
		x.must(x.fault.lift(x))
	}
	for _, h := range x.hosts {
		h.free()
		h.answers()
	}
	if x.fault.dead {
		return nil
	}
	return result
}

// comes lets the fault come when the run is held.
func (x *fleetTrial) comes(ctx context.Context, at *lab.Host) {
	x.t.Helper()
	held, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-x.running.Done():
		case <-held.Done():
		}
		stop()
	}()
	if err := at.WaitHeld(held); err != nil {
		x.t.Fatalf("the run did not come by: %v\n%s", err, x.running.Log())
	}
	for _, h := range x.hosts {
		h.came = time.Now()
	}
	x.must(x.fault.come(x))
	x.must(at.Release(ctx))
}

var hostLine = regexp.MustCompile(`(?m)^host: (.*)$`)

// judge compares what the run said, of the site and of every host, with what there is.
func (x *fleetTrial) judge(result *lab.Result) {
	x.t.Helper()
	now := make([]state, len(x.hosts))
	var serve []string
	for i, h := range x.hosts {
		h.quiet()
		now[i] = h.state()
		h.flag(now[i])
		if serve = append(serve, "old"); now[i].answers != h.was.answers {
			serve[i] = "new"
		}
	}
	x.row.Serve = strings.Join(serve, ", ")
	if result == nil {
		return
	}
	x.row.Said = result.Outputs["outcome"]
	if result.ExitCode == 0 {
		for i, s := range now {
			if x.row.Said != "deployed" || s.answers != result.Outputs["release"] {
				x.t.Errorf("the run says %s of %s, and the %s host serves %s", x.row.Said, result.Outputs["release"],
					positions[i], s.answers)
			}
		}
	} else {
		x.failed(result, now)
	}
	x.t.Logf("%s: %s; %s\n%s", x.fleetTodo, x.row.Said, x.row.Serve, x.row.Word)
	if x.t.Failed() {
		x.t.Log(result.Log())
	}
}

// failed is judge's part for a run that failed: it has to name the cause and the host, and whatever
// came over that one, all others serve what they did before.
func (x *fleetTrial) failed(result *lab.Result, now []state) {
	x.t.Helper()
	said := ""
	for _, a := range result.Annotations() {
		if a.Level == "error" {
			said = a.Message
		}
	}
	x.row.Word = firstLine(said)
	if !regexp.MustCompile(cmp.Or(x.fault.says, "^$")).MatchString(said) {
		x.t.Errorf("the run's word does not name the cause, %q:\n%s", x.fault.says, said)
	}
	if who := hostLine.FindStringSubmatch(said); who == nil || who[1] != x.hosts[x.victim].address() {
		x.t.Errorf("the run's word does not name the %s host, %s, and no other:\n%s", positions[x.victim],
			x.hosts[x.victim].address(), said)
	}
	site := siteLine.FindStringSubmatch(said)
	if site == nil {
		x.t.Errorf("the run failed without a word about the site:\n%s", said)
		return
	}
	x.row.Said += ", site " + site[1]
	for i, h := range x.hosts {
		_, of, found := strings.Cut(said, "\n  "+h.address()+": ")
		of, _, _ = strings.Cut(of, "\n")
		named := strings.Contains(of, " serves") && strings.HasPrefix(of, now[i].answers+" on port ")
		kept := now[i].answers == h.was.answers
		switch {
		case !found:
			x.t.Errorf("the run says nothing of the %s host:\n%s", positions[i], said)
		case i == x.victim && site[1] == "mixed": // maybe nobody could ask it
			if strings.Contains(of, " serves") && !named {
				x.t.Errorf("the run says %q of the %s host, and it serves %s", of, positions[i], now[i].answers)
			}
		case !named:
			x.t.Errorf("the run says %q of the %s host, and it serves %s", of, positions[i], now[i].answers)
		case !kept:
			x.t.Errorf("the %s host serves %s, and before the run %s", positions[i], now[i].answers, h.was.answers)
		}
	}
}

// heals wants the next deployment to succeed on all hosts, with one release, and nothing of the last
// one to be left.
func (x *fleetTrial) heals() {
	x.t.Helper()
	result := x.fleet[0].Run(x.fleet.job(x.fleet[0].Commit(nil), nil))
	x.row.Next = result.Outputs["outcome"]
	if result.ExitCode != 0 || x.row.Next != "deployed" {
		x.t.Errorf("the next run does not heal:\n%s", result.Log())
		return
	}
	for i, h := range x.hosts {
		now := h.state()
		if now.answers != result.Outputs["release"] {
			x.t.Errorf("after the next run the %s host serves %s, want %s", positions[i], now.answers,
				result.Outputs["release"])
		}
		h.flag(now)
		h.quiet()
		h.tidy(now)
	}
}

// requests ends the load.
func (x *fleetTrial) requests() {
	x.t.Helper()
	var ends sync.WaitGroup
	for _, h := range x.hosts {
		ends.Go(h.requests)
	}
	ends.Wait()
	for _, h := range x.hosts {
		x.row.Requests, x.row.Lost = x.row.Requests+h.row.Requests, x.row.Lost+h.row.Lost
		x.row.Impossible += h.row.Impossible
	}
}

func (x *fleetTrial) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(fmt.Errorf("%s: %w", x.fleetTodo, err))
	}
}
