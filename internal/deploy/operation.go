package deploy

import (
	"slices"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
)

var operations = map[inputs.Operation]operation{
	inputs.Deploy: {
		steps: whole, success: outcome.Deployed, live: true, makes: true, tools: true, history: true,
	},
	inputs.Restart: {
		steps: whole, success: outcome.Restarted, live: true, again: true, needs: true, history: true,
	},
	inputs.Rollback:    {steps: whole, success: outcome.RolledBack, live: true, history: true},
	inputs.Setup:       {steps: setupSteps, success: outcome.SetUp, tools: true},
	inputs.Check:       {steps: checkSteps, success: outcome.Unchanged, tools: true, asks: true},
	inputs.Status:      {steps: statusSteps, success: outcome.Unchanged, asks: true},
	inputs.Logs:        {steps: logSteps, success: outcome.Unchanged, asks: true},
	inputs.RunIt:       {steps: commandSteps, success: outcome.Ran, needs: true},
	inputs.Maintenance: {steps: maintenanceSteps, success: outcome.Maintenance, asks: false},
	inputs.Tidy:        {steps: tidySteps, success: outcome.Deployed, history: true},
}

func whole(_ *Deployment, deployment []step) []step { return deployment }

func setupSteps(d *Deployment, deployment []step) []step {
	before := only(deployment, "connect", "lock", "check", "detect", "plan", "install", "setup", "adopt", "heal", "settle")
	return append(before, prepare.of([]step{ // no new version is live at its end, so a failure is one to the last
		d.securing(prepare),
		{name: "site", title: "Setting up the nginx site", each: d.setUpSite, within: brief},
		d.securing(retire),
		{name: "unlock", title: "Releasing the deploy lock", each: unlock, within: 2 * host.Heartbeat},
	})...)
}

func checkSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "env-from", "connect", "check", "detect", "resolve", "targets", "balancer",
		"templates"), d.asking())
}

func statusSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "connect", "detect"), prepare.of([]step{
		d.asking(),
		{name: "status", title: "Listing releases", each: d.status, within: brief},
		{name: "up", title: "Looking whether the site is up", each: d.isUp, within: brief},
	})...)
}

func logSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "connect", "detect"), prepare.of([]step{
		{name: "logs", title: "Reading the logs", each: d.logs, within: 10 * brief},
	})...)
}

func commandSteps(d *Deployment, deployment []step) []step {
	return append(only(deployment, "connect", "detect"), prepare.of([]step{
		{name: "run", title: "Running the command", each: d.runCommand, final: true, within: d.in.Timeout},
	})...)
}

func tidySteps(d *Deployment, deployment []step) []step {
	steps := slices.Concat(
		only(deployment, "connect", "lock", "detect", "heal", "settle"),
		[]step{d.asking()},
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

func (d *Deployment) asking() step {
	return step{name: "ask", title: "Asking the site", each: d.askNow, within: brief}
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

// brief is what a step may take that waits for nothing of the user's.
const brief = time.Minute
