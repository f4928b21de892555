package deploy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

const (
	oldTimers = "nightly.aaaaaaaa"
	newTimers = "nightly.bbbbbbbb tick.cccccccc"
)

// scheduledHost has a release with a job, and makes others with two.
func scheduledHost(t *testing.T) *fakeHost {
	t.Helper()
	f := newFakeHost(t)
	f.madeTimers, f.timers[oldRelease], f.schedule = newTimers, oldTimers, oldTimers
	return f
}

func withJobs() *inputs.Inputs {
	in := testInputs()
	in.Jobs = []inputs.Job{
		{Name: "nightly", Command: "true", When: []string{"*-*-* 03:00:00 UTC"}},
		{Name: "tick", Command: "true", When: []string{"*-*-* *:*:00 UTC"}},
	}
	return in
}

// The timers change once the new version is proved, and go with a release that has none.
func TestTimersChangeWithTheRelease(t *testing.T) {
	f := scheduledHost(t)
	if _, log, err := deployTo(t, f, withJobs()); err != nil || f.schedule != newTimers ||
		!strings.Contains(log, "no workers; jobs by the clock: nightly tick") {
		t.Errorf("Run: %v, schedule %q\n%s", err, f.schedule, log)
	}
	if calls := strings.Join(f.calls, " "); !strings.Contains(calls, "verify workers 8080>8081 mark") {
		t.Errorf("calls %q", calls)
	}
	f = scheduledHost(t)
	f.madeTimers = ""
	if _, log, err := deployTo(t, f, testInputs()); err != nil || f.schedule != "" ||
		!strings.Contains(log, "jobs by the clock: none any more") {
		t.Errorf("Run: %v, schedule %q\n%s", err, f.schedule, log)
	}
	f, in := scheduledHost(t), withJobs()
	in.Operation, f.timers["20261121T000000Z-9999999"] = inputs.Rollback, "tick.dddddddd"
	if _, log, err := deployTo(t, f, in); err != nil || f.schedule != "tick.dddddddd" {
		t.Errorf("rollback: %v, schedule %q\n%s", err, f.schedule, log)
	}
}

// Whatever fails once the timers have changed: the old ones are set again, and the next run
// succeeds.
func TestTimersAreTakenBack(t *testing.T) {
	for _, strategy := range []inputs.Strategy{inputs.BlueGreen, inputs.InPlace} {
		for _, verb := range []scripts.Verb{scripts.Verify, scripts.Workers, scripts.Mark} {
			for _, kind := range []string{"error", "cancel", "panic"} {
				t.Run(fmt.Sprintf("%s/%s/%s", strategy, verb, kind), func(t *testing.T) {
					f, in := scheduledHost(t), withJobs()
					in.Strategy = strategy
					f.faults[verb] = fault{kind: kind, code: scripts.ExitCheck, words: "no"}
					result, log, err := deployTo(t, f, in)
					checkServing(t, f)
					if err == nil || result.Outcome != outcome.Restored || f.schedule != oldTimers {
						t.Fatalf("Run: %v, outcome %s, schedule %q\n%s", err, result.Outcome, f.schedule, log)
					}
					f.holder, f.faults = "", map[scripts.Verb]fault{}
					if _, log, err := deployTo(t, f, in); err != nil || f.schedule != newTimers {
						t.Errorf("the next run: %v, schedule %q\n%s", err, f.schedule, log)
					}
				})
			}
		}
	}
}

// A run that was cut off has left a part of the timers: the next run sets them, and so does the post
// step where the host had any.
func TestTimersOfACutOffRunAreSettled(t *testing.T) {
	for left, tidied := range map[string]string{
		"nightly.aaaaaaaa changing": oldTimers, newTimers + " changing": oldTimers, newTimers: oldTimers, "": oldTimers,
	} {
		for _, operation := range []inputs.Operation{inputs.Tidy, inputs.Setup} {
			f, in := scheduledHost(t), withJobs()
			in.Operation, f.schedule = operation, left
			want := oldTimers
			if operation == inputs.Tidy {
				want = tidied
			}
			if _, log, err := deployTo(t, f, in); err != nil || f.schedule != want {
				t.Errorf("%s, %q: %v, schedule %q, want %q\n%s", operation, left, err, f.schedule, want, log)
			}
		}
	}
}

func TestJobsNeedSystemd(t *testing.T) {
	f := newFakeHost(t)
	f.noSystemd = true
	_, _, err := deployTo(t, f, withJobs())
	if err == nil || !strings.Contains(err.Error(), "the input schedule needs systemd") || f.ran("setup") {
		t.Errorf("Run: %v, calls %v", err, f.calls)
	}
}

func TestStatusListsJobs(t *testing.T) {
	for state, want := range map[string]string{
		"":                        "job nightly: succeeded, Fri 2026-11-27 03:00:00 UTC; next: Sat 2026-11-28 03:00:00 UTC",
		"failed|exit-code|3":      "job nightly: failed (exit-code, status 3), Fri 2026-11-27 03:00:00 UTC; next: Sat",
		"activating|success|0":    "job nightly: runs, since Fri 2026-11-27 03:00:00 UTC",
		"inactive|success|0|n/a|": "",
	} {
		f, in := scheduledHost(t), withJobs()
		in.Operation, f.jobState = inputs.Status, state
		_, log, err := deployTo(t, f, in)
		if want == "" { // a line that is none
			if err == nil {
				t.Errorf("%q was taken\n%s", state, log)
			}
			continue
		}
		if err != nil || !strings.Contains(log, want) || strings.Contains(log, "::warning title=Jobs") {
			t.Errorf("%q: %v\n%s", state, err, log)
		}
	}
	if text := (job{name: "a", last: "n/a"}).text(); text != "job a: has not run yet since the boot or since its "+
		"timer was set; next: not set" {
		t.Error(text)
	}
	f, in := scheduledHost(t), withJobs()
	in.Operation, f.schedule = inputs.Status, oldTimers+" changing"
	if _, log, err := deployTo(t, f, in); err != nil ||
		!strings.Contains(log, "a run was cut off while it set their timers") {
		t.Errorf("Run: %v\n%s", err, log)
	}
}

// A job that failed is said once, and no failure.
func TestADeploymentWarnsOfFailedJobsOnce(t *testing.T) {
	f := scheduledHost(t)
	f.failedJobs = "nightly (exit-code, status 3)"
	_, log, err := deployTo(t, f, withJobs())
	if err != nil || strings.Count(log, "::warning title=Jobs of web-1::the last run of these jobs failed: nightly") != 1 {
		t.Errorf("Run: %v\n%s", err, log)
	}
}

// Other times or commands make another release of the same commit, and other times another timer.
func TestJobsAreInTheRecipe(t *testing.T) {
	recipe := func(jobs ...inputs.Job) string {
		in := testInputs()
		in.Jobs = jobs
		return assemble(&run{in: in}).recipe.of(&target{})
	}
	a := inputs.Job{Name: "a", Command: "x", When: []string{"*-*-* 03:00:00 UTC"}}
	other, later := a, a
	other.Command, later.When = "y", []string{"*-*-* 04:00:00 UTC"}
	seen := map[string]bool{recipe(): true, recipe(a): true, recipe(other): true, recipe(later): true}
	if len(seen) != 4 {
		t.Errorf("%d recipes", len(seen))
	}
	if timerOf(a) != timerOf(other) || timerOf(a) == timerOf(later) {
		t.Errorf("timers %s, %s, %s", timerOf(a), timerOf(other), timerOf(later))
	}
}

func TestThePlanHasTheJobs(t *testing.T) {
	for _, tt := range []struct {
		in   *inputs.Inputs
		op   inputs.Operation
		want string
	}{
		{withJobs(), inputs.Deploy, "set the timers of its jobs: nightly tick"},
		{testInputs(), inputs.Deploy, "take the timers of these jobs away: nightly"},
		{testInputs(), inputs.Rollback, "set the timers of the jobs that it was deployed with"},
	} {
		f := scheduledHost(t)
		tt.in.DryRun, tt.in.Operation = true, tt.op
		if _, log, err := deployTo(t, f, tt.in); err != nil || !strings.Contains(log, tt.want) {
			t.Errorf("Run: %v, want %q\n%s", err, tt.want, log)
		}
	}
}

// Of several hosts the first that takes part starts the jobs, whatever was before: where nothing else
// is to be done, too.
func TestTheFirstHostStartsTheJobs(t *testing.T) {
	schedules := func(fleet fakeFleet) string {
		var all []string
		for _, f := range fleet {
			all = append(all, f.schedule)
		}
		return strings.Join(all, "|")
	}
	fleet := newFleet(t, 3)
	in := fleet.inputs()
	in.Jobs = withJobs().Jobs
	for _, f := range fleet {
		f.madeTimers, f.timers[oldRelease] = newTimers, oldTimers
	}
	fleet[2].schedule = oldTimers
	if _, log, err := fleet.deploy(t, in); err != nil || schedules(fleet) != newTimers+"||" {
		t.Fatalf("Run: %v, schedules %s\n%s", err, schedules(fleet), log)
	}
	in.Hosts[0], in.Hosts[1] = in.Hosts[1], in.Hosts[0]
	in.Operation = inputs.Setup
	if _, log, err := fleet.deploy(t, in); err != nil || schedules(fleet) != "|"+newTimers+"|" {
		t.Fatalf("another order: %v, schedules %s\n%s", err, schedules(fleet), log)
	}
	in.Operation, in.SkipUnreachable, fleet[1].gone = inputs.Deploy, inputs.Share{Number: 1}, true
	in.Ref = strings.Repeat("d", 40)
	_, log, err := fleet.deploy(t, in)
	if err != nil || schedules(fleet) != newTimers+"|"+newTimers+"|" ||
		!strings.Contains(log, "::warning title=Jobs::if the jobs of the input schedule were started by web-2 until "+
			"now, they still are, as its version has them, and by web-1 too") {
		t.Errorf("one left out: %v, schedules %s\n%s", err, schedules(fleet), log)
	}
}

// A batch that is bad has the old timers set again.
func TestTimersOfABadBatchAreTakenBack(t *testing.T) {
	fleet := newFleet(t, 2)
	in := fleet.inputs()
	in.Jobs = withJobs().Jobs
	for _, f := range fleet {
		f.madeTimers, f.timers[oldRelease] = newTimers, oldTimers
	}
	fleet[0].schedule = oldTimers
	fleet[1].faults[scripts.Mark] = fault{kind: "error", code: scripts.ExitDisk, words: "no"}
	_, log, err := fleet.deploy(t, in)
	if err == nil || fleet[0].schedule != oldTimers || fleet[1].schedule != "" {
		t.Errorf("Run: %v, schedules %q, %q\n%s", err, fleet[0].schedule, fleet[1].schedule, log)
	}
}
