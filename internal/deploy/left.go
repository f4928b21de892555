package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
)

// goesAway tells whether a host that does not answer is no longer among what AWS finds: it is being
// ended, or was taken out of service. Where AWS does not say, and of a host that is named, it is not.
// The answer holds for a moment, however many hosts are asked about.
func (r *roster) goesAway(ctx context.Context, h *target) bool {
	all := slices.Concat(r.in.Instances, r.foundBy)
	lines := slices.DeleteFunc(slices.Clone(all), isNamed)
	if len(lines) == 0 || h.Address.Alias == "" {
		return false
	}
	r.listed.mu.Lock()
	defer r.listed.mu.Unlock()
	if r.now().Sub(r.listed.at) >= r.goesPoll/2 {
		found, err := r.lookUp(ctx, lines)
		if err != nil {
			r.rep.Debug(fmt.Sprintf("whether %s is in service: %v", h.Address.Alias, err))
			return false
		}
		_, r.listed.gone = since(&inputs.Inputs{Hosts: r.in.Hosts, Instances: all}, found.Instances)
		r.listed.at = r.now()
	}
	return slices.Contains(r.listed.gone, h.Address)
}

// goesPoll is the pause between two questions about a host that does not answer.
const goesPoll = 5 * time.Second

// sparesLeft refuses to go on without a host that others rely on in the step, or where too few would
// be left. It is asked about one host at a time.
func (r *roster) sparesLeft(s step, h *target) error {
	stay := len(slices.DeleteFunc(r.present(), func(other *target) bool {
		return other == h || slices.Contains(r.leaving, other)
	}))
	switch {
	case stay == 0:
		return errors.New("no other host is left")
	case stay < r.in.Expect.Least && !s.phase.proved():
		return fmt.Errorf("that leaves %d, and the input \"expect-hosts\" says %s", stay, r.in.Expect.Text)
	case s.name == "fetch" && r.in.Source != inputs.Workspace && h == r.finder() && shortCommit(r.in.Ref) == r.in.Ref:
		return errors.New("it was to find out which commit all hosts get")
	case s.name == "before-start" && r.in.BeforeStartOn == inputs.OnFirst && h == r.first:
		return errors.New("whether before-start has run there is not known")
	}
	text := fmt.Sprintf("%s is not in service any more and does not answer; the run goes on without it", h.Address.Alias)
	if len(r.in.Jobs) > 0 && h == r.staying()[0] {
		text += "; the jobs of the input \"schedule\" may have been its own: if no other host has them in the operation " +
			"status, run this workflow again"
	}
	r.rep.Warn("Left: "+h.Address.Name, text)
	return nil
}

// unlessLeft is what is left of an error of a host's where that leaves the run.
func (r *roster) unlessLeft(s step, h *target, err error) error {
	if errors.Is(err, errLeft) {
		err = r.letGo(s, h, err)
		r.settleLeft()
	}
	return err
}
