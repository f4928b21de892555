package deploy

import (
	"context"
	"errors"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
)

// The runner sends SIGINT, SIGTERM 7.5 s later, and SIGKILL 2.5 s after that (actions/runner
// ProcessInvoker.cs). So long after the first of them what a run still does is over, on all hosts
// together, so that its last words come in time.
const (
	undoBy   = 6 * time.Second // taking back
	askBy    = 7 * time.Second // asking what serves, and writing down how the run has ended
	hangUpBy = 8 * time.Second // waiting for a host that hangs
)

// told tells whether somebody has ended the run, who kills it soon; its own time may be over without
// that.
func told(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// notice is that somebody has ended the run.
type notice struct {
	came   chan struct{}   // closed by it
	at     time.Time       // known from then on
	late   context.Context //nolint:containedctx // of the run, not of a call: over when no host is waited for any more
	hangUp context.CancelFunc
}

func newNotice() *notice {
	n := &notice{came: make(chan struct{})}
	n.late, n.hangUp = context.WithCancel(context.Background())
	return n
}

// from has it come when somebody ends the context.
func (n *notice) from(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		if told(ctx) {
			n.at = time.Now()
			close(n.came)
			time.AfterFunc(hangUpBy, n.hangUp)
		}
	})
}

// errLate lets a host go on with what takes something back: cut off, a release that is just being
// started again would serve nobody until the next run.
var errLate = &leftAtWork{errors.New("it did not end in the time that a cancelled run has")}

// leftAtWork is why nobody waits any more for what a host goes on with.
type leftAtWork struct{ error }

func (l *leftAtWork) Unwrap() error        { return l.error }
func (l *leftAtWork) Is(target error) bool { return target == host.ErrLeave }

// lasting returns a context for what a host goes on with when ctx ends, whatever the reason.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	if ctx.Err() != nil { // nothing has begun
		cancel(context.Cause(ctx))
	}
	stop := context.AfterFunc(ctx, func() { cancel(&leftAtWork{context.Cause(ctx)}) })
	return long, func() { stop(); cancel(nil) }
}

// after returns a context for what is done although ctx is over. It ends after limit, and so long
// after the notice, be that to come.
func (n *notice) after(ctx context.Context, limit, by time.Duration) (context.Context, context.CancelFunc) {
	if told(ctx) {
		<-n.came // as it does at this moment
	}
	select {
	case <-n.came:
		limit = min(limit, time.Until(n.at.Add(by)))
		return context.WithTimeoutCause(context.WithoutCancel(ctx), limit, errLate)
	default:
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), limit)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-n.came:
			time.AfterFunc(by, func() { cancel(errLate) })
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); stop() }
}

// halve ends a part of taking back with half of the time that is left for all of it from now on, or
// from the notice on, be that to come.
func (n *notice) halve(ctx context.Context, end context.CancelCauseFunc) {
	go func() {
		select {
		case <-n.came:
			time.AfterFunc(time.Until(n.at.Add(undoBy))/2, func() { end(errLate) })
		case <-ctx.Done():
		}
	}()
}
