package deploy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/cloud/query"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

// What a launch hook holds gets visitors once the release is proved on all hosts, and not before.
func TestWhatALaunchHookHolds(t *testing.T) {
	deploys := instances.Hook{Group: "web", Name: "deploy-action", For: time.Hour}
	warms := instances.Hook{Group: "web", Name: "warm", For: time.Hour}
	asks := instances.Hook{Group: "web", Name: "deploy-action", For: 3 * time.Millisecond}
	const (
		heartbeat = "autoscaling:RecordLifecycleActionHeartbeat"
		describe  = "autoscaling:DescribeLifecycleHooks"
		complete  = "autoscaling:CompleteLifecycleAction"
	)
	for _, tt := range []struct {
		name   string
		hooks  []instances.Hook
		do     func(*inputs.Inputs, fakeFleet, *fakeInstances)
		fails  bool
		letGo  string
		says   string
		silent string
	}{
		{
			name: "the only hook", hooks: []instances.Hook{warms}, letGo: "let go warm i-2",
			says: "✓ let in: it goes into service", silent: "set its default result",
		},
		{name: "of several the one of that name", hooks: []instances.Hook{warms, deploys}, letGo: "let go deploy-action i-2"},
		{
			name: "none of that name", hooks: []instances.Hook{warms, {Group: "web", Name: "logs"}},
			says: "2 hooks hold what the group web launches (warm, logs): name the one that waits for deployments deploy-action",
		},
		{name: "no hook any more", says: "no hook holds what the group web launches: i-2 stays out of service"},
		{
			name: "AWS refuses", hooks: []instances.Hook{deploys}, says: "the role must be allowed",
			do: func(_ *inputs.Inputs, _ fakeFleet, from *fakeInstances) {
				from.denied = errors.New("the role must be allowed")
			},
		},
		{
			name: "AWS refuses to hold it longer", hooks: []instances.Hook{asks}, letGo: "let go deploy-action i-2",
			says: "that of the group web can't be told that a run is at work on i-2, and decides when its time is over, be " +
				"the run through or not: the role must be allowed " + heartbeat,
			do: func(_ *inputs.Inputs, fl fakeFleet, from *fakeInstances) {
				from.deaf = &query.Error{Action: heartbeat, Region: "eu-central-1", Status: 403, Code: "AccessDenied"}
				fl[0].does = from.heard(t, scripts.Build, 2)
			},
		},
		{
			name: "AWS does not tell the hook at first", hooks: []instances.Hook{asks}, letGo: "let go deploy-action i-2",
			silent: "can't be told",
			do: func(_ *inputs.Inputs, fl fakeFleet, from *fakeInstances) {
				from.asking = []error{&query.Error{Action: describe, Region: "eu-central-1", Status: 400, Code: "Throttling"}}
				fl[0].does = from.heard(t, scripts.Build, 2)
			},
		},
		{
			name: "AWS refuses to tell the hook", hooks: []instances.Hook{asks}, letGo: "let go deploy-action i-2",
			says: "that of the group web can't be told that a run is at work on i-2, and decides when its time is over, be " +
				"the run through or not: the role must be allowed " + describe,
			do: func(_ *inputs.Inputs, fl fakeFleet, from *fakeInstances) {
				from.asking = []error{&query.Error{Action: describe, Region: "eu-central-1", Status: 403, Code: "AccessDenied"}}
				fl[0].does = from.heard(t, scripts.Build, 2)
			},
		},
		{
			name: "it is not held any more", hooks: []instances.Hook{asks}, letGo: "let go deploy-action i-2",
			silent: "can't be told",
			do: func(_ *inputs.Inputs, fl fakeFleet, from *fakeInstances) {
				from.deaf = &query.Error{Action: heartbeat, Region: "eu-central-1", Status: 400, Code: "ValidationError"}
				fl[0].does = from.heard(t, scripts.Build, 2)
			},
		},
		{
			name: "it is not held any more when it is to be let in", hooks: []instances.Hook{deploys},
			says: "✓ let in: it is not held any more", silent: "stays out of service",
			do: func(_ *inputs.Inputs, fl fakeFleet, from *fakeInstances) {
				from.denied = &query.Error{Action: complete, Region: "eu-central-1", Status: 400, Code: "ValidationError"}
				fl[0].does = during(scripts.Mark, func() { from.answers = []*instances.Found{foundAs(1, 2)} })
			},
		},
		{
			name: "AWS does not know what is meant", hooks: []instances.Hook{deploys}, says: "i-2 stays out of service",
			do: func(_ *inputs.Inputs, _ fakeFleet, from *fakeInstances) {
				from.denied = &query.Error{Action: complete, Region: "eu-central-1", Status: 400, Code: "ValidationError"}
			},
		},
		{
			name: "another host is bad", hooks: []instances.Hook{deploys}, fails: true,
			do: func(_ *inputs.Inputs, fl fakeFleet, _ *fakeInstances) {
				fl[0].faults[scripts.Verify] = fault{kind: "error", code: scripts.ExitUnhealthy}
			},
		},
		{
			name: "a plan changes nothing", hooks: []instances.Hook{deploys}, silent: "✓ let in",
			do: func(in *inputs.Inputs, _ fakeFleet, _ *fakeInstances) { in.DryRun = true },
		},
		{
			name:  "a hook that lets go by itself",
			hooks: []instances.Hook{{Group: "web", Name: "x", LetsGo: true, For: time.Hour}},
			letGo: "let go x i-2", says: "x of the group web lets an instance go into service 1h0m0s after its launch",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl := newFleet(t, 2)
			in := findInputs()
			in.Strategy = inputs.BlueGreen
			found := foundAs(1, 2)
			found.Instances[1].HeldBy = "web"
			from := &fakeInstances{answers: []*instances.Found{found}, hooks: tt.hooks}
			if tt.do != nil {
				tt.do(in, fl, from)
			}
			marked := false
			fl[1].does = func(verb scripts.Verb, _ scripts.Values) {
				from.mu.Lock()
				defer from.mu.Unlock()
				marked = marked || verb == scripts.Mark
				if !marked && slices.ContainsFunc(from.held, func(word string) bool { return strings.HasPrefix(word, "let") }) {
					t.Errorf("it was let in before %s", verb)
				}
			}
			_, log, _, err := fl.finding(t, in, from)
			if (err != nil) != tt.fails || !strings.Contains(log, tt.says) ||
				tt.silent != "" && strings.Contains(log, tt.silent) {
				t.Fatalf("%v, want %q and not %q in\n%s", err, tt.says, tt.silent, log)
			}
			letGo := slices.DeleteFunc(slices.Clone(from.held), func(word string) bool {
				return strings.HasPrefix(word, "hold")
			})
			if got := strings.Join(letGo, ", "); got != tt.letGo {
				t.Errorf("%q, want %q", got, tt.letGo)
			}
		})
	}
}

// during is what a host does besides while it does a verb.
func during(verb scripts.Verb, do func()) func(scripts.Verb, scripts.Values) {
	return func(now scripts.Verb, _ scripts.Values) {
		if now == verb {
			do()
		}
	}
}

// A group that has grown has more instances that wait with what their image has than ones that serve.
func TestWhatIsHeldDoesNotSayWhatIsLive(t *testing.T) {
	const id, older = "20261122T000000Z-aaaaaaa", "20261121T000000Z-9999999"
	serves, waits := strings.Repeat("b", 40), strings.Repeat("a", 40)
	grown := func(t *testing.T, operation inputs.Operation, held ...int) (string, string) {
		t.Helper()
		fl := newFleet(t, 3)
		in := findInputs()
		in.Strategy, in.Operation = inputs.BlueGreen, operation
		if operation == inputs.Deploy {
			in.Ref, in.RefLive = "live", true
		}
		found := foundAs(1, 2, 3)
		fl[0].commit = serves
		fl[0].lists = "release_0=" + id + " " + oldCommit + " 2\nrelease_1=" + older + " " + oldCommit + " 1\n"
		for _, n := range held {
			found.Instances[n].HeldBy = "web"
		}
		for _, n := range []int{1, 2} { // which have what their image has
			fl[n].commit, fl[n].releases["8080"] = waits, older
			fl[n].lists = "release_0=" + older + " " + oldCommit + " 1\n"
		}
		from := &fakeInstances{
			answers: []*instances.Found{found}, hooks: []instances.Hook{{Group: "web", Name: "x", For: time.Hour}},
		}
		result, log, _, err := fl.finding(t, in, from)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		var got []string
		for _, h := range result.Hosts {
			if got = append(got, h.Commit); operation == inputs.Rollback {
				got[len(got)-1] = h.Release
			}
		}
		return strings.Join(slices.Compact(got), " "), log
	}
	if got, log := grown(t, inputs.Deploy, 1, 2); got != serves ||
		!strings.Contains(log, "which 1 of 1 hosts serve; what 2 serve that are held at their launch does not count") {
		t.Errorf("%s got live\n%s", got, log)
	}
	if got, log := grown(t, inputs.Deploy, 0, 1, 2); got != waits || strings.Contains(log, "does not count") {
		t.Errorf("none serves anybody yet: %s got live\n%s", got, log)
	}
	if got, log := grown(t, inputs.Rollback, 1, 2); got != older {
		t.Errorf("back to %s\n%s", got, log)
	}
}

// A run may take longer than a hook holds an instance of which it hears nothing.
func TestALaunchHookHearsThatARunIsAtWork(t *testing.T) {
	fl := newFleet(t, 1)
	in := findInputs()
	in.Strategy = inputs.BlueGreen
	found := foundAs(1)
	found.Instances[0].HeldBy = "web"
	from := &fakeInstances{
		answers: []*instances.Found{found},
		hooks:   []instances.Hook{{Group: "web", Name: "deploy-action", For: 3 * time.Millisecond}},
	}
	fl[0].does = from.heard(t, scripts.Build, 3)
	_, log, _, err := fl.finding(t, in, from)
	if n := from.words(); err != nil || n < 4 {
		t.Fatalf("%v, the hook has heard %d words\n%s", err, n, log)
	}
}

func (f *fakeInstances) words() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.held)
}

// heard has a verb take until hooks have heard so many words.
func (f *fakeInstances) heard(t *testing.T, at scripts.Verb, words int) func(scripts.Verb, scripts.Values) {
	t.Helper()
	return func(verb scripts.Verb, _ scripts.Values) {
		for deadline := time.Now().Add(time.Minute); verb == at && f.words() < words; {
			if time.Now().After(deadline) {
				t.Errorf("hooks have heard %d words in a minute, want %d", f.words(), words)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
}
