package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Cause is why a request failed.
type Cause string

// The causes of a failed request.
const (
	CauseRefused  Cause = "refused"  // nothing accepts connections
	CauseDial     Cause = "dial"     // no connection for another reason
	CauseReset    Cause = "reset"    // the connection was reset, or its other end gone while we wrote
	CauseClosed   Cause = "closed"   // the connection ended before the whole answer was there
	CauseIdle     Cause = "idle"     // the connection was closed, unannounced, before the request was sent
	CauseTimeout  Cause = "timeout"  // no whole answer in time
	CauseStatus   Cause = "status"   // another status than 200
	CauseRelease  Cause = "release"  // the answer did not come from the application
	CauseBody     Cause = "body"     // the body is not what it must be
	CauseProtocol Cause = "protocol" // not HTTP as it should be
	CauseOptions  Cause = "options"  // the load could not start
)

// Failure is one failed request.
type Failure struct {
	Time    time.Time     // when it failed
	After   time.Duration // since the start of the load
	Kind    Kind
	Conn    int // which connection of its kind, from 0
	Nth     int // which request of that connection's worker, from 1
	Cause   Cause
	Detail  string
	Status  int           // 0 when no answer came
	Release string        // of the answer, if it named one
	Last    string        // the release that answered last before, on any connection
	Took    time.Duration // since the request began
}

func (f Failure) String() string {
	return fmt.Sprintf("+%.3fs %s #%d.%d %s after %v, last release %q: %s",
		f.After.Seconds(), f.Kind, f.Conn, f.Nth, f.Cause, f.Took.Round(time.Millisecond), f.Last, f.Detail)
}

// WebSocketSession is one WebSocket connection. Its end is no failed request: a deployment must end
// it at some time.
type WebSocketSession struct {
	Conn    int
	Release string // named by the handshake
	Opened  time.Time
	Ended   time.Time // zero while it is open, or when the load itself closed it
	Echoes  int
	Code    int    // of the close frame; -1 when none came
	Reason  string // the server's, or the error
}

// Latency is how long good answers took, dial included where there was one.
type Latency struct{ P50, P95, P99, Max time.Duration }

// KindReport is what happened to one kind of traffic.
type KindReport struct {
	Requests, Failed int
	Latency          Latency
}

// Report is what happened so far. A WebSocket handshake is a request; its messages count as Echoes.
type Report struct {
	Requests   int       // answered or failed
	Failed     int       // each failed request once
	IdleCloses int       // connections closed between two requests, unannounced; in Failed unless tolerated
	Unfinished int       // under way when the load was cut off; not in Requests
	Failures   []Failure // the first 10,000
	ByKind     map[Kind]KindReport
	ByCause    map[Cause]int
	ByRelease  map[string]int // good answers, by their X-Release header
	WebSockets []WebSocketSession
	Echoes     int
	Latency    Latency       // of GET
	MaxGap     time.Duration // the longest time without any good answer, from the first to the latest one
	Took       time.Duration // from the start to the last thing that happened
}

// String is one line for a log or a failed test's first line.
func (r Report) String() string {
	return fmt.Sprintf("requests=%d failed=%d echoes=%d releases=[%s] p50=%v p99=%v gap=%v", r.Requests, r.Failed,
		r.Echoes,
		join(r.ByRelease), r.Latency.P50.Round(time.Microsecond), r.Latency.P99.Round(time.Microsecond),
		r.MaxGap.Round(time.Millisecond))
}

// Details has a line a cause and one for each of the first 20 failures; it is empty when nothing
// failed.
func (r Report) Details() string {
	if r.Failed == 0 {
		return ""
	}
	lines := []string{"failed by cause: " + join(r.ByCause)}
	for _, f := range r.Failures[:min(len(r.Failures), maxFailures)] {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

func join[K ~string](counts map[K]int) string {
	words := make([]string, 0, len(counts))
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%s:%d", string(key), counts[key]))
	}
	return strings.Join(words, " ")
}

// latencyOf sorts took.
func latencyOf(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	at := func(percent int) time.Duration { return took[(len(took)*percent+99)/100-1] }
	return Latency{P50: at(50), P95: at(95), P99: at(99), Max: took[len(took)-1]}
}
