package deploy

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

const activeRelease = "20261122T000000Z-aaaaaaa"

func restartInputs() *inputs.Inputs {
	in := testInputs()
	in.Operation, in.BeforeStart, in.AfterSwitch = inputs.Restart, "migrate", "warm-up"
	return in
}

func TestARestartIsTheSameListWithTheReleaseThatServes(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []inputs.Variable
		want string
	}{
		{"it keeps its environment", nil, ""},
		{"it gets another one", []inputs.Variable{{Name: "COLOUR", Value: "blue"}}, "export COLOUR=blue\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			in := restartInputs()
			in.Env = tt.env
			result, log, err := deployTo(t, f, in)
			if err != nil {
				t.Fatalf("Run: %v\n%s", err, log)
			}
			want := "lock,check,port,setup,releases,start 8081,health,site,switch 8080>8081,verify,mark,after-switch," +
				"drain 8080,stop 8080,prune,record"
			if got := strings.Join(f.calls, ","); got != want {
				t.Errorf("calls %s, want %s", got, want)
			}
			h := result.Hosts[0]
			if result.Outcome != outcome.Restarted || h.Release != activeRelease || h.PreviousRelease != activeRelease ||
				h.ActivePort != 8081 || f.releases["8081"] != activeRelease {
				t.Errorf("result %+v", result)
			}
			got := f.sent[scripts.Start]["environment"]
			if !strings.HasSuffix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("environment %q, want one that ends in %q", got, tt.want)
			}
			if by := f.sent[scripts.Verify]["by"]; by != "" {
				t.Errorf("the order of runs was changed: %s", by)
			}
		})
	}
}

func TestARestartOneVersionAtATime(t *testing.T) {
	f := newFakeHost(t)
	in := restartInputs()
	in.Strategy, in.Env = inputs.InPlace, []inputs.Variable{{Name: "COLOUR", Value: "blue"}}
	_, _, err := deployTo(t, f, in)
	if err == nil || !strings.Contains(err.Error(), `set the input strategy to "blue-green" for this run`) ||
		f.flag != "8080" {
		t.Errorf("a release that takes no socket: %v, flag %s", err, f.flag)
	}
	f.socket = true
	result, log, err := deployTo(t, f, in)
	if err != nil || result.Outcome != outcome.Restarted || f.flag != "8081" ||
		!strings.Contains(f.sent[scripts.Replace]["environment"], "COLOUR=blue") {
		t.Errorf("Run: %v, flag %s\n%s", err, f.flag, log)
	}
}

func TestARestartNeedsARelease(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		host       func(f *fakeHost)
	}{
		{
			"nothing was deployed", `no release is active, so there is none for operation "restart"`,
			func(f *fakeHost) { f.flag, f.running, f.loaded = "", map[string]bool{}, false },
		},
		{"started by hand", "the version that serves was started by hand, and is no release", func(f *fakeHost) {
			f.flag, f.byHand, f.loaded, f.proved = "", "8080", false, map[string]bool{}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			tt.host(f)
			result, log, err := deployTo(t, f, restartInputs())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "next: deploy first") ||
				result.Outcome != outcome.Failed {
				t.Fatalf("Run: %v\n%s", err, log)
			}
			if got := strings.Join(f.calls, ","); !strings.HasPrefix(got, "lock,check,port,") ||
				f.ran("setup") || f.ran("adopt 8080") || f.ran("start 8081") {
				t.Errorf("calls %s", got)
			}
		})
	}
}

func TestARestartThatFailsIsTakenBack(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Verify] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
	result, _, err := deployTo(t, f, restartInputs())
	if err == nil || result.Outcome != outcome.Restored || f.flag != "8080" || f.running["8081"] {
		t.Errorf("Run: %v, flag %s, running %v", err, f.flag, f.running)
	}
}

// What another deployment of the same release has replaced, such as a host without the site, is not
// what comes back when the release is gone back to, or is made again, and turns bad.
func TestTheSiteComesBackAsThisRunFoundIt(t *testing.T) {
	for _, operation := range []inputs.Operation{inputs.Deploy, inputs.Rollback, inputs.Restart} {
		f := newFakeHost(t)
		f.faults[scripts.Verify] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
		in := testInputs()
		in.Operation = operation
		result, log, err := deployTo(t, f, in)
		kept, back := f.sent[scripts.Site]["release"], f.sent[scripts.Restore]["release"]
		if id := result.Hosts[0].Release; err == nil || kept != back || kept != id+"-"+theStamp {
			t.Errorf("%s: %v; kept as %q, brought back from %q\n%s", operation, err, kept, back, log)
		}
	}
}

func TestThePlanOfARestart(t *testing.T) {
	f := newFakeHost(t)
	in := restartInputs()
	in.DryRun = true
	result, _, err := deployTo(t, f, in)
	if err != nil || !strings.Contains(result.Details, "start 20261122T000000Z-aaaaaaa again, with the environment") ||
		strings.Contains(result.Details, "before-start") || f.flag != "8080" || f.ran("start 8081") {
		t.Errorf("Run: %v, calls %v\n%s", err, f.calls, result.Details)
	}
}
