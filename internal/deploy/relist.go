package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/remote"
)

// listAgain says what has become of the fleet while the run was under way. A group grows when it wants
// to, and what came since the hosts were found has whatever its image has.
func (d *Deployment) listAgain(ctx context.Context) {
	lines := slices.DeleteFunc(slices.Clone(d.in.Instances), isNamed)
	if len(lines) == 0 || !d.changes() || d.op.again || ctx.Err() != nil {
		return
	}
	_ = d.do(ctx, step{ // which never fails
		phase: retire, name: "relist", title: "Listing the hosts again", within: brief,
		once: func(ctx context.Context) (string, error) {
			now, err := d.lookUp(ctx, lines)
			if err != nil {
				d.rep.Warn("Not listed again", "the new version is live; whether hosts came while this run was under way is "+
					"not known: "+outcome.Describe(err))
				return "not known", nil
			}
			came, gone := since(d.in, now.Instances)
			return d.tellSince(came, gone), nil
		},
	})
}

// isNamed tells a line that finds one instance by its id: no other one can come by it.
func isNamed(line inputs.Instances) bool { return line.ID != "" }

// since are the instances that came after the hosts were found, and the hosts that went, as they are
// found by anything but their own ids.
func since(in *inputs.Inputs, now []instances.Instance) (came []instances.Instance, gone []remote.Host) {
	for _, i := range now {
		if !slices.ContainsFunc(in.Hosts, func(h remote.Host) bool {
			return h.Alias == i.ID || h.Alias == "" && slices.Contains(append([]string{i.Public, i.Private}, i.IPv6...), h.Name)
		}) {
			came = append(came, i)
		}
	}
	for _, h := range in.Hosts {
		byName := h.Alias == "" || slices.ContainsFunc(in.Instances, func(line inputs.Instances) bool { return line.ID == h.Alias })
		if !byName && !slices.ContainsFunc(now, func(i instances.Instance) bool { return i.ID == h.Alias }) {
			gone = append(gone, h)
		}
	}
	return came, gone
}

func (d *Deployment) tellSince(came []instances.Instance, gone []remote.Host) string {
	var said []string
	if len(came) > 0 {
		var names []string
		for n, i := range came {
			if n == mostNames {
				names = append(names, fmt.Sprintf("%d more", len(came)-mostNames))
				break
			}
			names = append(names, fmt.Sprintf("%s (%s)", i.ID, i.Zone))
		}
		d.rep.Warn("Came meanwhile", fmt.Sprintf("%s: found only after this run had its hosts, and did not get %s; visitors "+
			"get there what the image has; %s", strings.Join(names, ", "), d.present()[0].release, d.bringThere()))
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

// bringThere is how the others get the release, too. A rollback that names none goes back by one more
// each time.
func (d *Deployment) bringThere() string {
	run := d.in.Run
	switch {
	case !d.op.makes:
		return fmt.Sprintf("run the operation rollback again with the input \"release\": %s; hosts that serve it are left as "+
			"they are", d.present()[0].release)
	case run.URL() == "":
		return "run this again; hosts that serve it are left as they are"
	}
	return fmt.Sprintf("once this run is over, and unless a newer one is live by then: gh run rerun %s --repo %s; hosts that "+
		"serve it are left as they are", run.ID, run.Repository)
}
