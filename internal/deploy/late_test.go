package deploy

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/scripts"
)

// However many hosts hang as a run is cancelled, and wherever, it says what became of the site in
// the time that it has, and the other hosts serve what they did.
func TestACancelledRunSaysItsLastWordsInTime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hosts  int
		faults map[int]map[scripts.Verb]string // kinds, by the host's number
		back   bool                            // the first host is frozen as it switches back
		flags  string                          // afterwards
		words  []string
	}{
		{
			name: "before the switch", hosts: 1, faults: map[int]map[scripts.Verb]string{0: {scripts.Build: "frozen"}},
			flags: "8080", words: []string{"cancel", "site: unchanged", "as far as is known: it could not be asked"},
		},
		{
			name: "after the switch", hosts: 1, faults: map[int]map[scripts.Verb]string{0: {scripts.Verify: "frozen"}},
			flags: "8081", words: []string{
				"taking it back failed too: ubuntu@web-1: switch: it did not end in the time that a cancelled run has",
				"site: unknown; the flag on the host tells", "next: see which port is active",
			},
		},
		{
			name: "while it is taken back", hosts: 1, back: true,
			faults: map[int]map[scripts.Verb]string{0: {scripts.Verify: "cancel"}},
			flags:  "8081", words: []string{"site: unknown; the flag on the host tells"},
		},
		{
			name: "as it writes down how the run has ended", hosts: 1,
			faults: map[int]map[scripts.Verb]string{0: {scripts.Verify: "cancel", scripts.Record: "frozen"}},
			flags:  "8080", words: []string{"site: restored; 20261122T000000Z-aaaaaaa on port 8080 serves"},
		},
		{
			name: "one of three after the switch", hosts: 3,
			faults: map[int]map[scripts.Verb]string{1: {scripts.Verify: "frozen"}},
			flags:  "8080 8081 8080", words: []string{
				"site: mixed", "web-1: 20261122T000000Z-aaaaaaa on port 8080 serves\n", "web-2: the flag on the host tells",
			},
		},
		{
			name: "all of three", hosts: 3,
			faults: map[int]map[scripts.Verb]string{
				0: {scripts.Verify: "frozen"}, 1: {scripts.Verify: "frozen"}, 2: {scripts.Verify: "frozen"},
			},
			flags: "8081 8081 8081", words: []string{"site: unknown", "web-3: the flag on the host tells"},
		},
		{
			name: "as the old version is drained", hosts: 1,
			faults: map[int]map[scripts.Verb]string{0: {scripts.Drain: "frozen"}}, flags: "8081",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fleet := newFleet(t, tt.hosts)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var at time.Time
				var mu sync.Mutex
				met := map[int]bool{} // the hosts that have met a fault: when all have that are to, the run is cancelled
				for n, f := range fleet {
					for verb, kind := range tt.faults[n] {
						f.faults[verb] = fault{kind: kind}
					}
					f.cancel = func() {
						mu.Lock()
						defer mu.Unlock()
						if met[n] = true; len(met) < len(tt.faults) {
							return
						}
						if ctx.Err() == nil {
							at = time.Now()
						}
						cancel()
					}
				}
				if tt.back {
					freezeBack(fleet[0])
				}
				d := New(fleet.inputs(), report.New(io.Discard, func(string) string { return "" }), fleet.dial,
					fleet[0].open, time.Now())
				_, err := d.Run(ctx)
				if took := time.Since(at); at.IsZero() || took > hangUpBy {
					t.Errorf("it took %s", took)
				}
				if fleet.flags() != tt.flags || (err == nil) != (tt.words == nil) {
					t.Errorf("flags %s, want %s; %v", fleet.flags(), tt.flags, err)
				}
				for _, want := range tt.words {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("no %q in:\n%v", want, err)
					}
				}
				for n, f := range fleet {
					if !f.frozen && f.running["8081"] {
						t.Errorf("web-%d has the new version still", n+1)
					}
				}
			})
		})
	}
}

// What puts a host right and needs more time than a cancelled run has goes on there: no other step, which
// would end it, is asked for.
func TestAHostGoesOnWithThat(t *testing.T) {
	for _, tt := range []struct {
		name string
		host func(f *fakeHost)
		says []string
	}{
		{
			name: "as a replacement is taken back", host: func(f *fakeHost) { f.faults[scripts.Verify] = fault{kind: "cancel"} },
			says: []string{"taking it back failed too: replace: " + errLate.Error(), "site: unknown"},
		},
		{
			name: "as one that was cut off is", host: func(f *fakeHost) {
				delete(f.running, "8080")
				f.releases["8080"], f.proved["8080"], f.sockets["8081"] = "20261122T000000Z-aaaaaaa", true, true
				f.flag, f.running["8081"], f.releases["8081"] = "8081", true, "20261122T000000Z-ccccccc"
				f.does = func(verb scripts.Verb, _ scripts.Values) {
					if verb == scripts.Resume {
						f.cancel()
					}
				}
			},
			says: []string{"heal: cancelled: context canceled"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeHost(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				f.cancel, f.faults[scripts.Resume] = cancel, fault{kind: "hang"}
				tt.host(f)
				_, err := New(inPlaceInputs(), report.New(io.Discard, func(string) string { return "" }), f.dial,
					f.open, time.Now()).Run(ctx)
				for _, want := range tt.says {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("Run: %v; want %q", err, want)
					}
				}
				_, then, found := strings.Cut(strings.Join(f.calls, " "), "resume")
				for _, call := range strings.Fields(then) {
					if !lockless[scripts.Verb(call)] {
						t.Errorf("%s is asked for, too", call)
					}
				}
				if !found {
					t.Errorf("calls %q", f.calls)
				}
			})
		})
	}
}

// A run that fails and is cancelled only then has no more time than another.
func TestATakeBackThatIsCancelledEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeHost(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f.faults[scripts.Verify] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
		freezeBack(f)
		var at time.Time
		f.cancel = func() { time.AfterFunc(time.Second, func() { at = time.Now(); cancel() }) }
		d := New(testInputs(), report.New(io.Discard, func(string) string { return "" }), f.dial, f.open, time.Now())
		_, err := d.Run(ctx)
		if took := time.Since(at); at.IsZero() || took > hangUpBy {
			t.Errorf("it took %s", took)
		}
		if !strings.Contains(err.Error(), "answered 500") || !strings.Contains(err.Error(), "site: unknown") {
			t.Error(err)
		}
	})
}

// A run that is cancelled as it writes down how it has ended does so, as nobody else will.
func TestACancelledRunIsRecordedOnce(t *testing.T) {
	for _, verb := range []scripts.Verb{scripts.Drain, scripts.Prune, scripts.Record} {
		f := newFakeHost(t)
		f.faults[verb] = fault{kind: "cancel-before"}
		_, log, err := deployTo(t, f, testInputs())
		if err != nil || len(f.recorded) != 1 || f.holder != "" || strings.Contains(log, "Could not record") {
			t.Errorf("%s: %v, %d records, the lock is held by %q\n%s", verb, err, len(f.recorded), f.holder, log)
		}
	}
}

// freezeBack has a host freeze as it is to switch back.
func freezeBack(f *fakeHost) {
	f.does = func(verb scripts.Verb, v scripts.Values) {
		if verb == scripts.Switch && v["to"] == "8081" {
			f.faults[scripts.Switch] = fault{kind: "frozen"}
		}
	}
}
