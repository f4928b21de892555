package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// theStamp is in the ids of the releases that tests make; they are newer than those that are there.
const theStamp = "20261123T000000Z"

func init() { stampOf = func(time.Time) string { return theStamp } }

func testInputs() *inputs.Inputs {
	return &inputs.Inputs{
		Hosts: []remote.Host{{
			User: "ubuntu", Name: "web-1",
			Port: 22,
		}}, ConnectTimeout: time.Second, Timeout: time.Minute, LockTimeout: time.Second,
		App: "ai-server", Path: "/home/ubuntu/ai-server", Repository: "o/r", Ref: newCommit, Source: inputs.Git,
		ServerURL: "https://github.com", Start: "serve", Strategy: inputs.BlueGreen,
		Ports: [2]uint16{8080, 8081}, Health: inputs.Health{
			Path: "/health", Status: 200, Timeout: time.Second,
			Host: "localhost",
		},
		DrainTimeout: time.Second, StopTimeout: time.Second, ServerName: "_",
		NginxInclude: "/etc/nginx/conf.d/service-url.inc", KeepReleases: 5,
		MaxBodySize: "100m", ResponseTimeout: 5 * time.Minute,
		Operation: inputs.Deploy, Run: inputs.Run{ID: "7", Number: "3", Actor: "ada"},
	}
}

// deployTo runs on a clock of its own, on which no time passes while anything is done: however busy
// the machine is, patience ends only for a host that never answers.
func deployTo(t *testing.T, f *fakeHost, in *inputs.Inputs) (result *outcome.Result, log string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { result, log, err = deployHere(t, f, in) })
	return result, log, err
}

// deployHere is deployTo on the clock of a test that has its own.
func deployHere(t *testing.T, f *fakeHost, in *inputs.Inputs) (*outcome.Result, string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.cancel = cancel
	var log bytes.Buffer
	rep := report.New(&log, func(string) string { return "" })
	d := New(in, rep, f.dial, f.open, time.Now())
	d.patience = 20 * time.Millisecond
	result, err := d.Run(ctx)
	return result, log.String(), err
}

func TestDeploymentIsThisList(t *testing.T) {
	f := newFakeHost(t)
	in := testInputs()
	in.BeforeStart, in.AfterSwitch = "migrate", "warm-up"
	result, log, err := deployTo(t, f, in)
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	want := []string{
		"lock", "check", "port", "setup", "fetch", "build", "before-start", "start 8081", "health", "site",
		"switch 8080>8081", "verify", "mark",
		"after-switch", "drain 8080", "stop 8080", "prune", "record",
	}
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if result.Outcome != outcome.Deployed || f.flag != "8081" || f.running["8080"] || f.holder != "" {
		t.Errorf("outcome %s, flag %s, old runs %t, lock held by %q", result.Outcome, f.flag, f.running["8080"],
			f.holder)
	}
	h := result.Hosts[0]
	if h.ActivePort != 8081 || h.PreviousPort != 8080 || h.PreviousRelease != "20261122T000000Z-aaaaaaa" ||
		h.Commit != newCommit || h.Reloaded {
		t.Errorf("host result %+v", h)
	}
}

func TestTheLogTellsTheWayAndThatNobodyLooked(t *testing.T) {
	in := testInputs()
	in.Jumps = []remote.Jump{{Host: remote.Host{User: "ops", Name: "bastion", Port: 2222}}}
	_, log, err := deployTo(t, newFakeHost(t), in)
	if err != nil || !strings.Contains(log, "ubuntu@web-1, through ops@bastion:2222, fake") ||
		strings.Contains(log, "insecure-skip") {
		t.Errorf("Run: %v\n%s", err, log)
	}
	in.KeyInsecure = true
	if _, log, err = deployTo(t, newFakeHost(t), in); err != nil ||
		!strings.Contains(log, "::warning title=Nobody knows who web-1 is::") {
		t.Errorf("Run: %v\n%s", err, log)
	}
}

func TestAnApplicationThatAnybodyReachesIsAWarning(t *testing.T) {
	f := newFakeHost(t)
	for _, public := range []bool{false, true} {
		f.public = public
		_, log, err := deployTo(t, f, testInputs())
		if err != nil || strings.Contains(log, "gets past nginx") != public {
			t.Errorf("listens on every address: %t; Run: %v\n%s", public, err, log)
		}
	}
}

func TestSetupIsThisListAndDeploysNothing(t *testing.T) {
	f := newFakeHost(t)
	f.flag, f.running, f.loaded, f.lacks = "", map[string]bool{}, false, true
	in := testInputs()
	in.Operation = inputs.Setup
	in.Assets = []inputs.Asset{{Bucket: "b", Key: "k", Path: "p"}} // not looked up
	for _, want := range []outcome.Outcome{outcome.SetUp, outcome.Unchanged} {
		f.calls = nil
		result, log, err := deployTo(t, f, in)
		if err != nil {
			t.Fatalf("Run: %v\n%s", err, log)
		}
		if diff := cmp.Diff([]string{"lock", "check", "port", "setup", "site"}, f.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if result.Outcome != want || f.flag != "" || f.holder != "" || f.sent[scripts.Setup]["thorough"] != "yes" ||
			!strings.Contains(log, "answers 502 until the first deployment") {
			t.Errorf("outcome %s, want %s; flag %q, lock held by %q\n%s", result.Outcome, want, f.flag, f.holder, log)
		}
	}
	f.holder, in.DryRun = "another run", true
	if result, log, err := deployTo(t, f, in); err != nil ||
		!strings.Contains(result.Details, "reload nginx once, unless") {
		t.Errorf("dry run: %v\n%s", err, log)
	}
}

// A setup that fails says so and writes no history of deployments; the next one succeeds.
func TestSetupFailingInEveryWay(t *testing.T) {
	for _, verb := range []scripts.Verb{scripts.Lock, scripts.Check, scripts.Port, scripts.Setup, scripts.Site} {
		for _, kind := range []string{"error", "cancel", "gone-before", "gone-after", "panic"} {
			t.Run(fmt.Sprintf("%s/%s", verb, kind), func(t *testing.T) {
				f := newFakeHost(t)
				f.faults[verb] = fault{kind: kind, code: scripts.ExitNotRouted, words: "nginx says: no\nthe reason"}
				in := testInputs()
				in.Operation = inputs.Setup
				result, _, err := deployTo(t, f, in)
				var failure *outcome.Failure
				if !errors.As(err, &failure) || result.Outcome != outcome.Failed ||
					failure.Site != outcome.SiteUnchanged || len(f.recorded) > 0 {
					t.Errorf("err %v, outcome %s, recorded %q", err, result.Outcome, f.recorded)
				}
				checkServing(t, f)
				f.gone, f.holder, f.faults = false, "", map[scripts.Verb]fault{}
				if _, log, err := deployTo(t, f, in); err != nil {
					t.Errorf("the next run: %v\n%s", err, log)
				}
			})
		}
	}
}

// again are the inputs of a deployment of what is active.
func again(t *testing.T) *inputs.Inputs {
	t.Helper()
	in := testInputs()
	in.Ref = oldCommit
	activeRecipe = assemble(&run{in: in}).recipe.of(&target{})
	t.Cleanup(func() { activeRecipe = "other" })
	return in
}

func TestSameReleaseChangesNothing(t *testing.T) {
	f := newFakeHost(t)
	result, log, err := deployTo(t, f, again(t))
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	want := []string{"lock", "check", "port", "setup", "fetch", "confirm", "record"}
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if result.Outcome != outcome.Unchanged || f.flag != "8080" ||
		!strings.Contains(log, "20261122T000000Z-aaaaaaa answers right") {
		t.Errorf("outcome %s, flag %s\n%s", result.Outcome, f.flag, log)
	}
}

var ails = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}

func TestSameReleaseThatAilsIsStartedAnew(t *testing.T) {
	for _, operation := range []inputs.Operation{inputs.Deploy, inputs.Rollback} {
		t.Run(string(operation), func(t *testing.T) {
			f := newFakeHost(t)
			f.faults[scripts.Confirm] = ails
			in := again(t)
			want, became := "fetch,confirm,fetch,build,start 8081", outcome.Deployed
			if in.Operation = operation; operation == inputs.Rollback {
				in.Release = "20261122T000000Z-aaaaaaa"
				want, became = "releases,confirm,start 8081", outcome.RolledBack
			}
			result, log, err := deployTo(t, f, in)
			if err != nil {
				t.Fatalf("Run: %v\n%s", err, log)
			}
			if !strings.Contains(strings.Join(f.calls, ","), want) || result.Outcome != became || f.flag != "8081" ||
				f.running["8080"] {
				t.Errorf("outcome %s, flag %s, calls %v, want %s", result.Outcome, f.flag, f.calls, want)
			}
			if !strings.Contains(log, "is active and not healthy, so it is started anew beside itself: answered 500") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

func TestAnAilingReleaseIsNotSaidToBeWell(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Confirm], f.faults[scripts.Health], f.unwell = ails, ails, true
	_, _, err := deployTo(t, f, again(t))
	if err == nil || !strings.Contains(err.Error(), "site: unchanged; it does not answer right, as it did not when "+
		"this run began (answered 502); 20261122T000000Z-aaaaaaa on port 8080 is active") {
		t.Errorf("err = %v", err)
	}
}

// What serves is said as it is when a run fails, whatever it was when it began: a command of the
// workflow's may have stopped it.
func TestAFailureAsksTheSite(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(*fakeHost)
		want string
	}{
		{"all is well", func(*fakeHost) {}, "site: unchanged; 20261122T000000Z-aaaaaaa on port 8080 serves\n"},
		{
			"it was stopped", func(f *fakeHost) { delete(f.running, "8080") },
			"site: unchanged; it is down (answered 502): nothing of 20261122T000000Z-aaaaaaa on port 8080 listens\n",
		},
		{
			"it answers otherwise", func(f *fakeHost) { f.unwell = true },
			"site: unchanged; it does not answer right (answered 502); 20261122T000000Z-aaaaaaa on port 8080 is " +
				"active\n",
		},
		{
			"it can't be asked",
			func(f *fakeHost) { f.faults[scripts.Ask] = fault{kind: "error", code: 1, words: "no"} },
			" on port 8080 serves, as far as is known: it could not be asked\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			f.faults[scripts.Health] = ails
			tt.then(f)
			if _, _, err := deployTo(t, f, testInputs()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v\nwant %q", err, tt.want)
			}
		})
	}
}

// The operation status tells the truth of this moment, and fails when the site is down.
func TestStatusAsksTheSite(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(*fakeHost, *inputs.Inputs)
		want []string
		fail string
	}{
		{
			"it is up", func(*fakeHost, *inputs.Inputs) {},
			[]string{"GET /health through nginx answered 200", "8080  active  right", "1d1h", "9 MB", "venvs 119 MB"},
			"",
		},
		{
			"it is down", func(f *fakeHost, _ *inputs.Inputs) { f.unwell = true },
			[]string{"the site does not answer right", "20261121T000000Z-9999999"},
			"up: the site is down: GET /health for localhost through nginx: answered 502",
		},
		{
			"it may be", func(f *fakeHost, in *inputs.Inputs) { f.unwell, in.AllowDown = true, true },
			[]string{"the site does not answer right"},
			"",
		},
		{
			"nothing was deployed", func(f *fakeHost, _ *inputs.Inputs) { f.flag, f.running = "", map[string]bool{} },
			[]string{"nothing was deployed yet"},
			"",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, in := newFakeHost(t), testInputs()
			in.Operation = inputs.Status
			tt.then(f, in)
			_, log, err := deployTo(t, f, in)
			if (err != nil) != (tt.fail != "") || err != nil &&
				(!strings.Contains(err.Error(), tt.fail) || !strings.Contains(err.Error(), `input "allow-down"`)) {
				t.Errorf("err = %v, want %q", err, tt.fail)
			}
			for _, want := range tt.want {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q:\n%s", want, log)
				}
			}
		})
	}
}

func TestAHostThatCannotBeAskedIsAFailure(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Confirm] = fault{kind: "gone-before"}
	result, log, err := deployTo(t, f, again(t))
	if err == nil || result.Outcome != outcome.Failed || f.flag != "8080" {
		t.Errorf("err %v, outcome %s, flag %s\n%s", err, result.Outcome, f.flag, log)
	}
}

func TestFirstDeploymentFailingLeavesNothingActive(t *testing.T) {
	f := newFakeHost(t)
	f.flag, f.running, f.loaded = "", map[string]bool{}, false
	f.faults[scripts.Verify] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
	result, log, err := deployTo(t, f, testInputs())
	if err == nil || result.Outcome != outcome.Failed || f.flag != "" || len(f.running) > 0 {
		t.Errorf("err %v, outcome %s, flag %q, running %v\n%s", err, result.Outcome, f.flag, f.running, log)
	}
	if !f.ran("switch 8080>") || !f.ran("restore") {
		t.Errorf("calls %v", f.calls)
	}
}

// Failures in a row must not fill the disk: what is pruned after one spares the active release,
// this one and what has come of its assets.
func TestAFailedRunPrunes(t *testing.T) {
	const active, failed = "20261122T000000Z-aaaaaaa", "20261123T000000Z-bbbbbbb"
	for _, tt := range []struct{ name, kind, live, keep string }{
		{"success", "", "yes", failed + " " + active},
		{"failure", "error", "no", failed + " " + active},
		{"cancelled, with no time to spare", "cancel", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			if tt.kind != "" {
				f.faults[scripts.Health] = fault{kind: tt.kind, code: scripts.ExitDied, words: "exited"}
			}
			if _, _, err := deployTo(t, f, testInputs()); (err == nil) != (tt.kind == "") {
				t.Errorf("err = %v", err)
			}
			if f.pruned["live"] != tt.live || f.pruned["keep"] != tt.keep {
				t.Errorf("pruned with %v, want live %q and keep %q", f.pruned, tt.live, tt.keep)
			}
		})
	}
}

func TestLeftoverInTheIdleSlotIsDrainedAndStopped(t *testing.T) {
	f := newFakeHost(t)
	f.running["8081"] = true
	if _, log, err := deployTo(t, f, testInputs()); err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	if !strings.HasPrefix(strings.Join(f.calls, ","), "lock,check,port,setup,drain 8081,stop 8081,fetch") {
		t.Errorf("calls %v", f.calls)
	}
}

// Every verb of the deployment fails in every way; the site must serve, what was begun must be
// taken back where the host can still be reached, the message must carry the four facts, and the
// next run must succeed. A connection that comes about again fails nothing.
func TestEveryStepFailingInEveryWay(t *testing.T) {
	verbs := []scripts.Verb{
		scripts.Lock, scripts.Check, scripts.Port, scripts.Setup, scripts.Fetch, scripts.Build, scripts.Hook,
		scripts.Start, scripts.Health,
		scripts.Site, scripts.Switch, scripts.Verify, scripts.Mark, scripts.Drain, scripts.Stop, scripts.Prune,
		scripts.Record,
	}
	committed := map[scripts.Verb]bool{
		scripts.Drain: true, scripts.Stop: true, scripts.Prune: true,
		scripts.Record: true,
	}
	in := testInputs()
	in.BeforeStart = "migrate"
	for _, verb := range verbs {
		for _, kind := range []string{
			"error", "cancel", "panic", "lost-before", "lost-after", "gone-before",
			"gone-after",
		} {
			t.Run(fmt.Sprintf("%s/%s", verb, kind), func(t *testing.T) {
				f := newFakeHost(t)
				f.faults[verb] = fault{kind: kind, code: scripts.ExitUnhealthy, words: "app says: no\nthe reason"}
				result, log, err := deployTo(t, f, in)
				checkServing(t, f)
				switch {
				case strings.HasPrefix(kind, "lost"):
					checkGoneOn(t, f, result, log, err)
					return
				case committed[verb]:
					if err != nil || result.Outcome != outcome.Deployed || f.flag != "8081" {
						t.Errorf("after mark: err %v, outcome %s, flag %s", err, result.Outcome, f.flag)
					}
					if !strings.Contains(log, "::warning ") {
						t.Errorf("no warning in the log:\n%s", log)
					}
					return
				}
				checkFailure(t, f, err, kind)
				wantOutcome := outcome.Failed
				if f.ran("switch 8081>8080") && (verb == scripts.Verify || verb == scripts.Mark ||
					verb == scripts.Switch && kind == "cancel") {
					wantOutcome = outcome.Restored
				}
				if result.Outcome != wantOutcome {
					t.Errorf("outcome %s, want %s", result.Outcome, wantOutcome)
				}
				f.gone, f.holder, f.faults, f.calls = false, "", map[scripts.Verb]fault{}, nil
				if _, log, err := deployTo(t, f, in); err != nil {
					t.Errorf("the next run: %v\n%s", err, log)
				}
				checkServing(t, f)
			})
		}
	}
}

// checkGoneOn wants a deployment that a lost connection has not changed: nothing that changes the
// host was done twice.
func checkGoneOn(t *testing.T, f *fakeHost, result *outcome.Result, log string, err error) {
	t.Helper()
	if err != nil || result.Outcome != outcome.Deployed || f.flag != "8081" || f.running["8080"] || f.holder != "" {
		t.Errorf("err %v, outcome %s, flag %s, running %v, lock held by %q\n%s", err, result.Outcome, f.flag, f.running,
			f.holder, log)
	}
	if f.dials != 2 || !strings.Contains(log, "connected again") {
		t.Errorf("dialled %d times\n%s", f.dials, log)
	}
	for _, c := range f.calls {
		verb, _, _ := strings.Cut(c, " ")
		if n := count(f.calls, c); n > 1 && scripts.Verb(verb) != scripts.Lock && !lockless[scripts.Verb(verb)] {
			t.Errorf("%s ran %d times", c, n)
		}
	}
}

func count(calls []string, call string) (n int) {
	for _, c := range calls {
		if c == call {
			n++
		}
	}
	return n
}

// The disk gives out when the rename is done, and before the host has said so.
func TestASwitchThatIsNotWrittenDown(t *testing.T) {
	for _, tt := range []struct {
		verb    scripts.Verb
		disk    string
		site    outcome.Site
		outcome outcome.Outcome
		flag    string
	}{
		{scripts.Switch, "full", outcome.SiteRestored, outcome.Restored, "8080"},
		{scripts.Switch, "broken", outcome.SiteUnknown, outcome.Failed, "8081"},
		{scripts.Verify, "full", outcome.SiteRestored, outcome.Restored, "8080"},
		{scripts.Verify, "broken", outcome.SiteSwitched, outcome.Failed, "8081"},
		{scripts.Mark, "full", outcome.SiteRestored, outcome.Restored, "8080"},
	} {
		f := newFakeHost(t)
		f.faults[tt.verb] = fault{kind: tt.disk}
		result, log, err := deployTo(t, f, testInputs())
		var failure *outcome.Failure
		if !errors.As(err, &failure) || failure.Site != tt.site || result.Outcome != tt.outcome || f.flag != tt.flag {
			t.Errorf("%s, disk %s: outcome %s, flag %s, err %v\n%s", tt.verb, tt.disk, result.Outcome, f.flag, err, log)
		}
		checkServing(t, f)
	}
}

// The host ends who waits for the lock and is not heard. A run that only the network kept silent
// dials again.
func TestAWaiterThatTheHostHasGivenUpComesBack(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Lock] = fault{kind: "killed"}
	_, log, err := deployTo(t, f, testInputs())
	if err != nil || f.flag != "8081" || f.dials != 2 || !strings.Contains(log,
		"the host did not hear this run any more") {
		t.Errorf("err %v, flag %s, %d dials\n%s", err, f.flag, f.dials, log)
	}
}

// Somebody's hand is at the flags once the new version has proved itself: what is unclear is put
// right, what was moved is respected.
func TestFlagsChangedByHandBeforeTheOldVersionGoes(t *testing.T) {
	for _, tt := range []struct {
		after scripts.Verb
		flag  string // by hand
		want  string // calls
		left  string // the flag
	}{
		{scripts.Hook, "both", "after-switch,drain 8080,switch 8080>8081,drain 8080,stop 8080,prune", "8081"},
		{
			scripts.Drain, "both",
			"after-switch,drain 8080,stop 8080,drain 8080,switch 8080>8081,drain 8080,stop 8080,prune", "8081",
		},
		{scripts.Hook, "8080", "after-switch,drain 8080,stop 8080,drain 8080,stop 8080,prune", "8080"},
	} {
		f := newFakeHost(t)
		f.faults[tt.after] = fault{kind: "by-hand", words: tt.flag}
		in := testInputs()
		in.AfterSwitch = "true"
		_, log, err := deployTo(t, f, in)
		if calls := strings.Join(f.calls, ","); err != nil || f.flag != tt.left || !strings.Contains(calls, tt.want) {
			t.Errorf("%s: err %v, flag %s, calls %s, want %s\n%s", tt.after, err, f.flag, calls, tt.want, log)
		}
		if kept := strings.Contains(log, "somebody has changed the flag since"); kept != (tt.left == "8080") {
			t.Errorf("%s: log:\n%s", tt.after, log)
		}
		if f.running["8080"] != (tt.left == "8080") || !f.running["8081"] {
			t.Errorf("%s: running %v", tt.after, f.running)
		}
		if healed := strings.Contains(log,
			"/active during this run; port 8081 has the flag again"); healed != (tt.left == "8081") {
			t.Errorf("%s: log:\n%s", tt.after, log)
		}
	}
}

// While the connection was lost another run has been here. Whatever this one had begun is that
// one's affair now.
func TestWhatAnotherRunHasTakenOverIsLeftAlone(t *testing.T) {
	for _, verb := range []scripts.Verb{scripts.Build, scripts.Health, scripts.Verify} {
		f := newFakeHost(t)
		f.faults[verb] = fault{kind: "overtaken"}
		result, log, err := deployTo(t, f, testInputs())
		var failure *outcome.Failure
		if !errors.As(err, &failure) || failure.Site != outcome.SiteUnknown ||
			!strings.Contains(err.Error(), "in the hands of the other deployment") {
			t.Errorf("%s: err = %v\n%s", verb, err, log)
		}
		if h := result.Hosts[0]; result.Outcome != outcome.Failed || f.calls[len(f.calls)-1] != "lock" || h.ActivePort != 0 ||
			strings.HasSuffix(h.Serving, " serves") {
			t.Errorf("%s: outcome %s, calls %v, host %+v", verb, result.Outcome, f.calls, h)
		}
	}
}

func TestARestartOfTheHostIsNoticed(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Health] = fault{kind: "restarted"}
	result, log, err := deployTo(t, f, testInputs())
	if err == nil || !strings.Contains(err.Error(), "health: the host was restarted during this run") ||
		result.Outcome != outcome.Failed {
		t.Errorf("err = %v, outcome %s\n%s", err, result.Outcome, log)
	}
	if f.flag != "8080" || f.running["8081"] || f.holder != "" {
		t.Errorf("flag %s, running %v, lock held by %q", f.flag, f.running, f.holder)
	}
}

func TestAnOlderRunDoesNotUndoANewerOne(t *testing.T) {
	const line = `{"time":"2026-11-22T10:00:00Z","release":"20261122T000000Z-aaaaaaa","actor":"ada",` +
		`"run":"https://x/1","run-id":"90","run-number":"%s","workflow":"%s"}`
	tests := []struct {
		name    string
		last    string
		change  func(*inputs.Inputs)
		refused bool
	}{
		{"newer run of this workflow", fmt.Sprintf(line, "4", "deploy"), nil, true},
		{"older run of this workflow", fmt.Sprintf(line, "2", "deploy"), nil, false},
		{"this very run", fmt.Sprintf(line, "3", "deploy"), nil, false},
		{"newer run of another workflow", fmt.Sprintf(line, "1", "other"), nil, true},
		{
			"renamed workflow, whose numbers begin anew",
			strings.Replace(fmt.Sprintf(line, "99", "deploy"), `"90"`, `"6"`, 1), nil, false,
		},
		{"no run", "", nil, false},
		{"not ours to read", `{"run-id":{}}`, nil, false},
		{"allowed", fmt.Sprintf(line, "4", "deploy"), func(in *inputs.Inputs) { in.AllowOlder = true }, false},
		{
			"by hand", fmt.Sprintf(line, "4", "deploy"), func(in *inputs.Inputs) { in.Run.Event = "workflow_dispatch" },
			false,
		},
		{"run again", fmt.Sprintf(line, "4", "deploy"), func(in *inputs.Inputs) { in.Run.Attempt = "2" }, false},
		{
			"rollback", fmt.Sprintf(line, "4", "deploy"), func(in *inputs.Inputs) { in.Operation = inputs.Rollback },
			false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			f.by["8080"] = tt.last
			in := testInputs()
			in.Run.Workflow = "deploy"
			if tt.change != nil {
				tt.change(in)
			}
			_, log, err := deployTo(t, f, in)
			if tt.refused != (err != nil) {
				t.Fatalf("err = %v\n%s", err, log)
			}
			if tt.refused && (!strings.Contains(err.Error(), "order: a newer run has been here") ||
				!strings.Contains(err.Error(), "allow-older") || f.ran("setup")) {
				t.Errorf("err = %v, calls %v", err, f.calls)
			}
		})
	}
}

func checkServing(t *testing.T, f *fakeHost) {
	t.Helper()
	if f.flag == "" || !f.running[f.flag] {
		t.Errorf("the site is down: flag %q, running %v", f.flag, f.running)
	}
}

func checkFailure(t *testing.T, f *fakeHost, err error, kind string) {
	t.Helper()
	var failure *outcome.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("err = %v, want a *Failure", err)
	}
	for _, fact := range []string{"\nhost: ubuntu@web-1", "\nsite: ", "\nnext: ", "; more: " + failure.Topic.URL()} {
		if !strings.Contains(err.Error(), fact) {
			t.Errorf("message lacks %q:\n%v", fact, err)
		}
	}
	if kind == "error" && !strings.Contains(err.Error(), "the reason\n  app says: no") {
		t.Errorf("message lacks the host's own words:\n%v", err)
	}
	if f.gone {
		if switched := f.flag == "8081"; switched && failure.Site != outcome.SiteUnknown {
			t.Errorf("the link died with the flag at %s, yet the site is said to be %s", f.flag, failure.Site)
		}
		return
	}
	if f.flag != "8080" || f.running["8081"] || f.holder != "" {
		t.Errorf("not taken back: flag %s, running %v, lock held by %q; calls %v", f.flag, f.running, f.holder, f.calls)
	}
}

// What will be trouble soon is said while it is none yet.
func TestWarningsOfTheCheck(t *testing.T) {
	tests := []struct {
		name   string
		host   func(*fakeHost)
		inputs func(*inputs.Inputs)
		want   string // "" for no warning at all
		fails  bool
	}{
		{"nothing", func(f *fakeHost) { f.diskUsed = 85 }, nil, "", false},
		{
			"nginx of others", func(f *fakeHost) { f.note = "/etc/nginx/conf.d/lb.conf:1 says proxy_protocol" }, nil,
			"::warning title=Nginx of web-1::/etc/nginx/conf.d/lb.conf:1 says proxy_protocol", false,
		},
		{
			"disk", func(f *fakeHost) { f.diskUsed = 86 }, nil,
			"::warning title=Disk of web-1::the disk of ubuntu@web-1 is 86 %25 full at /home/ubuntu/ai-server", false,
		},
		{
			"old nginx", func(f *fakeHost) { f.nginx = "1.16.1" }, nil,
			"::warning title=Nginx of web-1::nginx 1.16.1 works", false,
		},
		{"nginx from elsewhere", func(f *fakeHost) { f.nginx = "unknown" }, nil, "", false},
		{
			"little memory", func(f *fakeHost) { f.rssMB = 901 }, nil,
			"::warning title=Memory of web-1::the running version uses 901 MB and 900 MB are free", false,
		},
		{
			"memory that nobody asked for", func(f *fakeHost) { f.rssMB = 901 },
			func(in *inputs.Inputs) { in.Operation = inputs.Status }, "", false,
		},
		{"nginx that can't", func(f *fakeHost) { f.nginx = "1.14.2" }, nil, "check: nginx 1.14.2 is too old", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, in := newFakeHost(t), testInputs()
			if tt.host != nil {
				tt.host(f)
			}
			if tt.inputs != nil {
				tt.inputs(in)
			}
			_, log, err := deployTo(t, f, in)
			if err != nil {
				log += err.Error()
			}
			if (err != nil) != tt.fails || !strings.Contains(log, tt.want) || tt.want == "" &&
				strings.Contains(log, "::warning") {
				t.Errorf("err = %v, log:\n%s", err, log)
			}
		})
	}
}

func TestWhatIsEmptyInEnvIsNamed(t *testing.T) {
	in := testInputs()
	in.Env = []inputs.Variable{{Name: "DATABASE_URL"}, {Name: "LEVEL", Value: "info"}, {Name: "API_KEY"}}
	for operation, want := range map[inputs.Operation]bool{inputs.Deploy: true, inputs.Rollback: false} {
		in.Operation = operation
		if _, log, err := deployTo(t, newFakeHost(t), in); err != nil ||
			strings.Contains(log, "::warning title=Empty in env::DATABASE_URL, API_KEY: empty") != want {
			t.Errorf("%s: err %v, log:\n%s", operation, err, log)
		}
	}
}

// What failed after the new version was proved is left to the next deployment, but for a command of
// the user's.
func TestAfterSwitchIsNotSaidToBeRepeated(t *testing.T) {
	in := testInputs()
	in.AfterSwitch = "warm-up"
	f := newFakeHost(t)
	// What the host said before its last line is in it too, such as sudo's own words.
	f.faults[scripts.Hook] = fault{kind: "error", code: scripts.ExitHook, words: "sudo: a password is required\nno"}
	const want = "the new version is live; the command of after-switch is not run again: after-switch: no%0A  sudo: " +
		"a password is required"
	if _, log, err := deployTo(t, f, in); err != nil || !strings.Contains(log, want) {
		t.Errorf("err %v, log:\n%s", err, log)
	}
}

// Whoever takes over an application that runs as root has the host.
func TestRootIsWarnedOf(t *testing.T) {
	for _, user := range []string{"root", "ubuntu"} {
		in := testInputs()
		in.Hosts[0].User = user
		_, log, err := deployTo(t, newFakeHost(t), in)
		if err != nil ||
			strings.Contains(log,
				"::warning title=The user of web-1::the input \"username\" is root") != (user == "root") {
			t.Errorf("%s: %v\n%s", user, err, log)
		}
	}
}

// Debug logging adds what each script said, and nothing of what went to it.
// Results and words take two ways: what the lock's verb says before its result may come after it.
func TestWhatTheLockSaysIsNotLost(t *testing.T) {
	f := newFakeHost(t)
	const words = "a step that was cut off is still at work"
	f.lockSays = words
	if _, log, err := deployTo(t, f, testInputs()); err != nil || !strings.Contains(log, "│ "+words) {
		t.Errorf("%v:\n%s", err, log)
	}
}

func TestDebugSaysWhatTheHostSaid(t *testing.T) {
	in := testInputs()
	in.Token, in.Env = "ghs_theToken", []inputs.Variable{{Name: "PASSWORD", Value: "the-password"}}
	in.Build = "make release"
	_, log, err := deployTo(t, newFakeHost(t), in)
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	for _, want := range []string{
		"::debug::ubuntu@web-1: check.sh took ", "disk_mb=9000",
		"::debug::ubuntu@web-1: switch.sh took",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	for _, secret := range []string{"ghs_theToken", "the-password"} {
		if strings.Contains(log, secret) {
			t.Errorf("log has %q:\n%s", secret, log)
		}
	}
}

// A host that is restarted before anything is known of it is like any other one.
func TestARestartBeforeDetectionIsNoMatter(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Check] = fault{kind: "restarted"}
	if result, log, err := deployTo(t, f, testInputs()); err != nil || result.Outcome != outcome.Deployed {
		t.Errorf("%v\n%s", err, log)
	}
}

// What could not be switched back is told apart from what nobody knows, also when taking back failed
// in another way after that.
func TestTheSiteWhenTakingBackFailsTwice(t *testing.T) {
	f := newFakeHost(t)
	d := New(testInputs(), report.New(&bytes.Buffer{}, func(string) string { return "" }), f.dial, f.open, time.Now())
	h := d.hosts[0]
	if _, err := h.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.route = routeNew
	fails := func(err error) func(context.Context, *target) error {
		return func(context.Context, *target) error { return err }
	}
	d.undos = []undo{
		{step{name: "start", undo: fails(errors.New("no room"))}, d.hosts},
		{step{name: "switch", undo: fails(&remote.ExitError{Code: 9})}, d.hosts},
	}
	undone := d.takeBack(t.Context())
	if got := d.outcomes.failure(step{name: "verify"}, errors.New("bad"), undone).Site; got != outcome.SiteSwitched {
		t.Errorf("site %s, want %s", got, outcome.SiteSwitched)
	}
}

// Who is told to end has seconds for taking back; whose time is over is not about to be killed.
func TestHowLongTakingBackMayTake(t *testing.T) {
	cancelled := func(after time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(after, cancel)
			if after == 0 {
				cancel()
			}
			return ctx, cancel
		}
	}
	for _, tt := range []struct {
		name         string
		end          func(context.Context) (context.Context, context.CancelFunc)
		hosts, undos int
		want         time.Duration // that the first of them may take
	}{
		{"a failure", context.WithCancel, 1, 1, time.Hour},
		{"a time-out", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, -time.Second)
		}, 1, 1, time.Hour},
		{"a cancelled run", cancelled(0), 1, 2, undoBy},
		{"of several hosts, with more below", cancelled(0), 3, 2, undoBy / 2},
		{"of several hosts, with nothing below", cancelled(0), 3, 1, undoBy},
		{"cancelled meanwhile", cancelled(time.Minute), 3, 2, time.Minute + undoBy/2},
		{"cancelled meanwhile, with nothing below", cancelled(time.Minute), 3, 1, time.Minute + undoBy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fleet := newFleet(t, tt.hosts)
				d := New(fleet.inputs(), report.New(io.Discard, func(string) string { return "" }), fleet.dial, nil, time.Now())
				began := time.Now()
				var took time.Duration
				var cause error
				back := func(ctx context.Context, h *target) error {
					if h == d.hosts[0] && took == 0 { // which hangs
						<-ctx.Done()
						took, cause = time.Since(began), context.Cause(ctx)
					}
					return nil
				}
				d.toUndo = time.Hour
				for range tt.undos {
					d.undos = append(d.undos, undo{step{name: "switch", undo: back}, slices.Clone(d.hosts)})
				}
				ctx, cancel := tt.end(t.Context())
				defer cancel()
				d.notice.from(ctx)
				if err := d.takeBack(ctx); err != nil || took != tt.want || (tt.want < time.Hour) != errors.Is(cause, errLate) {
					t.Errorf("%v; it took %s, want %s; %v", err, took, tt.want, cause)
				}
			})
		})
	}
}

// Where requests wait at a socket that is worth a word only when its version does not come back soon.
func TestAVersionAtASocketThatBoots(t *testing.T) {
	for looks, want := range map[int]string{
		0: "", 1: "",
		99: "no version answers on the active port 8080: requests wait at its socket, which systemd holds",
	} {
		f := newFakeHost(t)
		f.flag, f.loaded, f.boots["8080"], f.sockets = "8080", true, looks, map[string]bool{"8080": true}
		f.releases["8080"], f.running["8080"], f.proved["8080"] = "20261121T000000Z-9999999", true, true
		in := testInputs()
		in.Operation = inputs.Status
		_, log, err := deployTo(t, f, in)
		if err != nil || strings.Contains(log, "on the active port") != (want != "") || !strings.Contains(log, want) {
			t.Errorf("after %d looks: %v, want %q\n%s", looks, err, want, log)
		}
	}
}

// A version that is only started again keeps the flag; one that does not come back leaves it to the one that
// stands in for it.
func TestAVersionThatBootsIsWaitedFor(t *testing.T) {
	for looks, want := range map[int]uint16{0: 8081, 3: 8081, 99: 8080} {
		f := newFakeHost(t)
		f.flag, f.loaded, f.boots["8081"] = "8081", true, looks
		f.releases["8080"], f.releases["8081"] = "20261121T000000Z-9999999", "20261122T000000Z-aaaaaaa"
		for _, port := range []string{"8080", "8081"} {
			f.running[port], f.proved[port] = true, true
		}
		in := testInputs()
		in.Operation = inputs.Status
		result, log, err := deployTo(t, f, in)
		if err != nil || result.Hosts[0].ActivePort != want {
			t.Errorf("after %d looks: %v, port %d, want %d\n%s", looks, err, result.Hosts[0].ActivePort, want, log)
		}
	}
}
