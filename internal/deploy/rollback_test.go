package deploy

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
)

func TestRollbackIsTheSameListWithoutFetchAndBuild(t *testing.T) {
	f := newFakeHost(t)
	in := testInputs()
	in.Operation, in.BeforeStart, in.AfterSwitch = inputs.Rollback, "migrate", "warm-up"
	result, log, err := deployTo(t, f, in)
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	want := "lock,check,port,setup,releases,start 8081,health,site,switch 8080>8081,verify,mark,after-switch,drain " +
		"8080,stop 8080,prune,record"
	if got := strings.Join(f.calls, ","); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	if from := f.pruned["gone_from"]; from != "20261122T000000Z-aaaaaaa" {
		t.Errorf("it went back from %q", from)
	}
	if result.Outcome != outcome.RolledBack || result.Hosts[0].Release != "20261121T000000Z-9999999" {
		t.Errorf("result %+v", result)
	}
}

// Who goes forward again by name has left nothing that is not to serve any more.
func TestARollbackForwardLeavesNothing(t *testing.T) {
	f := newFakeHost(t)
	in := testInputs()
	in.Operation, in.Release = inputs.Rollback, "20261121T000000Z-9999999"
	f.lists = "release_0=" + in.Release + " " + oldCommit + " 3\nrelease_1=20261122T000000Z-aaaaaaa " + oldCommit + " 2\n"
	if _, log, err := deployTo(t, f, in); err != nil || f.pruned["gone_from"] != "" {
		t.Errorf("%v; it went back from %q\n%s", err, f.pruned["gone_from"], log)
	}
}

func TestRollbackToWhatNeverServedRunsBeforeStart(t *testing.T) {
	f := newFakeHost(t)
	in := testInputs()
	in.Operation, in.BeforeStart, in.Release = inputs.Rollback, "migrate", "20261120T000000Z-8888888"
	if _, log, err := deployTo(t, f, in); err != nil || !f.ran("before-start") {
		t.Errorf("Run: %v; calls %v\n%s", err, f.calls, log)
	}
}

func TestStatusAndCheckTakeNoLockAndChangeNothing(t *testing.T) {
	for operation, want := range map[inputs.Operation]string{
		inputs.Status: "port,releases",
		inputs.Check:  "check,port",
	} {
		f := newFakeHost(t)
		f.holder = "another run"
		in := testInputs()
		in.Operation = operation
		result, log, err := deployTo(t, f, in)
		if err != nil {
			t.Fatalf("Run: %v\n%s", err, log)
		}
		if got := strings.Join(f.calls, ","); got != want || result.Outcome != outcome.Unchanged {
			t.Errorf("%s: calls %s, want %s; outcome %s", operation, got, want, result.Outcome)
		}
		if h := result.Hosts[0]; h.Release != "20261122T000000Z-aaaaaaa" || h.Commit != oldCommit ||
			h.PreviousRelease != "" || h.PreviousPort != 0 || h.ActivePort != 8080 {
			t.Errorf("%s: %+v; want the release that serves", operation, h)
		}
	}
}
