package deploy

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

func TestMaintenanceIsThisListAndSaysWhatItCameTo(t *testing.T) {
	f := newFakeHost(t)
	in := testInputs()
	in.Operation = inputs.Maintenance
	for _, run := range []struct {
		on      bool
		outcome outcome.Outcome
	}{
		{true, outcome.Maintenance},
		{true, outcome.Unchanged},
		{false, outcome.Maintenance},
		{false, outcome.Unchanged},
	} {
		f.calls, in.Maintenance = nil, run.on
		result, log, err := deployTo(t, f, in)
		if err != nil {
			t.Fatalf("Run: %v\n%s", err, log)
		}
		if got := strings.Join(f.calls, ","); got != "lock,port,maintenance" || f.holder != "" {
			t.Errorf("calls %s, lock held by %q", got, f.holder)
		}
		h := result.Hosts[0]
		if result.Outcome != run.outcome || h.Maintenance != run.on || h.Release != "20261122T000000Z-aaaaaaa" {
			t.Errorf("on %t: outcome %s, host %+v", run.on, result.Outcome, h)
		}
		if strings.Contains(log, "leaves that so") {
			t.Errorf("it says that it leaves as it is what it changes:\n%s", log)
		}
	}
}

func TestEveryOtherRunSaysThatTheSiteIsInMaintenance(t *testing.T) {
	for _, operation := range []inputs.Operation{
		inputs.Deploy, inputs.Rollback, inputs.Setup, inputs.Status, inputs.Check,
	} {
		f := newFakeHost(t)
		f.closed = "1795428000"
		in := testInputs()
		in.Operation = operation
		result, log, err := deployTo(t, f, in)
		if err != nil || f.closed == "" ||
			strings.Count(log, "the site is in maintenance since 2026-11-23 10:00:00 UTC") != 1 {
			t.Errorf("%s: %v\n%s", operation, err, log)
		}
		if h := result.Hosts[0]; !h.Maintenance {
			t.Errorf("%s: %+v", operation, h)
		}
	}
}

func TestMaintenanceWarnsOfAHealthPathThatVisitorsAskFor(t *testing.T) {
	for path, want := range map[string]bool{"/health": false, "/": true, "/?deep=1": true} {
		in := testInputs()
		in.Operation, in.Maintenance, in.Health.Path = inputs.Maintenance, true, path
		_, log, err := deployTo(t, newFakeHost(t), in)
		if err != nil || strings.Contains(log, "gets through for everyone") != want {
			t.Errorf("%s: %v\n%s", path, err, log)
		}
	}
}

func TestMaintenanceThatTheHostRefuses(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Maintenance] = fault{kind: "error", code: scripts.ExitCheck, words: "no such page"}
	in := testInputs()
	in.Operation, in.Maintenance = inputs.Maintenance, true
	result, log, err := deployTo(t, f, in)
	if err == nil || result.Outcome != outcome.Failed || !strings.Contains(err.Error(), "no such page") ||
		!strings.Contains(err.Error(), "site: unchanged") || f.holder != "" || f.ran("record") || f.ran("prune") {
		t.Errorf("Run: %v; calls %v\n%s", err, f.calls, log)
	}
}

// Nobody knows what came of a question whose answer nobody has heard.
func TestMaintenanceOfAHostThatIsGone(t *testing.T) {
	for _, on := range []bool{true, false} {
		f := newFakeHost(t)
		if !on {
			f.closed = "1795428000"
		}
		f.faults[scripts.Maintenance] = fault{kind: "gone-after"}
		in := testInputs()
		in.Operation, in.Maintenance = inputs.Maintenance, on
		result, log, err := deployTo(t, f, in)
		const unknown = "whether visitors get the maintenance page is not known"
		if err == nil || !strings.Contains(err.Error(), "site: unknown; "+unknown) ||
			strings.Contains(err.Error(), "which port is active") {
			t.Errorf("on %t: %v\n%s", on, err, log)
		}
		if h := result.Hosts[0]; h.Serving != unknown || h.Maintenance {
			t.Errorf("on %t: %q, maintenance %t", on, h.Serving, h.Maintenance)
		}
	}
}

// What was cut off once it had done its work finds that done when it is tried again.
func TestMaintenanceThatWasCutOff(t *testing.T) {
	for _, on := range []bool{true, false} {
		f := newFakeHost(t)
		if !on {
			f.closed = "1795428000"
		}
		f.faults[scripts.Maintenance] = fault{kind: "cut-off"}
		in := testInputs()
		in.Operation, in.Maintenance = inputs.Maintenance, on
		result, log, err := deployTo(t, f, in)
		if err != nil || result.Outcome != outcome.Maintenance || result.Hosts[0].Maintenance != on ||
			strings.Count(strings.Join(f.calls, ","), "maintenance") != 2 {
			t.Errorf("on %t: %v, %s, %+v; calls %v\n%s", on, err, result.Outcome, result.Hosts[0], f.calls, log)
		}
	}
}

// Who cancels a run that has done what was asked is told that, and nothing waits for its lock.
func TestMaintenanceThatIsCancelledOnceItIsThrough(t *testing.T) {
	f := newFakeHost(t)
	f.does = func(verb scripts.Verb, _ scripts.Values) {
		if verb == scripts.Maintenance {
			f.cancel()
		}
	}
	in := testInputs()
	in.Operation, in.Maintenance = inputs.Maintenance, true
	result, log, err := deployTo(t, f, in)
	if err != nil || result.Outcome != outcome.Maintenance || !result.Hosts[0].Maintenance || f.holder != "" {
		t.Errorf("Run: %v, %s, the lock is held by %q\n%s", err, result.Outcome, f.holder, log)
	}
}

// What fails on one host does not end it on the others. The failure says what visitors of each get,
// and the same run again, or the other way, has all hosts do the same.
func TestMaintenanceOfSeveralHosts(t *testing.T) {
	refused := map[scripts.Verb]fault{scripts.Maintenance: {kind: "error", code: scripts.ExitCheck, words: "no such page"}}
	const (
		serves = "20261122T000000Z-aaaaaaa on port 8080 serves"
		page   = serves + ", and visitors get the maintenance page"
		down   = `; with maintenance "off" it takes the page down on all of them`
	)
	for _, tt := range []struct {
		name   string
		before string // where visitors get the page: + or -, host by host
		on     bool
		faults map[scripts.Verb]fault // of the second host
		gone   bool                   // it is
		after  string
		site   outcome.Site
		words  []string
		not    string
	}{
		{
			name: "it is refused", before: "---", on: true, faults: refused, after: "+-+", site: outcome.SiteMixed,
			words: []string{
				"maintenance: no such page\nhost: ubuntu@web-2\nsite: mixed\n", "web-1: " + page + "\n",
				"web-2: " + serves + "\n", down,
			},
		},
		{
			name: "its end is refused", before: "+++", faults: refused, after: "-+-", site: outcome.SiteMixed,
			words: []string{"site: mixed\n", "web-1: " + serves + "\n", "web-2: " + page + "\n"}, not: down,
		},
		{
			name: "it is refused again", before: "+-+", on: true, faults: refused, after: "+-+", site: outcome.SiteMixed,
			words: []string{"site: mixed\n", "web-1: " + page + "\n", "web-2: " + serves + "\n", down},
		},
		{
			name: "nobody hears what came of it", before: "---", on: true, after: "+++", site: outcome.SiteMixed,
			faults: map[scripts.Verb]fault{scripts.Maintenance: {kind: "gone-after"}},
			words: []string{
				"site: mixed\n", "web-1: " + page + "\n", "web-2: whether visitors get the maintenance page is not known\n",
				"next: run this workflow again", down,
			},
			not: "which port is active",
		},
		{
			name: "it can't be reached", before: "+++", gone: true, after: "+++", site: outcome.SiteUnchanged,
			words: []string{"connect: ", "host: ubuntu@web-2\nsite: unchanged\n", "web-1: nothing was touched\n"},
		},
		{
			name: "its lock can't be taken", before: "---", on: true, after: "---", site: outcome.SiteUnchanged,
			faults: map[scripts.Verb]fault{scripts.Lock: {kind: "error", code: scripts.ExitDisk, words: "the disk is full"}},
			words:  []string{"lock: the disk is full\nhost: ubuntu@web-2\nsite: unchanged\n"},
		},
		{
			name: "it can't say what is there", before: "+++", after: "+++", site: outcome.SiteUnchanged,
			faults: map[scripts.Verb]fault{scripts.Port: {kind: "error", code: 1, words: "no"}},
			words:  []string{"host: ubuntu@web-2\nsite: unchanged\n", "web-1: " + page + "\n"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := newFleet(t, 3)
			for i, f := range fleet {
				if tt.before[i] == '+' {
					f.closed = "1795428000"
				}
			}
			maps.Copy(fleet[1].faults, tt.faults)
			fleet[1].gone = tt.gone
			in := fleet.inputs()
			in.Operation, in.Maintenance = inputs.Maintenance, tt.on
			_, log, err := fleet.deploy(t, in)
			var failure *outcome.Failure
			if !errors.As(err, &failure) || failure.Site != tt.site || fleet.closed() != tt.after {
				t.Fatalf("%v; the page is up: %s, want %s\n%s", err, fleet.closed(), tt.after, log)
			}
			for _, words := range tt.words {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("the failure lacks %q:\n%v", words, err)
				}
			}
			if tt.not != "" && strings.Contains(err.Error(), tt.not) {
				t.Errorf("the failure has %q:\n%v", tt.not, err)
			}
			fleet[1].gone = false // what befell it is over
			for on, want := range map[bool]string{true: "+++", false: "---"} {
				in.Maintenance = on
				if _, log, err := fleet.deploy(t, in); err != nil || fleet.closed() != want {
					t.Errorf("the next run: %v; the page is up: %s\n%s", err, fleet.closed(), log)
				}
			}
		})
	}
}

// closed tells where visitors get the maintenance page: + or -, host by host.
func (fl fakeFleet) closed() string {
	all := ""
	for _, f := range fl {
		all += map[bool]string{true: "-", false: "+"}[f.closed == ""]
	}
	return all
}
