package deploy

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

var fleets = flag.Int("fleets", 120, "how many fleets TestAnyFleet has")

// fleetModel watches a run over a fleet of any size, strategy and batches, in which something befalls
// some of the hosts at some verb.
type fleetModel struct {
	t      *testing.T
	fleet  fakeFleet
	in     *inputs.Inputs
	story  []string
	killed bool
	ahead  int // the host that serves what the run brings already; -1 for none

	mu                        sync.Mutex
	healthy, verified, marked map[int]bool
	hooks                     int
}

var (
	fleetVerbs = []scripts.Verb{
		scripts.Lock, scripts.Port, scripts.Check, scripts.Setup, scripts.Fetch, scripts.Build, scripts.Hook, scripts.Start,
		scripts.Health, scripts.Switch, scripts.Replace, scripts.Verify, scripts.Mark, scripts.Drain, scripts.Stop,
		scripts.Prune, scripts.Record,
	}
	fleetFaults = []string{
		"error", "lost-before", "lost-after", "gone-before", "gone-after", "overtaken", "restarted", "cancel",
	}
)

func newFleetModel(t *testing.T, seed uint64) *fleetModel {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 19)) //nolint:gosec // to be repeated
	m := &fleetModel{
		t: t, fleet: newFleet(t, 2+r.IntN(4)), healthy: map[int]bool{}, verified: map[int]bool{}, marked: map[int]bool{},
	}
	m.in = m.fleet.inputs()
	m.in.BeforeStart = "migrate"
	m.in.BeforeStartOn, m.in.AfterSwitchOn = inputs.OnFirst, inputs.OnAll
	whole := inputs.Share{Number: 100, Percent: true}
	m.in.Batches = [][]inputs.Share{
		{whole},
		{{Number: 1}, whole},
		{{Number: 1}, {Number: 50, Percent: true}, whole},
		{{Number: 1}, {Number: 2}, {Number: 3}, {Number: 4}, whole},
	}[r.IntN(4)]
	if m.in.Strategy = inputs.BlueGreen; r.IntN(3) == 0 {
		m.in.Strategy = inputs.InPlace
	}
	for range 1 + r.IntN(2) {
		n, verb, kind := r.IntN(len(m.fleet)), fleetVerbs[r.IntN(len(fleetVerbs))], fleetFaults[r.IntN(len(fleetFaults))]
		m.fleet[n].faults[verb] = fault{kind: kind, code: scripts.ExitUnhealthy, words: "no"}
		m.story = append(m.story, fmt.Sprintf("web-%d: %s at %s", n+1, kind, verb))
		m.killed = m.killed || kind == "cancel"
	}
	m.story = append(m.story, fmt.Sprintf("%d hosts, %s, batches %v", len(m.fleet), m.in.Strategy, m.in.Batches))
	if m.ahead = -1; r.IntN(3) == 0 {
		m.ahead = r.IntN(len(m.fleet))
		f := m.fleet[m.ahead]
		f.commit, f.releases["8080"] = newCommit, "20261123T000000Z-bbbbbbb"
		activeRecipe = assemble(&run{in: m.in}).recipe.of(&target{})
		t.Cleanup(func() { activeRecipe = "other" })
		m.story = append(m.story, fmt.Sprintf("web-%d has it already", m.ahead+1))
	}
	for n, f := range m.fleet {
		f.does = func(verb scripts.Verb, v scripts.Values) { m.watch(n, verb, v) }
	}
	return m
}

// watch holds what a host is about to do against the invariants.
func (m *fleetModel) watch(n int, verb scripts.Verb, v scripts.Values) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v["undo"] == "yes" {
		return
	}
	all := len(m.getIt())
	if n == m.ahead {
		switch verb {
		case scripts.Start, scripts.Switch, scripts.Replace, scripts.Mark, scripts.Hook, scripts.Drain, scripts.Stop:
			m.t.Errorf("web-%d has it already, and is asked for %s", n+1, verb)
		}
	}
	switch verb {
	case scripts.Health:
		m.healthy[n] = true
	case scripts.Verify:
		m.verified[n] = true
	case scripts.Mark:
		if m.marked[n] = true; len(m.verified) < all {
			m.t.Errorf("web-%d is marked as proved, and only %v are verified", n+1, m.verified)
		}
	case scripts.Hook:
		if m.hooks++; m.hooks > 1 && v["name"] == "before-start" {
			m.t.Errorf("before-start runs for the %d. time, on web-%d", m.hooks, n+1)
		}
	case scripts.Switch:
		if len(m.healthy) < all { // F1
			m.t.Errorf("web-%d is switched, and only %v are healthy", n+1, m.healthy)
		}
		m.inTurn(n)
	case scripts.Replace:
		m.inTurn(n)
	case scripts.Stop, scripts.Drain:
		if v["port"] == "8080" && len(m.marked) < all { // F2
			m.t.Errorf("the old version of web-%d is retired, and only %v are proved", n+1, m.marked)
		}
	}
}

// getIt are the hosts that do not have it already.
func (m *fleetModel) getIt() []int {
	var all []int
	for n := range m.fleet {
		if n != m.ahead {
			all = append(all, n)
		}
	}
	return all
}

// inTurn wants the batches before a host's to have proved themselves.
func (m *fleetModel) inTurn(n int) {
	getIt := m.getIt()
	for _, share := range m.in.Batches {
		upTo := share.AtLeast(len(getIt))
		if slices.Index(getIt, n) < upTo {
			return
		}
		for _, before := range getIt[:upTo] {
			if !m.verified[before] {
				m.t.Errorf("web-%d gets the new version, and web-%d of a batch before has not proved it", n+1, before+1)
			}
		}
	}
}

// judge looks at what a run has left.
func (m *fleetModel) judge(result *outcome.Result, err error) {
	var failure *outcome.Failure
	errors.As(err, &failure)
	served := map[string]bool{}
	for n, f := range m.fleet {
		isNew := f.releases[f.flag] != "" && f.releases[f.flag] != oldRelease
		served[fmt.Sprint(isNew)] = true
		switch {
		case f.flag == "" || !f.running[f.flag]:
			m.t.Errorf("web-%d is down: flag %q, running %v", n+1, f.flag, f.running)
		case err == nil && !isNew:
			m.t.Errorf("the run succeeded, and web-%d serves %s", n+1, f.releases[f.flag])
		case n == m.ahead && !isNew:
			m.t.Errorf("web-%d had it, and serves %s", n+1, f.releases[f.flag])
		case err != nil && isNew && n != m.ahead && !f.gone && f.had != "another-0" && !m.killed: // F3
			m.t.Errorf("the run failed, and web-%d serves the new version", n+1)
		}
		if f.holder != "" && !f.gone {
			m.t.Errorf("the lock of web-%d is still held", n+1)
		}
	}
	// F6; where nothing was switched they do so as before
	asBefore := m.ahead >= 0 && failure != nil && failure.Site == outcome.SiteUnchanged
	if failure != nil && len(served) > 1 && !asBefore &&
		failure.Site != outcome.SiteMixed && failure.Site != outcome.SiteUnknown {
		m.t.Errorf("the hosts serve different versions, and the site is called %s", failure.Site)
	}
	if kept := failure == nil || failure.Site == outcome.SiteRestored; !kept && result.Outcome == outcome.Restored {
		m.t.Errorf("the site is called %s, and the run %s", failure.Site, result.Outcome)
	}
	for n, h := range result.Hosts { // F7
		if n == m.ahead && h.Outcome != outcome.Unchanged && h.Outcome != outcome.Failed {
			m.t.Errorf("%s was left as it is, and is %s", h.Host, h.Outcome)
		}
		if err == nil && h.Release != result.Hosts[0].Release {
			m.t.Errorf("%s has %s, the first %s", h.Host, h.Release, result.Hosts[0].Release)
		}
	}
}

// Whatever befalls hosts of a fleet at any step: no host is switched before all are healthy, no old
// version is retired before all are proved, batches come in their turn, a run that fails leaves every
// host that answers on its old release, one that has the new release already is left alone, and the
// next run heals.
func TestAnyFleet(t *testing.T) {
	ended := map[outcome.Outcome]int{}
	sites := map[outcome.Site]int{}
	for seed := range uint64(*fleets) { //nolint:gosec // not negative
		m := newFleetModel(t, seed)
		result, log, err := m.fleet.deploy(t, m.in)
		m.judge(result, err)
		ended[result.Outcome]++
		var failure *outcome.Failure
		if errors.As(err, &failure) {
			sites[failure.Site]++
		}
		for _, f := range m.fleet {
			f.mu.Lock()
			f.gone, f.had, f.does, f.faults = false, "", nil, map[scripts.Verb]fault{}
			f.mu.Unlock()
		}
		next := *m.in
		next.Ref, next.AllowOlder = strings.Repeat("d", 40), true
		again, more, err := m.fleet.deploy(t, &next)
		for n, f := range m.fleet {
			if err != nil || !strings.HasSuffix(f.releases[f.flag], "-ddddddd") || !f.proved[f.flag] || len(f.running) != 1 {
				t.Errorf("the next run does not heal web-%d: %v, %s, running %v, serving %s\n%s",
					n+1, err, again.Outcome, f.running, f.releases[f.flag], more)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d: %s\n%s", seed, strings.Join(m.story, "; "), log)
		}
	}
	t.Logf("%v, sites %v", ended, sites)
	if *fleets >= 100 && (ended[outcome.Deployed] == 0 || ended[outcome.Restored] == 0 || ended[outcome.Failed] == 0 ||
		sites[outcome.SiteMixed] == 0) {
		t.Errorf("too little has happened: %v, sites %v", ended, sites)
	}
}
