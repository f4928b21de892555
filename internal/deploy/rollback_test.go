package deploy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
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
	if from := f.sent[scripts.Record]["gone_from"]; from != "20261122T000000Z-aaaaaaa" {
		t.Errorf("it went back from %q", from)
	}
	if result.Outcome != outcome.RolledBack || result.Hosts[0].Release != "20261121T000000Z-9999999" {
		t.Errorf("result %+v", result)
	}
}

// "Re-run jobs" does the same again, and what is begun anew goes back by one more.
func TestARollbackThatIsRunAgain(t *testing.T) {
	const one, two, three = "20261122T000000Z-aaaaaaa", "20261121T000000Z-9999999", "20261120T000000Z-8888888"
	for _, tt := range []struct {
		name    string
		between func(in *inputs.Inputs)
		fewer   int // hosts on which the first attempt came through
		want    string
	}{
		{"by its next attempt", func(in *inputs.Inputs) { in.Run.Attempt = "2" }, 0, two},
		{"which finds it on one host", func(in *inputs.Inputs) { in.Run.Attempt = "2" }, 2, two},
		{"within one attempt", func(*inputs.Inputs) {}, 0, three},
		{"by another run", func(in *inputs.Inputs) { in.Run.ID, in.Run.Attempt = "8", "2" }, 0, three},
		{"outside of GitHub", func(in *inputs.Inputs) { in.Run.ID, in.Run.Attempt = "", "" }, 0, three},
	} {
		for _, hosts := range []int{1, 3} {
			if tt.fewer >= hosts {
				continue
			}
			fleet := newFleet(t, hosts)
			for _, f := range fleet {
				f.lists = fmt.Sprintf("release_0=%[2]s %[1]s 3\nrelease_1=%[3]s %[1]s 2\nrelease_2=%[4]s %[1]s 1\n",
					oldCommit, one, two, three)
			}
			in := fleet.inputs()
			in.Operation, in.Run.Attempt = inputs.Rollback, "1"
			if tt.name == "outside of GitHub" {
				tt.between(in)
			}
			if _, log, err := fleet.deploy(t, in); err != nil {
				t.Fatalf("%s: %v\n%s", tt.name, err, log)
			}
			for _, f := range fleet[:tt.fewer] {
				f.flag, f.running = "8080", map[string]bool{"8080": true}
			}
			in.Release = ""
			tt.between(in)
			result, log, err := fleet.deploy(t, in)
			if err != nil {
				t.Fatalf("%s: %v\n%s", tt.name, err, log)
			}
			for _, h := range result.Hosts {
				if h.Release != tt.want {
					t.Errorf("%s, %d hosts: %s serves %s\n%s", tt.name, hosts, h.Host, h.Release, log)
				}
			}
			const says = "an earlier attempt of this run has gone back to " + two
			if again := tt.want == two; strings.Contains(log, says) != again ||
				hosts == 1 && again && result.Outcome != outcome.Unchanged {
				t.Errorf("%s, %d hosts: outcome %s\n%s", tt.name, hosts, result.Outcome, log)
			}
		}
	}
}

// Who goes forward again by name has left nothing that is not to serve any more.
func TestARollbackForwardLeavesNothing(t *testing.T) {
	f := newFakeHost(t)
	in := testInputs()
	in.Operation, in.Release = inputs.Rollback, "20261121T000000Z-9999999"
	f.lists = "release_0=" + in.Release + " " + oldCommit + " 3\nrelease_1=20261122T000000Z-aaaaaaa " + oldCommit + " 2\n"
	if _, log, err := deployTo(t, f, in); err != nil || f.sent[scripts.Record]["gone_from"] != "" {
		t.Errorf("%v; it went back from %q\n%s", err, f.sent[scripts.Record]["gone_from"], log)
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
