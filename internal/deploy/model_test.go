package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// Two runs at once on one host, whose verbs come in any order, whose connections are cut before,
// inside and after any of them, and either of which may be killed at any moment: the site serves at
// every instant (invariant 1), a clean run heals whatever they leave (3), and the lock outlives no
// holder (6).
func TestAnyInterleavingOfTwoRuns(t *testing.T) {
	var reached coverage
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t, seed)
			m.play()
			m.heal()
			if t.Failed() {
				t.Fatalf("seed %d:\n%s", seed, strings.Join(m.story, "\n"))
			}
			reached.add(m)
		})
	}
	t.Logf("%+v", reached)
	if reached.deployed == 0 || reached.failed == 0 || reached.killed == 0 || reached.late == 0 ||
		reached.overtaken == 0 || reached.refused == 0 {
		t.Errorf("too little has happened: %+v", reached)
	}
}

// The qualities of a release, as its application shows them.
const (
	good    = "good"
	sick    = "sick"    // never becomes healthy
	turning = "turning" // healthy at first, and bad after the switch
	idling  = "idling"  // healthy, and its workers do not stay up
)

// model is a host, and who does what to it in which order.
type model struct {
	*fakeHost
	random  *rand.Rand
	story   []string
	quality map[string]string // by port
	late    func()            // what a step still does whose connection was cut inside of it
	lates   int

	turns   sync.Mutex // guards what follows
	waiting []turn
	runs    [2]*modelRun
}

type modelRun struct {
	quality string
	dead    bool
	cut     cut // of its next verb
	shells  []*modelShell
	result  *outcome.Result
	err     error
	done    bool
}

type cut int

const (
	cutBefore cut = iota + 1
	cutInside
	cutAfter
)

// turn is a verb that waits to be let go.
type turn struct {
	run   int
	ready chan struct{}
}

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	// nolint:gosec // to be repeated
	m := &model{
		fakeHost: newFakeHost(t), random: rand.New(rand.NewPCG(seed, 1)),
		quality: map[string]string{"8080": good},
	}
	for i := range m.runs {
		m.runs[i] = &modelRun{quality: []string{good, good, sick, turning, idling}[m.random.IntN(5)]}
	}
	if m.random.IntN(2) == 0 {
		m.made, m.has[oldRelease], m.workers["8080"] = "mailer", "mailer", oldRelease+" mailer"
	}
	if m.random.IntN(2) == 0 {
		m.madeTimers, m.timers[oldRelease], m.schedule = newTimers, oldTimers, oldTimers
	}
	return m
}

// play starts both runs and lets one verb go at a time.
func (m *model) play() {
	kill, cuts := m.random.IntN(3) == 0, m.random.IntN(2) == 0
	for i := range m.runs {
		go m.start(i)
	}
	for {
		synctest.Wait() // each waits for its turn, for time to pass, or is through
		m.turns.Lock()
		idle, over := len(m.waiting) == 0, m.runs[0].done && m.runs[1].done
		m.turns.Unlock()
		switch {
		case over:
			return
		case m.late != nil && m.random.IntN(3) == 0:
			m.lates++
			m.late()
			m.late = nil
		case idle:
			time.Sleep(time.Second)
		case kill && m.random.IntN(40) == 0:
			m.kill(m.random.IntN(2))
		default:
			m.letGo(cuts)
		}
		synctest.Wait()
		if m.invariants(); m.t.Failed() {
			m.kill(0) // the rest says nothing more
			m.kill(1)
		}
	}
}

// start is one run, with numbers that say that the second is the newer one.
func (m *model) start(i int) {
	in := testInputs()
	in.Ref = strings.Repeat([]string{"b", "c"}[i], 40)
	in.Timeout, in.LockTimeout = time.Hour, 10*time.Minute
	in.Run.ID, in.Run.Number = fmt.Sprint(7+i), fmt.Sprint(3+i)
	dial := func(_ context.Context, at remote.Host) (host.Shell, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.runs[i].dead {
			return nil, &remote.DialError{Host: at, Kind: remote.Timeout, Err: errors.New("dead")}
		}
		shell := &fakeShell{fakeHost: m.fakeHost, over: make(chan struct{})}
		s := &modelShell{fakeShell: shell, m: m, run: m.runs[i], number: i}
		m.runs[i].shells = append(m.runs[i].shells, s)
		return s, nil
	}
	result, err := New(in, report.New(&bytes.Buffer{}, func(string) string { return "" }), dial, m.open,
		time.Now()).Run(m.t.Context())
	m.turns.Lock()
	defer m.turns.Unlock()
	m.runs[i].result, m.runs[i].err, m.runs[i].done = result, err, true
}

func (m *model) kill(i int) {
	if m.runs[i].dead {
		return
	}
	m.note("run %d is killed", i)
	m.mu.Lock()
	m.runs[i].dead = true
	for _, s := range m.runs[i].shells {
		s.cut()
	}
	m.mu.Unlock()
	m.turns.Lock()
	defer m.turns.Unlock()
	m.waiting = slices.DeleteFunc(m.waiting, func(w turn) bool {
		if w.run == i {
			close(w.ready)
		}
		return w.run == i
	})
}

// letGo picks one that waits; now and then its connection is cut around what it does.
func (m *model) letGo(cuts bool) {
	m.turns.Lock()
	defer m.turns.Unlock()
	n := m.random.IntN(len(m.waiting))
	w := m.waiting[n]
	m.waiting = slices.Delete(m.waiting, n, n+1)
	if cuts && m.random.IntN(12) == 0 {
		m.runs[w.run].cut = cutBefore + cut(m.random.IntN(3))
	}
	close(w.ready)
}

// wait is a run's wait for its turn; false when it was killed.
func (m *model) wait(run int) bool {
	w := turn{run, make(chan struct{})}
	m.turns.Lock()
	if m.runs[run].dead {
		m.turns.Unlock()
		return false
	}
	m.waiting = append(m.waiting, w)
	m.turns.Unlock()
	<-w.ready
	return !m.runs[run].dead
}

func (m *model) note(format string, args ...any) {
	m.story = append(m.story, fmt.Sprintf(format, args...))
}

// modelShell is a connection of one run, whose verbs wait for their turn.
type modelShell struct {
	*fakeShell
	m      *model
	run    *modelRun
	number int
}

func (s *modelShell) Run(ctx context.Context, calls ...host.Call) (int, error) {
	for n, c := range calls {
		if err := s.once(ctx, c.Verb, c.Values, c.Results, c.Words); err != nil {
			return n, err
		}
		if c.Ended != nil {
			c.Ended()
		}
	}
	return len(calls), nil
}

func (s *modelShell) once(ctx context.Context, verb scripts.Verb, v scripts.Values, results, words io.Writer) error {
	if !s.m.wait(s.number) || s.lost {
		return errLink
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	when := s.run.cut
	s.run.cut = 0
	if !lockless[verb] && s.holder == v["lock_token"] {
		s.m.late = nil // own_lock ends what is left of another step
	}
	s.m.note("run %d: %s (cut %d); flag %s, running %v, proved %v", s.number, call(verb, v), when, s.flag, s.running,
		s.proved)
	switch {
	case when == cutInside && !lockless[verb] && s.holder == v["lock_token"]:
		_ = s.Close()
		s.m.late = func() { s.lateEffect(verb, v) }
		return errLink
	case when == cutBefore || when == cutInside:
		_ = s.Close()
		return errLink
	case when == cutAfter:
		_ = s.effect(verb, v, io.Discard, io.Discard)
		_ = s.Close()
		return errLink
	}
	return s.effect(verb, v, results, words)
}

// effect is what the verb does, given the quality of the release it does it with.
func (s *modelShell) effect(verb scripts.Verb, v scripts.Values, results, words io.Writer) error {
	if no := s.m.refusal(verb, v["port"]); no != 0 {
		_, _ = fmt.Fprintln(words, "no")
		return &remote.ExitError{Code: no}
	}
	err := s.fakeShell.run(context.Background(), verb, v, results, words)
	if verb == scripts.Start && err == nil {
		s.m.quality[v["port"]] = s.run.quality
	}
	if verb == scripts.Workers && err == nil && v["trial"] == "yes" && s.m.quality[v["port"]] == idling &&
		s.m.workers[v["port"]] != "" { // which has told the old ones to end, and has started these
		return &remote.ExitError{Code: scripts.ExitWorker}
	}
	return err
}

// lateEffect is that of a step whose connection is gone: it had the lock, and does not ask again.
func (s *modelShell) lateEffect(verb scripts.Verb, v scripts.Values) {
	s.m.note("run %d, late: %s", s.number, call(verb, v))
	if s.m.refusal(verb, v["port"]) != 0 {
		return
	}
	if _, done := s.done[v["step_id"]]; done {
		return
	}
	s.mu.Lock()
	s.done[v["step_id"]] = s.fakeHost.effect(verb, v)
	s.mu.Unlock()
	if verb == scripts.Start {
		s.m.quality[v["port"]] = s.run.quality
	}
}

// refusal is the exit code of a verb that can't do what it should.
func (m *model) refusal(verb scripts.Verb, port string) int {
	switch {
	case verb == scripts.Health && m.quality[port] == sick:
		return scripts.ExitDied
	case verb == scripts.Verify && m.quality[port] == turning:
		return scripts.ExitUnhealthy
	case verb == scripts.Verify && m.flag != port:
		return scripts.ExitNotRouted
	case verb == scripts.Stop && m.flag == port: // stop.sh refuses that by itself
		return scripts.ExitStop
	}
	return 0
}

// Hold waits as flock does.
func (s *modelShell) Hold(ctx context.Context, c host.Call) (host.Session, error) {
	for {
		if !s.m.wait(s.number) || s.lost {
			return nil, errLink
		}
		if s.holder == "" {
			s.m.late = nil // lock.sh ends it before anybody looks at what it leaves
			s.m.note("run %d takes the lock", s.number)
			when := s.run.cut
			s.run.cut = 0
			session, err := s.fakeShell.Hold(ctx, c)
			if when == cutAfter {
				_ = s.Close()
			}
			return session, err
		}
	}
}

// invariants hold after every verb.
func (m *model) invariants() {
	other := map[string]string{"8080": "8081", "8081": "8080"}[m.flag]
	for port := range m.standby {
		if !m.running[port] || !m.proved[port] {
			m.t.Errorf("port %s may stand in for the active one: running %v, proved %v", port, m.running, m.proved)
		}
	}
	if m.together {
		m.t.Errorf("workers of two versions have run at once: %v", m.workers)
	}
	switch {
	case m.flag == "" || !m.running[m.flag]:
		m.t.Errorf("the site is down: flag %q, running %v", m.flag, m.running)
	case m.quality[m.flag] == sick:
		m.t.Errorf("port %s serves, whose release was never healthy", m.flag)
	case !m.proved[m.flag] && !m.running[other]:
		m.t.Errorf("the old version is gone, and the new one on port %s has not proved itself", m.flag)
	}
}

// heal judges what the two say, and wants a clean run to succeed on whatever they have left.
func (m *model) heal() {
	for i, r := range m.runs {
		if r.err == nil && !r.dead && (r.result.Outcome != outcome.Deployed || !m.fit(r.quality)) {
			m.t.Errorf("run %d, with a %s release, ended well: %s", i, r.quality, r.result.Outcome)
		}
	}
	if newer := m.runs[1]; newer.err == nil && !newer.dead && m.releases[m.flag] != newer.result.Hosts[0].Release {
		m.t.Errorf("the newer run deployed %s, and %s is live", newer.result.Hosts[0].Release, m.releases[m.flag])
	}
	if m.holder != "" {
		m.t.Errorf("the lock is still held by %s", m.holder)
	}
	for i, r := range m.runs { // what came to its end leaves nothing to the next
		var failure *outcome.Failure
		if over := r.err == nil || errors.As(r.err, &failure) && failure.Site != outcome.SiteUnknown; i == 1 && over &&
			!m.runs[0].dead && !r.dead && m.lates == 0 && !host.Overtaken(r.err) {
			checkWorkers(m.t, m.fakeHost, m.made)
		}
	}
	m.note("healing: flag %s, running %v, proved %v, quality %v", m.flag, m.running, m.proved, m.quality)
	in := testInputs()
	in.Ref, in.AllowOlder = strings.Repeat("d", 40), true
	result, log, err := deployHere(m.t, m.fakeHost, in)
	checkWorkers(m.t, m.fakeHost, m.made)
	if err != nil || result.Outcome != outcome.Deployed || len(m.running) != 1 || !m.running[m.flag] ||
		!m.proved[m.flag] || m.holder != "" {
		m.t.Errorf("the next run does not heal: err %v, running %v, flag %s\n%s", err, m.running, m.flag, log)
	}
}

// fit tells whether a release of that quality comes through.
func (m *model) fit(quality string) bool {
	return quality == good || quality == idling && m.made == ""
}

// coverage counts what the interleavings led to, so that the test can't be empty.
type coverage struct{ deployed, failed, restored, killed, late, overtaken, refused int }

func (c *coverage) add(m *model) {
	c.late += m.lates
	for _, r := range m.runs {
		var order *state.OrderError
		switch {
		case r.dead:
			c.killed++
		case r.err == nil:
			c.deployed++
		case errors.As(r.err, &order):
			c.refused++
		case host.Overtaken(r.err):
			c.overtaken++
		case r.result.Outcome == outcome.Restored:
			c.restored++
		default:
			c.failed++
		}
	}
}
