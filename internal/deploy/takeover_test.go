package deploy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

const theVersionByHand = "the version started by hand (pid 812, /home/ubuntu/AI-Server at aaaaaaa)"

func handMadeHost(t *testing.T) *fakeHost {
	t.Helper()
	f := newFakeHost(t)
	f.flag, f.byHand, f.loaded, f.proved = "", "8080", false, map[string]bool{}
	return f
}

func TestTakeoverIsThisList(t *testing.T) {
	f := handMadeHost(t)
	result, log, err := deployTo(t, f, testInputs())
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	want := []string{
		"lock", "check", "port", "setup", "adopt 8080", "switch >8080", "fetch", "build", "start 8081", "health",
		"site", "switch 8080>8081", "verify", "mark",
		"drain 8080", "stop 8080", "prune", "record",
	}
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	for _, words := range []string{
		"port 8080 is active with " + theVersionByHand, "(one reload, for new files)",
		"no run of GitHub's put " + theVersionByHand + " live", theVersionByHand + " on port 8080 is stopped",
	} {
		if !strings.Contains(log, words) {
			t.Errorf("the log lacks %q:\n%s", words, log)
		}
	}
	if h := result.Hosts[0]; h.ActivePort != 8081 || h.PreviousPort != 8080 || h.PreviousRelease != "" || !h.Reloaded {
		t.Errorf("host result %+v", h)
	}
}

// Whatever a takeover fails at: the old version serves or, from verify on, the new one, and the
// next run succeeds.
func TestTakeoverFailingInEveryWay(t *testing.T) {
	for _, verb := range []scripts.Verb{
		scripts.Setup, scripts.Adopt, scripts.Start, scripts.Site, scripts.Switch,
		scripts.Verify, scripts.Mark, scripts.Stop,
	} {
		for _, kind := range []string{"error", "cancel", "lost-before", "lost-after", "gone-before", "gone-after"} {
			t.Run(fmt.Sprintf("%s/%s", verb, kind), func(t *testing.T) {
				f := handMadeHost(t)
				f.faults[verb] = fault{kind: kind, code: scripts.ExitUnhealthy, words: "the reason"}
				_, _, err := deployTo(t, f, testInputs())
				serving := f.flag
				if !f.loaded {
					serving = f.byHand
				}
				if !f.running[serving] {
					t.Errorf("the site is down: it goes to port %q, running %v", serving, f.running)
				}
				if err != nil && !f.gone && (f.loaded || f.running["8081"]) {
					t.Errorf("not taken back: loaded %t, running %v", f.loaded, f.running)
				}
				if verb == scripts.Verify && kind == "error" &&
					!strings.Contains(err.Error(), "site: restored; "+theVersionByHand+" on port 8080 serves") {
					t.Errorf("message:\n%v", err)
				}
				f.gone, f.holder, f.faults, f.calls = false, "", map[scripts.Verb]fault{}, nil
				if _, log, err := deployTo(t, f, testInputs()); err != nil {
					t.Errorf("the next run: %v\n%s", err, log)
				}
				checkServing(t, f)
			})
		}
	}
}

func TestStatusAndPlanOfAHostSetUpByHand(t *testing.T) {
	f := handMadeHost(t)
	f.holder = "another run"
	in := testInputs()
	in.DryRun = true
	_, log, err := deployTo(t, f, in)
	for _, words := range []string{
		"reload nginx once, and send requests to port 8081",
		"drain port 8080 for 1s at most, and stop " + theVersionByHand,
	} {
		if err != nil || !strings.Contains(log, words) {
			t.Errorf("err %v; the plan lacks %q:\n%s", err, words, log)
		}
	}
	in.DryRun, in.Operation = false, inputs.Status
	result, log, err := deployTo(t, f, in)
	if err != nil || !strings.Contains(result.Details, "| 8080 | active, started by hand | right | "+
		"/home/ubuntu/AI-Server at aaaaaaa | 7 |") {
		t.Errorf("err %v; details:\n%s\n%s", err, result.Details, log)
	}
	in.Operation = inputs.Rollback
	f.holder = ""
	if _, _, err := deployTo(t, f, in); err == nil || !strings.Contains(err.Error(),
		"no release is active, so there is none before it\nhost: ubuntu@web-1\nsite: unchanged; "+theVersionByHand) ||
		!strings.HasSuffix(err.Error(), "\nnext: deploy first; more: "+outcome.TopicRollback.URL()) {
		t.Errorf("rollback: %v", err)
	}
}
