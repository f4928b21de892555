package deploy

import (
	"slices"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
)

// procedure is an operation, and how it goes.
type procedure struct {
	operation
	steps func(d *Deployment, deployment []step) []step // those of a whole deployment among them
}

var operations = map[inputs.Operation]procedure{
	inputs.Deploy: {
		operation{success: outcome.Deployed, live: true, makes: true, tools: true, history: true}, whole,
	},
	inputs.Restart: {
		operation{success: outcome.Restarted, live: true, again: true, needs: true, history: true}, whole,
	},
	inputs.Rollback:    {operation{success: outcome.RolledBack, live: true, history: true}, whole},
	inputs.Setup:       {operation{success: outcome.SetUp, tools: true}, setupSteps},
	inputs.Check:       {operation{success: outcome.Unchanged, tools: true, asks: true}, checkSteps},
	inputs.Status:      {operation{success: outcome.Unchanged, asks: true}, statusSteps},
	inputs.Logs:        {operation{success: outcome.Unchanged, asks: true}, logSteps},
	inputs.RunIt:       {operation{success: outcome.Ran, needs: true}, commandSteps},
	inputs.Maintenance: {operation{success: outcome.Maintenance}, maintenanceSteps},
	inputs.Tidy:        {operation{success: outcome.Deployed, history: true}, tidySteps},
}

// What the operation remove is: with its confirmation, and without.
var (
	removes   = procedure{operation{success: outcome.Removed}, removeSteps}
	listsOnly = procedure{operation{success: outcome.Unchanged, asks: true}, removeListSteps}
)

// operationOf is what a run with these inputs does.
func operationOf(in *inputs.Inputs) procedure {
	switch {
	case in.Operation != inputs.Remove:
		return operations[in.Operation]
	case in.Confirmed && !in.DryRun:
		return removes
	}
	return listsOnly
}

func whole(_ *Deployment, deployment []step) []step { return deployment }

func setupSteps(d *Deployment, deployment []step) []step {
	before := only(deployment, "connect", "lock", "check", "detect", "plan", "install", "setup", "adopt", "heal", "settle")
	return append(before, prepare.of([]step{ // no new version is live at its end, so a failure is one to the last
		d.site.securing(prepare),
		{name: "site", title: "Setting up the nginx site", each: d.machine.setUpSite, within: brief},
		d.site.securing(retire),
		{name: "unlock", title: "Releasing the deploy lock", each: unlock, within: 2 * host.Heartbeat},
	})...)
}

func checkSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "env-from", "connect", "check", "detect", "resolve", "targets", "balancer",
		"templates"), d.asking.step())
}

func statusSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "connect", "detect"), prepare.of([]step{
		d.asking.step(),
		{name: "status", title: "Listing releases", each: d.asking.status, within: brief},
		{name: "up", title: "Looking whether the site is up", each: d.asking.isUp, within: brief},
	})...)
}

func logSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "connect", "detect"), prepare.of([]step{
		{name: "logs", title: "Reading the logs", each: d.asking.logs, within: 10 * brief},
	})...)
}

func commandSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "connect", "detect"), prepare.of([]step{
		{name: "run", title: "Running the command", each: d.asking.runCommand, final: true, within: d.in.Timeout},
	})...)
}

func tidySteps(d *Deployment, deployment []step) []step {
	steps := slices.Concat(
		only(deployment, "connect", "lock", "detect", "heal", "settle"),
		[]step{d.asking.step()},
		retire.of([]step{
			{name: "record", title: "Recording what became of the deployment", each: d.recordCutOff, within: brief},
		}),
		retire.of(only(deployment, "clear")), // which may last: what came of the run is written down by then
		only(deployment, "unlock"),
	)
	for i, s := range steps {
		limit := d.in.Timeout / 4 // one host does not take all the time of the others
		if s.name == "connect" {  // nor do those that do not answer
			limit = d.in.Timeout / 2
		}
		if len(d.in.Hosts) > 1 && s.name != "lock" { // which has limits of its own
			steps[i].within = min(s.within, limit)
		}
	}
	return steps
}

// planSteps are those of a dry run, whatever it is one of.
func planSteps(deployment []step) []step {
	return only(deployment, "env-from", "connect", "read", "check", "detect", "live", "resolve", "targets", "balancer",
		"templates", "plan")
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

// removeSteps: each leaves less, nothing is taken back, and each repeats what one that was cut off
// has not done. Visitors are the first who don't get to the application, and what says that it is
// this action's goes last.
func removeSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "connect", "lock"), prepare.of([]step{
		{name: "detect", title: "Detecting what runs", each: d.removal.detectToRemove, within: brief},
		{name: "list", title: "Listing what goes", each: d.removal.listRemoval, within: brief},
		{name: "site", title: "Taking the site away", each: d.removal.removeSite, unless: isUnchanged, within: brief},
		{
			name: "drain", title: "Draining what runs", each: d.removal.drainAll, unless: isUnchanged,
			within: 2*d.in.DrainTimeout + brief,
		},
		{
			name: "stop", title: "Stopping what runs", each: d.removal.stopAll, unless: isUnchanged,
			within: 4*d.in.StopTimeout + brief,
		},
		{
			name: "files", title: "Deleting services and rules", each: d.removal.removeFiles, unless: isUnchanged,
			within: 4*d.in.StopTimeout + brief,
		},
		{name: "root", title: "Deleting releases", each: d.removal.removeRoot, final: true, within: d.in.Timeout},
		{name: "unlock", title: "Releasing the deploy lock", each: unlock, within: 2 * host.Heartbeat},
	})...)
}

func removeListSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "connect"), prepare.of([]step{
		{name: "detect", title: "Detecting what runs", each: d.removal.detectToRemove, within: brief},
		{name: "list", title: "Listing what would go", each: d.removal.listRemoval, within: brief},
	})...)
}

// maintenanceSteps never write the site: this run need not have the inputs that it was written by.
func maintenanceSteps(d *Deployment, deployment []step) []step {
	return slices.Concat(
		only(deployment, "connect", "lock", "detect"),
		prepare.of([]step{{name: "maintenance", title: d.maintenance.title(), each: d.maintenance.maintain, within: brief}}),
		only(deployment, "unlock"),
	)
}
