// Package deploy puts one release on one or several hosts: an ordered list of steps, each with what takes it back.
package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/workspace"
)

// Deployment is one run of the action.
type Deployment struct {
	in      *inputs.Inputs
	rep     *report.Report
	dial    Dialer
	open    Opener
	now     func() time.Time
	begin   time.Time
	token   string // names this run to the lock and to every step on the host
	hosts   []*host
	undos   []undo
	details string                          // Markdown for the summary
	tree    func() (*workspace.Tree, error) // reads the workspace, once
	cancel  context.CancelCauseFunc

	resolving sync.Mutex // guards store and assets, which all hosts share
	store     Store
	assets    []asset
}

// New prepares a run that began at begin; nothing is dialled yet.
func New(in *inputs.Inputs, rep *report.Report, dial Dialer, open Opener, begin time.Time) *Deployment {
	d := &Deployment{in: in, rep: rep, dial: dial, open: open, now: time.Now, begin: begin, token: fmt.Sprintf("%s-%s", in.Run.ID, rand.Text())}
	for _, target := range in.Hosts {
		d.hosts = append(d.hosts, &host{target: target})
	}
	return d
}

// steps is the deployment. Any prefix of it leaves the site serving; the next run finds what is there and goes on.
func (d *Deployment) steps() []step {
	const brief = time.Minute
	in := d.in
	connect := step{prepare, "connect", "Connecting", in.ConnectTimeout + brief, d.connect, nil, nil, false}
	check := step{prepare, "check", "Checking the host", in.Timeout, d.check, nil, nil, false}
	detect := step{prepare, "detect", "Detecting the active slot", brief, d.detect, nil, nil, false}
	lock := step{prepare, "lock", "Taking the deploy lock", in.LockTimeout + brief, d.takeLock, nil, nil, false}
	setup := step{prepare, "setup", "Setting up folders, service and rights", brief, d.setup, nil, nil, false}
	unlock := step{retire, "unlock", "Releasing the deploy lock", 2 * heartbeat, d.unlock, nil, nil, true}
	release := step{prepare, "fetch", "Fetching the release", in.Timeout, d.fetch, nil, nil, false}
	resolve := step{prepare, "resolve", "Looking up the assets", brief, d.resolve, nil, d.noAssets, false}
	switch in.Operation {
	case inputs.Check:
		return []step{connect, check, detect}
	case inputs.Status:
		return []step{connect, detect, {prepare, "status", "Listing releases", brief, d.status, nil, nil, false}}
	}
	if in.DryRun {
		return []step{connect, check, detect, resolve, {prepare, "plan", "Planning", brief, d.showPlan, nil, nil, false}}
	}
	switch in.Operation {
	case inputs.Setup:
		unlock.phase = prepare // no new version is live, so a failure is one
		return []step{
			connect, lock, check, detect, setup,
			{prepare, "site", "Setting up the nginx site", brief, d.setUpSite, nil, nil, false},
			unlock,
		}
	case inputs.Rollback:
		release = step{prepare, "choose", "Choosing the release", brief, d.choose, nil, nil, false}
	}
	return []step{
		// The old version serves; nothing it needs is touched.
		connect,
		lock,
		check,
		detect,
		setup,
		{prepare, "clear", "Clearing the idle slot", in.DrainTimeout + in.StopTimeout + brief, d.clear, nil, idleIsClear, false},
		resolve,
		release,
		{prepare, "build", "Building the release", in.Timeout, d.build, nil, d.isBuilt, false},
		{prepare, "assets", "Fetching the assets", in.Timeout, d.fetchAssets, nil, d.noAssets, false},
		{prepare, "before-start", "Running before-start", in.Timeout, d.beforeStart, nil, d.hasNoHook(in.BeforeStart), false},
		{prepare, "start", "Starting the new version", brief, d.start, d.stopNew, isUnchanged, false},
		{prepare, "health", "Waiting for the new version's health", in.Health.Timeout + brief, d.health, nil, isUnchanged, false},

		// Requests go to the new version; one rename takes them back.
		{commit, "switch", "Switching", brief, d.switchOver, d.switchBack, isUnchanged, false},
		{commit, "verify", "Verifying through nginx", settle + in.WatchFor + brief, d.verify, nil, isUnchanged, false},

		// The new version has proved itself: from here a failure is a warning.
		{retire, "after-switch", "Running after-switch", in.Timeout, d.afterSwitch, nil, d.hasNoHook(in.AfterSwitch), false},
		{retire, "drain", "Draining the old version", in.DrainTimeout + brief, d.drain, nil, nothingToRetire, false},
		{retire, "stop", "Stopping the old version", in.StopTimeout + brief, d.stop, nil, nothingToRetire, false},
		{retire, "prune", "Pruning old releases", brief, d.prune, nil, isUnchanged, false},
		{retire, "record", "Recording the deployment", brief, d.recordSuccess, nil, nil, true},
		unlock,
	}
}

func (d *Deployment) isBuilt(h *host) bool { return h.unchanged || d.in.Operation == inputs.Rollback }

func (d *Deployment) hasNoHook(command string) func(*host) bool {
	return func(h *host) bool { return h.unchanged || command == "" }
}

func isUnchanged(h *host) bool     { return h.unchanged }
func idleIsClear(h *host) bool     { return !h.Idle.runs() }
func nothingToRetire(h *host) bool { return h.unchanged || h.Active == nil }

// Run goes through the list. It returns what happened and, when the release did not make it, a *Failure. The hosts' connections are closed
// when it returns.
func (d *Deployment) Run(parent context.Context) (*Result, error) {
	ctx, cancel := context.WithCancelCause(parent)
	d.cancel = cancel
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, d.in.Timeout, fmt.Errorf("%w after %s (input \"timeout\")", errTimeout, d.in.Timeout))
	defer stop()
	defer d.hangUp()
	d.tree = sync.OnceValues(func() (*workspace.Tree, error) { return d.read(ctx) })
	for _, s := range d.steps() {
		if s.phase == retire {
			d.undos = nil // the commit point: what was verified stays
			if ctx.Err() != nil {
				if !s.always {
					d.rep.Warn("Left to the next deployment", fmt.Sprintf("%s was not done: %v; the new version is live", s.name, context.Cause(ctx)))
					continue
				}
				var release context.CancelFunc
				ctx, release = context.WithTimeout(context.WithoutCancel(ctx), cancelBudget)
				defer release()
			}
		}
		err := context.Cause(ctx)
		if err == nil {
			err = d.do(ctx, s)
		}
		switch {
		case err == nil:
		case s.phase == retire:
			d.rep.Warn("Could not "+s.name, fmt.Sprintf("the new version is live; %s is left to the next deployment: %s", s.name, describe(err)))
		default:
			return d.fail(ctx, s, err)
		}
	}
	return d.result(d.success()), nil
}

var (
	errTimeout  = errors.New("time-out")
	errLockLost = errors.New("the deploy lock was lost")
)

// fail takes back what was done, writes it down on the hosts that still answer, and explains.
func (d *Deployment) fail(ctx context.Context, s step, cause error) (*Result, error) {
	undone := d.takeBack(ctx)
	f := d.failure(s, cause, undone)
	limit := time.Minute
	if ctx.Err() != nil {
		limit = cancelBudget / 3
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	for _, h := range d.hosts {
		if h.lock == nil || h.Idle.Port == 0 {
			continue
		}
		if d.in.Operation != inputs.Setup {
			if err := d.record(ctx, h, f.Outcome, describe(cause)); err != nil {
				d.rep.Debug(fmt.Sprintf("record on %s: %v", h.target, err))
			}
		}
		if _, err := d.unlock(ctx, h); err != nil {
			d.rep.Debug(fmt.Sprintf("unlock %s: %v", h.target, err))
		}
	}
	return d.result(f.Outcome), f
}

func (d *Deployment) hangUp() {
	for _, h := range d.hosts {
		if h.lock != nil {
			h.releasing.Store(true)
			h.lock.Close()
		}
		if h.shell != nil {
			_ = h.shell.Close()
		}
	}
}
