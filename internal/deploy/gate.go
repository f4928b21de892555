package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/targets"
)

// traffic is what load balancers send to the hosts.
type traffic struct {
	*run
	asking        *asking
	roster        *roster
	site          *site
	openBalancers func(context.Context, *cloud.Account) (Balancers, error)
	balancers     Balancers     // nil before the step targets
	targetPoll    time.Duration // between two questions
}

// Balancers are where AWS says how its load balancers see the hosts.
type Balancers interface {
	Of(ctx context.Context, groups []string) ([]targets.Target, error)
	Again(ctx context.Context, t targets.Target) (targets.Target, error)
	Idles(ctx context.Context, all []targets.Target) ([]targets.Idle, error)
}

func openBalancers(ctx context.Context, account *cloud.Account) (Balancers, error) {
	cfg, err := account.Config(ctx)
	if err != nil {
		return nil, err
	}
	return targets.New(cfg), nil
}

// readTargets finds out which hosts the load balancer sends visitors to before anything is touched.
// It is those that have to be as good afterwards; what it says of the others means nothing.
func (tr *traffic) readTargets(ctx context.Context) (string, error) {
	from, err := tr.openBalancers(ctx, tr.account)
	if err != nil {
		return "", err
	}
	all, err := from.Of(ctx, tr.in.TargetGroups)
	if err != nil {
		return "", err
	}
	tr.balancers = from
	healthy, left := 0, []string{}
	known := false
	for _, h := range tr.present() {
		h.targets = nil
		mine := slices.DeleteFunc(slices.Clone(all), func(t targets.Target) bool { return !tr.isOf(t, h) })
		h.registered = mine
		if len(mine) == 0 && !tr.roster.isFree(h) {
			known = true // its group puts it into them once it is let in
			continue
		}
		if len(mine) == 0 {
			left = append(left, h.Address.Name+" is in none of them")
			continue
		}
		known = true
		for _, t := range mine {
			if t.State == targets.Healthy {
				h.targets = append(h.targets, t)
				healthy++
			} else {
				left = append(left, seenAs(t))
			}
		}
	}
	if !known {
		return "", fmt.Errorf("none of the hosts is in %s: name the groups that they are in in the input "+
			"\"target-group\"", strings.Join(tr.in.TargetGroups, ", "))
	}
	if len(left) > 0 {
		tr.rep.Warn("Not waited for", "what the load balancer says of these is not waited for after the switch: "+
			strings.Join(left, "; "))
	}
	tr.compareIdle(ctx, all)
	return fmt.Sprintf("%d targets are healthy", healthy), nil
}

// isOf tells whether a target is a host: it is named by an instance's id, or by the address that the
// host has in its network or was given by.
func (tr *traffic) isOf(t targets.Target, h *target) bool {
	return t.ID == h.Address.Alias || t.ID == h.Address.Name || t.ID == tr.roster.private[h.Address.Alias]
}

func seenAs(t targets.Target) string {
	if t.Why == "" {
		return fmt.Sprintf("%s is %s", t, t.State)
	}
	return fmt.Sprintf("%s is %s (%s)", t, t.State, t.Why)
}

// unwatched are the states of what the load balancer does not ask, or not for long.
var unwatched = []targets.State{targets.Unused, targets.Unavailable, targets.Draining}

// targetPoll is the pause between two questions. A load balancer asks every five seconds at most.
const targetPoll = 3 * time.Second

// gate waits until the load balancer sends visitors to a host as before. A target that is being taken
// out meanwhile is nobody's to wait for: that is the group's business.
func (tr *traffic) gate(ctx context.Context, h *target) (string, error) {
	deadline := tr.now().Add(tr.in.TargetTimeout)
	var said []string
	for _, t := range h.targets {
		for {
			now, err := tr.balancers.Again(ctx, t)
			switch {
			case ctx.Err() != nil:
				return "", context.Cause(ctx)
			case err == nil && now.State == targets.Healthy:
				said = append(said, t.Group)
			case err == nil && slices.Contains(unwatched, now.State):
				tr.rep.Warn("Not waited for", seenAs(now)+": it was healthy before, and is not waited for any more")
			case tr.now().Before(deadline):
				if err := wait(ctx, tr.targetPoll); err != nil {
					return "", err
				}
				continue
			case err != nil: // unknown is not healthy
				return "", fmt.Errorf("%s was healthy before, and AWS does not say for %s how it is now: %w", t,
					tr.in.TargetTimeout, err)
			default:
				return "", fmt.Errorf("%s, %s after the release went live there, and was healthy before: see what the load "+
					"balancer asks the hosts for, and what that answers; or give it longer in the input \"target-timeout\"",
					seenAs(now), tr.in.TargetTimeout)
			}
			break
		}
	}
	if len(said) == 0 {
		return "nothing to wait for any more", nil
	}
	return "healthy in " + strings.Join(said, ", "), nil
}

func hasNoTargets(h *target) bool { return len(h.targets) == 0 }

func (tr *traffic) noTargetGroups(*target) bool { return len(tr.in.TargetGroups) == 0 }
