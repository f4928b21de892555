package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/cloud/query"
	"github.com/clothesme/deploy-action/internal/inputs"
)

// launches tells the launch hooks of groups that instances are at work, and lets them into service.
type launches struct {
	*run
	roster    *roster
	holdEvery time.Duration // between two words to a launch hook
}

// holdOn has the hooks of hosts at their launch hold them until the run is over, which may take longer
// than they would, and says what is wrong with these hooks.
func (l *launches) holdOn(ctx context.Context) (stop func()) {
	if len(l.roster.heldBy) == 0 || !l.changes() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		l.keepHeld(ctx)
	}()
	return func() { cancel(); <-over }
}

// keepHeld tells hooks again and again that their instances are still at work. A hook that AWS does not
// tell yet is asked for again, since it waits all the same.
func (l *launches) keepHeld(ctx context.Context) {
	hooks, said := map[string]instances.Hook{}, map[string]bool{}
	for pause := time.Duration(0); wait(ctx, pause) == nil; {
		pause = l.holdEvery
		for id, group := range l.roster.heldBy {
			hook, err := l.launchHook(ctx, group, hooks)
			if err == nil {
				pause = min(pause, hook.For/3)
				err = l.roster.with(ctx, func(from Instances) error { return from.Hold(ctx, hook, id) })
			} else {
				pause = min(pause, l.holdEvery/6)
			}
			if err != nil && ctx.Err() == nil && !said[group] {
				said[group] = l.notHeld(group, id, err)
			}
		}
	}
}

// notHeld says why a hook does not hear of a run: who lets the instance in meets the same, unless it is a
// right that is lacking, which matters once a run takes longer than the hook waits.
func (l *launches) notHeld(group, id string, err error) (said bool) {
	var no *query.Error
	if !errors.As(err, &no) || no.Status != http.StatusForbidden {
		l.rep.Debug(fmt.Sprintf("hold %s: %v", id, err))
		return false
	}
	l.rep.Warn("Launch hook", fmt.Sprintf("that of the group %s can't be told that a run is at work on %s, and decides "+
		"when its time is over, be the run through or not: %v", group, id, err))
	return true
}

// holdEvery is how often a hook hears at least that its instance is still at work: one holds it for an
// hour by default, and for half a minute at least
// (docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html).
const holdEvery = time.Minute

// launchHook is the hook of a group that waits for this run, which is asked for until it is known. What is
// wrong with it is said once.
func (l *launches) launchHook(
	ctx context.Context, group string, known map[string]instances.Hook,
) (instances.Hook, error) {
	if hook, ok := known[group]; ok {
		return hook, nil
	}
	hook, err := l.hookOf(ctx, group)
	if err != nil {
		return hook, err
	}
	if hook.LetsGo {
		l.rep.Warn("Launch hook", fmt.Sprintf("%s of the group %s lets an instance go into service %s after its launch "+
			"although no deployment has succeeded there: set its default result to ABANDON", hook.Name, group, hook.For))
	}
	known[group] = hook
	return hook, nil
}

// hookOf finds the hook that waits for deployments: the only one at a group's launches, or the one
// that is named so; others wait for something else.
func (l *launches) hookOf(ctx context.Context, group string) (hook instances.Hook, err error) {
	var hooks []instances.Hook
	err = l.roster.with(ctx, func(from Instances) (err error) {
		hooks, err = from.Hooks(ctx, group)
		return err
	})
	if err != nil {
		return hook, err
	}
	var names []string
	for _, h := range hooks {
		names = append(names, h.Name)
	}
	ours := slices.Index(names, hookName)
	switch {
	case len(hooks) == 1:
		return hooks[0], nil
	case len(hooks) == 0:
		return hook, fmt.Errorf("no hook holds what the group %s launches", group)
	case ours < 0:
		return hook, fmt.Errorf("%d hooks hold what the group %s launches (%s): name the one that waits for deployments %s",
			len(names), group, strings.Join(names, ", "), hookName)
	}
	return hooks[ours], nil
}

// hookName is the one of several that waits for deployments.
const hookName = "deploy-action"

// letIn has the group put a host into service that its hook has held: the release is proved on all
// hosts. A host that has it from its image is as good. Its load balancer registers it then.
func (l *launches) letIn(ctx context.Context, h *target) (string, error) {
	hook, err := l.hookOf(ctx, l.roster.heldBy[h.Address.Alias])
	if err == nil {
		err = l.roster.with(ctx, func(from Instances) error { return from.LetGo(ctx, hook, h.Address.Alias) })
	}
	if l.isDecided(ctx, h, err) {
		return "it is not held any more", nil
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s stays out of service until the hook's time is over, which then decides", err,
			h.Address.Alias)
	}
	return "it goes into service", nil
}

// isDecided tells whether AWS refuses to let a host in because no hook holds it any more, as when another
// run has let it in meanwhile, or this one has and the answer was lost.
func (l *launches) isDecided(ctx context.Context, h *target, err error) bool {
	var no *query.Error
	if !errors.As(err, &no) || no.Code != "ValidationError" {
		return false
	}
	group := l.roster.heldBy[h.Address.Alias]
	now, err := l.roster.lookUp(ctx, []inputs.Instances{{Text: "asg=" + group, Group: group}})
	return err == nil && !slices.ContainsFunc(now.Instances, func(i instances.Instance) bool {
		return i.ID == h.Address.Alias && i.HeldBy != ""
	})
}
