package deploy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

const oldRelease = "20261122T000000Z-aaaaaaa"

// workingHost has a release with workers, and makes others with the same.
func workingHost(t *testing.T) *fakeHost {
	t.Helper()
	f := newFakeHost(t)
	f.made, f.has[oldRelease], f.workers["8080"] = "mailer", "mailer", oldRelease+" mailer"
	return f
}

func withWorkers() *inputs.Inputs {
	in := testInputs()
	in.Processes = []inputs.Process{{Name: "mailer", Command: "python3 -m mailer"}}
	return in
}

// The workers change when the new version is proved through nginx and before it is marked, and only
// where there are any.
func TestWorkersChangeBetweenVerifyAndMark(t *testing.T) {
	with := func(strategy inputs.Strategy) *inputs.Inputs {
		in := withWorkers()
		in.Strategy = strategy
		return in
	}
	for _, tt := range []struct {
		name  string
		in    *inputs.Inputs
		host  func(f *fakeHost)
		calls string // some of them
		runs  string // of the new release
	}{
		{"both versions have them", with(inputs.BlueGreen), nil, "verify workers 8080>8081 mark drain 8080", "mailer"},
		{"one version at a time", with(inputs.InPlace), nil, "replace verify workers 8080>8081 mark prune", "mailer"},
		{
			"only the new one", with(inputs.BlueGreen), func(f *fakeHost) { clear(f.has); clear(f.workers) },
			"verify workers 8080>8081 mark", "mailer",
		},
		{
			"only the old one", testInputs(), func(f *fakeHost) { f.made = "" },
			"verify workers 8080>8081 mark", "",
		},
		{
			"none", testInputs(), func(f *fakeHost) { f.made = ""; clear(f.has); clear(f.workers) },
			"setup fetch build start 8081 health site switch 8080>8081 verify mark drain 8080 stop 8080", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := workingHost(t)
			if tt.host != nil {
				tt.host(f)
			}
			result, log, err := deployTo(t, f, tt.in)
			if err != nil || result.Outcome != outcome.Deployed || f.together {
				t.Fatalf("Run: %v, outcome %s, two versions at once %t\n%s", err, result.Outcome, f.together, log)
			}
			if calls := strings.Join(f.calls, " "); !strings.Contains(calls, tt.calls) {
				t.Errorf("calls %q, want %q among them", calls, tt.calls)
			}
			checkWorkers(t, f, tt.runs)
		})
	}
}

// Workers that are left out end by a unit with this run's stop-timeout, since that is how long they
// are waited for.
func TestTheUnitOfWorkersIsWrittenWhileThereAreAny(t *testing.T) {
	in := testInputs()
	in.StopTimeout = 7 * time.Second
	for _, tt := range []struct {
		name   string
		change func(f *fakeHost)
		want   bool
	}{
		{"of the active release", func(*fakeHost) {}, true},
		{"left on the idle slot", func(f *fakeHost) {
			clear(f.has)
			clear(f.workers)
			f.workers["8081"] = "20261120T000000Z-bbbbbbb mailer"
		}, true},
		{"none", func(f *fakeHost) { clear(f.has); clear(f.workers) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := workingHost(t)
			f.made = ""
			tt.change(f)
			if _, log, err := deployTo(t, f, in); err != nil {
				t.Fatalf("Run: %v\n%s", err, log)
			}
			unit := f.sent[scripts.Setup]["process_template"]
			if strings.Contains(unit, "\nTimeoutStopSec=7\n") != tt.want || !tt.want && unit != "" {
				t.Errorf("setup writes %q", unit)
			}
			if thorough := f.sent[scripts.Setup]["thorough"]; thorough != "no" {
				t.Errorf("a deployment asks for root to clear up: %q", thorough)
			}
		})
	}
}

// checkWorkers wants those of the active release, and no others, and so with its timers.
func checkWorkers(t *testing.T, f *fakeHost, names string) {
	t.Helper()
	want := map[string]string{}
	if names != "" {
		want[f.flag] = f.released(f.flag) + " " + names
	}
	if fmt.Sprint(f.workers) != fmt.Sprint(want) {
		t.Errorf("workers %v, want %v", f.workers, want)
	}
	if want := f.timers[f.released(f.flag)]; f.schedule != want {
		t.Errorf("timers %q, want %q", f.schedule, want)
	}
}

// Overlapping, those of two versions run at once.
func TestWorkersThatOverlap(t *testing.T) {
	f, in := workingHost(t), withWorkers()
	in.Overlap = true
	if _, log, err := deployTo(t, f, in); err != nil || !f.together {
		t.Errorf("Run: %v, two versions at once %t\n%s", err, f.together, log)
	}
	checkWorkers(t, f, "mailer")
}

// Whatever fails once the workers have changed: the old ones run again, requests go back first, and
// the next run succeeds.
func TestWorkersAreTakenBack(t *testing.T) {
	for _, strategy := range []inputs.Strategy{inputs.BlueGreen, inputs.InPlace} {
		for _, verb := range []scripts.Verb{scripts.Verify, scripts.Workers, scripts.Mark} {
			for _, kind := range []string{"error", "cancel", "panic", "lost-before", "lost-after"} {
				t.Run(fmt.Sprintf("%s/%s/%s", strategy, verb, kind), func(t *testing.T) {
					f, in := workingHost(t), withWorkers()
					in.Strategy = strategy
					f.faults[verb] = fault{kind: kind, code: scripts.ExitWorker, words: "queue: no such host\nmailer did not stay up"}
					result, log, err := deployTo(t, f, in)
					checkServing(t, f)
					if strings.HasPrefix(kind, "lost") {
						if err != nil || result.Outcome != outcome.Deployed {
							t.Fatalf("Run: %v\n%s", err, log)
						}
					} else if err == nil || result.Outcome != outcome.Restored || f.released(f.flag) != oldRelease {
						t.Fatalf("Run: %v, outcome %s, flag %s\n%s", err, result.Outcome, f.flag, log)
					}
					checkWorkers(t, f, "mailer")
					if calls := strings.Join(f.calls, " "); verb == scripts.Workers && kind == "error" {
						if want := "switch 8081>8080 restore workers 8081>8080"; strategy == inputs.BlueGreen &&
							!strings.Contains(calls, want) {
							t.Errorf("calls %q, want %q among them", calls, want)
						}
						if !strings.Contains(err.Error(), "queue: no such host") ||
							!strings.Contains(err.Error(), "the Procfile, and push again") {
							t.Errorf("message:\n%v", err)
						}
					}
					f.holder, f.faults = "", map[scripts.Verb]fault{}
					if _, log, err := deployTo(t, f, in); err != nil {
						t.Errorf("the next run: %v\n%s", err, log)
					}
					checkWorkers(t, f, "mailer")
				})
			}
		}
	}
}

// What a run that was cut off has left of the workers is put right by the next one, whatever it
// deploys, and by the post step.
func TestWorkersOfACutOffRunAreSettled(t *testing.T) {
	for name, left := range map[string]map[string]string{
		"the old ones have ended":           {},
		"new ones were started":             {"8081": "20261123T000000Z-bbbbbbb mailer"},
		"both run":                          {"8080": oldRelease + " mailer", "8081": "20261123T000000Z-bbbbbbb mailer"},
		"the old ones were being ended":     {"8080": oldRelease + "-changing mailer"},
		"of the slot's release from before": {"8080": "20261121T000000Z-9999999 mailer"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, operation := range []inputs.Operation{inputs.Tidy, inputs.Deploy, inputs.Setup} {
				f, in := workingHost(t), withWorkers()
				in.Operation = operation
				f.workers = map[string]string{}
				for port, w := range left {
					f.workers[port] = w
				}
				if _, log, err := deployTo(t, f, in); err != nil {
					t.Fatalf("%s: %v\n%s", operation, err, log)
				}
				if !f.ran("workers 8081>8080") {
					t.Errorf("%s: calls %v", operation, f.calls)
				}
				checkWorkers(t, f, "mailer")
			}
		})
	}
}

// A rollback has the workers of the release it goes to.
func TestARollbackBringsItsReleasesWorkers(t *testing.T) {
	f, in := workingHost(t), withWorkers()
	in.Operation = inputs.Rollback
	f.has["20261121T000000Z-9999999"] = "sweeper"
	if _, log, err := deployTo(t, f, in); err != nil || f.released(f.flag) != "20261121T000000Z-9999999" {
		t.Fatalf("Run: %v, flag %s, releases %v\n%s", err, f.flag, f.releases, log)
	}
	checkWorkers(t, f, "sweeper")
}

func TestWorkersNeedSystemd(t *testing.T) {
	f := newFakeHost(t)
	f.noSystemd = true
	_, _, err := deployTo(t, f, withWorkers())
	if err == nil || !strings.Contains(err.Error(), "the input processes needs systemd") || f.ran("setup") {
		t.Errorf("Run: %v, calls %v", err, f.calls)
	}
}

// Who asks for the status, or for a check, is told of the workers, and warned of those that should
// run and do not.
func TestStatusAndCheckListWorkers(t *testing.T) {
	for _, operation := range []inputs.Operation{inputs.Status, inputs.Check} {
		for _, tt := range []struct {
			host func(f *fakeHost)
			want []string
		}{
			{nil, []string{"worker mailer of port 8080: running, up for 1m1s, started again 2 times, 12 MB"}},
			{
				func(f *fakeHost) { f.workerState = "auto-restart" },
				[]string{
					"worker mailer of port 8080: auto-restart",
					"::warning title=Workers of web-1::these processes do not run: mailer (auto-restart)",
				},
			},
			{
				func(f *fakeHost) { clear(f.workers) },
				[]string{"::warning title=Workers of web-1::those that run are not those of the active release"},
			},
		} {
			f, in := workingHost(t), withWorkers()
			in.Operation = operation
			if tt.host != nil {
				tt.host(f)
			}
			_, log, err := deployTo(t, f, in)
			if err != nil || tt.host == nil && strings.Contains(log, "::warning title=Workers") {
				t.Errorf("%s: %v\n%s", operation, err, log)
			}
			for _, want := range tt.want {
				if !strings.Contains(log, want) {
					t.Errorf("%s: %q is not in\n%s", operation, want, log)
				}
			}
		}
	}
}

// Other processes make another release of the same commit; none leave it what it was before there
// were any.
func TestProcessesAreInTheRecipe(t *testing.T) {
	recipe := func(change func(in *inputs.Inputs)) string {
		in := testInputs()
		change(in)
		return assemble(&run{in: in}).recipe.of(&target{})
	}
	seen := map[string]string{}
	for name, change := range map[string]func(in *inputs.Inputs){
		"none":            func(*inputs.Inputs) {},
		"one":             func(in *inputs.Inputs) { in.Processes = withWorkers().Processes },
		"another command": func(in *inputs.Inputs) { in.Processes = []inputs.Process{{Name: "mailer", Command: "x"}} },
		"of the Procfile": func(in *inputs.Inputs) { in.Procfile = true },
	} {
		if other := seen[recipe(change)]; other != "" {
			t.Errorf("%s is made as %s", name, other)
		}
		seen[recipe(change)] = name
	}
	if overlap := recipe(func(in *inputs.Inputs) { in.Overlap = true }); seen[overlap] != "none" {
		t.Error("how workers change is no part of a release")
	}
}

func TestThePlanHasTheWorkers(t *testing.T) {
	f, in := workingHost(t), withWorkers()
	in.DryRun, in.Procfile = true, true
	_, log, err := deployTo(t, f, in)
	if err != nil || !strings.Contains(log, "end the workers of "+oldRelease+": mailer") ||
		!strings.Contains(log, "start its workers, and see that they stay up for 0s: mailer and what the Procfile names") {
		t.Errorf("Run: %v\n%s", err, log)
	}
}
