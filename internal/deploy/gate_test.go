package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/cloud/targets"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
)

// fakeBalancers see targets as then says once they are asked again.
type fakeBalancers struct {
	mu     sync.Mutex
	before []targets.Target
	then   func(id string, asked int) (targets.State, error) // asked counts from 1
	asked  map[string]int
	err    error

	listed int              // how often all were asked for
	after  []targets.Target // what they are from the second time on; nil for as before
	idles  []targets.Idle
	noIdle error
}

func (f *fakeBalancers) Of(_ context.Context, groups []string) ([]targets.Target, error) {
	if !slices.Equal(groups, []string{"web"}) {
		return nil, errors.New("bug in this test")
	}
	if f.listed++; f.listed > 1 && f.after != nil {
		return f.after, f.err
	}
	return f.before, f.err
}

func (f *fakeBalancers) Idles(context.Context, []targets.Target) ([]targets.Idle, error) {
	return f.idles, f.noIdle
}

func (f *fakeBalancers) Again(_ context.Context, t targets.Target) (targets.Target, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[t.ID]++
	state, err := f.then(t.ID, f.asked[t.ID])
	t.State, t.Why = state, ""
	if state != targets.Healthy {
		t.Why = "Target.ResponseCodeMismatch"
	}
	return t, err
}

func seen(states ...targets.State) *fakeBalancers {
	f := &fakeBalancers{asked: map[string]int{}}
	for i, state := range states {
		f.before = append(f.before, targets.Target{
			Group: "web", ID: []string{"web-1", "10.0.0.2", "i-3"}[i], Port: 80, State: state,
		})
	}
	f.then = func(string, int) (targets.State, error) { return targets.Healthy, nil }
	return f
}

// gated deploys to a fleet that AWS finds: its hosts are targets by name, by address and by id.
func (fl fakeFleet) gated(t *testing.T, in *inputs.Inputs, b *fakeBalancers) (*outcome.Result, string, error) {
	t.Helper()
	return fl.gatedAs(t, in, b, foundAs(1, 2, 3))
}

// gatedAs is gated for a fleet that is found as one thing after the other.
func (fl fakeFleet) gatedAs(
	t *testing.T, in *inputs.Inputs, b *fakeBalancers, found ...*instances.Found,
) (*outcome.Result, string, error) {
	t.Helper()
	var text bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, f := range fl {
		f.cancel = cancel
	}
	d := New(in, report.New(&text, func(string) string { return "" }), fl.dial, fl[0].open, time.Now())
	for _, f := range found {
		for i := range f.Instances {
			f.Instances[i].Private = fmt.Sprintf("10.0.0.%d", i+1)
		}
	}
	from := &fakeInstances{answers: found}
	d.roster.openInstances = func(context.Context, *cloud.Account) (Instances, error) { return from, nil }
	d.traffic.openBalancers = func(context.Context, *cloud.Account) (Balancers, error) { return b, nil }
	d.traffic.targetPoll = time.Millisecond
	result, err := d.Run(ctx)
	return result, text.String(), err
}

func gatedInputs() *inputs.Inputs {
	in := findInputs()
	in.TargetGroups, in.TargetTimeout = []string{"web"}, 20*time.Millisecond
	in.Batches = []inputs.Share{{Number: 1}, {Number: 100, Percent: true}}
	return in
}

func TestTheLoadBalancerHasToFindTheHostsHealthy(t *testing.T) {
	const healthy, unhealthy = targets.Healthy, targets.State("unhealthy")
	bad := func(id string, until int) func(string, int) (targets.State, error) {
		return func(of string, asked int) (targets.State, error) {
			if of == id && asked < until {
				return unhealthy, nil
			}
			return healthy, nil
		}
	}
	for _, tt := range []struct {
		name     string
		before   []targets.State
		then     func(string, int) (targets.State, error)
		switched string
		fails    string
		said     []string
		strategy inputs.Strategy
	}{
		{
			name: "they are", before: []targets.State{healthy, healthy, healthy}, switched: "1 1 1",
			said: []string{"✓ targets: 3 targets are healthy", "✓ gate: healthy in web"},
		},
		{
			name: "after a while", before: []targets.State{healthy, healthy, healthy}, then: bad("10.0.0.2", 4),
			switched: "1 1 1", said: []string{"✓ gate: healthy in web"},
		},
		{
			name: "one of the first batch is not", before: []targets.State{healthy, healthy, healthy}, then: bad("web-1", 1e9),
			switched: "2 0 0", fails: "web-1:80 of target group web is unhealthy (Target.ResponseCodeMismatch), 20ms after",
		},
		{
			name: "one of the last batch is not", before: []targets.State{healthy, healthy, healthy}, then: bad("i-3", 1e9),
			switched: "2 2 2", fails: "i-3:80 of target group web is unhealthy",
		},
		{
			name: "replaced in place", before: []targets.State{healthy, healthy, healthy}, then: bad("10.0.0.2", 1e9),
			switched: "2 2 2", fails: "10.0.0.2:80 of target group web is unhealthy", strategy: inputs.InPlace,
		},
		{
			name: "AWS does not say", before: []targets.State{healthy, healthy, healthy},
			then:     func(string, int) (targets.State, error) { return "", errors.New("RequestLimitExceeded") },
			switched: "2 0 0", fails: "AWS does not say for 20ms how it is now: RequestLimitExceeded",
		},
		{
			name: "one was not before", before: []targets.State{healthy, unhealthy}, then: bad("10.0.0.2", 1e9),
			switched: "1 1 1",
			said: []string{
				"10.0.0.2:80 of target group web is unhealthy", "web-3 is in none of them", "✓ targets: 1 targets are healthy",
			},
		},
		{
			name: "one is taken out", before: []targets.State{healthy, healthy, healthy}, switched: "1 1 1",
			then: func(id string, _ int) (targets.State, error) {
				return map[bool]targets.State{true: targets.Draining, false: healthy}[id == "i-3"], nil
			},
			said: []string{"i-3:80 of target group web is draining", "and is not waited for any more"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl, in, b := newFleet(t, 3), gatedInputs(), seen(tt.before...)
			if tt.then != nil {
				b.then = tt.then
			}
			if tt.strategy != "" {
				in.Strategy = tt.strategy
			}
			if tt.fails == "" {
				in.TargetTimeout = time.Minute
			}
			result, log, err := fl.gated(t, in, b)
			if fl.switched() != tt.switched || (err == nil) != (tt.fails == "") {
				t.Fatalf("switched %s, want %s; %v\n%s", fl.switched(), tt.switched, err, log)
			}
			if tt.fails != "" {
				if !strings.Contains(err.Error(), tt.fails) || result.Outcome != outcome.Restored {
					t.Errorf("%s, %v; want %q", result.Outcome, err, tt.fails)
				}
				for i, f := range fl {
					if slices.Contains(f.calls, "mark") {
						t.Errorf("web-%d was marked as proved: %v", i+1, f.calls)
					}
				}
			}
			for _, want := range tt.said {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q:\n%s", want, log)
				}
			}
		})
	}
}

// With one host what comes after the switch is sent along with it, but for the mark: that a version
// has proved itself is written down when the load balancer has said so.
func TestOneHostIsMarkedAfterTheGate(t *testing.T) {
	fl, in := newFleet(t, 1), gatedInputs()
	in.Instances, in.Hosts, in.Batches, in.TargetTimeout = nil, fl.inputs().Hosts, nil, time.Minute
	b := seen(targets.Healthy)
	b.then = func(string, int) (targets.State, error) {
		if slices.Contains(fl[0].calls, "mark") {
			t.Error("marked before the load balancer was asked")
		}
		return targets.Healthy, nil
	}
	if _, log, err := fl.gated(t, in, b); err != nil || !slices.Contains(fl[0].calls, "mark") || b.asked["web-1"] != 1 {
		t.Errorf("%v, %v\n%s", err, b.asked, log)
	}
	fl = newFleet(t, 1)
	b = seen(targets.Healthy)
	b.then = func(string, int) (targets.State, error) { return "unhealthy", nil }
	in.TargetTimeout = time.Millisecond
	if result, log, err := fl.gated(t, in, b); err == nil || result.Outcome != outcome.Restored ||
		slices.Contains(fl[0].calls, "mark") {
		t.Errorf("%v, %v\n%s", err, fl[0].calls, log)
	}
}

// A group puts an instance into its target groups once its hook has let it go.
func TestWhatALaunchHookHoldsIsInNoTargetGroupYet(t *testing.T) {
	fl, in, found := newFleet(t, 2), gatedInputs(), foundAs(1, 2)
	for i := range found.Instances {
		found.Instances[i].HeldBy = "web"
	}
	if _, log, err := fl.gatedAs(t, in, seen(), found); err != nil || fl.switched() != "1 1" ||
		strings.Contains(log, "is in none of them") {
		t.Errorf("switched %s, %v\n%s", fl.switched(), err, log)
	}
}

func TestTargetGroupsThatTellNothing(t *testing.T) {
	fl, in := newFleet(t, 3), gatedInputs()
	b := seen()
	b.before = []targets.Target{{Group: "web", ID: "i-9", Port: 80, State: targets.Healthy}}
	if _, _, err := fl.gated(t, in, b); err == nil || !strings.Contains(err.Error(), "none of the hosts is in web") ||
		fl.switched() != "0 0 0" {
		t.Errorf("%v, switched %s", err, fl.switched())
	}
	b.err = errors.New("the role must be allowed")
	if _, _, err := fl.gated(t, gatedInputs(), b); err == nil ||
		!strings.Contains(err.Error(), "targets: the role must be allowed") {
		t.Errorf("%v", err)
	}
}
