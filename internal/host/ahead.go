package host

import (
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
	verb    scripts.Verb
	own     scripts.Values
	id      string // of the step that will ask
	results scripts.Results
	words   relay

	cancel context.CancelCauseFunc // nil before it is sent
	done   chan struct{}
	err    error
	panics any
}

// Ahead has the next Exec send a verb along that the step of that name will ask for next: that is a
// round trip less, where nothing is to be decided between them. If something else is asked for
// first, it is ended.
func (h *Host) Ahead(step string, verb scripts.Verb, own scripts.Values) {
	h.dropAhead()
	h.ahead = &ahead{verb: verb, own: own, id: step + "-1", done: make(chan struct{})}
}

// dropAhead ends what was sent and is not asked for.
func (h *Host) dropAhead() {
	a := h.ahead
	h.ahead = nil
	if a == nil || a.cancel == nil {
		return
	}
	a.cancel(context.Canceled)
	<-a.done
	a.words.mu.Lock()
	defer a.words.mu.Unlock()
	h.rep.Debug(fmt.Sprintf("%s: %s.sh was begun ahead, and ended: %v %v %s", h.Address, a.verb, a.err,
		cmp.Or(a.panics, any("")), a.words.kept))
}

// runAhead runs calls as Shell.Run does, and has what was sent ahead go on behind them.
func (h *Host) runAhead(ctx context.Context, calls []Call) (int, error) {
	a := h.ahead
	if a == nil || a.cancel != nil {
		h.dropAhead()
		return h.shell.Run(ctx, calls...)
	}
	last := len(calls)
	begun := make(chan struct{})
	calls = append(calls, Call{Verb: a.verb, Values: h.values(a.own, a.id), Results: &a.results, Words: &a.words})
	calls[last-1].Ended = func() { close(begun) }
	long, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	a.cancel = cancel
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer stop()
	ended := 0
	go func() {
		defer close(a.done)
		defer func() { a.panics = recover() }()
		ended, a.err = h.shell.Run(long, calls...)
	}()
	select {
	case <-begun:
		return last, nil
	case <-a.done:
	}
	if a.panics != nil {
		panic(a.panics)
	}
	if ended < last {
		h.ahead = nil
		return ended, a.err
	}
	return last, nil
}

// awaitAhead waits for what was sent ahead; its words come into the step that asks for it.
func (h *Host) awaitAhead(ctx context.Context, a *ahead, words io.Writer) error {
	h.ahead = nil
	stop := context.AfterFunc(ctx, func() { a.cancel(context.Cause(ctx)) })
	defer stop()
	a.words.to(words)
	<-a.done
	if a.panics != nil {
		panic(a.panics)
	}
	return a.err
}

// relay keeps what is written to it until it is told where it goes.
type relay struct {
	mu   sync.Mutex
	kept []byte
	next io.Writer
}

func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.kept = append(r.kept, p...)
		return len(p), nil
	}
	return r.next.Write(p)
}

func (r *relay) to(next io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = next.Write(r.kept)
	r.kept, r.next = nil, next
}
