package load

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// keptFailures is how many failed requests are kept in detail, and maxFailures how many of them a
// text has.
const keptFailures, maxFailures = 10_000, 20

// recorder keeps the books of a load. Memory grows by eight bytes a request.
type recorder struct {
	start time.Time

	mu         sync.Mutex
	waiters    chan struct{} // closed at the next event; nil when nobody waits
	kinds      map[Kind]*kindBooks
	releases   map[string]*sighting
	causes     map[Cause]int
	failures   []Failure
	failed     int
	unfinished int
	idleCloses int
	sessions   []*WebSocketSession
	echoes     int
	lastGood   time.Time
	lastSeen   string // release
	maxGap     time.Duration
	lastEvent  time.Time
}

type kindBooks struct {
	took   []time.Duration // of good answers
	failed int
}

type sighting struct {
	count       int
	first, last time.Time
}

func newRecorder() *recorder {
	now := time.Now()
	return &recorder{
		start: now, lastEvent: now,
		kinds: make(map[Kind]*kindBooks), releases: make(map[string]*sighting), causes: make(map[Cause]int),
	}
}

func (r *recorder) answered(kind Kind, release string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.event()
	books := r.books(kind)
	books.took = append(books.took, took)
	if !r.lastGood.IsZero() {
		r.maxGap = max(r.maxGap, now.Sub(r.lastGood))
	}
	r.lastGood, r.lastSeen = now, release
	seen := r.releases[release]
	if seen == nil {
		seen = &sighting{first: now}
		r.releases[release] = seen
	}
	seen.count++
	seen.last = now
}

// fail counts one failed request; it fills in the time and the release seen last.
func (r *recorder) fail(f Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.Time = r.event()
	f.After = f.Time.Sub(r.start)
	f.Last = r.lastSeen
	r.failed++
	r.books(f.Kind).failed++
	r.causes[f.Cause]++
	if len(r.failures) < keptFailures {
		r.failures = append(r.failures, f)
	}
}

// dropped counts a request that we cut off ourselves.
func (r *recorder) dropped() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event()
	r.unfinished++
}

// idleClosed counts a connection that the server closed between two requests.
func (r *recorder) idleClosed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event()
	r.idleCloses++
}

func (r *recorder) opened(id int, release string) *WebSocketSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &WebSocketSession{Conn: id, Release: release, Opened: r.event()}
	r.sessions = append(r.sessions, s)
	return s
}

func (r *recorder) echoed(s *WebSocketSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event()
	s.Echoes++
	r.echoes++
}

func (r *recorder) ended(s *WebSocketSession, code int, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Ended, s.Code, s.Reason = r.event(), code, reason
}

func (r *recorder) seen(release string) (first, last time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.releases[release]; s != nil {
		return s.first, s.last
	}
	return time.Time{}, time.Time{}
}

// good is how many good answers a kind had.
func (r *recorder) good(kind Kind) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.books(kind).took)
}

// next is closed at the next event.
func (r *recorder) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiters == nil {
		r.waiters = make(chan struct{})
	}
	return r.waiters
}

func (r *recorder) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := Report{
		Failed: r.failed, Failures: slices.Clone(r.failures), Echoes: r.echoes,
		IdleCloses: r.idleCloses, Unfinished: r.unfinished,
		ByKind: make(map[Kind]KindReport), ByCause: maps.Clone(r.causes), ByRelease: make(map[string]int),
		MaxGap: r.maxGap, Took: r.lastEvent.Sub(r.start),
	}
	for kind, books := range r.kinds {
		one := KindReport{
			Requests: len(books.took) + books.failed, Failed: books.failed,
			Latency: latencyOf(slices.Clone(books.took)),
		}
		rep.Requests += one.Requests
		rep.ByKind[kind] = one
	}
	rep.Latency = rep.ByKind[KindGet].Latency
	for release, s := range r.releases {
		rep.ByRelease[release] = s.count
	}
	for _, s := range r.sessions {
		rep.WebSockets = append(rep.WebSockets, *s)
	}
	return rep
}

// event notes that something happened and wakes who waits. The caller holds the lock.
func (r *recorder) event() time.Time {
	if r.waiters != nil {
		close(r.waiters)
		r.waiters = nil
	}
	r.lastEvent = time.Now()
	return r.lastEvent
}

// books of a kind. The caller holds the lock.
func (r *recorder) books(kind Kind) *kindBooks {
	b := r.kinds[kind]
	if b == nil {
		b = &kindBooks{}
		r.kinds[kind] = b
	}
	return b
}
