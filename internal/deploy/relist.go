package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/remote"
)

// listAgain brings the release to what came while the run was under way, and says what went. A group
// grows when it wants to, and what came since the hosts were found has whatever its image has. It
// returns the results of those that have it now.
func (d *Deployment) listAgain(ctx context.Context) []outcome.HostResult {
	lines := slices.DeleteFunc(slices.Clone(d.in.Instances), isNamed)
	if len(lines) == 0 || !d.changes() || d.op.again || ctx.Err() != nil || len(d.present()) == 0 {
		return nil
	}
	var came []instances.Instance
	var gone []remote.Host
	_ = d.do(ctx, step{ // which never fails
		phase: retire, name: "relist", title: "Listing the hosts again", within: brief,
		once: func(ctx context.Context) (string, error) {
			now, err := d.roster.lookUp(ctx, lines)
			if err != nil {
				d.rep.Warn("Not listed again", "the new version is live; whether hosts came while this run was under way is "+
					"not known: "+outcome.Describe(err))
				return "not known", nil
			}
			came, gone = since(d.in, now.Instances)
			return d.tellSince(came, gone), nil
		},
	})
	if len(came) == 0 {
		return nil
	}
	joined, err := d.join(ctx, came, gone)
	var newer *newerError
	switch {
	case errors.As(err, &newer):
		d.rep.Warn("Newer run", fmt.Sprintf("%s: found only after this run had its hosts, and left as found, without %s: "+
			"%s; if what that run did is to be done there, too, run it again: hosts where it is done are left as they are",
			namesOfInstances(came), d.release(), outcome.Describe(err)))
	case err != nil:
		d.rep.Warn("Came meanwhile", fmt.Sprintf("%s: found only after this run had its hosts, and did not get %s: %s; "+
			"visitors get there what the image has; %s", namesOfInstances(came), d.release(), outcome.Describe(err),
			d.outcomes.bringThere()))
	}
	return joined
}

// join is one more run, over what came and the hosts that serve the release already: those keep it as
// it is, and the others get it under the same id, in the order of runs and with what is run once for
// all hosts, as it is whenever hosts differ. What comes of it takes nothing from the run before.
func (d *Deployment) join(
	ctx context.Context, came []instances.Instance, gone []remote.Host,
) ([]outcome.HostResult, error) {
	in := *d.in
	in.Hosts, in.Instances, in.LaunchImage = nil, nil, false
	if in.BeforeStartOn == inputs.OnFirst { // once a run, and that is over
		in.BeforeStart = ""
	}
	if in.AfterSwitchOn == inputs.OnFirst {
		in.AfterSwitch = ""
	}
	var hosts []remote.Host
	for _, h := range d.present() {
		if !slices.Contains(gone, h.Address) {
			d.save(portState(len(hosts)), h.servingPort()+" "+h.release)
			hosts = append(hosts, h.Address)
		}
	}
	stayed := len(hosts)
	for _, i := range came {
		host, err := d.roster.hostOf(i)
		if err != nil {
			return nil, err
		}
		d.save(portState(len(hosts)), "") // what a host had by this number that is gone
		hosts = append(hosts, host)
	}
	if err := in.Found(hosts); err != nil {
		return nil, err
	}
	in.SkipUnreachable = inputs.Share{}
	in.ConnectTimeout = max(in.ConnectTimeout, joinConnect)
	if in.Release = d.release(); d.op.makes {
		in.Release = ""
	}
	if d.op.makes && in.Source != inputs.Workspace {
		in.Ref, in.RefLive = d.present()[0].commit, false
	}
	d.roster.saveHosts(in.Hosts)
	d.hangUp() // each host is dialled anew, and what leads to them may take few connections at a time
	j := d.follower(&in)
	for _, i := range came {
		j.roster.knows(i)
	}
	result, err := j.Run(ctx)
	d.timeline, d.untidy = append(d.timeline, j.timeline...), j.untidy
	if err != nil {
		return nil, err
	}
	d.joined = j.hosts[min(stayed, len(j.hosts)):]
	d.joined = slices.DeleteFunc(slices.Clone(d.joined), func(h *target) bool { return h.left })
	return result.Hosts[len(result.Hosts)-len(d.joined):], nil
}

// follower is a run after this one, over hosts that came. It asks AWS as this one does, and what a
// release is made of is as this one has it: with anything else it would be another release.
func (d *Deployment) follower(in *inputs.Inputs) *Deployment {
	j := New(in, d.rep, d.dial, d.assets.open, d.begin)
	j.account, j.patience, j.untidy = d.account, d.patience, d.untidy
	j.joins, j.choice.before = true, d.choice.leaves()
	j.op.history = false // of the hosts that have it, a failure of the others says nothing
	j.recipe.openParameters, j.recipe.fromAWS = d.recipe.openParameters, d.recipe.fromAWS
	j.recipe.assets, j.assets.store = d.recipe.assets, d.assets.store
	j.roster.openInstances, j.roster.foundBy = d.roster.openInstances, d.in.Instances
	j.roster.private, j.roster.heldBy = maps.Clone(d.roster.private), map[string]string{}
	j.traffic.openBalancers, j.traffic.targetPoll = d.traffic.openBalancers, d.traffic.targetPoll
	j.machine.bootPoll = d.machine.bootPoll
	return j
}

// joinConnect is how long a host that has just come is waited for: it may still boot. Each try to log
// in has the time of the input connect-timeout, and the next one comes after bootPoll.
const joinConnect = 2 * time.Minute

func (d *Deployment) tellSince(came []instances.Instance, gone []remote.Host) string {
	var said []string
	if len(came) > 0 {
		d.rep.Info("found only after this run had its hosts: " + namesOfInstances(came))
		said = append(said, fmt.Sprintf("%d came meanwhile", len(came)))
	}
	if len(gone) > 0 {
		var names []string
		for _, h := range gone {
			names = append(names, h.Alias)
		}
		d.rep.Info(fmt.Sprintf("no longer found, such as what ends or is in standby: %s", strings.Join(names, ", ")))
		said = append(said, fmt.Sprintf("%d went", len(gone)))
	}
	if len(said) == 0 {
		return "the same as before"
	}
	return strings.Join(said, ", ")
}
