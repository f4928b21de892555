package host

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// heldLock is the deploy lock on one host.
type heldLock struct {
	note    string // about the run, for others that wait
	session Session
	over    context.CancelFunc
}

func (l *heldLock) end() {
	l.over()
	l.session.Close()
}

// Heartbeat is how often the host hears of who holds the lock, which is free again after four beats
// of silence.
const (
	Heartbeat = 5 * time.Second
	silence   = 4 * Heartbeat
)

// Taken is what the host said as it gave the deploy lock.
type Taken struct {
	Machine string // names this boot of this machine; known also where the lock was refused
	Open    bool   // others on the host may read the deploy root
	Waited  time.Duration
}

// TakeLock takes the deploy lock, and waits for it up to a limit. The note tells others that wait
// who has it.
func (h *Host) TakeLock(ctx context.Context, note string, limit time.Duration) (Taken, error) {
	return h.takeLock(ctx, note, limit, false)
}

// resumeLock takes the lock again where it was held over a connection that is lost, and is refused
// when another run has had it since.
func (h *Host) resumeLock(ctx context.Context) error {
	held := h.lock
	if held == nil {
		return nil
	}
	held.over()
	// Where the connection vanished without a word the host frees the lock after the silence.
	_, err := h.takeLock(ctx, held.note, silence+Heartbeat, true)
	return err
}

func (h *Host) takeLock(ctx context.Context, note string, limit time.Duration, resume bool) (Taken, error) {
	if h.SentAhead() { // along with a lock that is given back, or not taken
		h.dropAhead()
	}
	var results scripts.Results
	locked := results.Came("locked")
	words := h.rep.Remote(h.Address.Name)
	kept := false
	defer func() {
		if !kept {
			_ = words.Close()
		}
	}()
	var last tail
	// The lock outlives this step and the run's cancellation: what is undone is undone under it.
	session, err := h.shell.Hold(context.WithoutCancel(ctx), Call{
		Verb: scripts.Lock, Results: &results, Words: io.MultiWriter(words, &last),
		Values: h.values(scripts.Values{
			"lock_note": note, "lock_timeout": scripts.Seconds(limit), "beat": scripts.Seconds(silence),
			"resume": scripts.Yes(resume),
		}, h.stepID()),
	})
	if err != nil {
		return Taken{}, err
	}
	defer h.sendBehindLock(ctx, session)()
	beat := time.NewTicker(Heartbeat)
	for held := false; !held; {
		select {
		case <-locked:
			held = true
			session.Ready()
		case <-beat.C:
			session.Beat() // a dead session says so below
		case <-session.Done():
			beat.Stop()
			err := session.Wait()
			var exit *remote.ExitError
			if errors.As(err, &exit) && exit.Signal != "" { // the host has ended it
				return Taken{}, &remote.LostError{Started: true, Err: errors.New("the host did not hear this run any more")}
			}
			return Taken{Machine: results.Text("machine")}, last.explain(scripts.Lock, err)
		case <-ctx.Done():
			beat.Stop()
			session.Close()
			return Taken{}, context.Cause(ctx)
		}
	}
	ctx, over := context.WithCancel(context.WithoutCancel(ctx))
	h.lock = &heldLock{note: note, session: session, over: over}
	kept = true // what it has said before may come after its result, which takes another way
	go keepLock(ctx, h.shell, session, beat, words)
	return Taken{
		Machine: results.Text("machine"), Open: results.Yes("open"), Waited: results.Millis("waited"),
	}, results.Err()
}

// keepLock sends the heartbeat. When the lock is lost without our doing the connection is given up
// with it: the step under way then ends, and takes both again.
func keepLock(ctx context.Context, shell Shell, session Session, beat *time.Ticker, words io.Closer) {
	defer beat.Stop()
	defer func() { _ = words.Close() }()
	for {
		select {
		case <-beat.C:
			session.Beat()
		case <-session.Done():
			if ctx.Err() == nil {
				_ = shell.Close()
			}
			return
		}
	}
}

// Locked reports whether this run has taken the deploy lock, and not given it back.
func (h *Host) Locked() bool { return h.lock != nil }

// Unlock ends the lock's session and waits until the host has let go.
func (h *Host) Unlock(ctx context.Context) error {
	held := h.lock
	h.dropAhead() // nothing of it counts without the lock
	held.end()
	select {
	case <-held.session.Done():
		h.lock = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lockGone reports whether a step was refused only because the session that holds the lock has just
// ended.
func (h *Host) lockGone(err error) bool {
	if h.lock == nil || !Overtaken(err) {
		return false
	}
	select {
	case <-h.lock.session.Done():
		return true
	case <-time.After(time.Second):
		return false
	}
}
