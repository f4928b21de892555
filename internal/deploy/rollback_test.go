package deploy

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
)

func TestChooseRelease(t *testing.T) {
	const a, b, c, d = "20261120T000000Z-aaaaaaa", "20261121T000000Z-bbbbbbb", "20261122T000000Z-ccccccc", "20261123T000000Z-ddddddd"
	all := []release{{ID: d, Live: true}, {ID: c}, {ID: b, Live: true}, {ID: a, Live: true}}                              // newest first; c never served
	clock := []release{{ID: d, Live: true, Turn: 1}, {ID: c}, {ID: b, Live: true, Turn: 3}, {ID: a, Live: true, Turn: 2}} // set right after d
	for _, tt := range []struct {
		name, active, named string
		releases            []release
		want, words         string
	}{
		{"the one before, over one that never served", d, "", all, b, "served before"},
		{"again, one further back", b, "", all, a, "served before"},
		{"a named one", d, a, all, a, "asked for"},
		{"a named one that never served", d, c, all, c, "never served"},
		{"forward by name", a, d, all, d, "asked for"},
		{"the active one by name", d, d, all, d, "asked for"},
		{"nothing older", a, "", all, "", "no release older than " + a},
		{"only one that never served", d, "", all[:2], "", "has served before; other complete releases"},
		{"the one before, whatever the clock said", b, "", clock, a, "served before"},
		{"again, back to the time of the wrong clock", a, "", clock, d, "served before"},
		{"nothing before the first that served", d, "", clock, "", "no release older than " + d},
		{"the active one is not listed", "20261124T000000Z-fffffff", "", clock, b, "served before"},
		{"a name that is gone", d, "20250101T000000Z-eeeeeee", all, "", "not on the host any more; other complete releases on the host: " + c},
		{"nothing there", "", "", nil, "", "no release is active"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, said, err := chooseRelease(tt.releases, tt.active, tt.named)
			if err != nil {
				said = err.Error()
			}
			if got.ID != tt.want || (err == nil) != (tt.want != "") || !strings.Contains(said, tt.words) {
				t.Errorf("chooseRelease = %q, %q, %v; want %q and %q", got.ID, said, err, tt.want, tt.words)
			}
		})
	}
}

func TestRollbackIsTheSameListWithoutFetchAndBuild(t *testing.T) {
	f := newFakeHost(t)
	in := testInputs()
	in.Operation, in.BeforeStart, in.AfterSwitch = inputs.Rollback, "migrate", "warm-up"
	result, log, err := deployTo(t, f, in)
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	want := "lock,check,port,setup,releases,start 8081,health,site,switch 8080>8081,verify,after-switch,drain 8080,stop 8080,prune,record"
	if got := strings.Join(f.calls, ","); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	if result.Outcome != RolledBack || result.Hosts[0].Release != "20261121T000000Z-9999999" {
		t.Errorf("result %+v", result)
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
	for operation, want := range map[inputs.Operation]string{inputs.Status: "port,releases", inputs.Check: "check,port"} {
		f := newFakeHost(t)
		f.holder = "another run"
		in := testInputs()
		in.Operation = operation
		result, log, err := deployTo(t, f, in)
		if err != nil {
			t.Fatalf("Run: %v\n%s", err, log)
		}
		if got := strings.Join(f.calls, ","); got != want || result.Outcome != Unchanged {
			t.Errorf("%s: calls %s, want %s; outcome %s", operation, got, want, result.Outcome)
		}
		if h := result.Hosts[0]; h.Release != "20261122T000000Z-aaaaaaa" || h.Commit != oldCommit || h.PreviousRelease != "" || h.PreviousPort != 0 || h.ActivePort != 8080 {
			t.Errorf("%s: %+v; want the release that serves", operation, h)
		}
	}
}
