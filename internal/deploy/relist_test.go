package deploy

import (
	gocmp "cmp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

func TestWhatCameAndWentSinceHostsWereFound(t *testing.T) {
	one := remote.Host{Name: "web-1", Alias: "i-1"}
	two := remote.Host{Name: "web-2", Alias: "i-2"}
	for _, tt := range []struct {
		name       string
		had        []remote.Host
		lines      []inputs.Instances
		now        []instances.Instance
		came, gone string
	}{
		{name: "the same", had: []remote.Host{one, two}, now: foundAs(2, 1).Instances},
		{name: "one more", had: []remote.Host{one}, now: foundAs(1, 2).Instances, came: "i-2"},
		{name: "one less", had: []remote.Host{one, two}, now: foundAs(1).Instances, gone: "i-2"},
		{name: "replaced", had: []remote.Host{one, two}, now: foundAs(3, 1).Instances, came: "i-3", gone: "i-2"},
		{
			name: "another machine at the address of one that went", had: []remote.Host{one},
			now: []instances.Instance{{ID: "i-9", Public: "web-1"}}, came: "i-9", gone: "i-1",
		},
		{
			name: "one that the input host names by an address",
			had:  []remote.Host{one, {Name: "10.0.0.2"}, {Name: "2001:db8::3"}},
			now: []instances.Instance{
				{ID: "i-1", Public: "web-1"}, {ID: "i-2", Private: "10.0.0.2"}, {ID: "i-3", IPv6: []string{"2001:db8::3"}},
			},
		},
		{
			name: "one that a line names by its id", had: []remote.Host{one, two},
			lines: []inputs.Instances{{ID: "i-2"}}, now: foundAs(1).Instances,
		},
		{name: "a host that is no instance", had: []remote.Host{one, {Name: "example.com"}}, now: foundAs(1).Instances},
	} {
		t.Run(tt.name, func(t *testing.T) {
			came, gone := since(&inputs.Inputs{Hosts: tt.had, Instances: tt.lines}, tt.now)
			var ids [2][]string
			for _, i := range came {
				ids[0] = append(ids[0], i.ID)
			}
			for _, h := range gone {
				ids[1] = append(ids[1], h.Alias)
			}
			got := [2]string{strings.Join(ids[0], " "), strings.Join(ids[1], " ")}
			if diff := cmp.Diff([2]string{tt.came, tt.gone}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFleetIsListedAgain(t *testing.T) {
	for _, tt := range []struct {
		name        string
		second      *instances.Found
		do          func(*inputs.Inputs)
		fault       fault  // of the third host's build
		booting     int    // so often nobody reaches the third host
		ended       bool   // so it is by then, and it is not found a third time
		lost        bool   // the others go as their old versions are drained
		hosts       int    // of which the run gives results
		flags       string // "8081 8081 8080" for none that joined
		says, never string
	}{
		{name: "the same", second: foundAs(1, 2), says: "relist: the same as before", never: "Came meanwhile"},
		{
			name: "one came", second: foundAs(1, 2, 3), hosts: 3, flags: "8081 8081 8081",
			says: "found only after this run had its hosts: i-3 (eu-central-1a)", never: "Came meanwhile",
		},
		{
			name: "one came and boots", second: foundAs(1, 2, 3), booting: 2, hosts: 3, flags: "8081 8081 8081",
			says: "web-3: ubuntu@web-3, fake", never: "Came meanwhile",
		},
		{
			name: "one came and one went", second: foundAs(2, 3), hosts: 3, flags: "8081 8081 8081",
			says: "no longer found, such as what ends or is in standby: i-1", never: "Came meanwhile",
		},
		{
			name: "one came and can't have it", second: foundAs(1, 2, 3),
			fault: fault{kind: "error", code: scripts.ExitBuild, words: "no pip"},
			do:    func(in *inputs.Inputs) { in.Run.Repository = "clothesme/shop" },
			says: "i-3 (eu-central-1a): found only after this run had its hosts, and did not get 20261123T000000Z-bbbbbbb: " +
				"build: no pip; visitors get there what the image has; once this run is over, and unless a newer " +
				"one is live by then: gh run rerun 7 --repo clothesme/shop; hosts that serve it are left as they are",
		},
		{
			name: "one came and ends as the release is made", second: foundAs(1, 2, 3), ended: true,
			fault: fault{kind: "gone-before"}, says: "Left%3A web-3::i-3 is not in service any more", never: "Came meanwhile",
		},
		{
			name: "one came and ends before it was logged in to", second: foundAs(1, 2, 3), ended: true, booting: 1 << 20,
			says: "Left%3A web-3::i-3 is not in service any more", never: "Came meanwhile",
		},
		{
			name: "how it does without GitHub", second: foundAs(1, 2, 3), never: "gh run rerun",
			fault: fault{kind: "error", code: scripts.ExitBuild},
			says:  "run this again; hosts that serve it are left as they are",
		},
		{
			name: "more than there may be", second: foundAs(1, 2, 3),
			do:   func(in *inputs.Inputs) { in.Expect = inputs.Expected{Text: "2", Least: 2, Most: 2} },
			says: `did not get 20261123T000000Z-bbbbbbb: input "expect-hosts": must be true of the hosts that there are`,
		},
		{name: "one went", second: foundAs(2), says: "no longer found, such as what ends or is in standby: i-1"},
		{
			name: "in a rollback", second: foundAs(1, 2, 3), never: "run this again",
			do:    func(in *inputs.Inputs) { in.Operation = inputs.Rollback },
			fault: fault{kind: "gone-before"},
			says:  `run the operation rollback again with the input "release": 2`,
		},
		{
			name: "nobody reaches a host of the run any more", second: foundAs(1, 2, 3), says: "Lost%3A", never: "relist",
			lost: true,
		},
		{
			name: "those of the run go meanwhile", second: foundAs(3), hosts: 3, flags: "8081 8081 8081",
			says: "no longer found, such as what ends or is in standby: i-1, i-2", never: "Came meanwhile",
		},
		{name: "AWS does not answer", says: "not known: AWS does not answer", never: "Came meanwhile"},
		{
			name: "all are named by their ids", second: foundAs(1, 2, 3), says: "✓ unlock", never: "relist",
			do: func(in *inputs.Inputs) {
				in.Instances = []inputs.Instances{{Text: "i-1", ID: "i-1"}, {Text: "i-2", ID: "i-2"}}
			},
		},
		{
			name: "a restart brings nothing", second: foundAs(1, 2, 3), says: "✓ unlock", never: "relist",
			do: func(in *inputs.Inputs) { in.Operation = inputs.Restart },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl := newFleet(t, 3)
			in := findInputs()
			in.Strategy, in.BeforeStart, in.BeforeStartOn = inputs.BlueGreen, "migrate", inputs.OnFirst
			in.AfterSwitch, in.AfterSwitchOn = "purge", inputs.OnFirst
			if tt.do != nil {
				tt.do(in)
			}
			remembered(t, fl, in)
			verb := scripts.Build
			if in.Operation == inputs.Rollback {
				verb = scripts.Start
			}
			if tt.fault.kind != "" {
				fl[2].faults[verb] = tt.fault
			}
			fl[2].booting = tt.booting
			if tt.lost {
				fl[0].faults[scripts.Drain], fl[1].faults[scripts.Drain] = fault{kind: "gone-before"}, fault{kind: "gone-before"}
			}
			from := &fakeInstances{answers: []*instances.Found{foundAs(1, 2), tt.second}}
			if tt.ended {
				from.answers = append(from.answers, foundAs(1, 2))
			}
			result, log, state, err := fl.finding(t, in, from)
			if err != nil || !strings.Contains(log, tt.says) || tt.never != "" && strings.Contains(log, tt.never) {
				t.Fatalf("%v, want %q and not %q in\n%s", err, tt.says, tt.never, log)
			}
			ended := strings.Contains(state, StateEnded+"<<") // else the post step has something to do
			if len(result.Hosts) != max(2, tt.hosts) || ended == (tt.fault.kind == "gone-before" && !tt.ended || tt.lost) {
				t.Errorf("hosts %+v, saved %s", result.Hosts, state)
			}
			flags := gocmp.Or(tt.flags, "8081 8081 8080")
			if fl.flags() != flags || fl[2].running["8081"] != (fl[2].flag == "8081") {
				t.Errorf("flags %s, want %s; the third runs %v", fl.flags(), flags, fl[2].running)
			}
			for i, f := range fl {
				calls := strings.Join(f.calls, " ")
				if n := strings.Count(calls, "before-start") + strings.Count(calls, "after-switch"); n > 2 || i > 0 && n > 0 {
					t.Errorf("what runs once did %d times on web-%d", n, i+1)
				}
				if len(f.recorded) > 1 {
					t.Errorf("web-%d has %d lines of this run in its history", i+1, len(f.recorded))
				}
				if f.connected != 0 || f.mostOpen > 1 {
					t.Errorf("web-%d has %d connections left, of %d at a time", i+1, f.connected, f.mostOpen)
				}
			}
			if tt.hosts > 0 {
				if h := result.Hosts[2]; h.InstanceID != "i-3" || h.Outcome != outcome.Deployed ||
					h.Release != result.Hosts[0].Release {
					t.Errorf("who joined: %+v", h)
				}
				if strings.Contains(log, "Hosts differ") {
					t.Errorf("a pass that is there since hosts differ warns of it:\n%s", log)
				}
				if !strings.Contains(state, `"Alias":"i-3"`) {
					t.Errorf("the post step does not know who joined: %s", state)
				}
			}
		})
	}
}

// remembered has hosts say afterwards what a run has put live.
func remembered(t *testing.T, fl fakeFleet, in *inputs.Inputs) {
	t.Helper()
	activeRecipe = (&Deployment{in: in}).recipe(&target{})
	t.Cleanup(func() { activeRecipe = "other" })
	for _, f := range fl {
		f.does = func(verb scripts.Verb, _ scripts.Values) {
			if verb == scripts.Mark {
				f.commit = in.Ref
			}
		}
	}
}
