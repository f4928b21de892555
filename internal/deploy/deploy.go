// Package deploy puts one release on one or several hosts: an ordered list of steps, each with what
// takes it back.
package deploy

import (
	"slices"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
)

// steps is the deployment. Any prefix of it leaves the site serving; the next run finds what is
// there and goes on. The other operations are some of these steps, in the same order.
func (d *Deployment) steps() []step {
	in := d.in
	release := step{
		name: "fetch", title: "Fetching the release", each: d.source.fetch, asks: d.source.fetchNext, within: in.Timeout,
	}
	switch {
	case d.op.again:
		release = step{name: "choose", title: "Taking the release that serves", each: d.choice.chooseActive, within: brief}
	case !d.op.makes:
		release = step{name: "choose", title: "Choosing the release", each: d.choice.choose, within: brief}
	}
	lock := step{name: "lock", title: "Taking the deploy lock", each: d.locking.take, within: in.LockTimeout + brief}
	if len(d.hosts) > 1 && in.Operation != inputs.Tidy { // which goes on with those that it gets
		lock.title, lock.once = "Taking the deploy locks", d.locking.takeAll
	}
	plan := step{name: "plan", each: d.plan.show, within: brief}
	if len(d.hosts) > fewHosts {
		plan.once = d.plan.showAll
	}
	anew := release
	anew.unless, anew.again = isChosen, true
	deployment := slices.Concat(
		prepare.of([]step{ // The old version serves; nothing it needs is touched.
			{
				name: "env-from", title: "Reading variables from AWS", once: d.recipe.readEnvFrom, unless: d.recipe.noEnvFrom,
				within: brief,
			},
			{name: "connect", title: "Connecting", each: d.machine.connect, within: loginsTake(in) + brief},
			{
				name: "connect", title: "Leaving out what is not reachable", once: d.roster.skip, unless: isReached, within: brief,
			},
			{
				name: "read", title: "Reading the checkout", once: d.source.readCheckout, unless: d.sendsNothing,
				within: in.Timeout,
			},
			lock,
			{name: "check", title: "Checking the host", each: d.machine.check, asks: d.machine.checkNext, within: in.Timeout},
			{
				name: "detect", title: "Detecting the active slot", each: d.machine.detect, asks: d.machine.detectNext,
				within: brief,
			},
			{name: "compare", title: "Comparing the hosts", once: d.choice.compare, unless: d.comparesNone, within: brief},
			{
				name: "live", title: "Choosing the commit that serves", once: d.choice.chooseLive, unless: d.choice.namesCommit,
				within: brief,
			},
			{
				name: "order", title: "Comparing with the last deployment", each: d.order.inOrder, unless: d.order.anyOrder,
				within: brief,
			},
			{name: "resolve", title: "Looking up the assets", once: d.assets.resolve, unless: d.assets.none, within: brief},
			{
				name: "targets", title: "Asking the load balancer for the hosts", once: d.traffic.readTargets,
				unless: d.traffic.noTargetGroups, within: brief,
			},
			{
				name: "balancer", title: "Asking as the load balancer does", each: d.traffic.askAsBalancer,
				unless: d.traffic.nothingAsked, within: 2 * brief,
			},
			{
				name: "templates", title: "Asking what the groups launch", once: d.imaging.readTemplates, unless: d.imaging.none,
				within: brief,
			},
			plan,
			{
				name: "install", title: "Installing what is missing", each: d.machine.install, unless: d.machine.nothingToInstall,
				within: in.Timeout,
			},
			{name: "setup", title: "Setting up folders, service and rights", each: d.machine.setup, within: brief},
			{
				name: "adopt", title: "Taking over the running version", each: d.slots.adopt, unless: nothingToAdopt,
				within: brief,
			},
			{
				name: "heal", title: "Putting the flag and the site right", each: d.healing.heal, unless: nothingToHeal,
				within: d.takesBack(),
			},
			{
				name: "settle", title: "Putting the workers right", each: d.workers.settle, unless: d.workers.nothingToSettle,
				within: 2*in.StopTimeout + brief,
			},
			{
				name: "clear", title: "Clearing the idle slot", each: d.slots.clear, unless: idleIsClear,
				within: in.DrainTimeout + in.StopTimeout + brief,
			},
			release,
			{
				name: "agree", title: "Choosing one release for all hosts", once: d.choice.chooseForAll,
				unless: d.choosesAlone, within: brief,
			},
			{
				name: "env-from", title: "Reading variables from AWS", once: d.recipe.readEnvFrom, unless: d.recipe.lacksNoEnvFrom,
				within: brief,
			},
			{
				name: "resolve", title: "Looking up the assets", once: d.assets.resolve, unless: d.assets.lacksNone,
				within: brief,
			},
			{
				name: "fetch", title: "Fetching the release where it is missing", each: d.choice.fetchLacking, unless: hasIt,
				within: in.Timeout,
			},
			{
				name: "confirm", title: "Asking the active version for its health", each: d.choice.confirm, unless: isChanged,
				within: brief,
			},
			anew,
			{
				name: "build", title: "Building the release", each: d.source.build, asks: d.source.buildNext, unless: d.isBuilt,
				within: in.Timeout,
			},
			{name: "assets", title: "Fetching the assets", each: d.assets.fetch, unless: d.assets.none, within: in.Timeout},
			{
				name: "before-start", title: "Running before-start", each: d.slots.beforeStart, unless: d.isPrepared,
				within: in.Timeout,
			},
		}),
		prepare.of([]step{d.site.securing(prepare)}),
		d.goLive(),
		commit.of([]step{
			{
				name: "workers", title: "Changing the workers", each: d.workers.change, undo: d.workers.workersBack,
				unless: nothingToWork, within: 2*in.StopTimeout + in.WatchFor + brief,
			},
			{name: "mark", title: "Marking the release as proved", each: d.slots.mark, unless: isUnchanged, within: brief},
		}),
		retire.of([]step{ // The new version has proved itself: from here a failure is a warning.
			{
				name: "let in", title: "Letting new instances go into service", each: d.launches.letIn, unless: d.roster.isFree,
				within: brief,
			},
			d.site.securing(retire),
			{
				name: "after-switch", title: "Running after-switch", each: d.slots.afterSwitch, unless: d.nothingAfter,
				within: in.Timeout,
			},
			{
				name: "drain", title: "Draining the old version", each: d.slots.drain, unless: nothingToRetire,
				within: in.DrainTimeout + brief,
			},
			{
				name: "stop", title: "Stopping the old version", each: d.slots.stop, unless: nothingToRetire,
				within: in.StopTimeout + brief,
			},
			{name: "prune", title: "Pruning old releases", each: d.pruning.prune, unless: isUnchanged, within: in.Timeout},
		}),
		ending.of([]step{ // Whatever came of what is left to do.
			{
				name: "record", title: "Recording the deployment", each: d.outcomes.recordSuccess, unless: d.hasRecord,
				within: brief,
			},
		}),
		d.imaging.steps(),
		ending.of([]step{
			{name: "unlock", title: "Releasing the deploy lock", each: unlock, within: 2 * host.Heartbeat},
		}),
	)
	// A dry run of what only asks is that.
	if in.DryRun && !d.op.asks {
		return planSteps(deployment)
	}
	return operationOf(d.in).steps(d, deployment)
}

// goLive brings the new version to where requests go to it, on one batch of hosts after the other.
func (d *Deployment) goLive() []step {
	in := d.in
	var before []step
	change := step{ // Requests go to the new version; one rename takes them back.
		name: "switch", title: "Switching", each: d.slots.switchOver, undo: d.slots.switchBack, undoAtOnce: true,
		within: brief,
	}
	if in.Strategy == inputs.InPlace { // Visitors wait until the new version is healthy, or the old one serves again.
		change = step{
			name: "replace", title: "Replacing the version", each: d.inPlace.replace, undo: d.inPlace.replaceBack,
			within: 2*in.DrainTimeout + 2*in.StopTimeout + 2*in.Health.Timeout + 2*brief,
		}
	} else {
		before = prepare.of([]step{
			{
				name: "start", title: "Starting the new version", each: d.slots.start, asks: d.slots.startNext,
				undo: d.slots.stopNew, unless: isUnchanged, within: brief,
			},
			{
				name: "health", title: "Waiting for the new version's health", each: d.slots.health, asks: d.slots.healthNext,
				unless: isUnchanged, within: in.Health.Timeout + brief,
			},
		})
	}
	verify := step{
		name: "verify", title: "Verifying through nginx", each: d.slots.verify, within: settle + in.WatchFor + brief,
	}
	gate := step{
		name: "gate", title: "Waiting for the load balancer", each: d.traffic.gate, unless: hasNoTargets,
		within: in.TargetTimeout + brief,
	}
	return append(before, commit.of(d.batches.of(change, verify, gate))...)
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

// comparesNone: a host that has come alone is compared with what the run before has left.
func (d *Deployment) comparesNone(h *target) bool { return d.isAlone(h) && !d.joins }

func (d *Deployment) choosesAlone(h *target) bool { return d.isAlone(h) || d.op.makes || d.op.again }
