package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/remote"
)

// listing is what AWS has said of the hosts, and when.
type listing struct {
	mu   sync.Mutex
	at   time.Time
	gone []remote.Host
}

// goesAway tells whether a host that does not answer is no longer among what AWS finds: it is being
// ended, or was taken out of service. Where AWS does not say, and of a host that is named, it is not.
// The answer holds for a moment, however many hosts are asked about.
func (d *Deployment) goesAway(ctx context.Context, h *target) bool {
	all := slices.Concat(d.in.Instances, d.foundBy)
	lines := slices.DeleteFunc(slices.Clone(all), isNamed)
	if len(lines) == 0 || h.Address.Alias == "" {
		return false
	}
	d.listed.mu.Lock()
	defer d.listed.mu.Unlock()
	if d.now().Sub(d.listed.at) >= d.goesPoll/2 {
		found, err := d.lookUp(ctx, lines)
		if err != nil {
			d.rep.Debug(fmt.Sprintf("whether %s is in service: %v", h.Address.Alias, err))
			return false
		}
		_, d.listed.gone = since(&inputs.Inputs{Hosts: d.in.Hosts, Instances: all}, found.Instances)
		d.listed.at = d.now()
	}
	return slices.Contains(d.listed.gone, h.Address)
}

// goesPoll is the pause between two questions about a host that does not answer.
const goesPoll = 5 * time.Second

// sparesLeft refuses to go on without a host that others rely on in the step, or where too few would
// be left. It is asked about one host at a time.
func (d *Deployment) sparesLeft(s step, h *target) error {
	stay := len(slices.DeleteFunc(d.present(), func(other *target) bool {
		return other == h || slices.Contains(d.leaving, other)
	}))
	switch {
	case stay == 0:
		return errors.New("no other host is left")
	case stay < d.in.Expect.Least && !s.phase.proved():
		return fmt.Errorf("that leaves %d, and the input \"expect-hosts\" says %s", stay, d.in.Expect.Text)
	case s.name == "fetch" && d.in.Source != inputs.Workspace && h == d.finder() && shortCommit(d.in.Ref) == d.in.Ref:
		return errors.New("it was to find out which commit all hosts get")
	case s.name == "before-start" && d.in.BeforeStartOn == inputs.OnFirst && h == d.first:
		return errors.New("whether before-start has run there is not known")
	}
	text := fmt.Sprintf("%s is not in service any more and does not answer; the run goes on without it", h.Address.Alias)
	if len(d.in.Jobs) > 0 && h == d.staying()[0] {
		text += "; the jobs of the input \"schedule\" may have been its own: if no other host has them in the operation " +
			"status, run this workflow again"
	}
	d.rep.Warn("Left: "+h.Address.Name, text)
	return nil
}

// unlessLeft is what is left of an error of a host's where that leaves the run.
func (d *Deployment) unlessLeft(s step, h *target, err error) error {
	if errors.Is(err, errLeft) {
		err = d.letGo(s, h, err)
		d.settleLeft()
	}
	return err
}

// staying are the hosts that have not left, whatever else has become of them.
func (d *Deployment) staying() []*target {
	return slices.DeleteFunc(slices.Clone(d.hosts), func(h *target) bool { return h.left })
}
