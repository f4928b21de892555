package deploy

import (
	gocmp "cmp"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
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
			name: "one came and can't have it, and one went", second: foundAs(2, 3),
			fault: fault{kind: "error", code: scripts.ExitBuild, words: "no pip"}, says: "build: no pip",
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
			saved := savedIn(state)
			if tt.fault.code == scripts.ExitBuild && saved[portState(len(tt.second.Instances)-1)] != "" {
				t.Errorf("a release is saved of what came, and was not begun there: %v", saved)
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
				var hosts []remote.Host
				if err := json.Unmarshal([]byte(saved[StateHosts]), &hosts); err != nil {
					t.Fatal(err)
				}
				for n := range hosts {
					if got := saved[portState(n)]; got != "8081 "+result.Hosts[2].Release {
						t.Errorf("saved of %s: %q", hosts[n].Alias, got)
					}
				}
			}
		})
	}
}

// The locks are given back before hosts are listed again. What another run has put live by then
// stays, whatever order the two runs have, and what has come stays as it was found.
func TestANewerRunBeforeTheFleetIsListedAgain(t *testing.T) {
	const image, theirs, before = "20261101T000000Z-7777777", "20261124T000000Z-ccccccc", "20261122T000000Z-aaaaaaa"
	byHand := func(in *inputs.Inputs) { in.Run.Event = "workflow_dispatch" }
	for _, tt := range []struct {
		name   string
		do     func(*inputs.Inputs)
		gone   bool           // the hosts of the run are, by then
		puts   map[int]string // what another run has put live since, by the host's number
		image  time.Duration  // since when the third host serves what its image has, from now on
		remove int            // the number of a host from which the application was removed
		goesOn bool           // the third host gets the release
		says   string         // of who has changed what
	}{
		{
			name: "after what was started by hand", do: byHand, puts: map[int]string{1: theirs, 2: theirs, 3: theirs},
			says: "changed web-1, web-2, web-3 since: " + theirs + " was put live there at ",
		},
		{
			name: "after a rollback", do: func(in *inputs.Inputs) { in.Operation = inputs.Rollback },
			puts: map[int]string{1: theirs, 2: theirs, 3: theirs}, says: "changed web-1, web-2, web-3 since: " + theirs,
		},
		{
			name: "after what was run again", do: func(in *inputs.Inputs) { in.Run.Attempt = "2" },
			puts: map[int]string{1: theirs, 2: theirs, 3: theirs}, says: "changed web-1, web-2, web-3 since: " + theirs,
		},
		{
			name: "in the order of runs", puts: map[int]string{1: theirs, 2: theirs, 3: theirs},
			says: "changed web-1, web-2, web-3 since: " + theirs,
		},
		{
			name: "which knows nothing of what came", do: byHand, puts: map[int]string{1: theirs, 2: theirs},
			image: -time.Hour, says: "changed web-1, web-2 since: " + theirs,
		},
		{
			name: "over one of them", do: byHand, puts: map[int]string{2: theirs}, says: "changed web-2 since: " + theirs,
		},
		{
			name: "which has gone back to the release of before", do: byHand, puts: map[int]string{1: before, 2: before},
			says: "changed web-1, web-2 since: " + before,
		},
		{
			name: "over what came alone", do: byHand, puts: map[int]string{3: theirs}, says: "changed web-3 since: " + theirs,
		},
		{
			name: "when those of the run are gone", do: byHand, gone: true, puts: map[int]string{3: theirs},
			says: "changed web-3 since: " + theirs,
		},
		{
			name: "which has removed it", do: byHand, remove: 1,
			says: "changed web-1 since: no release serves there any more",
		},
		{name: "what came has an older release", do: byHand, image: -time.Hour, goesOn: true},
		{name: "the same when those of the run are gone", do: byHand, gone: true, image: -time.Hour, goesOn: true},
		{
			name: "what came has it from another run already", do: byHand, goesOn: true,
			puts: map[int]string{3: "20261123T000000Z-bbbbbbb"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl := newFleet(t, 3)
			in := findInputs()
			if tt.do != nil {
				tt.do(in)
			}
			remembered(t, fl, in)
			from := &fakeInstances{answers: []*instances.Found{foundAs(1, 2), foundAs(1, 2, 3)}}
			if tt.gone {
				from.answers[1] = foundAs(3)
			}
			if tt.image != 0 {
				fl[2].puts(image, tt.image)
			}
			var flags string
			from.again = func() {
				for n, release := range tt.puts {
					fl[n-1].puts(release, time.Second)
				}
				if tt.remove > 0 {
					f := fl[tt.remove-1]
					f.flag, f.loaded, f.running, f.releases = "", false, map[string]bool{}, map[string]string{}
				}
				flags = fl.flags()
			}
			result, log, saved, err := fl.finding(t, in, from)
			if err != nil || !strings.Contains(saved, StateEnded+"<<") {
				t.Fatalf("%v; saved %s\n%s", err, saved, log)
			}
			if tt.goesOn {
				if strings.Contains(log, "Newer run") || strings.Contains(log, "Came meanwhile") || len(result.Hosts) != 3 {
					t.Errorf("%d hosts\n%s", len(result.Hosts), log)
				}
				return
			}
			says := "::warning title=Newer run::i-3 (eu-central-1a): found only after this run had its hosts, and left as " +
				"found, without " + result.Hosts[0].Release + ": compare: another run has " + tt.says
			if !strings.Contains(log, says) || strings.Contains(log, "Came meanwhile") || len(result.Hosts) != 2 {
				t.Errorf("%d hosts, want %q in\n%s", len(result.Hosts), says, log)
			}
			if fl.flags() != flags {
				t.Errorf("flags %s, want %s\n%s", fl.flags(), flags, log)
			}
			if calls := strings.Join(fl[2].calls, " "); calls != "lock check port" || fl[2].holder != "" {
				t.Errorf("what came was asked for %q, and the lock is held by %q", calls, fl[2].holder)
			}
			for n, release := range tt.puts {
				if f := fl[n-1]; f.releases[f.flag] != release || f.by[f.flag] == "" {
					t.Errorf("web-%d serves %s by %s", n, f.releases[f.flag], f.by[f.flag])
				}
			}
		})
	}
}

// puts has another run put a release live, at a time from now on.
func (f *fakeHost) puts(release string, at time.Duration) {
	line, err := json.Marshal(state.Past{
		Time: time.Now().Add(at), Release: release, Actor: "bob", Run: "https://github.com/o/r/actions/runs/9", RunID: "9",
		RunNo: "5",
	})
	if err != nil {
		f.t.Error(err)
	}
	to := map[string]string{"8080": "8081", "8081": "8080"}[f.flag]
	delete(f.running, f.flag)
	f.flag, f.running[to], f.proved[to], f.releases[to], f.by[to] = to, true, true, release, string(line)
	f.commit = strings.Repeat(release[len(release)-1:], 40)
}

// remembered has hosts say afterwards what a run has put live.
func remembered(t *testing.T, fl fakeFleet, in *inputs.Inputs) {
	t.Helper()
	activeRecipe = assemble(&run{in: in}).recipe.of(&target{})
	t.Cleanup(func() { activeRecipe = "other" })
	for _, f := range fl {
		f.does = func(verb scripts.Verb, _ scripts.Values) {
			if verb == scripts.Mark {
				f.commit = in.Ref
			}
		}
	}
}

// What came is compared by a recipe that has the assets in it, which only the run before has looked up.
func TestWhatCameIsComparedWithItsAssets(t *testing.T) {
	in := testInputs()
	in.Assets = []inputs.Asset{{Path: "model.bin"}}
	assets := []asset{{Asset: in.Assets[0]}}
	put := time.Now()
	for _, also := range []bool{true, false} {
		slot := state.Slot{Release: "20261124T000000Z-bbbbbbb", Commit: newCommit, By: state.Past{Time: put}}
		slot.Recipe = assemble(&run{in: in}).recipe.of(&target{chosen: chosen{assets: assets}})
		if !also {
			slot.Recipe = assemble(&run{in: in}).recipe.of(&target{})
		}
		came := &target{Host: &host.Host{Address: remote.Host{Name: "web-2"}}}
		came.Active = &slot
		d := assemble(&run{in: in, op: operations[inputs.Deploy].operation, joins: true})
		d.hosts, d.recipe.assets = []*target{came}, assets
		d.choice.before = earlier{map[remote.Host]*target{
			{Name: "web-1"}: {chosen: chosen{release: "20261123T000000Z-bbbbbbb", commit: newCommit}},
		}, put}
		if err := d.choice.unlessNewer(); (err == nil) != also {
			t.Errorf("with the assets: %t; %v", also, err)
		}
	}
}
