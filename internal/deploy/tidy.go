package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/internal/outcome"
)

// Tidy is what the action's post step does for a run that was killed before it could take anything
// back: the flag goes to the version that has proved itself, the other one is stopped, and the lock
// is free. The next deployment would do the same; nobody has to wait for it. Saved returns what the
// run had saved by the time that it was killed.
func (d *Deployment) Tidy(ctx context.Context, saved func(name string) string) error {
	d.saved = saved
	if _, err := d.Run(ctx); err != nil {
		return err
	}
	for _, h := range d.hosts {
		line := fmt.Sprintf("%s: %s", h.Address, serving(h))
		d.rep.Info(line)
		d.details += "- " + line + "\n"
	}
	return d.rep.Summary("### Deployment: cut off\n\nThe run was ended before it was through; its post step has " +
		"tidied up.\n\n" + d.details)
}

// dropFailed leaves hosts that can't be tidied up to the next deployment, so that the others are;
// false when none is left.
func (d *Deployment) dropFailed(err error) bool {
	var left, failed []*target
	for _, h := range d.hosts {
		if failedOn(err, h) {
			failed = append(failed, h)
		} else {
			left = append(left, h)
		}
	}
	if len(left) == 0 || len(failed) == 0 {
		return false
	}
	for _, h := range failed {
		h.HangUp()
	}
	d.rep.Warn("Left to the next deployment", namesOf(failed)+": "+outcome.Describe(err))
	d.hosts = left
	return true
}

// recordCutOff writes the history line that the run itself had no time for.
func (d *Deployment) recordCutOff(ctx context.Context, h *target) (string, error) {
	how := outcome.Failed
	h.release = d.saved(StateRelease)
	if h.Active != nil && h.Active.Proved && h.Active.Release == h.release && h.activePort() == d.saved(d.portState(h)) {
		how, h.commit = outcome.Deployed, h.Active.Commit // it died while the old version was being retired
	}
	if err := d.record(ctx, h, how, "the run was ended before it was through"); err != nil {
		return "", err
	}
	return fmt.Sprintf("as %s", how), nil
}
