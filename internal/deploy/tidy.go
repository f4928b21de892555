package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
)

// Tidy is what the action's post step does for a run that was killed before it could take anything
// back: the flag goes to the version that has proved itself, the other one is stopped, and the lock
// is free. The next deployment would do the same; nobody has to wait for it. Saved returns what the
// run had saved by the time that it was killed.
func (d *Deployment) Tidy(ctx context.Context, saved func(name string) string) error {
	d.saved = saved
	_, err := d.Run(ctx)
	var failure *outcome.Failure
	if errors.As(err, &failure) { // of the site it knows no more than what this step did
		return fmt.Errorf("%s\nhost: %s", failure.What, strings.Join(failure.Hosts, ", "))
	}
	if err != nil {
		return err
	}
	var lines []string
	serve := map[string]bool{}
	for _, h := range d.hosts {
		serve[h.activeRelease()] = true
		line := fmt.Sprintf("%s: %s", h.Address, serving(h))
		if !h.closedSince.IsZero() {
			line += outcome.InMaintenance
		}
		lines = append(lines, line)
	}
	for _, h := range d.skipped {
		left := "it is as the run has left it; the next deployment tidies it up"
		switch {
		case h.taken:
			left = "another deployment has it"
		case h.Idle.Port != 0: // it was detected, and what was wrong may be put right in part
			left = "not all of it is tidied up; the next deployment does that"
		}
		lines = append(lines, h.Address.String()+": "+left)
	}
	for _, line := range lines {
		d.rep.Info(line)
		d.details += "- " + report.MarkdownText(line) + "\n"
	}
	did := "its post step has tidied up"
	if len(d.skipped) > 0 {
		did += fmt.Sprintf(" %d of %d hosts", len(d.hosts), len(lines))
	}
	if len(serve) > 1 && !d.recipe.serveAlike(d.hosts) {
		// what to do comes first, as a warning of very many hosts is cut
		d.rep.Warn("Not all hosts serve the same", "run this workflow again\n"+strings.Join(lines, "\n"))
		did += ". Not all hosts serve the same: run this workflow again"
	}
	return d.rep.Summary("### Deployment: cut off\n\nThe run was ended before it was through; " + did + ".\n\n" +
		d.details)
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
	d.rep.Warn(leftToNext, namesOf(failed)+": "+outcome.Describe(err))
	d.hosts, d.skipped = left, append(d.skipped, failed...)
	return true
}

// recordCutOff writes the history line that the run itself had no time for.
func (d *Deployment) recordCutOff(ctx context.Context, h *target) (string, error) {
	how := outcome.Failed
	port, release := d.savedOf(h)
	h.release = release
	if h.Active != nil && h.Active.Proved && h.Active.Release == release && h.activePort() == port {
		how, h.commit = outcome.Deployed, h.Active.Commit // it died while the old version was being retired
	}
	if err := d.outcomes.record(ctx, h, how, "the run was ended before it was through"); err != nil {
		return "", err
	}
	return fmt.Sprintf("as %s", how), nil
}
