package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

func testInputs() *inputs.Inputs {
	return &inputs.Inputs{
		Hosts: []remote.Host{{User: "ubuntu", Name: "web-1", Port: 22}}, ConnectTimeout: time.Second, Timeout: time.Minute, LockTimeout: time.Second,
		App: "ai-server", Path: "/home/ubuntu/ai-server", Repository: "o/r", Ref: newCommit, ServerURL: "https://github.com", Start: "serve",
		Ports: [2]uint16{8080, 8081}, Health: inputs.Health{Path: "/health", Status: 200, Timeout: time.Second, Host: "localhost"},
		DrainTimeout: time.Second, StopTimeout: time.Second, ServerName: "_", NginxInclude: "/etc/nginx/conf.d/service-url.inc", KeepReleases: 5,
		Operation: inputs.Deploy, Run: inputs.Run{ID: "7", Number: "3", Actor: "ada"},
	}
}

func deployTo(t *testing.T, f *fakeHost, in *inputs.Inputs) (*Result, string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.cancel = cancel
	var log bytes.Buffer
	rep := report.New(&log, func(string) string { return "" })
	result, err := New(in, rep, f.dial, f.open, time.Now()).Run(ctx)
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
		"lock", "check", "port", "setup", "fetch", "build", "before-start", "start 8081", "health", "site", "switch 8080>8081", "verify",
		"after-switch", "drain 8080", "stop 8080", "prune", "record",
	}
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if result.Outcome != Deployed || f.flag != "8081" || f.running["8080"] || f.locked {
		t.Errorf("outcome %s, flag %s, old runs %t, locked %t", result.Outcome, f.flag, f.running["8080"], f.locked)
	}
	h := result.Hosts[0]
	if h.ActivePort != 8081 || h.PreviousPort != 8080 || h.PreviousRelease != "20261122T000000Z-aaaaaaa" || h.Commit != newCommit || h.Reloaded {
		t.Errorf("host result %+v", h)
	}
}

func TestSetupIsThisListAndDeploysNothing(t *testing.T) {
	f := newFakeHost(t)
	f.flag, f.running, f.loaded, f.lacks = "", map[string]bool{}, false, true
	in := testInputs()
	in.Operation = inputs.Setup
	in.Assets = []inputs.Asset{{Bucket: "b", Key: "k", Path: "p"}} // not looked up
	for _, want := range []Outcome{SetUp, Unchanged} {
		f.calls = nil
		result, log, err := deployTo(t, f, in)
		if err != nil {
			t.Fatalf("Run: %v\n%s", err, log)
		}
		if diff := cmp.Diff([]string{"lock", "check", "port", "setup", "site"}, f.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if result.Outcome != want || f.flag != "" || f.locked || !strings.Contains(log, "answers 502 until the first deployment") {
			t.Errorf("outcome %s, want %s; flag %q, locked %t\n%s", result.Outcome, want, f.flag, f.locked, log)
		}
	}
	f.locked, in.DryRun = true, true // by another run
	if result, log, err := deployTo(t, f, in); err != nil || !strings.Contains(result.Details, "reload nginx once, unless") {
		t.Errorf("dry run: %v\n%s", err, log)
	}
}

// A setup that fails says so and writes no history of deployments; the next one succeeds.
func TestSetupFailingInEveryWay(t *testing.T) {
	for _, verb := range []scripts.Verb{scripts.Lock, scripts.Check, scripts.Port, scripts.Setup, scripts.Site} {
		for _, kind := range []string{"error", "cancel", "lost-before", "lost-after", "panic"} {
			t.Run(fmt.Sprintf("%s/%s", verb, kind), func(t *testing.T) {
				f := newFakeHost(t)
				f.faults[verb] = fault{kind: kind, code: scripts.ExitNotRouted, words: "nginx says: no\nthe reason"}
				in := testInputs()
				in.Operation = inputs.Setup
				result, _, err := deployTo(t, f, in)
				var failure *Failure
				if !errors.As(err, &failure) || result.Outcome != Failed || failure.Site != SiteUnchanged || len(f.recorded) > 0 {
					t.Errorf("err %v, outcome %s, recorded %q", err, result.Outcome, f.recorded)
				}
				checkServing(t, f)
				f.lost, f.locked, f.faults = false, false, map[scripts.Verb]fault{}
				if _, log, err := deployTo(t, f, in); err != nil {
					t.Errorf("the next run: %v\n%s", err, log)
				}
			})
		}
	}
}

func TestSameReleaseChangesNothing(t *testing.T) {
	f := newFakeHost(t)
	in := testInputs()
	in.Ref = oldCommit
	activeRecipe = (&Deployment{in: in}).recipe(&host{})
	t.Cleanup(func() { activeRecipe = "other" })
	result, log, err := deployTo(t, f, in)
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	if result.Outcome != Unchanged || f.ran("start 8081") || f.ran("switch 8080>8081") || f.flag != "8080" {
		t.Errorf("outcome %s, flag %s, calls %v", result.Outcome, f.flag, f.calls)
	}
}

func TestFirstDeploymentFailingLeavesNothingActive(t *testing.T) {
	f := newFakeHost(t)
	f.flag, f.running, f.loaded = "", map[string]bool{}, false
	f.faults[scripts.Verify] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
	result, log, err := deployTo(t, f, testInputs())
	if err == nil || result.Outcome != Failed || f.flag != "" || len(f.running) > 0 {
		t.Errorf("err %v, outcome %s, flag %q, running %v\n%s", err, result.Outcome, f.flag, f.running, log)
	}
	if !f.ran("switch 8080>") || !f.ran("restore") {
		t.Errorf("calls %v", f.calls)
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

// Every verb of the deployment fails in every way; the site must serve, what was begun must be taken back where the host can still be
// reached, the message must carry the four facts, and the next run must succeed.
func TestEveryStepFailingInEveryWay(t *testing.T) {
	verbs := []scripts.Verb{
		scripts.Lock, scripts.Check, scripts.Port, scripts.Setup, scripts.Fetch, scripts.Build, scripts.Start, scripts.Health,
		scripts.Site, scripts.Switch, scripts.Verify, scripts.Drain, scripts.Stop, scripts.Prune, scripts.Record,
	}
	committed := map[scripts.Verb]bool{scripts.Drain: true, scripts.Stop: true, scripts.Prune: true, scripts.Record: true}
	for _, verb := range verbs {
		for _, kind := range []string{"error", "cancel", "lost-before", "lost-after", "panic"} {
			t.Run(fmt.Sprintf("%s/%s", verb, kind), func(t *testing.T) {
				f := newFakeHost(t)
				f.faults[verb] = fault{kind: kind, code: scripts.ExitUnhealthy, words: "app says: no\nthe reason"}
				result, log, err := deployTo(t, f, testInputs())
				checkServing(t, f)
				if committed[verb] {
					if err != nil || result.Outcome != Deployed || f.flag != "8081" {
						t.Errorf("after verify: err %v, outcome %s, flag %s", err, result.Outcome, f.flag)
					}
					if !strings.Contains(log, "::warning ") {
						t.Errorf("no warning in the log:\n%s", log)
					}
					return
				}
				checkFailure(t, f, err, kind)
				wantOutcome := Failed
				if f.ran("switch 8081>8080") && (verb == scripts.Verify || verb == scripts.Switch && kind == "cancel") {
					wantOutcome = Restored
				}
				if result.Outcome != wantOutcome {
					t.Errorf("outcome %s, want %s", result.Outcome, wantOutcome)
				}
				f.lost, f.locked, f.faults, f.calls = false, false, map[scripts.Verb]fault{}, nil
				if _, log, err := deployTo(t, f, testInputs()); err != nil {
					t.Errorf("the next run: %v\n%s", err, log)
				}
				checkServing(t, f)
			})
		}
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
	var failure *Failure
	if !errors.As(err, &failure) {
		t.Fatalf("err = %v, want a *Failure", err)
	}
	for _, fact := range []string{"\nhost: ubuntu@web-1", "\nsite: ", "\nnext: "} {
		if !strings.Contains(err.Error(), fact) {
			t.Errorf("message lacks %q:\n%v", fact, err)
		}
	}
	if kind == "error" && !strings.Contains(err.Error(), "the reason\n  app says: no") {
		t.Errorf("message lacks the host's own words:\n%v", err)
	}
	if f.lost {
		if switched := f.flag == "8081"; switched && failure.Site != SiteUnknown {
			t.Errorf("the link died with the flag at %s, yet the site is said to be %s", f.flag, failure.Site)
		}
		return
	}
	if f.flag != "8080" || f.running["8081"] || f.locked {
		t.Errorf("not taken back: flag %s, running %v, locked %t; calls %v", f.flag, f.running, f.locked, f.calls)
	}
}
