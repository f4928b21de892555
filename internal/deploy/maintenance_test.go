package deploy

import (
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
		if result.Outcome != run.outcome || h.Maintenance != run.on || h.Release != "20261122T000000Z-aaaaaaa" ||
			strings.Contains(h.Serving, "maintenance page") != run.on {
			t.Errorf("on %t: outcome %s, host %+v", run.on, result.Outcome, h)
		}
		if strings.Contains(log, "leaves that so") {
			t.Errorf("it says that it leaves as it is what it changes:\n%s", log)
		}
	}
}

func TestEveryOtherRunSaysThatTheSiteIsInMaintenance(t *testing.T) {
	for _, operation := range []inputs.Operation{inputs.Deploy, inputs.Rollback, inputs.Setup, inputs.Status, inputs.Check} {
		f := newFakeHost(t)
		f.closed = "1795428000"
		in := testInputs()
		in.Operation = operation
		result, log, err := deployTo(t, f, in)
		if err != nil || f.closed == "" || strings.Count(log, "the site is in maintenance since 2026-11-23 10:00:00 UTC") != 1 {
			t.Errorf("%s: %v\n%s", operation, err, log)
		}
		if h := result.Hosts[0]; !h.Maintenance || !strings.HasSuffix(h.Serving, ", and visitors get the maintenance page") {
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
		!strings.Contains(err.Error(), "site: unchanged") || f.holder != "" || f.ran("record") {
		t.Errorf("Run: %v; calls %v\n%s", err, f.calls, log)
	}
}
