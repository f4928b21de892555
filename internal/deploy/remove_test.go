package deploy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// remove does to the model what a part of a removal does to a host.
func (f *fakeHost) remove(v scripts.Values) string {
	switch v["part"] {
	case "list":
		if f.removed == "root" {
			return ""
		}
		return "go_0=/etc/nginx/conf.d/ai-server.conf\ngo_1=/home/ubuntu/ai-server/releases: 3 of them\n" +
			"stay_0=/home/ubuntu/ai-server/shared, 7 MB\n"
	case "site":
		f.loaded, f.flag, f.removed = false, "", "site"
		return "reloaded=yes\n"
	case "files":
		for port := range f.running {
			if port != f.byHand {
				f.t.Errorf("services are deleted while one runs on port %s", port)
			}
		}
	case "root":
		f.removed = "root"
		return "stuck=\nstay_0=/home/ubuntu/ai-server/shared\n"
	}
	return ""
}

func removeInputs(confirmed bool) *inputs.Inputs {
	in := testInputs()
	in.Operation, in.Confirmed = inputs.Remove, confirmed
	return in
}

func TestARemovalIsThisList(t *testing.T) {
	f := newFakeHost(t)
	f.running["8081"] = true // what a run has left that was cut off
	result, log, err := deployTo(t, f, removeInputs(true))
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	want := []string{
		"lock", "port", "remove list", "remove site", "drain 8080", "drain 8081", "stop 8080", "stop 8081",
		"remove files", "remove root",
	}
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	h := result.Hosts[0]
	if result.Outcome != outcome.Removed || f.holder != "" || h.ActivePort != 0 || h.Serving != "" || result.URL != "" ||
		h.PreviousPort != 8080 || h.PreviousRelease != activeRelease {
		t.Errorf("outcome %s, lock held by %q, url %q, host %+v", result.Outcome, f.holder, result.URL, h)
	}
	if !strings.Contains(log, "left: /home/ubuntu/ai-server/shared") {
		t.Errorf("the log does not say what stays:\n%s", log)
	}

	f.calls = nil
	again, log, err := deployTo(t, f, removeInputs(true))
	if got := strings.Join(f.calls, ","); err != nil || again.Outcome != outcome.Unchanged ||
		got != "lock,port,remove list,remove root" {
		t.Errorf("again: %v, outcome %s, calls %s\n%s", err, again.Outcome, got, log)
	}
}

func TestWithoutAConfirmationARemovalIsAList(t *testing.T) {
	dry := removeInputs(true)
	dry.DryRun = true
	for _, in := range []*inputs.Inputs{removeInputs(false), dry} {
		f := newFakeHost(t)
		f.holder = "another run"
		result, log, err := deployTo(t, f, in)
		if err != nil || strings.Join(f.calls, ",") != "port,remove list" || result.Outcome != outcome.Unchanged ||
			f.sent[scripts.Remove]["sure"] != "no" {
			t.Fatalf("Run: %v, calls %v, outcome %s\n%s", err, f.calls, result.Outcome, log)
		}
		for _, want := range []string{
			"would go: /etc/nginx/conf.d/ai-server.conf", "stays: /home/ubuntu/ai-server/shared, 7 MB",
		} {
			if !strings.Contains(log, want) || !strings.Contains(result.Details, strings.Fields(want)[0]) {
				t.Errorf("no %q in the log or the summary:\n%s\n%s", want, log, result.Details)
			}
		}
	}
}

// A version that was started by hand is not this action's: it is neither drained nor stopped.
func TestARemovalLeavesWhatWasStartedByHand(t *testing.T) {
	f := handMadeHost(t)
	_, log, err := deployTo(t, f, removeInputs(true))
	if err != nil || strings.Join(f.calls, ",") != "lock,port,remove list,remove site,remove files,remove root" ||
		!f.running["8080"] || !strings.Contains(log, "detect: nothing of ai-server runs") {
		t.Errorf("%v, calls %v\n%s", err, f.calls, log)
	}
}

// Whatever ends a removal, what it says of the site is so, and the next one goes on.
func TestARemovalThatIsCutOffGoesOn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		verb  scripts.Verb
		fault fault
		site  outcome.Site
		words string
	}{
		{
			"it is refused", scripts.Remove,
			fault{kind: "error", code: scripts.ExitCheck, words: "a.conf:3 includes it"},
			outcome.SiteUnchanged, "list: a.conf:3 includes it",
		},
		{"the host is gone while it drains", scripts.Drain, fault{kind: "gone-before"}, outcome.SiteRemoved, "drain: "},
		{
			"what runs does not end", scripts.Stop,
			fault{kind: "error", code: scripts.ExitStop, words: "still runs"},
			outcome.SiteRemoved, "stop: still runs",
		},
		{"it is cancelled", scripts.Stop, fault{kind: "cancel"}, outcome.SiteRemoved, "cancelled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			f.faults[tt.verb] = tt.fault
			result, log, err := deployTo(t, f, removeInputs(true))
			var failure *outcome.Failure
			if !errors.As(err, &failure) || failure.Site != tt.site || !strings.Contains(err.Error(), tt.words) ||
				result.Outcome != outcome.Failed || f.ran("prune") || f.ran("record") {
				t.Fatalf("%+v, calls %v\n%s", err, f.calls, log)
			}
			f.gone = false
			result, log, err = deployTo(t, f, removeInputs(true))
			if err != nil || result.Outcome != outcome.Removed || f.removed != "root" || len(f.running) > 0 {
				t.Errorf("the next one: %v, outcome %s, %q removed\n%s", err, result.Outcome, f.removed, log)
			}
		})
	}
}

func TestAllOfSeveralHostsAreAskedBeforeOneIsTouched(t *testing.T) {
	fleet := newFleet(t, 3)
	in := fleet.inputs()
	in.Operation, in.Confirmed = inputs.Remove, true
	fleet[1].faults[scripts.Remove] = fault{kind: "error", code: scripts.ExitCheck, words: "a.conf:3 includes it"}
	_, log, err := fleet.deploy(t, in)
	if err == nil || fleet.flags() != "8080 8080 8080" || !strings.Contains(err.Error(), "host: ubuntu@web-2\n") {
		t.Fatalf("%v, flags %s\n%s", err, fleet.flags(), log)
	}
	result, log, err := fleet.deploy(t, in)
	if err != nil || result.Outcome != outcome.Removed || fleet.flags() != "  " || fleet[2].removed != "root" {
		t.Errorf("%v, outcome %s, flags %q\n%s", err, result.Outcome, fleet.flags(), log)
	}
}

// A host that has none of it any more serves it no more than one from which it is half gone.
func TestARemovalThatFailsWhereAnotherHostHasNoneAnyMore(t *testing.T) {
	for verb, want := range map[scripts.Verb]outcome.Site{
		scripts.Drain: outcome.SiteRemoved, scripts.Remove: outcome.SiteUnchanged,
	} {
		fleet := newFleet(t, 2)
		in := fleet.inputs()
		in.Operation, in.Confirmed = inputs.Remove, true
		fleet[0].removed, fleet[0].loaded, fleet[0].flag, fleet[0].running = "root", false, "", map[string]bool{}
		fleet[1].faults[verb] = fault{kind: "error", code: scripts.ExitCheck, words: "no"}
		_, log, err := fleet.deploy(t, in)
		var failure *outcome.Failure
		if !errors.As(err, &failure) || failure.Site != want {
			t.Errorf("%s fails: %v, want site %s\n%s", verb, err, want, log)
		}
	}
}

func TestARemovalWithTheWrongPortsIsRefused(t *testing.T) {
	f := newFakeHost(t)
	f.strays = "8090"
	_, log, err := deployTo(t, f, removeInputs(true))
	if err == nil || !strings.Contains(err.Error(), "runs on port 8090 on this host, which is not one of the input") ||
		!strings.Contains(err.Error(), `next: set the input "ports"`) || f.ran("remove site") || f.holder != "" {
		t.Errorf("%v, calls %v\n%s", err, f.calls, log)
	}
}
