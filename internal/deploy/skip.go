package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/remote"
)

// spare is how many hosts may be left out since nobody gets through to them. The post step tidies
// those that it can.
func (r *roster) spare() int {
	if r.in.Operation == inputs.Tidy {
		return len(r.hosts) - 1
	}
	return r.in.SkipUnreachable.AtMost(len(r.hosts) + len(r.skipped))
}

// unreachable tells a host that does not answer from one that refuses, or is not who it should be. A
// name that nobody knows is a mistake, and a host on the way concerns all behind it.
func unreachable(err error) bool {
	var dial *remote.DialError
	var jump *remote.JumpError
	if !errors.As(err, &dial) || errors.As(err, &jump) {
		return false
	}
	if dial.Kind == remote.Resolve {
		return false
	}
	return dial.Kind == remote.Timeout || dial.Kind == remote.Refused || dial.Kind == remote.Unreachable || dial.Passing
}

func isReached(h *target) bool { return h.unreached == nil }

// skip leaves the hosts that were not reachable out of the run, or ends it where they are too many.
func (r *roster) skip(context.Context) (string, error) {
	var reached, skipped []*target
	for _, h := range r.hosts {
		if isReached(h) {
			reached = append(reached, h)
		} else {
			skipped = append(skipped, h)
		}
	}
	if len(skipped) > r.spare() {
		errs := make([]error, len(skipped))
		for i, h := range skipped {
			errs[i] = h.unreached
			if r.in.Operation != inputs.Tidy {
				errs[i] = &outcome.StepError{Step: "connect", Host: h.Address, Err: fmt.Errorf("%w (%d of %d hosts are not "+
					"reachable, and the input \"skip-unreachable\" lets %d be left out)", h.unreached.Err, len(skipped),
					len(r.hosts), r.spare())}
			}
		}
		return "", errors.Join(errs...)
	}
	for _, h := range skipped {
		title := "Left out: " + h.Address.Name
		if r.in.Operation == inputs.Tidy {
			title = leftToNext
		}
		r.rep.Warn(title, h.unreached.Error())
	}
	r.hosts, r.skipped = reached, append(r.skipped, skipped...)
	if len(r.in.Jobs) > 0 && len(skipped) > 0 {
		r.rep.Warn("Jobs", fmt.Sprintf("if the jobs of the input schedule were started by %s until now, they still are, "+
			"as its version has them, and by %s too: the next run that reaches it puts that right", namesOf(skipped),
			reached[0].Address.Name))
	}
	return fmt.Sprintf("%s left out; %d hosts go on", namesOf(skipped), len(reached)), nil
}

// leftToNext is the title of what is said of hosts that are not tidied up.
const leftToNext = "Left to the next deployment"
