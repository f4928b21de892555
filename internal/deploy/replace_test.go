package deploy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

func inPlaceInputs() *inputs.Inputs {
	in := testInputs()
	in.Strategy = inputs.InPlace
	return in
}

func TestOneVersionAtATime(t *testing.T) {
	f := newFakeHost(t)
	result, log, err := deployTo(t, f, inPlaceInputs())
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	want := []string{
		"lock", "check", "port", "setup", "fetch", "build", "site", "replace", "verify", "mark", "prune", "record",
	}
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	h := result.Hosts[0]
	if result.Outcome != outcome.Deployed || f.flag != "8081" || f.running["8080"] || h.ActivePort != 8081 ||
		h.PreviousPort != 8080 {
		t.Errorf("outcome %s, flag %s, running %v, host %+v", result.Outcome, f.flag, f.running, h)
	}
}

func TestAReplacementIsTakenBack(t *testing.T) {
	old := "20261122T000000Z-aaaaaaa"
	for _, tt := range []struct {
		name  string
		fault scripts.Verb
		calls string
	}{
		{"by the host itself", scripts.Replace, "replace restore"},
		{"by this run", scripts.Verify, "replace verify resume restore"},
		{"at the last", scripts.Mark, "replace verify mark resume restore"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			f.faults[tt.fault] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
			result, log, err := deployTo(t, f, inPlaceInputs())
			if err == nil || result.Outcome != outcome.Restored ||
				!strings.Contains(err.Error(), "site: restored; "+old+" on port 8081 serves") ||
				!strings.Contains(err.Error(), "answered 500") || !strings.Contains(err.Error(), "/logs/8081.log") {
				t.Errorf("Run: %v\n%s", err, log)
			}
			if calls := strings.Join(f.calls, " "); !strings.Contains(calls, tt.calls) {
				t.Errorf("calls %q", calls)
			}
			if f.flag != "8081" || f.releases["8081"] != old || f.running["8080"] {
				t.Errorf("flag %s, releases %v, running %v", f.flag, f.releases, f.running)
			}
		})
	}
}

// The old version was ended and started again, also where it is healthy only when this run asks.
func TestAReplacementGoesBackSlowly(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Replace] = fault{kind: "slow-back"}
	result, log, err := deployTo(t, f, inPlaceInputs())
	if err == nil || result.Outcome != outcome.Restored ||
		!strings.Contains(err.Error(), "site: restored; 20261122T000000Z-aaaaaaa on port 8080 serves") {
		t.Errorf("%s, %v\n%s", result.Outcome, err, log)
	}
}

// Once the old version was started in its place, the new one may answer nobody, however that ended.
func TestAReplacementThatTheOldVersionDoesNotSurvive(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Verify] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
	f.faults[scripts.Resume] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "no such column"}
	result, log, err := deployTo(t, f, inPlaceInputs())
	if err == nil || !strings.Contains(err.Error(), "taking it back failed too: replace: no such column") ||
		!strings.Contains(err.Error(), "site: unknown") {
		t.Fatalf("%v\n%s", err, log)
	}
	if h := result.Hosts[0]; h.Outcome != outcome.Failed || h.ActivePort != 0 {
		t.Errorf("%+v", h)
	}
}

// Where the host refuses before the old version is stopped, nothing has to be restored.
func TestAReplacementThatDoesNotBegin(t *testing.T) {
	for _, verb := range []scripts.Verb{scripts.Site, scripts.Replace} {
		f := newFakeHost(t)
		f.faults[verb] = fault{kind: "error", code: scripts.ExitCheck, words: "no rights"}
		result, log, err := deployTo(t, f, inPlaceInputs())
		if err == nil || result.Outcome != outcome.Failed ||
			!strings.Contains(err.Error(), "site: unchanged; 20261122T000000Z-aaaaaaa on port 8080 serves") {
			t.Errorf("%s: Run: %v\n%s", verb, err, log)
		}
		if f.flag != "8080" || !f.running["8080"] || f.running["8081"] || !f.ran("resume") {
			t.Errorf("%s: flag %s, running %v, calls %v", verb, f.flag, f.running, f.calls)
		}
	}
}

func TestAFirstReplacementIsTakenBack(t *testing.T) {
	for _, verb := range []scripts.Verb{scripts.Replace, scripts.Verify, scripts.Mark} {
		f := newFakeHost(t)
		f.flag, f.loaded = "", false
		clear(f.running)
		f.faults[verb] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
		result, log, err := deployTo(t, f, inPlaceInputs())
		if err == nil || result.Outcome != outcome.Failed || f.flag != "" || len(f.running) > 0 {
			t.Errorf("%s: Run: %v, flag %q, running %v\n%s", verb, err, f.flag, f.running, log)
		}
	}
}

func TestOneVersionAtATimeIsRefused(t *testing.T) {
	f := newFakeHost(t)
	f.byHand, f.loaded, f.flag = "8080", false, ""
	if _, log, err := deployTo(t, f, inPlaceInputs()); err == nil ||
		!strings.Contains(err.Error(), "was started by hand, and could not be started again") ||
		!f.running["8080"] {
		t.Errorf("Run: %v\n%s", err, log)
	}
}

// An old version that is started again, and is not healthy by what this run asks, does not keep out the
// release that may be the remedy.
func TestADeploymentGoesOnWhereTheOldVersionIsUnwell(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault fault
		fails bool
	}{
		{"unhealthy", fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 404"}, false},
		{"not started at all", fault{kind: "error", code: scripts.ExitStart, words: "no such release"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			delete(f.running, "8080") // as a run leaves it whose release and whose old version were bad
			f.releases["8080"], f.proved["8080"], f.sockets["8081"] = "20261122T000000Z-aaaaaaa", true, true
			f.flag, f.running["8081"], f.releases["8081"] = "8081", true, "20261122T000000Z-ccccccc"
			f.faults[scripts.Resume] = tt.fault
			_, log, err := deployTo(t, f, inPlaceInputs())
			if (err != nil) != tt.fails || f.ran("replace") == tt.fails {
				t.Fatalf("Run: %v, calls %v\n%s", err, f.calls, log)
			}
			const says = "20261122T000000Z-aaaaaaa was started again, on port 8081, and is not healthy by what this run asks: " +
				"answered 404; the run goes on"
			if !tt.fails && (!strings.Contains(log, says) || f.flag != "8080" || f.running["8081"]) {
				t.Errorf("flag %s, running %v, want %q in\n%s", f.flag, f.running, says, log)
			}
		})
	}
}
