// Package load is the users of a site: strict clients that keep connections of every kind busy, and
// count each request that was not answered exactly right. It needs no container engine.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"
)

// Kind is one sort of traffic.
type Kind string

// The kinds of traffic. KindLoad stands for the load itself, for what went wrong with no request of
// its own.
const (
	KindGet       Kind = "get"
	KindPost      Kind = "post"
	KindSlow      Kind = "slow"
	KindUpload    Kind = "upload"
	KindWebSocket Kind = "websocket"
	KindLoad      Kind = "load"
)

// Mix says how many connections of each kind are kept busy.
type Mix struct{ Get, Post, Slow, Upload, WebSocket int }

// DefaultMix is what a deployment has to survive: about 400 requests a second, two slow answers a
// second and always three uploads under way, for some 15 % of one core.
var DefaultMix = Mix{Get: 32, Post: 4, Slow: 4, Upload: 3, WebSocket: 1}

// Options says what to send where. Every zero value but URL's has a default.
type Options struct {
	URL  string // http://address[:port]; the paths are those of e2e/application
	Host string // the Host header; default: URL's own
	Mix  Mix    // taken literally unless it is all zero, which means DefaultMix

	Think       time.Duration // mean pause of a GET or POST connection between answer and next request; default 80 ms
	SlowFor     time.Duration // how long the server takes over a slow answer; default 2 s
	UploadFor   time.Duration // over how long one upload is spread; default 8 s
	UploadSize  int           // bytes; default 256 KiB, above nginx's buffer and below its default limit of 1 MiB
	EchoEvery   time.Duration // between two messages on a WebSocket; default 1 s
	Timeout     time.Duration // for a dial, or an answer beyond the time that its kind takes; default 10 s
	MaxDuration time.Duration // the load stops by itself then, and that counts as a failure; default 30 min

	// TolerateIdleClose replaces a connection that the server closed between two requests, where
	// the close was there before the next request was sent; by default that request counts as
	// failed. It is for a run with an nginx reload on purpose, which closes all idle connections: a
	// careful client loses only what it had already sent.
	TolerateIdleClose bool
}

// Load is traffic under way. It is a strict client: it writes and reads its own keep-alive
// connections, because net/http's Transport silently repeats an idempotent request when a reused
// connection turns out to be closed, and so hides exactly the resets that a switch may cause. Here
// a connection is dialled anew only where the server announced `Connection: close` (as nginx does
// after keepalive_requests), or after a failure. A reset, an end of file, a connection found closed
// before it is used again, a time-out, a refused dial, a status but 200, a body that is not exactly
// right, an answer that names no release: each is one failed request.
type Load struct {
	opt      Options
	addr     string
	rec      *recorder
	stopping chan struct{} // closed: finish what is under way, begin nothing
	stopOnce sync.Once
	hard     context.Context // done: drop everything
	abort    context.CancelFunc
	done     chan struct{} // closed when every connection has ended
}

// Start begins at once. The load ends with Stop, or abruptly with ctx. A URL that cannot be used
// shows as one failure in the report.
func Start(ctx context.Context, opt Options) *Load {
	opt.setDefaults()
	l := &Load{opt: opt, rec: newRecorder(), stopping: make(chan struct{}), done: make(chan struct{})}
	l.hard, l.abort = context.WithCancel(ctx)
	base, err := url.Parse(opt.URL)
	if err == nil && (base.Scheme != "http" || base.Hostname() == "" || base.Path != "") {
		err = fmt.Errorf("load %q: want http://address[:port]", opt.URL)
	}
	if err != nil {
		l.rec.fail(Failure{Kind: KindLoad, Cause: CauseOptions, Detail: err.Error()})
		close(l.done)
		return l
	}
	l.addr = base.Host
	if base.Port() == "" {
		l.addr = base.Host + ":80"
	}
	if l.opt.Host == "" {
		l.opt.Host = base.Host
	}
	limit := time.AfterFunc(opt.MaxDuration, func() {
		l.rec.fail(Failure{Kind: KindLoad, Cause: CauseTimeout, Detail: "still running after " +
			opt.MaxDuration.String()})
		l.stopSoon()
	})
	var workers sync.WaitGroup
	l.run(&workers)
	go func() {
		workers.Wait()
		limit.Stop()
		close(l.done)
	}()
	return l
}

func (o *Options) setDefaults() {
	if o.Mix == (Mix{}) {
		o.Mix = DefaultMix
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.Think, 80 * time.Millisecond},
		{&o.SlowFor, 2 * time.Second},
		{&o.UploadFor, 8 * time.Second},
		{&o.EchoEvery, time.Second},
		{&o.Timeout, 10 * time.Second},
		{&o.MaxDuration, 30 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if o.UploadSize == 0 {
		o.UploadSize = 256 << 10
	}
}

func (l *Load) run(workers *sync.WaitGroup) {
	for _, w := range []struct {
		kind Kind
		n    int
		work func(kind Kind, id int)
	}{
		{KindGet, l.opt.Mix.Get, l.repeat},
		{KindPost, l.opt.Mix.Post, l.repeat},
		{KindSlow, l.opt.Mix.Slow, l.repeat},
		{KindUpload, l.opt.Mix.Upload, l.repeat},
		{KindWebSocket, l.opt.Mix.WebSocket, l.echo},
	} {
		for id := range w.n {
			workers.Go(func() { w.work(w.kind, id) })
		}
	}
}

// Stop lets what is under way finish (uploads send the rest at once), begins nothing new, and
// reports. When ctx ends first, the remaining requests are dropped and reported as unfinished, not
// as failed.
func (l *Load) Stop(ctx context.Context) Report {
	l.stopSoon()
	select {
	case <-l.done:
	case <-ctx.Done():
		l.abort()
		<-l.done
	}
	l.abort()
	return l.rec.report()
}

// Report tells what happened so far.
func (l *Load) Report() Report { return l.rec.report() }

// Seen tells when the first and the latest answer of a release came; zero times when none did.
func (l *Load) Seen(release string) (first, last time.Time) { return l.rec.seen(release) }

// WaitFor waits for an answer from a release. It returns at once when one was seen before.
func (l *Load) WaitFor(ctx context.Context, release string) error {
	err := l.wait(ctx, func() bool { first, _ := l.rec.seen(release); return !first.IsZero() })
	if err != nil {
		return fmt.Errorf("wait for an answer from release %q: %w", release, err)
	}
	return nil
}

// WaitAnswers waits until n more good answers of a kind have come: the way to know that traffic
// flows.
func (l *Load) WaitAnswers(ctx context.Context, kind Kind, n int) error {
	want := l.rec.good(kind) + n
	if err := l.wait(ctx, func() bool { return l.rec.good(kind) >= want }); err != nil {
		return fmt.Errorf("wait for %d answers to %s requests: %w", n, kind, err)
	}
	return nil
}

func (l *Load) wait(ctx context.Context, met func() bool) error {
	for {
		changed := l.rec.next()
		if met() {
			return nil
		}
		select {
		case <-changed:
		case <-l.done:
			if met() {
				return nil
			}
			return fmt.Errorf("the load has ended (%s)", l.rec.report())
		case <-ctx.Done():
			return fmt.Errorf("%w (%s)", context.Cause(ctx), l.rec.report())
		}
	}
}

func (l *Load) stopSoon() { l.stopOnce.Do(func() { close(l.stopping) }) }

// pause waits for d or the stop; it says whether to go on.
func (l *Load) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.stopping:
	case <-l.hard.Done():
	}
	return l.goesOn()
}

func (l *Load) goesOn() bool {
	select {
	case <-l.stopping:
		return false
	case <-l.hard.Done():
		return false
	default:
		return true
	}
}

// jitter spreads a pause over 50 to 150 %, so that connections do not march in step.
func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(rand.Int64N(int64(d)+1))
}
