package deploy

import (
	"errors"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// A run whose only instance is ended while what it did is taken back says so.
func TestTheLastInstanceLeaves(t *testing.T) {
	fl := newFleet(t, 1)
	fl[0].faults[scripts.Verify] = fault{kind: "gone-before"}
	in := findInputs()
	in.Strategy = inputs.BlueGreen
	result, log, _, err := fl.finding(t, in, &fakeInstances{answers: []*instances.Found{foundAs(1), foundAs()}})
	const says = "site: unknown; it is not in service any more"
	if err == nil || !strings.Contains(err.Error(), "no other host is left") || !strings.Contains(err.Error(), says) ||
		strings.Contains(err.Error(), "which port is active") || len(result.Left) != 1 {
		t.Errorf("%v\n%s", err, log)
	}
}

// An instance that AWS ends in the course of a run is nobody's to wait for, and takes nothing from
// the others, unless they rely on it.
func TestAnInstanceThatIsEndedLeavesTheRun(t *testing.T) {
	gone := fault{kind: "gone-before"}
	for _, tt := range []struct {
		name   string
		at     scripts.Verb // where it is lost; "" for before the run logs in
		fault  fault
		host   int // 1 for the first, else it is the second
		stays  []int
		do     func(*inputs.Inputs)
		flags  string
		words  string // of the failure; "" for a run that goes on
		others fault  // of the third host's verify
	}{
		{name: "before it was logged in to", stays: []int{1, 3}, flags: "8081 8080 8081"},
		{name: "as its lock is taken", at: scripts.Lock, stays: []int{1, 3}, flags: "8081 8080 8081"},
		{name: "while the release is made", at: scripts.Build, stays: []int{1, 3}, flags: "8081 8080 8081"},
		{name: "before the switch", at: scripts.Switch, stays: []int{1, 3}, flags: "8081 8080 8081"},
		{name: "on probation", at: scripts.Verify, stays: []int{1, 3}, flags: "8081 8081 8081"},
		{name: "while the old version is drained", at: scripts.Drain, stays: []int{1, 3}, flags: "8081 8081 8081"},
		{
			name: "and another one is bad", at: scripts.Verify, stays: []int{1, 3}, flags: "8080 8081 8080",
			others: fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"},
			words:  "verify: answered 500\nhost: ubuntu@web-3\n",
		},
		{
			name: "and AWS says that it is in service", at: scripts.Verify, stays: []int{1, 2, 3}, flags: "8080 8081 8080",
			words: "web-2: the flag on the host tells",
		},
		{
			name: "and too few would be left", at: scripts.Verify, stays: []int{1, 3}, flags: "8080 8081 8080",
			do:    func(in *inputs.Inputs) { in.Expect = inputs.Expected{Text: "3-", Least: 3, Most: 9} },
			words: `that leaves 2, and the input "expect-hosts" says 3-`,
		},
		{
			name: "too few, once all are proved", at: scripts.Drain, stays: []int{1, 3}, flags: "8081 8081 8081",
			do: func(in *inputs.Inputs) { in.Expect = inputs.Expected{Text: "3-", Least: 3, Most: 9} },
		},
		{
			name: "and was to find out the commit", at: scripts.Fetch, host: 1, stays: []int{2, 3}, flags: "8080 8080 8080",
			do:    func(in *inputs.Inputs) { in.Ref = "main" },
			words: "it was to find out which commit all hosts get",
		},
		{
			name: "and was to run before-start", at: scripts.Hook, host: 1, stays: []int{2, 3}, flags: "8080 8080 8080",
			do:    func(in *inputs.Inputs) { in.BeforeStart, in.BeforeStartOn = "migrate", inputs.OnFirst },
			words: "whether before-start has run there is not known",
		},
		{
			name: "and is named by its id", at: scripts.Verify, stays: []int{1, 3}, flags: "8080 8081 8080",
			do: func(in *inputs.Inputs) {
				in.Instances = append(in.Instances, inputs.Instances{Text: "i-2", ID: "i-2"})
			},
			words: "web-2: the flag on the host tells",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl := newFleet(t, 3)
			who := 1 - tt.host
			if tt.at == "" {
				fl[who].gone = true
			} else {
				fl[who].faults[tt.at] = gone
			}
			if tt.others.kind != "" {
				fl[2].faults[scripts.Verify] = tt.others
			}
			in := findInputs()
			in.Strategy = inputs.BlueGreen
			if tt.do != nil {
				tt.do(in)
			}
			result, log, _, err := fl.finding(t, in, &fakeInstances{
				answers: []*instances.Found{foundAs(1, 2, 3), foundAs(tt.stays...)},
			})
			if fl.flags() != tt.flags || (err == nil) != (tt.words == "") ||
				err != nil && !strings.Contains(err.Error(), tt.words) {
				t.Fatalf("flags %s, want %s; %v, want %q\n%s", fl.flags(), tt.flags, err, tt.words, log)
			}
			var failure *outcome.Failure
			if errors.As(err, &failure) {
				return
			}
			if len(result.Left) != 1 || result.Left[0].InstanceID != "i-2" || len(result.Hosts) != 2 ||
				!strings.Contains(log, "::warning title=Left%3A web-2::i-2 is not in service any more") {
				t.Errorf("left %+v, of %d\n%s", result.Left, len(result.Hosts), log)
			}
			for i, f := range fl {
				if i != who && (f.holder != "" || f.running["8080"] || len(f.recorded) != 1) {
					t.Errorf("web-%d: %v run, the lock is held by %q, %d records", i+1, f.running, f.holder, len(f.recorded))
				}
			}
		})
	}
}
