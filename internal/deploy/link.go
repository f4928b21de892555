package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// link is a host's connection and the deploy lock held over it; both may be lost and made anew while a deployment goes on.
type link struct {
	shell   Shell
	lock    *heldLock // nil before the step lock, and after unlock
	dials   int       // how often this run has connected; names the lock's holder, so that a step from before finds it is not held
	bootID  string    // of the host, as detection found it
	journal string    // names the step under way, for exec
	execs   int       // of that step so far
}

// heldLock is the deploy lock on one host.
type heldLock struct {
	session Session
	over    context.CancelFunc
}

// heartbeat: a lock whose holder is silent for four beats is free again.
const (
	heartbeat = 5 * time.Second
	silence   = 4 * heartbeat
)

func (d *Deployment) connect(ctx context.Context, h *host) (string, error) {
	shell, err := d.dial(ctx, h.target)
	if err != nil {
		return "", err
	}
	h.shell = shell
	if d.in.KeyInsecure {
		d.rep.Warn("Nobody knows who "+h.target.Name+" is", "the input \"insecure-skip-host-key-check\" is set: whoever sits in between can read and change "+
			"everything of this deployment, its secrets included. Pin the host's key once you have compared it there, and remove that input: "+shell.String())
	}
	if h.target.User == "root" {
		d.rep.Warn("The user of "+h.target.Name, "the input \"username\" is root: the application runs as root there, and "+
			"whoever takes it over has the host; make a user for it, and give that one sudo for the first run")
	}
	var through string
	for _, jump := range d.in.Jumps {
		through += ", through " + jump.Host.String()
	}
	return fmt.Sprintf("%s%s, %s", h.target, through, shell), nil
}

func (d *Deployment) takeLock(ctx context.Context, h *host) (string, error) {
	waited, err := d.lock(ctx, h, false, d.in.LockTimeout)
	if err == nil && h.open {
		d.rep.Warn("Deploy root of "+h.target.Name, fmt.Sprintf("everybody on %s may read %s, and it stays so since nginx's "+
			"configuration names files in it: give it to nginx's group, sudo chgrp www-data %[2]s && sudo chmod 0750 %[2]s",
			h.target, d.in.Path))
	}
	if err == nil && waited >= time.Second {
		return fmt.Sprintf("held, after waiting %s", waited.Round(time.Second)), nil
	}
	return "held", err
}

// lock takes the deploy lock; to resume is to have had it before, and to be refused when another run has had it since.
func (d *Deployment) lock(ctx context.Context, h *host, resume bool, limit time.Duration) (waited time.Duration, err error) {
	var results scripts.Results
	locked := results.Came("locked")
	words := d.rep.Remote(h.target.Name)
	kept := false
	defer func() {
		if !kept {
			_ = words.Close()
		}
	}()
	var last tail
	// The lock outlives this step and the run's cancellation: what is undone is undone under it.
	session, err := h.shell.Hold(context.WithoutCancel(ctx), scripts.Lock, d.values(h, scripts.Values{
		"lock_note": d.in.Run.Actor + " " + d.in.Run.URL(), "lock_timeout": scripts.Seconds(limit),
		"beat": scripts.Seconds(silence), "resume": scripts.Yes(resume),
	}), &results, io.MultiWriter(words, &last))
	if err != nil {
		return 0, err
	}
	beat := time.NewTicker(heartbeat)
	for held := false; !held; {
		select {
		case <-locked:
			held = true
		case <-beat.C:
			_ = session.Beat() // a dead session says so below
		case <-session.Done():
			beat.Stop()
			err := session.Wait()
			var exit *remote.ExitError
			if errors.As(err, &exit) && exit.Signal != "" { // the host has ended it
				return 0, &remote.LostError{Started: true, Err: fmt.Errorf("the host heard nothing of this run for %s", silence)}
			}
			return 0, last.explain(scripts.Lock, err)
		case <-ctx.Done():
			beat.Stop()
			session.Close()
			return 0, context.Cause(ctx)
		}
	}
	ctx, over := context.WithCancel(context.WithoutCancel(ctx))
	h.lock = &heldLock{session: session, over: over}
	kept = true // what it has said before may come after its result, which takes another way
	go keepLock(ctx, h.shell, session, beat, words)
	h.open = results.Yes("open")
	return results.Millis("waited"), results.Err()
}

// keepLock sends the heartbeat. When the lock is lost without our doing the connection is given up with it: the step under way then ends, and
// takes both again.
func keepLock(ctx context.Context, shell Shell, session Session, beat *time.Ticker, words io.Closer) {
	defer beat.Stop()
	defer func() { _ = words.Close() }()
	for {
		select {
		case <-beat.C:
			_ = session.Beat()
		case <-session.Done():
			if ctx.Err() == nil {
				_ = shell.Close()
			}
			return
		}
	}
}

// unlock ends the lock's session and waits until the host has let go.
func (d *Deployment) unlock(ctx context.Context, h *host) (string, error) {
	held := h.lock
	held.over()
	held.session.Close()
	select {
	case <-held.session.Done():
		h.lock = nil
		return "released", nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (h *host) hangUp() {
	if h.lock != nil {
		h.lock.over()
		h.lock.session.Close()
	}
	if h.shell != nil {
		_ = h.shell.Close()
	}
}

// lost reports whether the host did not answer: what the step has done there is not known.
func lost(err error) bool {
	var lost *remote.LostError
	return errors.As(err, &lost)
}

// overtaken reports whether the deploy lock was not this run's any more.
func overtaken(err error) bool {
	var no *HostError
	return errors.As(err, &no) && no.Code == scripts.ExitLockLost
}

// lockGone reports whether a step was refused only because the session that holds the lock has just ended.
func (h *host) lockGone(err error) bool {
	if h.lock == nil || !overtaken(err) {
		return false
	}
	select {
	case <-h.lock.session.Done():
		return true
	case <-time.After(time.Second):
		return false
	}
}

var (
	errRestarted = errors.New("the host was restarted during this run")
	errGone      = errors.New("no connection came about again")
)

// reconnect makes a lost connection anew, and makes sure that the run can go on: under the lock, which nobody had in between, on a host that
// is as this run left it. It tries until the host answers, for reconnectFor at most.
func (d *Deployment) reconnect(parent context.Context, h *host, cause error) error {
	began := d.now()
	d.rep.Warn("Connection to "+h.target.Name, fmt.Sprintf("%v; dialling again", cause))
	ctx, cancel := context.WithTimeoutCause(parent, d.patience, fmt.Errorf("%w within %s", errGone, d.patience))
	defer cancel()
	for pause := time.Second; ; pause = min(2*pause, 10*time.Second) {
		err := d.dialAgain(ctx, h)
		if err == nil {
			d.rep.Info(fmt.Sprintf("connected again after %s; going on", d.now().Sub(began).Round(100*time.Millisecond)))
			return nil
		}
		var dial *remote.DialError
		if !errors.As(err, &dial) && !lost(err) && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w (last: %w)", cause, context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// reconnectFor is as long as a reboot or a change of the network may take; more often than not the host is then gone for good.
const reconnectFor = 5 * time.Minute

func (d *Deployment) dialAgain(ctx context.Context, h *host) error {
	_ = h.shell.Close()
	h.dials++
	shell, err := d.dial(ctx, h.target)
	if err != nil {
		return err
	}
	h.shell = shell
	if held := h.lock; held != nil {
		held.over()
		// Where the connection vanished without a word the host frees the lock after the silence.
		if _, err := d.lock(ctx, h, true, silence+heartbeat); err != nil {
			return err
		}
	}
	if h.bootID == "" {
		return nil
	}
	res, err := d.exec(ctx, h, scripts.Port, d.detection())
	if err != nil {
		return err
	}
	if boot := res.Text("boot"); res.Err() == nil && boot != h.bootID {
		return errRestarted
	}
	return res.Err()
}

// stepID names what exec does on the host: the same again when a step is repeated after a lost connection, so that what it has finished
// is not done twice. A verb that can't be answered from what it left gets none.
func (h *host) stepID() string {
	h.execs++
	return h.journal + "-" + strconv.Itoa(h.execs)
}
