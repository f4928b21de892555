// Package deploy puts one release on one or several hosts: an ordered list of steps, each with what takes it back.
package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/workspace"
)

// Deployment is one run of the action.
type Deployment struct {
	in         *inputs.Inputs
	rep        *report.Report
	dial       Dialer
	open       Opener
	now        func() time.Time
	begin      time.Time
	token      string // names this run, and with the number of its connection the holder of the lock
	hosts      []*host
	undos      []undo
	details    string                          // Markdown for the summary
	timeline   []outcome.Span                  // what ran when, for the summary
	stepsBegun int                             // how many steps and undos have begun
	untidy     bool                            // something is left for the post step
	cutOff     string                          // for Tidy: the release of the run that was cut off
	tree       func() (*workspace.Tree, error) // walks through the workspace, once
	hashed     func() (*workspace.Tree, error) // and hashes it, once

	patience time.Duration // to make a lost connection anew

	resolving sync.Mutex // guards store and assets, which all hosts share
	store     Store
	assets    []asset
}

// New prepares a run that began at begin; nothing is dialled yet.
func New(in *inputs.Inputs, rep *report.Report, dial Dialer, open Opener, begin time.Time) *Deployment {
	d := &Deployment{in: in, rep: rep, dial: dial, open: open, now: time.Now, begin: begin, token: fmt.Sprintf("%s-%s", in.Run.ID, rand.Text()), patience: reconnectFor}
	for _, target := range in.Hosts {
		d.hosts = append(d.hosts, &host{target: target, undoing: in.Operation == inputs.Tidy})
	}
	return d
}

// steps is the deployment. Any prefix of it leaves the site serving; the next run finds what is there and goes on. The other operations are
// some of these steps, in the same order.
func (d *Deployment) steps() []step {
	const brief = time.Minute
	in := d.in
	release := step{prepare, "fetch", "Fetching the release", in.Timeout, d.fetch, nil, nil, false}
	if in.Operation == inputs.Rollback {
		release = step{prepare, "choose", "Choosing the release", brief, d.choose, nil, nil, false}
	}
	anew := release
	anew.skip = isChosen
	change := []step{
		{prepare, "start", "Starting the new version", brief, d.start, d.stopNew, isUnchanged, false},
		{prepare, "health", "Waiting for the new version's health", in.Health.Timeout + brief, d.health, nil, isUnchanged, false},

		// Requests go to the new version; one rename takes them back.
		{commit, "switch", "Switching", brief, d.switchOver, d.switchBack, isUnchanged, false},
	}
	if in.Strategy == inputs.InPlace {
		// Visitors wait until the new version is healthy, or the old one serves again.
		limit := 2*in.DrainTimeout + 2*in.StopTimeout + 2*in.Health.Timeout + 2*brief
		change = []step{{commit, "replace", "Replacing the version", limit, d.replace, d.replaceBack, isUnchanged, false}}
	}
	deployment := []step{
		// The old version serves; nothing it needs is touched.
		{prepare, "connect", "Connecting", in.ConnectTimeout + brief, d.connect, nil, nil, false},
		{prepare, "read", "Reading the checkout", in.Timeout, d.readCheckout, nil, d.sendsNothing, false},
		{prepare, "lock", "Taking the deploy lock", in.LockTimeout + brief, d.takeLock, nil, nil, false},
		{prepare, "check", "Checking the host", in.Timeout, d.check, nil, nil, false},
		{prepare, "detect", "Detecting the active slot", brief, d.detect, nil, nil, false},
		{prepare, "order", "Comparing with the last deployment", brief, d.inOrder, nil, d.anyOrder, false},
		{prepare, "resolve", "Looking up the assets", brief, d.resolve, nil, d.noAssets, false},
		{prepare, "plan", "", brief, d.showPlan, nil, nil, false},
		{prepare, "install", "Installing what is missing", in.Timeout, d.install, nil, d.nothingToInstall, false},
		{prepare, "setup", "Setting up folders, service and rights", brief, d.setup, nil, nil, false},
		{prepare, "adopt", "Taking over the running version", brief, d.adopt, nil, nothingToAdopt, false},
		{prepare, "heal", "Putting the flag right", d.takesBack(), d.heal, nil, nothingToHeal, false},
		{prepare, "clear", "Clearing the idle slot", in.DrainTimeout + in.StopTimeout + brief, d.clear, nil, idleIsClear, false},
		release,
		{prepare, "confirm", "Asking the active version for its health", brief, d.confirm, nil, isChanged, false},
		anew,
		{prepare, "build", "Building the release", in.Timeout, d.build, nil, d.isBuilt, false},
		{prepare, "assets", "Fetching the assets", in.Timeout, d.fetchAssets, nil, d.noAssets, false},
		{prepare, "before-start", "Running before-start", in.Timeout, d.beforeStart, nil, d.isPrepared, false},
	}
	deployment = append(deployment, change...)
	deployment = append(deployment, []step{
		{commit, "verify", "Verifying through nginx", settle + in.WatchFor + brief, d.verify, nil, isUnchanged, false},

		// The new version has proved itself: from here a failure is a warning.
		{retire, "after-switch", "Running after-switch", in.Timeout, d.afterSwitch, nil, d.nothingAfter, false},
		{retire, "drain", "Draining the old version", in.DrainTimeout + brief, d.drain, nil, nothingToRetire, false},
		{retire, "stop", "Stopping the old version", in.StopTimeout + brief, d.stop, nil, nothingToRetire, false},
		{retire, "prune", "Pruning old releases", in.Timeout, d.prune, nil, isUnchanged, false},
		{retire, "record", "Recording the deployment", brief, d.recordSuccess, nil, nil, true},
		{retire, "unlock", "Releasing the deploy lock", 2 * heartbeat, d.unlock, nil, nil, true},
	}...)
	ask := step{prepare, "ask", "Asking the site", brief, d.askNow, nil, nil, false}
	switch {
	case in.Operation == inputs.Check:
		return append(only(deployment, "connect", "check", "detect", "resolve"), ask)
	case in.Operation == inputs.Status:
		return append(
			only(deployment, "connect", "detect"), ask,
			step{prepare, "status", "Listing releases", brief, d.status, nil, nil, false},
			step{prepare, "up", "Looking whether the site is up", brief, d.isUp, nil, nil, false},
		)
	case in.DryRun:
		return only(deployment, "connect", "read", "check", "detect", "resolve", "plan")
	case in.Operation == inputs.Setup: // no new version is live at its end, so a failure is one to the last
		site := step{prepare, "site", "Setting up the nginx site", brief, d.setUpSite, nil, nil, false}
		unlock := step{prepare, "unlock", "Releasing the deploy lock", 2 * heartbeat, d.unlock, nil, nil, true}
		return append(only(deployment, "connect", "lock", "check", "detect", "plan", "install", "setup", "adopt", "heal"), site, unlock)
	case in.Operation == inputs.Tidy:
		record := step{retire, "record", "Recording what became of the deployment", brief, d.recordCutOff, nil, nil, false}
		return slices.Concat(only(deployment, "connect", "lock", "detect", "heal", "clear"), []step{ask, record}, only(deployment, "unlock"))
	}
	return deployment
}

// only picks steps by their names.
func only(all []step, names ...string) []step {
	var picked []step
	for _, s := range all {
		if slices.Contains(names, s.name) {
			picked = append(picked, s)
		}
	}
	return picked
}

func (d *Deployment) isBuilt(h *host) bool { return h.unchanged || d.in.Operation == inputs.Rollback }

// isPrepared tells whether there is nothing to run before the start. In a release that a rollback goes back to it ran when that was new: a migration
// would not know what newer releases have made of the schema.
func (d *Deployment) isPrepared(h *host) bool {
	return h.unchanged || h.served || d.in.BeforeStart == ""
}

func (d *Deployment) nothingAfter(h *host) bool { return h.unchanged || d.in.AfterSwitch == "" }

func (d *Deployment) sendsNothing(*host) bool {
	return d.in.Source != inputs.Workspace || d.in.Operation != inputs.Deploy
}

func isUnchanged(h *host) bool     { return h.unchanged }
func nothingToAdopt(h *host) bool  { return !h.Adopt }
func nothingToHeal(h *host) bool   { return h.Heal == nil }
func idleIsClear(h *host) bool     { return !h.Idle.Runs() }
func nothingToRetire(h *host) bool { return h.unchanged || h.Active == nil || h.retired }

// Run goes through the list. It returns what happened and, when the release did not make it, a *Failure. The hosts' connections are closed
// when it returns.
func (d *Deployment) Run(ctx context.Context) (*outcome.Result, error) {
	ctx, stop := context.WithTimeoutCause(ctx, d.in.Timeout, fmt.Errorf("%w after %s (input \"timeout\")", errTimeout, d.in.Timeout))
	defer stop()
	defer d.hangUp()
	d.rep.Info(d.intent())
	d.warnOfEmpty()
	if d.changes() {
		d.save(StateBegun, "yes")
		defer func() {
			if !d.untidy {
				d.save(StateEnded, "yes")
			}
		}()
	}
	d.readAhead(ctx)
	for _, s := range d.steps() {
		if s.phase == retire {
			d.undos = nil // the commit point: what was verified stays
			if ctx.Err() != nil {
				if !s.always {
					d.untidy = true
					d.rep.Warn("Left to the post step", fmt.Sprintf("%s was not done: %v; the new version is live", s.name, context.Cause(ctx)))
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
		case s.phase == retire && overtaken(err):
			d.rep.Warn("Overtaken", "the new version was proved; what was left to do is another deployment's now: "+
				outcome.Describe(err))
			return d.result(d.success()), nil
		case s.phase == retire && flagged(err):
			d.rep.Warn("Flag changed", "the new version was proved, and somebody has changed the flag since: "+
				outcome.Describe(err))
		case s.phase == retire:
			left := s.name + " is left to the next deployment"
			if s.name == "after-switch" {
				left = "the command of after-switch is not run again"
			}
			d.rep.Warn("Could not "+s.name, fmt.Sprintf("the new version is live; %s: %s%s",
				left, outcome.Describe(err), said(err)))
		default:
			return d.fail(ctx, s, err)
		}
	}
	return d.result(d.success()), nil
}

// What Run saves for the post step, as it goes.
const (
	StateBegun   = "begun"   // a host may be changed from here on
	StateRelease = "release" // the release that goes live
	StateEnded   = "ended"   // nothing is left to tidy
)

func (d *Deployment) changes() bool {
	return !d.in.DryRun && (d.in.Operation == inputs.Deploy || d.in.Operation == inputs.Rollback)
}

func (d *Deployment) save(name, value string) {
	if err := d.rep.State(name, value); err != nil {
		d.rep.Debug(err.Error()) // the next deployment tidies too
	}
}

var errTimeout = errors.New("time-out")

// fail takes back what was done, writes it down on the hosts that still answer, and explains. A host that another run has taken over is
// that run's: nothing on it is touched.
func (d *Deployment) fail(ctx context.Context, s step, cause error) (*outcome.Result, error) {
	if overtaken(cause) {
		d.undos = nil
	}
	if errors.Is(cause, errGone) {
		d.patience = min(d.patience, time.Second) // it was long enough
	}
	undone := d.takeBack(ctx)
	taken := overtaken(cause) || overtaken(undone)
	d.untidy = undone != nil && !taken
	limit, cancelled := time.Minute, ctx.Err() != nil
	if cancelled {
		limit = cancelBudget / 3
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if !taken {
		d.askAll(ctx, limit/2)
	}
	f := d.failure(s, cause, undone)
	for _, h := range d.hosts {
		if h.lock == nil || h.Idle.Port == 0 || taken {
			continue
		}
		if d.in.Operation != inputs.Setup {
			if err := d.record(ctx, h, f.Outcome, outcome.Describe(cause)); err != nil {
				d.rep.Debug(fmt.Sprintf("record on %s: %v", h.target, err))
			}
		}
		if !cancelled {
			if _, err := d.prune(ctx, h); err != nil {
				d.rep.Debug(fmt.Sprintf("prune on %s: %v", h.target, err))
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
		h.hangUp()
	}
}
