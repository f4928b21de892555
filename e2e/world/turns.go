package world

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/slots"
)

// turns decide when a scenario runs. go test would let parallel tests run in no order of ours, a
// core's number at a time although most of their time is waiting. So it is told to let all of them
// run (openTurns), and each waits here: the longest first, as many at a time as there are slots for
// hosts on this machine, and when all of those are done, the ones that want the machine for
// themselves.
type turns struct {
	slots   *slots.Slots
	hosts   int                      // at once
	longest map[string]time.Duration // by the test's name
	settle  time.Duration            // how long the first to come waits for those that have asked

	mu      sync.Mutex
	coming  int // have asked for a turn, and go test keeps them until the tests that are not parallel are done
	waiting []*scenario
	active  map[string]*scenario
	ended   []*scenario
	giving  bool // a slot is being waited for
}

// scenario is a test that has hosts.
type scenario struct {
	name  string
	alone bool
	came  time.Time
	given chan struct{} // closed when it may go on
	err   error         // or may not
	slots []*slots.Slot
	began time.Time
	took  time.Duration
}

// all are the turns of this process.
var all turns

// openTurns reads how many hosts there may be at once: what -parallel says, or else what the
// machine bears.
func openTurns(longest map[string]time.Duration) (err error) {
	hosts := slots.AtOnce()
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "test.parallel" {
			hosts, err = strconv.Atoi(f.Value.String())
		}
	})
	if err != nil {
		return err
	}
	free, err := slots.New(hosts)
	if err != nil {
		return err
	}
	all = turns{slots: free, hosts: hosts, longest: longest, settle: settle, active: map[string]*scenario{}}
	return flag.Set("test.parallel", "10000")
}

// HostsAtOnce is how many hosts may be used at a time.
func HostsAtOnce() int { return all.hosts }

// Turn waits for a test's turn, which ends with the test. The test is a parallel one from then on.
// If it has its turn already, or is a part of a test that has, this is for one more host, and does
// not wait.
func Turn(t *testing.T) { t.Helper(); turn(t, false) }

// Alone is for a test that measures time or throughput, and stands before New: its turn comes when
// no other test of this machine has one.
func Alone(t *testing.T) { t.Helper(); turn(t, true) }

func turn(t *testing.T, alone bool) {
	t.Helper()
	s, err := all.take(t.Name(), alone, t.Parallel)
	if err != nil {
		t.Fatal(err)
	}
	if s != nil {
		t.Cleanup(func() { all.end(s) })
	}
}

// take returns the scenario whose turn begins, which is to be ended; nil for a further host.
// parallel is called before it waits.
func (q *turns) take(name string, alone bool, parallel func()) (*scenario, error) {
	q.mu.Lock()
	if s := q.of(name); s != nil {
		defer q.mu.Unlock()
		slot, err := q.slots.Another()
		s.slots = append(s.slots, slot)
		return nil, err
	}
	q.coming++
	q.mu.Unlock()
	parallel()

	s := &scenario{name: name, alone: alone, came: time.Now(), given: make(chan struct{})}
	q.mu.Lock()
	q.coming--
	q.waiting = append(q.waiting, s)
	q.next()
	q.mu.Unlock()
	<-s.given
	return s, s.err
}

// of is the scenario of a test, or of the one that it is a part of.
func (q *turns) of(name string) *scenario {
	for {
		if s := q.active[name]; s != nil {
			return s
		}
		end := strings.LastIndex(name, "/")
		if end < 0 {
			return nil
		}
		name = name[:end]
	}
}

// settle is long enough for the longest to be among those that come.
const settle = time.Second

// next begins to give somebody a turn, if it can be anybody's.
func (q *turns) next() {
	if q.giving || len(q.waiting) == 0 {
		return
	}
	if wait := q.settle - time.Since(q.waiting[0].came); q.coming > 0 && wait > 0 {
		time.AfterFunc(wait, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.next()
		})
		return
	}
	alone := !slices.ContainsFunc(q.waiting, func(s *scenario) bool { return !s.alone })
	if alone && len(q.active) > 0 {
		return // whose end comes here again
	}
	q.giving = true
	go q.give(alone)
}

// give waits for a slot, or for all, and only then chooses: somebody longer may have come
// meanwhile.
func (q *turns) give(alone bool) {
	wait := q.slots.One
	if alone {
		wait = q.slots.All
	}
	slot, err := wait(context.Background())
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.longestWaiting(alone)
	q.waiting = slices.DeleteFunc(q.waiting, func(other *scenario) bool { return other == s })
	s.slots, s.err, s.began = []*slots.Slot{slot}, err, time.Now()
	if err == nil {
		q.active[s.name] = s
	}
	close(s.given)
	q.giving = false
	q.next()
}

// longestWaiting has the turn; of those that nobody has measured, the one that came first.
func (q *turns) longestWaiting(alone bool) (longest *scenario) {
	for _, s := range q.waiting {
		if s.alone == alone && (longest == nil || q.longest[s.name] > q.longest[longest.name]) {
			longest = s
		}
	}
	return longest
}

// end makes room for the next.
func (q *turns) end(s *scenario) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.took = time.Since(s.began)
	for _, slot := range s.slots {
		slot.Release()
	}
	delete(q.active, s.name)
	q.ended = append(q.ended, s)
	q.next()
}

// report says for people how long all took, and which took longest.
func (q *turns) report(took time.Duration) string {
	const most = 10
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ended) == 0 {
		return ""
	}
	slices.SortFunc(q.ended, func(a, b *scenario) int { return cmp.Compare(b.took, a.took) })
	var sum time.Duration
	for _, s := range q.ended {
		sum += s.took
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d scenarios in %s, on at most %d hosts at a time; one after the other they would take %s. The "+
		"longest:\n",
		len(q.ended), took.Round(time.Second), q.hosts, sum.Round(time.Second))
	for _, s := range q.ended[:min(most, len(q.ended))] {
		fmt.Fprintf(&b, "%8s  %s\n", s.took.Round(time.Second), s.name)
	}
	return b.String()
}
