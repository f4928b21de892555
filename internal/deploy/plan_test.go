package deploy

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

func TestPlan(t *testing.T) {
	active := &state.Slot{
		Port: 8080, Flag: true, Listen: state.Ours, PID: 7, Release: "20261122T000000Z-aaaaaaa",
		Commit: oldCommit, Proved: true,
	}
	for _, tt := range []struct {
		name     string
		position state.Position
		change   func(*inputs.Inputs)
		want     []string // in this order
		not      string
	}{
		{
			"first",
			state.Position{Idle: state.Slot{Port: 8080}},
			nil,
			[]string{"fetch o/r at bbbbbbb", "start it on port 8080", "reload nginx once"},
			"drain",
		},
		{
			"next",
			state.Position{Active: active, Idle: state.Slot{Port: 8081}, Loaded: true},
			nil,
			[]string{
				"fetch", "start it on port 8081", "rename the flag, so that requests go to port 8081 instead of 8080",
				"drain port 8080 for 1s at most, and stop 20261122T000000Z-aaaaaaa",
			},
			"earlier run",
		},
		{
			"leftover",
			state.Position{Active: active, Idle: state.Slot{Port: 8081, PID: 9}, Loaded: true},
			nil,
			[]string{"what an earlier run left on port 8081", "fetch"},
			"",
		},
		{
			"rollback",
			state.Position{Active: active, Idle: state.Slot{Port: 8081}, Loaded: true},
			func(in *inputs.Inputs) { in.Operation, in.BeforeStart = inputs.Rollback, "migrate" },
			[]string{
				"choose the release: the newest", "run before-start if that release has never served: migrate",
				"start it on port 8081",
			},
			"fetch",
		},
		{
			"the same again",
			state.Position{Active: active, Idle: state.Slot{Port: 8081}, Loaded: true},
			func(in *inputs.Inputs) { in.Ref = oldCommit },
			[]string{"leave everything as it is"},
			"start",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := testInputs()
			if tt.change != nil {
				tt.change(in)
			}
			d := assemble(&run{in: in, op: operations[in.Operation].operation})
			active.Recipe = d.recipe.of(&target{})
			got := strings.Join(d.plan.of(&target{Position: tt.position}), "\n")
			rest := got
			for _, want := range tt.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Errorf("plan lacks %q where it belongs:\n%s", want, got)
				}
				rest = after
			}
			if tt.not != "" && strings.Contains(got, tt.not) {
				t.Errorf("plan has %q:\n%s", tt.not, got)
			}
		})
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	f := newFakeHost(t)
	f.holder = "another run"
	in := testInputs()
	in.DryRun = true
	result, log, err := deployTo(t, f, in)
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	if strings.Contains(result.Details, "install") {
		t.Errorf("details %q of a host that lacks nothing", result.Details)
	}
	if got := strings.Join(f.calls, ","); got != "check,port" || result.Outcome != outcome.Unchanged ||
		!strings.Contains(result.Details, "rename the flag") {
		t.Errorf("calls %s, outcome %s, details %q", got, result.Outcome, result.Details)
	}
}

// Nothing is installed on a host that is refused for another reason.
func TestNothingIsInstalledBeforeAllElseIsRight(t *testing.T) {
	for _, verb := range []scripts.Verb{scripts.Lock, scripts.Check, scripts.Port} {
		f, in := newFakeHost(t), testInputs()
		f.missing = "git unzip"
		f.faults[verb] = fault{kind: "error", code: scripts.ExitCheck, words: "no"}
		if _, log, err := deployTo(t, f, in); err == nil || f.missing == "" {
			t.Errorf("%s: Run: %v, %q is still missing\n%s", verb, err, f.missing, log)
		}
	}
}

// What is missing and can be installed is the next deployment's to install, and no reason not to
// look on.
func TestWhatIsMissingIsPartOfThePlan(t *testing.T) {
	d := assemble(&run{in: testInputs(), op: operations[inputs.Deploy].operation})
	active := &state.Slot{
		Port: 8080, Flag: true, Listen: state.Ours, PID: 7, Release: "20261122T000000Z-bbbbbbb",
		Commit: d.in.Ref, Proved: true,
	}
	serving := &target{found: found{coming: "ffmpeg"}, Position: state.Position{Active: active, Loaded: true}}
	serving.Active.Recipe = d.recipe.of(serving)
	if got := strings.Join(d.plan.of(serving), "\n"); !strings.HasPrefix(got,
		"install ffmpeg\nleave everything as it is") {
		t.Errorf("plan for a release that serves already:\n%s", got)
	}
	for _, tt := range []struct {
		name   string
		change func(*inputs.Inputs)
		want   string // in the log
	}{
		{"dry run", func(in *inputs.Inputs) { in.DryRun = true }, "; the next deployment installs git unzip"},
		{"check", func(in *inputs.Inputs) { in.Operation = inputs.Check }, "; the next deployment installs git unzip"},
		{"deployment", func(*inputs.Inputs) {}, "; installed git unzip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, in := newFakeHost(t), testInputs()
			f.missing = "git unzip"
			tt.change(in)
			result, log, err := deployTo(t, f, in)
			if err != nil || !f.ran("port") || !strings.Contains(log, tt.want) {
				t.Errorf("Run: %v, calls %v\n%s", err, f.calls, log)
			}
			if in.DryRun && !strings.Contains(result.Details, "1. install git unzip\n2. fetch") {
				t.Errorf("details %q", result.Details)
			}
		})
	}
}
