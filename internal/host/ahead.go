package host

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/clothesme/deploy-action/scripts"
)

// ahead is a verb that a step to come will ask for. It is sent with those of the step before, and
// begins on the host when they have ended well.
type ahead struct {
	step    string // that will ask
	verb    scripts.Verb
	own     scripts.Values
	id      string // its results are kept by
	results scripts.Results
	words   relay

	next   *ahead        // begins when this one has ended well
	behind Session       // it begins when this one holds the lock; nil for what does not wait for that
	sent   *flight       // nil before it is sent
	done   chan struct{} // closed when this one has ended well, or all that was sent is over
	well   bool
	err    error
	// skipped: it is known not to have begun
	skipped bool
}

// flight is what was sent ahead, all at once, behind what a step has asked for.
type flight struct {
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when the rest is known
	ended  int           // so many have ended well, what the step has asked for among them
	err    error         // of the one that has not
	panics any
}

// Ahead has the next Exec send a verb along that the step of that name will ask for next: that is a
// round trip less, where nothing is to be decided between them. Several go one after the other, for
// as many steps. If something else is asked for first, they are ended.
func (h *Host) Ahead(step string, verb scripts.Verb, own scripts.Values) {
	if h.ahead != nil && h.ahead.sent != nil {
		h.dropAhead()
	}
	at := &h.ahead
	for *at != nil {
		at = &(*at).next
	}
	*at = &ahead{step: step, verb: verb, own: own, id: AheadID(step), done: make(chan struct{})}
}

// AheadID is how the host keeps the results of what is sent ahead for a step.
func AheadID(step string) string { return step + "-1" }

// SentAhead reports whether something was sent ahead that no step has asked for yet.
func (h *Host) SentAhead() bool { return h.ahead != nil && h.ahead.sent != nil }

// DropAhead ends what was sent ahead and not asked for. It returns the steps for which that was, from
// the beginning of the run on, and may have begun.
func (h *Host) DropAhead() (steps []string) {
	h.dropAhead()
	return h.loose
}

// dropAhead ends what was sent and is not asked for.
func (h *Host) dropAhead() {
	a := h.ahead
	h.ahead = nil
	if a == nil || a.sent == nil {
		return
	}
	a.sent.cancel(context.Canceled)
	<-a.sent.over
	for ; a != nil; a = a.next {
		if !a.skipped {
			h.loose = append(h.loose, a.step)
		}
		a.words.mu.Lock()
		h.rep.Debug(fmt.Sprintf("%s: %s.sh was begun ahead, and ended: %v %v %s", h.Address, a.verb, a.err,
			cmp.Or(a.sent.panics, any("")), a.words.kept))
		a.words.mu.Unlock()
	}
}

// runAhead runs calls as Shell.Run does, and has what was sent ahead go on behind them.
func (h *Host) runAhead(ctx context.Context, calls []Call) (int, error) {
	if h.ahead == nil || h.ahead.sent != nil {
		h.dropAhead()
		return h.shell.Run(ctx, calls...)
	}
	last := len(calls)
	begun := make(chan struct{})
	calls[last-1].Ended = func() { close(begun) }
	f := h.sendAhead(ctx, calls)
	stop := context.AfterFunc(ctx, func() { f.cancel(context.Cause(ctx)) })
	defer stop()

	select {
	case <-begun:
		return last, nil
	case <-f.over:
	}
	select {
	case <-begun: // what has failed meanwhile is for the step that will ask for it
		return last, nil
	default:
	}
	if f.panics != nil {
		panic(f.panics)
	}
	if f.ended < last {
		h.dropAhead()
		return f.ended, f.err
	}
	return last, nil
}

// sendBehindLock sends what the next steps ask for along with the lock that is being taken: it begins
// once that is held, if it soon is. What is said until then are the words of who waits for the lock.
func (h *Host) sendBehindLock(ctx context.Context, lock Session) (stop func() bool) {
	if h.ahead == nil {
		return func() bool { return true }
	}
	for a := h.ahead; a != nil; a = a.next {
		a.behind = lock
	}
	f := h.sendAhead(ctx, nil)
	return context.AfterFunc(ctx, func() { f.cancel(context.Cause(ctx)) })
}

// sendAhead sends what is to go on behind these calls, with them.
func (h *Host) sendAhead(ctx context.Context, calls []Call) *flight {
	long, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f := &flight{cancel: cancel, over: make(chan struct{})}
	var waiting []*ahead
	for a := h.ahead; a != nil; a = a.next {
		a.sent, waiting = f, append(waiting, a)
		values := h.values(a.own, a.id)
		if a.behind != nil { // it may look at the host before its turn
			values["behind_lock"] = scripts.Yes(true)
		}
		calls = append(calls, Call{
			Verb: a.verb, Values: values, Results: &a.results, Words: &a.words, Behind: a.behind,
			Ended: func() {
				a.well = true
				close(a.done)
			},
			Skipped: func() { a.skipped = true },
		})
	}
	shell := h.shell // which may be another one before this begins
	go func() {
		defer close(f.over)
		defer func() {
			f.panics = recover()
			for _, a := range waiting {
				if !a.well {
					a.err = f.err
					close(a.done)
				}
			}
		}()
		f.ended, f.err = shell.Run(long, calls...)
	}()
	return f
}

// awaitAhead waits for what was sent ahead; its words come into the step that asks for it.
func (h *Host) awaitAhead(ctx context.Context, a *ahead, words io.Writer) error {
	h.ahead = a.next
	stop := context.AfterFunc(ctx, func() { a.sent.cancel(context.Cause(ctx)) })
	defer stop()
	a.words.to(words)
	<-a.done
	if a.well {
		return nil // what follows it goes on
	}
	<-a.sent.over
	if a.sent.panics != nil {
		panic(a.sent.panics)
	}
	return a.err
}

// relay keeps what is written to it until it is told where it goes, the end of it where that is much:
// others may be waited for meanwhile.
type relay struct {
	mu   sync.Mutex
	kept []byte
	cut  bool
	next io.Writer
}

// mostKept is in bytes; twice that for a moment.
const mostKept = 64 << 10

func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.kept = append(r.kept, p...)
		if len(r.kept) > 2*mostKept {
			end := r.kept[len(r.kept)-mostKept:]
			if _, whole, found := bytes.Cut(end, []byte("\n")); found {
				end = whole
			}
			r.kept, r.cut = bytes.Clone(end), true
		}
		return len(p), nil
	}
	return r.next.Write(p)
}

func (r *relay) to(next io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		_, _ = io.WriteString(next, "(what was said before that is too much, and left out)\n")
	}
	_, _ = next.Write(r.kept)
	r.kept, r.next = nil, next
}
