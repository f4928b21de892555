package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// fakeFleet is several hosts, web-1 the first.
type fakeFleet []*fakeHost

// saysOfFailure fails the test where the run did fail, and says another site, or lacks some words.
func saysOfFailure(t *testing.T, err error, site outcome.Site, words ...string) {
	t.Helper()
	var failure *outcome.Failure
	if errors.As(err, &failure) && failure.Site != site {
		t.Errorf("site %s, want %s", failure.Site, site)
	}
	for _, one := range words {
		if err != nil && !strings.Contains(err.Error(), one) {
			t.Errorf("the failure lacks %q:\n%v", one, err)
		}
	}
}

func newFleet(t *testing.T, hosts int) fakeFleet {
	t.Helper()
	fleet := make(fakeFleet, hosts)
	for i := range fleet {
		fleet[i] = newFakeHost(t)
		fleet[i].restarts = 100 * i // no two boots are the same
	}
	return fleet
}

func (fl fakeFleet) inputs() *inputs.Inputs {
	in := testInputs()
	in.Hosts = nil
	for i := range fl {
		in.Hosts = append(in.Hosts, remote.Host{User: "ubuntu", Name: fmt.Sprintf("web-%d", i+1), Port: 22})
	}
	return in
}

func (fl fakeFleet) dial(ctx context.Context, at remote.Host) (host.Shell, error) {
	var number int
	if _, err := fmt.Sscanf(at.Name, "web-%d", &number); err != nil {
		return nil, err
	}
	return fl[number-1].dial(ctx, at)
}

// deploy runs on a clock of its own, as deployTo does.
func (fl fakeFleet) deploy(t *testing.T, in *inputs.Inputs) (result *outcome.Result, log string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { result, log, err = fl.deployHere(t, in) })
	return result, log, err
}

func (fl fakeFleet) deployHere(t *testing.T, in *inputs.Inputs) (*outcome.Result, string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, f := range fl {
		f.cancel = cancel
	}
	var log bytes.Buffer
	d := New(in, report.New(&log, func(string) string { return "" }), fl.dial, fl[0].open, time.Now())
	d.patience = 20 * time.Millisecond
	result, err := d.Run(ctx)
	return result, log.String(), err
}

// flags are the ports to which nginx sends requests, host by host.
func (fl fakeFleet) flags() string {
	var all []string
	for _, f := range fl {
		all = append(all, f.flag)
	}
	return strings.Join(all, " ")
}

// One decision for all hosts: whatever befalls one of them before all are proved, each of the others
// serves what it served before.
func TestWhatBefallsOneHostOfSeveral(t *testing.T) {
	for _, tt := range []struct {
		name    string
		verb    scripts.Verb
		fault   fault
		flags   string // afterwards; the fault is on the second host
		outcome outcome.Outcome
		site    outcome.Site
		hosts   string   // what the output of that name has of each, where it is looked at
		words   []string // of the failure; nothing for a run that succeeds
		not     []string
		log     string
	}{
		{
			name: "it can't be built", verb: scripts.Build,
			fault: fault{kind: "error", code: scripts.ExitBuild, words: "no pip"},
			flags: "8080 8080 8080", outcome: outcome.Failed, site: outcome.SiteUnchanged,
			words: []string{"build: no pip", "host: ubuntu@web-2\n", "web-3: ", "site: unchanged"},
			not:   []string{"host: ubuntu@web-1", "web-3,"},
		},
		{
			name: "it is never healthy", verb: scripts.Health,
			fault: fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"},
			flags: "8080 8080 8080", outcome: outcome.Failed, site: outcome.SiteUnchanged,
			words: []string{"health: answered 500", "host: ubuntu@web-2\n"},
		},
		{
			name: "it turns bad on probation", verb: scripts.Verify,
			fault: fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"},
			flags: "8080 8080 8080", outcome: outcome.Restored, site: outcome.SiteRestored,
			hosts: "restored 8080, restored 8080, restored 8080",
			words: []string{"verify: answered 500", "host: ubuntu@web-2\n", "site: restored\n  ubuntu@web-1: "},
		},
		{
			name: "another run has it before the switch", verb: scripts.Start, fault: fault{kind: "overtaken"},
			flags: "8080 8080 8080", outcome: outcome.Failed, site: outcome.SiteMixed,
			hosts: "failed 8080, failed 0, failed 8080",
			words: []string{"web-2: it is in the hands of the other deployment", "web-1: 2"},
		},
		{
			name: "another run has it after the switch", verb: scripts.Verify, fault: fault{kind: "overtaken"},
			flags: "8080 8081 8080", outcome: outcome.Failed, site: outcome.SiteMixed,
			hosts: "restored 8080, failed 0, restored 8080",
			words: []string{"web-2: it is in the hands of the other deployment", "web-3: 2"},
		},
		{
			name: "it is gone after the switch", verb: scripts.Verify, fault: fault{kind: "gone-before"},
			flags: "8080 8081 8080", outcome: outcome.Failed, site: outcome.SiteMixed,
			hosts: "restored 8080, failed 0, restored 8080",
			words: []string{
				"host: ubuntu@web-2\n", "site: mixed", "web-2: the flag on the host tells",
				"next: see which port is active: ssh ubuntu@web-2 ls ",
			},
		},
		{
			name: "another run has it once all are proved", verb: scripts.Stop, fault: fault{kind: "overtaken"},
			flags: "8081 8081 8081", outcome: outcome.Deployed, log: "Overtaken",
			hosts: "deployed 8081, deployed 8081, deployed 8081",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := newFleet(t, 3)
			fleet[1].faults[tt.verb] = tt.fault
			result, log, err := fleet.deploy(t, fleet.inputs())
			if result.Outcome != tt.outcome || fleet.flags() != tt.flags || (err != nil) != (tt.words != nil) {
				t.Errorf("outcome %s, flags %s, %v\n%s", result.Outcome, fleet.flags(), err, log)
			}
			if !strings.Contains(log, tt.log) {
				t.Errorf("the log lacks %q:\n%s", tt.log, log)
			}
			var hosts []string
			for _, h := range result.Hosts {
				hosts = append(hosts, fmt.Sprintf("%s %d", h.Outcome, h.ActivePort))
				if serves := strings.HasSuffix(h.Serving, " serves"); serves != (h.ActivePort != 0) {
					t.Errorf("%s: port %d and %q", h.Host, h.ActivePort, h.Serving)
				}
			}
			if got := strings.Join(hosts, ", "); tt.hosts != "" && got != tt.hosts {
				t.Errorf("hosts %s, want %s", got, tt.hosts)
			}
			for i, f := range fleet {
				if i != 1 && (f.holder != "" || len(f.recorded) != 1 || f.running["8080"] == (f.flag == "8081")) {
					t.Errorf("web-%d: the lock is held by %q, it has %d records, %v run", i+1, f.holder,
						len(f.recorded), f.running)
				}
			}
			saysOfFailure(t, err, tt.site, tt.words...)
			for _, words := range tt.not {
				if err != nil && strings.Contains(err.Error(), words) {
					t.Errorf("the failure has %q:\n%v", words, err)
				}
			}
			for _, f := range fleet { // what befell it is over
				f.gone = false
			}
			if _, log, err := fleet.deploy(t, fleet.inputs()); err != nil || fleet.flags() == tt.flags &&
				tt.words != nil {
				t.Errorf("the next run: %v, flags %s\n%s", err, fleet.flags(), log)
			}
		})
	}
}

// What only asks, or makes what nothing serves, is sent along with the step before it with several
// hosts too, so that a run over them waits for two round trips more: that in which a release is started
// once all hosts have it, and that in which it is marked as proved once it is on all.
func TestHostsOfAFleetAreAskedTwiceMoreThanOneAlone(t *testing.T) {
	alone, fleet := newFleet(t, 1), newFleet(t, 3)
	for _, fl := range []fakeFleet{alone, fleet} {
		if _, log, err := fl.deploy(t, fl.inputs()); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
	}
	for i, f := range fleet {
		if f.asked != alone[0].asked+2 {
			t.Errorf("web-%d was asked %d times, one host alone %d times", i+1, f.asked, alone[0].asked)
		}
	}
}

// However many hosts there are, who reads along learns at once which one everybody waits for.
func TestALostConnectionIsToldAsItHappens(t *testing.T) {
	fleet := newFleet(t, fewHosts+1)
	fleet[3].faults[scripts.Build] = fault{kind: "lost-before"}
	_, log, err := fleet.deploy(t, fleet.inputs())
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	rest := log
	for _, want := range []string{
		"::group::Building the release\n", "\nConnection to web-4: ", "; dialling again\n", "web-4: connected again after ",
		"::warning title=Connection to web-4::", "✓ build: ",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("%q is not there, or not in its place:\n%s", want, log)
		}
		rest = after
	}
}

// A host that nobody reaches any more when the new version is proved is waited for once, and not in
// each of the steps that are left; the others go on, and the post step tries it once more.
func TestAHostThatIsGoneOnceAllAreProved(t *testing.T) {
	for _, hosts := range []int{1, 3} {
		t.Run(fmt.Sprintf("of %d", hosts), func(t *testing.T) {
			fleet := newFleet(t, hosts)
			fleet[hosts-1].faults[scripts.Drain] = fault{kind: "gone-before"}
			name := fmt.Sprintf("web-%d", hosts)
			var log bytes.Buffer
			files := t.TempDir()
			d := New(fleet.inputs(), report.New(&log, func(name string) string {
				if name == "GITHUB_STATE" {
					return files + "/state"
				}
				return ""
			}), fleet.dial, fleet[0].open, time.Now())
			d.patience = 20 * time.Millisecond
			result, err := d.Run(t.Context())
			if err != nil || result.Outcome != outcome.Deployed {
				t.Fatalf("%s, %v\n%s", result.Outcome, err, log.String())
			}
			if n := strings.Count(log.String(), "dialling again"); n != 1 {
				t.Errorf("it is waited for %d times, want once:\n%s", n, log.String())
			}
			if n := strings.Count(log.String(), "::warning title=Lost%3A "+name); n != 1 {
				t.Errorf("%d warnings say that %s is lost, want 1:\n%s", n, name, log.String())
			}
			text, err := os.ReadFile(files + "/state")
			if err != nil || strings.Contains(string(text), StateEnded) {
				t.Errorf("the post step is told that nothing is left: %s %v", text, err)
			}
			for i, f := range fleet[:hosts-1] {
				if f.running["8080"] || f.holder != "" || len(f.recorded) != 1 {
					t.Errorf("web-%d: %v run, the lock is held by %q, %d records", i+1, f.running, f.holder, len(f.recorded))
				}
			}
		})
	}
}

// One host that is gone takes no time to come back from the others.
func TestAHostIsTakenBackThoughAnotherIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet := newFleet(t, 3)
		fleet[1].faults[scripts.Verify] = fault{kind: "gone-before"}
		fleet[0].does = func(verb scripts.Verb, _ scripts.Values) {
			if verb == scripts.Verify { // what comes next is asked for to go back
				fleet[0].faults[scripts.Switch], fleet[0].booting = fault{kind: "lost-before"}, 2
			}
		}
		var log bytes.Buffer
		in := fleet.inputs()
		in.Timeout = time.Hour
		d := New(in, report.New(&log, func(string) string { return "" }), fleet.dial, fleet[0].open, time.Now())
		began := time.Now()
		_, err := d.Run(t.Context())
		if err == nil || fleet.flags() != "8080 8081 8080" {
			t.Errorf("flags %s, %v\n%s", fleet.flags(), err, log.String())
		}
		if took := time.Since(began); took > mixedFor+30*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Two addresses of one machine are found before anything is changed.
func TestTwoAddressesOfOneMachineAreRefused(t *testing.T) {
	fleet := newFleet(t, 2)
	fleet[1].restarts = fleet[0].restarts
	_, log, err := fleet.deploy(t, fleet.inputs())
	if err == nil || !strings.Contains(err.Error(), "web-1 and ubuntu@web-2 are one machine") {
		t.Errorf("%v\n%s", err, log)
	}
	for _, call := range fleet[0].calls {
		if !slices.Contains([]string{"lock", "check", "port"}, call) { // which change nothing
			t.Errorf("it was asked for %s", call)
		}
	}
}

func TestAFailureNamesEachHostOnWhichItFailed(t *testing.T) {
	no := func(code int, words string) fault { return fault{kind: "error", code: code, words: words} }
	fleet := newFleet(t, 3)
	fleet[0].faults[scripts.Drain] = no(1, "not asked") // retire is not reached
	fleet[1].faults[scripts.Lock] = no(scripts.ExitDisk, "the disk is full")
	_, _, err := fleet.deploy(t, fleet.inputs())
	for _, words := range []string{"lock: the disk is full\nhost: ubuntu@web-2\n", "ssh ubuntu@web-2 "} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("lacks %q: %v", words, err)
		}
	}
	both := errors.Join(
		&outcome.StepError{Step: "verify", Host: fleet.inputs().Hosts[0], Err: errors.New("answered 500")},
		&outcome.StepError{Step: "verify", Host: fleet.inputs().Hosts[2], Err: errors.New("answered 501")},
	)
	d := New(fleet.inputs(), report.New(&bytes.Buffer{}, func(string) string { return "" }), fleet.dial, nil,
		time.Now())
	f := d.outcomes.failure(step{name: "verify"}, fmt.Errorf("run: %w", both), nil)
	if got := strings.Join(f.Hosts, " "); got != "ubuntu@web-1 ubuntu@web-3" {
		t.Errorf("it failed on %s", got)
	}
	if what := outcome.Describe(both); what != "ubuntu@web-1: verify: answered 500\nubuntu@web-3: verify: answered 501" {
		t.Errorf("described as %s", what)
	}
}

// A branch is resolved once: it may move while hosts fetch.
func TestAllHostsGetTheSameCommit(t *testing.T) {
	fleet := newFleet(t, 4)
	for i, f := range fleet {
		f.branch = strings.Repeat(fmt.Sprint(i+1), 40)
	}
	in := fleet.inputs()
	in.Ref = "main"
	result, log, err := fleet.deploy(t, in)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	for _, h := range result.Hosts {
		if h.Commit != fleet[0].branch || h.Release != result.Hosts[0].Release {
			t.Errorf("%s got commit %s as release %s", h.Host, h.Commit, h.Release)
		}
	}
}

func TestHooksRunOnTheFirstHostOrOnAll(t *testing.T) {
	t.Cleanup(func() { activeRecipe = "other" })
	for _, tt := range []struct {
		before, after inputs.On
		serves        int // the host that serves the commit already; -1 for none
		want          string
	}{
		{inputs.OnFirst, inputs.OnAll, -1, "before-start after-switch|after-switch|after-switch"},
		{inputs.OnAll, inputs.OnFirst, -1, "before-start after-switch|before-start|before-start"},
		{inputs.OnFirst, inputs.OnFirst, 1, "after-switch||"}, // it ran when that one got the release
		{inputs.OnAll, inputs.OnFirst, 0, "|before-start after-switch|before-start"},
	} {
		fleet := newFleet(t, 3)
		in := fleet.inputs()
		in.BeforeStart, in.AfterSwitch, in.BeforeStartOn, in.AfterSwitchOn = "migrate", "warm-up", tt.before, tt.after
		if tt.serves >= 0 {
			fleet[tt.serves].commit = newCommit
			activeRecipe = assemble(&run{in: in}).recipe.of(&target{})
		}
		if _, log, err := fleet.deploy(t, in); err != nil {
			t.Errorf("%v\n%s", err, log)
		}
		var got []string
		for _, f := range fleet {
			hooks := slices.DeleteFunc(slices.Clone(f.calls), func(call string) bool {
				return call != "before-start" && call != "after-switch"
			})
			got = append(got, strings.Join(hooks, " "))
		}
		if ran := strings.Join(got, "|"); ran != tt.want {
			t.Errorf("%+v: %s ran", tt, ran)
		}
	}
}

func TestARollbackGoesToOneReleaseOnAllHosts(t *testing.T) {
	const one, two, three = "20261122T000000Z-aaaaaaa", "20261121T000000Z-9999999", "20261119T000000Z-7777777"
	list := func(ids ...string) string {
		var b strings.Builder
		for i, id := range ids {
			fmt.Fprintf(&b, "release_%d=%s %s %d\n", i, id, oldCommit, len(ids)-i)
		}
		return b.String()
	}
	fleet := newFleet(t, 3)
	in := fleet.inputs()
	in.Operation = inputs.Rollback
	fleet[0].lists, fleet[1].lists, fleet[2].lists = list(one, two, three), list(one, two, three), list(one, three)
	in.Source = inputs.Workspace
	_, log, err := fleet.deploy(t, in)
	if err == nil || fleet.flags() != "8080 8080 8080" || !strings.Contains(err.Error(),
		"agree: release "+two+", commit aaaaaaa, is not on ubuntu@web-3") || !strings.Contains(err.Error(),
		"ubuntu@web-3 has "+one+", "+three) {
		t.Errorf("%v, flags %s\n%s", err, fleet.flags(), log)
	}
	in.Source = inputs.Git
	in.BeforeStart = "migrate"
	result, log, err := fleet.deploy(t, in)
	if err != nil || fleet.flags() != "8081 8081 8081" || !strings.Contains(log, "it is the newest that is older") ||
		!strings.Contains(log, "1 of 3 hosts do not have "+two+", and fetch commit aaaaaaa: web-3; there it gets its "+
			"environment") {
		t.Errorf("%v, flags %s\n%s", err, fleet.flags(), log)
	}
	for i, h := range result.Hosts {
		if h.Release != two || h.Commit != oldCommit {
			t.Errorf("%s serves %s, commit %s", h.Host, h.Release, h.Commit)
		}
		if fetched, built := fleet[i].ran("fetch"), fleet[i].ran("build"); fetched != (i == 2) || built != (i == 2) ||
			fleet[i].ran("before-start") {
			t.Errorf("%s: %v", h.Host, fleet[i].calls)
		}
	}
}

// A release that some hosts have marked as proved when another one could not, or the run was cancelled, is
// none to roll back to, unless it had served before, or does on another host.
func TestNoRollbackGoesToWhatAllHaveGoneBackFrom(t *testing.T) {
	for _, tt := range []struct {
		fails     scripts.Verb
		cancelled bool
		do        func(*inputs.Inputs)
		has       bool // the third host serves it already, and goes on
		left      string
	}{
		{fails: scripts.Mark, left: "20261123T000000Z-bbbbbbb"},
		{fails: scripts.Mark, has: true},
		{fails: scripts.Mark, cancelled: true, left: "20261123T000000Z-bbbbbbb"},
		{fails: scripts.Verify},
		{fails: scripts.Mark, do: func(in *inputs.Inputs) { in.Operation = inputs.Rollback }},
		{fails: scripts.Mark, do: func(in *inputs.Inputs) { in.Operation = inputs.Restart }},
	} {
		fleet, bad := newFleet(t, 3), fault{kind: "error", code: scripts.ExitDisk, words: "the disk is full"}
		if tt.cancelled {
			bad = fault{kind: "cancel"}
		}
		fleet[1].faults[tt.fails] = bad
		in := fleet.inputs()
		if tt.do != nil {
			tt.do(in)
		}
		if tt.has {
			fleet[2].commit, fleet[2].releases["8080"] = newCommit, "20261123T000000Z-bbbbbbb"
			activeRecipe = assemble(&run{in: in}).recipe.of(&target{})
			t.Cleanup(func() { activeRecipe = "other" })
		}
		_, log, err := fleet.deploy(t, in)
		if err == nil || fleet.flags() != "8080 8080 8080" {
			t.Fatalf("%v, flags %s\n%s", err, fleet.flags(), log)
		}
		for i, f := range fleet {
			if got := f.sent[scripts.Record]["gone_from"]; got != tt.left {
				t.Errorf("%s of %s fails: web-%d is told that %q was gone back from, want %q", tt.fails, in.Operation, i+1, got,
					tt.left)
			}
		}
	}
}

// One host alone marks the release on its own, as soon as it is verified; the run may be cancelled only then.
func TestNoRollbackGoesToWhatACancelledRunHasMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeHost(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		log := lineWriter(func(line string) {
			if strings.Contains(line, "✓ verify: ") {
				time.Sleep(time.Second) // until it is marked
				cancel()
			}
		})
		d := New(testInputs(), report.New(log, func(string) string { return "" }), f.dial, f.open, time.Now())
		_, err := d.Run(ctx)
		if got := f.sent[scripts.Record]["gone_from"]; err == nil || f.flag != "8080" || got != "20261123T000000Z-bbbbbbb" {
			t.Errorf("%v, flag %s, gone back from %q, calls %v", err, f.flag, got, f.calls)
		}
	})
}

// lineWriter is told what is written.
type lineWriter func(string)

func (w lineWriter) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}

// What came from a workspace can't be fetched, and one host may have it under another id.
func TestARollbackToWhatOneHostHasUnderAnotherID(t *testing.T) {
	const live, theirs, own = "20261122T000000Z-aaaaaaa", "20261120T000000Z-8888888", "20261121T000000Z-8888888"
	fleet := newFleet(t, 3)
	for i, f := range fleet {
		id := []string{theirs, theirs, own}[i]
		f.lists = fmt.Sprintf("release_0=%s %064d 2\nrelease_1=%s %064d 1\n", live, 7, id, 2)
	}
	in := fleet.inputs()
	in.Operation, in.Source = inputs.Rollback, inputs.Workspace
	result, log, err := fleet.deploy(t, in)
	if err != nil || fleet.flags() != "8081 8081 8081" || !strings.Contains(log, "web-3 has "+theirs+" as "+own) {
		t.Fatalf("%v, flags %s\n%s", err, fleet.flags(), log)
	}
	for i, h := range result.Hosts {
		if want := []string{theirs, theirs, own}[i]; h.Release != want || fleet[i].releases["8081"] != want ||
			fleet[i].sent[scripts.Record]["gone_from"] != live {
			t.Errorf("%s serves %s, started %s, recorded by %v; want %s", h.Host, h.Release, fleet[i].releases["8081"],
				fleet[i].sent[scripts.Record], want)
		}
	}
}

// The post step of such a run that was killed writes down of each host the release by its id there.
func TestThePostStepKnowsTheReleaseOfEachHost(t *testing.T) {
	const live, theirs, own = "20261122T000000Z-aaaaaaa", "20261120T000000Z-8888888", "20261121T000000Z-8888888"
	ids := []string{theirs, theirs, own}
	for _, tt := range []struct {
		name   string
		proved bool              // by the time that it was killed
		saved  map[string]string // in place of what it saves
		want   []string          // of each host: outcome and release
	}{
		{
			name: "as the old version was drained", proved: true,
			want: []string{"deployed " + theirs, "deployed " + theirs, "deployed " + own},
		},
		{
			name: "before it was proved", want: []string{"failed " + theirs, "failed " + theirs, "failed " + own},
		},
		{
			name: "by a version that saves the port alone", proved: true,
			saved: map[string]string{StateRelease: theirs, "port-0": "8081", "port-1": "8081", "port-2": "8081"},
			want:  []string{"deployed " + theirs, "deployed " + theirs, "failed " + theirs},
		},
		{
			name: "before it got to two of them", proved: true,
			saved: map[string]string{StateRelease: own, "port-2": "8081 " + own},
			want:  []string{"failed " + own, "failed " + own, "deployed " + own},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := newFleet(t, 3)
			for i, f := range fleet {
				f.lists = fmt.Sprintf("release_0=%s %064d 2\nrelease_1=%s %064d 1\n", live, 7, ids[i], 2)
			}
			in := fleet.inputs()
			in.Operation, in.Source = inputs.Rollback, inputs.Workspace
			var log bytes.Buffer
			file := t.TempDir() + "/state"
			rep := report.New(&log, func(name string) string { return map[string]string{"GITHUB_STATE": file}[name] })
			if _, err := New(in, rep, fleet.dial, fleet[0].open, time.Now()).Run(t.Context()); err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			saved := tt.saved
			if saved == nil {
				saved = savedIn(string(text))
			}
			for _, f := range fleet {
				f.running["8080"], f.proved["8081"], f.recorded = true, tt.proved, nil
			}
			in = fleet.inputs()
			in.Operation = inputs.Tidy
			err = New(in, rep, fleet.dial, nil, time.Now()).Tidy(t.Context(), func(name string) string { return saved[name] })
			if err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			for i, f := range fleet {
				var line outcome.HostResult
				if len(f.recorded) != 1 || json.Unmarshal([]byte(f.recorded[0]), &line) != nil {
					t.Fatalf("web-%d: recorded %q", i+1, f.recorded)
				}
				if got := fmt.Sprintf("%s %s", line.Outcome, line.Release); got != tt.want[i] {
					t.Errorf("web-%d: recorded as %s, want %s; saved %v", i+1, got, tt.want[i], saved)
				}
			}
		})
	}
}

// Where versions take each other's place, a run that is killed may not have come to all of them.
func TestARollbackSavesTheReleasesOfHostsThatWait(t *testing.T) {
	const live, theirs, own = "20261122T000000Z-aaaaaaa", "20261120T000000Z-8888888", "20261121T000000Z-8888888"
	fleet := newFleet(t, 3)
	for i, f := range fleet {
		f.lists = fmt.Sprintf("release_0=%s %064d 2 socket\nrelease_1=%s %064d 1 socket\n", live, 7,
			[]string{theirs, theirs, own}[i], 2)
	}
	fleet[0].faults[scripts.Replace] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
	in := fleet.inputs()
	in.Operation, in.Source, in.Strategy = inputs.Rollback, inputs.Workspace, inputs.InPlace
	in.Batches = []inputs.Share{{Number: 1}, {Number: 100, Percent: true}}
	var log bytes.Buffer
	file := t.TempDir() + "/state"
	rep := report.New(&log, func(name string) string { return map[string]string{"GITHUB_STATE": file}[name] })
	_, err := New(in, rep, fleet.dial, fleet[0].open, time.Now()).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "replace: answered 500") || fleet[2].ran("replace") {
		t.Fatalf("%v\n%s", err, log.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if saved := savedIn(string(text)); saved["port-1"] != "8081 "+theirs || saved["port-2"] != "8081 "+own {
		t.Errorf("saved %v", saved)
	}
}

// savedIn is what the post step gets: of a name that was saved more than once, the last value.
func savedIn(state string) map[string]string {
	saved := map[string]string{}
	for lines := strings.Split(state, "\n"); len(lines) > 2; lines = lines[3:] { // name<<delimiter, value, delimiter
		name, _, _ := strings.Cut(lines[0], "<<")
		saved[name] = lines[1]
	}
	return saved
}

// What a host lacks it may not get: the others then serve what they served.
func TestARollbackThatOneHostCannotFetch(t *testing.T) {
	fleet := newFleet(t, 3)
	in := fleet.inputs()
	in.Operation = inputs.Rollback
	fleet[2].lists = "release_0=20261122T000000Z-aaaaaaa " + oldCommit + " 1\n"
	fleet[2].faults[scripts.Fetch] = fault{kind: "error", code: scripts.ExitFetch, words: "it was pushed away"}
	_, log, err := fleet.deploy(t, in)
	if err == nil || !strings.Contains(err.Error(), "fetch: it was pushed away") || fleet.flags() != "8080 8080 8080" {
		t.Errorf("%v, flags %s\n%s", err, fleet.flags(), log)
	}
}

// A host that serves the release already, and is not well by it, gets it anew like the others.
func TestARollbackToWhatAilsOnOneHost(t *testing.T) {
	const serving = "20261122T000000Z-aaaaaaa"
	fleet := newFleet(t, 2)
	in := fleet.inputs()
	in.Operation, in.Release = inputs.Rollback, serving
	fleet[0].faults[scripts.Confirm] = ails
	result, log, err := fleet.deploy(t, in)
	if err != nil || fleet.flags() != "8081 8080" || !fleet[0].ran("start 8081") || fleet[1].ran("start") {
		t.Fatalf("%v, flags %s, calls %v\n%s", err, fleet.flags(), fleet[0].calls, log)
	}
	for _, h := range result.Hosts {
		if h.Release != serving {
			t.Errorf("%s serves %q", h.Host, h.Release)
		}
	}
}

// What is printed of many hosts is read by one person.
func TestTheLogOfManyHostsIsShort(t *testing.T) {
	fleet := newFleet(t, 100)
	in := fleet.inputs()
	for i, f := range fleet {
		f.words = "a line of this host's own"
		f.rssMB = 2000 // more than is free: a warning of each
		if i == 70 {
			f.nginx = "1.18.0"
		}
	}
	_, log, err := fleet.deploy(t, in)
	if err != nil {
		t.Fatal(err)
	}
	shown, warnings, longest := 0, 0, ""
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "::debug::") {
			continue
		}
		shown += len(line)
		if strings.HasPrefix(line, "::warning") {
			warnings++
		}
		if len(line) > len(longest) {
			longest = line
		}
	}
	t.Logf("%d bytes, %d warnings, the longest line %d", shown, warnings, len(longest))
	if shown > 20_000 || warnings != 1 || len(longest) > 1024 {
		t.Errorf("%d bytes, %d warnings, the longest line:\n%s\n%s", shown, warnings, longest, log)
	}
	for _, words := range []string{
		"web-5, 95 more", "plan for web-1, web-2", "::warning title=Memory of 100 hosts::the running version uses 2000 MB",
		"web-1 │ a line of this host's own",
	} {
		if !strings.Contains(log, words) {
			t.Errorf("the log lacks %q\n%s", words, log)
		}
	}
	if strings.Contains(log, "\nweb-2 │") {
		t.Errorf("what a host says that is well is shown:\n%s", log)
	}
	fleet[41].faults[scripts.Build] = fault{kind: "error", code: scripts.ExitBuild, words: "no wheel\nno pip"}
	_, log, err = fleet.deploy(t, in)
	if err == nil || !strings.Contains(log, "\nweb-42 │ no wheel\nweb-42 │ no pip\n") {
		t.Errorf("%v; what the failed host said is not shown:\n%s", err, log)
	}
}

func TestWhatManyHostsSayDiffersInNumbers(t *testing.T) {
	var hosts []*target
	var lines []string
	for i := range 30 {
		hosts = append(hosts, &target{Host: host.New(host.Options{Address: remote.Host{Name: fmt.Sprintf("web-%d", i+1)}})})
		line := fmt.Sprintf("healthy after %d.%ds", i, i%10)
		switch {
		case i%10 == 3:
			line = "reused"
		case i > 25:
			line = strings.Repeat("x", i)
		}
		lines = append(lines, line)
	}
	want := "web-1 (and 22 more, but for numbers): healthy after 0.0s; web-4, web-14, web-24: reused; web-27: " +
		strings.Repeat("x", 26) + "; and of 3 more hosts each something else"
	if got := sayOf(hosts, lines); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What was sent ahead and has not begun is not taken back: a build that fails stops nothing.
func TestNothingIsTakenBackThatHasNotBegun(t *testing.T) {
	for _, verb := range []scripts.Verb{scripts.Setup, scripts.Fetch, scripts.Build} {
		f := newFakeHost(t)
		f.faults[verb] = fault{kind: "error", code: scripts.ExitBuild, words: "no"}
		_, log, err := deployTo(t, f, testInputs())
		if err == nil || strings.Contains(log, "Taking back") || f.ran("start 8081") || f.ran("stop 8081") {
			t.Errorf("%s: %v, %v\n%s", verb, err, f.calls, log)
		}
	}
}

// A host may call a release as it likes; what was sent ahead for the right one is taken back.
func TestAReleaseByAnotherNameIsNotGoneOnWith(t *testing.T) {
	f := newFakeHost(t)
	f.misnames = "20261101T000000Z-bbbbbbb"
	_, log, err := deployTo(t, f, testInputs())
	if err == nil || !strings.Contains(err.Error(), "calls the release "+f.misnames) || f.running["8081"] ||
		f.flag != "8080" {
		t.Errorf("%v; port %s serves, %v run\n%s", err, f.flag, f.running, log)
	}
}

// A step that turns out to be needed after others were sent ahead does not have those done twice.
func TestABuildThatWasSentAheadIsDoneOnce(t *testing.T) {
	fl := newFleet(t, 2)
	in := fl.inputs()
	before := activeRecipe
	activeRecipe = assemble(&run{in: in}).recipe.of(&target{})
	t.Cleanup(func() { activeRecipe = before })
	for _, f := range fl {
		f.commit, f.releases["8080"] = newCommit, "20261122T000000Z-bbbbbbb"
	}
	fl[0].running["8080"] = false // its version is down; what the other one serves is confirmed in between
	_, log, err := fl.deploy(t, in)
	builds := 0
	for _, call := range fl[0].calls {
		if call == "build" {
			builds++
		}
	}
	if err != nil || builds != 1 || !fl[1].ran("confirm 8080") && !fl[1].ran("confirm") {
		t.Errorf("%v; built %d times; %v\n%s", err, builds, fl[1].calls, log)
	}
}
