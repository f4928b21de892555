// Package deploy puts one release on one or several hosts: an ordered list of steps, each with what
// takes it back.
package deploy

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// New prepares a run that began at begin; nothing is dialled yet.
func New(in *inputs.Inputs, rep *report.Report, dial host.Dialer, open Opener, begin time.Time) *Deployment {
	d := &Deployment{
		engine: engine{
			rep: rep, now: time.Now, notice: newNotice(), patience: reconnectFor, together: operationOf(in).live,
		},
		in: in, op: operationOf(in), open: open, begin: begin, wanted: make(chan string, 1),
		fetches: make(chan struct{}, fetchesAtOnce), fetchPause: firstPause,
	}
	d.openParameters, d.openInstances, d.account = openParameters, openInstances, Account(in, rep)
	d.openBalancers, d.targetPoll = openBalancers, targetPoll
	d.same, d.spares, d.goesPoll, d.holdEvery = d.notRestarted, d.sparesLeft, goesPoll, holdEvery
	d.bootPoll = bootPoll
	d.goes = d.goesAway
	d.openImages, d.imagePoll = openImages, imagePoll
	if in.Operation == inputs.Tidy {
		d.patience = in.Timeout / 4 // one host that is lost does not take all the time that there is for the others
	}
	d.dial, d.token = dial, fmt.Sprintf("%s-%s", in.Run.ID, rand.Text())
	if len(in.Instances) == 0 {
		d.takeOn()
	}
	return d
}

// takeOn makes targets of the hosts, once they are known.
func (d *Deployment) takeOn() {
	in := d.in
	if len(in.Hosts) > fewHosts {
		d.rep.Hosts(namesOfAll(in.Hosts)...)
	}
	d.toUndo = d.takesBack()
	if in.Strategy == inputs.InPlace { // a batch after the other
		d.toUndo *= time.Duration(max(1, len(in.Batches)))
	}
	for _, address := range in.Hosts {
		h := &target{undoing: in.Operation == inputs.Tidy}
		h.Host = host.New(host.Options{
			Address: address, Dial: d.reach, Report: d.rep, Token: d.token,
			Values: func() scripts.Values { return d.values(h) },
			Quiet:  len(d.hosts) > 0 && len(in.Hosts) > fewHosts && d.op.live,
		})
		d.hosts = append(d.hosts, h)
	}
}

func namesOfAll(hosts []remote.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

// steps is the deployment. Any prefix of it leaves the site serving; the next run finds what is
// there and goes on. The other operations are some of these steps, in the same order.
func (d *Deployment) steps() []step {
	in := d.in
	release := step{name: "fetch", title: "Fetching the release", each: d.fetch, asks: d.fetchNext, within: in.Timeout}
	switch {
	case d.op.again:
		release = step{name: "choose", title: "Taking the release that serves", each: d.chooseActive, within: brief}
	case !d.op.makes:
		release = step{name: "choose", title: "Choosing the release", each: d.choose, within: brief}
	}
	lock := step{name: "lock", title: "Taking the deploy lock", each: d.takeLock, within: in.LockTimeout + brief}
	if len(d.hosts) > 1 && in.Operation != inputs.Tidy { // which goes on with those that it gets
		lock.title, lock.once = "Taking the deploy locks", d.takeLocks
	}
	plan := step{name: "plan", each: d.showPlan, within: brief}
	if len(d.hosts) > fewHosts {
		plan.once = d.showPlans
	}
	anew := release
	anew.unless, anew.again = isChosen, true
	deployment := slices.Concat(
		prepare.of([]step{ // The old version serves; nothing it needs is touched.
			{
				name: "env-from", title: "Reading variables from AWS", once: d.readEnvFrom, unless: d.noEnvFrom, within: brief,
			},
			{name: "connect", title: "Connecting", each: d.connect, within: loginsTake(in) + brief},
			{
				name: "connect", title: "Leaving out what is not reachable", once: d.skip, unless: isReached, within: brief,
			},
			{
				name: "read", title: "Reading the checkout", once: d.readCheckout, unless: d.sendsNothing,
				within: in.Timeout,
			},
			lock,
			{name: "check", title: "Checking the host", each: d.check, asks: d.checkNext, within: in.Timeout},
			{name: "detect", title: "Detecting the active slot", each: d.detect, asks: d.detectNext, within: brief},
			{name: "compare", title: "Comparing the hosts", once: d.compare, unless: d.comparesNone, within: brief},
			{
				name: "live", title: "Choosing the commit that serves", once: d.chooseLive, unless: d.namesCommit,
				within: brief,
			},
			{
				name: "order", title: "Comparing with the last deployment", each: d.inOrder, unless: d.anyOrder,
				within: brief,
			},
			{name: "resolve", title: "Looking up the assets", once: d.resolve, unless: d.noAssets, within: brief},
			{
				name: "targets", title: "Asking the load balancer for the hosts", once: d.readTargets,
				unless: d.noTargetGroups, within: brief,
			},
			{
				name: "balancer", title: "Asking as the load balancer does", each: d.askAsBalancer,
				unless: d.nothingAsked, within: 2 * brief,
			},
			{
				name: "templates", title: "Asking what the groups launch", once: d.readTemplates, unless: d.noImage,
				within: brief,
			},
			plan,
			{
				name: "install", title: "Installing what is missing", each: d.install, unless: d.nothingToInstall,
				within: in.Timeout,
			},
			{name: "setup", title: "Setting up folders, service and rights", each: d.setup, within: brief},
			{
				name: "adopt", title: "Taking over the running version", each: d.adopt, unless: nothingToAdopt,
				within: brief,
			},
			{
				name: "heal", title: "Putting the flag and the site right", each: d.heal, unless: nothingToHeal,
				within: d.takesBack(),
			},
			{
				name: "settle", title: "Putting the workers right", each: d.settle, unless: d.nothingToSettle,
				within: 2*in.StopTimeout + brief,
			},
			{
				name: "clear", title: "Clearing the idle slot", each: d.clear, unless: idleIsClear,
				within: in.DrainTimeout + in.StopTimeout + brief,
			},
			release,
			{
				name: "agree", title: "Choosing one release for all hosts", once: d.chooseForAll,
				unless: d.choosesAlone, within: brief,
			},
			{
				name: "env-from", title: "Reading variables from AWS", once: d.readEnvFrom, unless: d.lacksNoEnvFrom,
				within: brief,
			},
			{
				name: "resolve", title: "Looking up the assets", once: d.resolve, unless: d.lacksNoAssets,
				within: brief,
			},
			{
				name: "fetch", title: "Fetching the release where it is missing", each: d.fetchLacking, unless: hasIt,
				within: in.Timeout,
			},
			{
				name: "confirm", title: "Asking the active version for its health", each: d.confirm, unless: isChanged,
				within: brief,
			},
			anew,
			{
				name: "build", title: "Building the release", each: d.build, asks: d.buildNext, unless: d.isBuilt,
				within: in.Timeout,
			},
			{name: "assets", title: "Fetching the assets", each: d.fetchAssets, unless: d.noAssets, within: in.Timeout},
			{
				name: "before-start", title: "Running before-start", each: d.beforeStart, unless: d.isPrepared,
				within: in.Timeout,
			},
		}),
		prepare.of([]step{d.securing(prepare)}),
		d.goLive(),
		commit.of([]step{
			{
				name: "workers", title: "Changing the workers", each: d.workers, undo: d.workersBack,
				unless: nothingToWork, within: 2*in.StopTimeout + in.WatchFor + brief,
			},
			{name: "mark", title: "Marking the release as proved", each: d.mark, unless: isUnchanged, within: brief},
		}),
		retire.of([]step{ // The new version has proved itself: from here a failure is a warning.
			{
				name: "let in", title: "Letting new instances go into service", each: d.letIn, unless: d.isFree,
				within: brief,
			},
			d.securing(retire),
			{
				name: "after-switch", title: "Running after-switch", each: d.afterSwitch, unless: d.nothingAfter,
				within: in.Timeout,
			},
			{
				name: "drain", title: "Draining the old version", each: d.drain, unless: nothingToRetire,
				within: in.DrainTimeout + brief,
			},
			{
				name: "stop", title: "Stopping the old version", each: d.stop, unless: nothingToRetire,
				within: in.StopTimeout + brief,
			},
			{name: "prune", title: "Pruning old releases", each: d.prune, unless: isUnchanged, within: in.Timeout},
		}),
		ending.of([]step{ // Whatever came of what is left to do.
			{name: "record", title: "Recording the deployment", each: d.recordSuccess, unless: d.hasRecord, within: brief},
		}),
		d.imageSteps(),
		ending.of([]step{
			{name: "unlock", title: "Releasing the deploy lock", each: unlock, within: 2 * host.Heartbeat},
		}),
	)
	// A dry run of what only asks is that.
	if in.DryRun && !d.op.asks {
		return planSteps(deployment)
	}
	return d.op.steps(d, deployment)
}

// takesBack is how long it may take to go back to what served before, by this run's strategy or by
// that of one that was cut off: both slots may have to be drained, workers of both to end, and a
// version that was stopped has to boot again.
func (d *Deployment) takesBack() time.Duration {
	return 2*d.in.DrainTimeout + 3*d.in.StopTimeout + d.in.Health.Timeout + time.Minute
}

// reconnectFor is as long as a reboot or a change of the network may take; more often than not the
// host is then gone for good.
const reconnectFor = 5 * time.Minute

// goLive brings the new version to where requests go to it, on one batch of hosts after the other.
func (d *Deployment) goLive() []step {
	in := d.in
	var before []step
	change := step{ // Requests go to the new version; one rename takes them back.
		name: "switch", title: "Switching", each: d.switchOver, undo: d.switchBack, undoAtOnce: true, within: brief,
	}
	if in.Strategy == inputs.InPlace { // Visitors wait until the new version is healthy, or the old one serves again.
		change = step{
			name: "replace", title: "Replacing the version", each: d.replace, undo: d.replaceBack,
			within: 2*in.DrainTimeout + 2*in.StopTimeout + 2*in.Health.Timeout + 2*brief,
		}
	} else {
		before = prepare.of([]step{
			{
				name: "start", title: "Starting the new version", each: d.start, asks: d.startNext, undo: d.stopNew,
				unless: isUnchanged, within: brief,
			},
			{
				name: "health", title: "Waiting for the new version's health", each: d.health, asks: d.healthNext,
				unless: isUnchanged, within: in.Health.Timeout + brief,
			},
		})
	}
	verify := step{
		name: "verify", title: "Verifying through nginx", each: d.verify, within: settle + in.WatchFor + brief,
	}
	gate := step{
		name: "gate", title: "Waiting for the load balancer", each: d.gate, unless: hasNoTargets,
		within: in.TargetTimeout + brief,
	}
	return append(before, commit.of(d.inBatches(change, verify, gate))...)
}

func (d *Deployment) isBuilt(h *target) bool { return h.unchanged || !d.op.makes && !h.lacks }

// isPrepared tells whether there is nothing to run before the start. In a release that a rollback
// goes back to, or that is started again, it ran when that was new: a migration would not know what
// newer releases have made of the schema. Where it runs on one host for all, it ran already when
// any of them serves the release.
func (d *Deployment) isPrepared(h *target) bool {
	if h.unchanged || h.served || d.in.BeforeStart == "" {
		return true
	}
	return d.in.BeforeStartOn == inputs.OnFirst && slices.ContainsFunc(d.hosts, isUnchanged)
}

func (d *Deployment) nothingAfter(h *target) bool { return h.unchanged || d.in.AfterSwitch == "" }

// hasRecord tells of a host that has part in a second pass whether the first one has written it down.
func (d *Deployment) hasRecord(h *target) bool { return d.joins && h.unchanged }

func (d *Deployment) isAlone(*target) bool { return len(d.hosts) == 1 }

// comparesNone: a host that has come alone is compared with what the run before has left.
func (d *Deployment) comparesNone(h *target) bool { return d.isAlone(h) && !d.joins }

func (d *Deployment) choosesAlone(h *target) bool { return d.isAlone(h) || d.op.makes || d.op.again }

func isUnchanged(h *target) bool     { return h.unchanged }
func nothingToAdopt(h *target) bool  { return !h.Adopt }
func nothingToHeal(h *target) bool   { return h.Heal == nil && h.SiteBack == "" }
func idleIsClear(h *target) bool     { return !h.Idle.Runs() }
func nothingToRetire(h *target) bool { return h.unchanged || h.Active == nil || h.retired }

// values are those that all verbs take, besides what a Host knows itself.
func (d *Deployment) values(h *target) scripts.Values {
	return scripts.Values{
		"app": d.in.App, "path": d.in.Path, "undo": scripts.Yes(h.undoing),
		"ports":         fmt.Sprintf("%d %d", d.in.Ports[0], d.in.Ports[1]),
		"processes":     d.processNames(),
		"keep_releases": strconv.Itoa(d.in.KeepReleases), "keep": h.keep(h.release),
		"any_host":    d.anyHost(),
		"health_path": d.in.Health.Path, "health_status": strconv.Itoa(d.in.Health.Status),
		"health_body": d.in.Health.Body,
	}
}
