package deploy

import (
	"context"
	"fmt"
	"slices"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
)

// hasRelease refuses what is done to the release that serves where none does, before anything is
// touched. One that is down is there all the same.
func (d *Deployment) hasRelease(h *target) error {
	if !d.op.needs && (d.in.Operation != inputs.Logs || !slices.Contains(d.in.Logs.Of, "app")) {
		return nil
	}
	switch {
	case h.Outside != nil || h.Active != nil && (h.Adopt || h.Active.Adopted):
		return &state.ChoiceError{
			Cause: fmt.Errorf("the version that serves was started by hand, and is no release: operation %q is for one "+
				"that this action has deployed", d.in.Operation),
			Next: "deploy first, by which it is taken over",
		}
	case h.Active == nil || h.Active.Release == "":
		return &state.ChoiceError{
			Cause: fmt.Errorf("no release is active, so there is none for operation %q", d.in.Operation),
			Next:  "deploy first",
		}
	}
	return nil
}

// chooseActive takes fetch's place where the release that serves is started again.
func (d *Deployment) chooseActive(ctx context.Context, h *target) (string, error) {
	releases, err := d.releasesOf(ctx, h)
	if err != nil {
		return "", err
	}
	active, _, err := state.ChooseRelease(releases, h.Active.Release, h.Active.Release)
	if err != nil {
		return "", err
	}
	if err := active.Fits(d.in.Strategy); err != nil {
		return "", err
	}
	h.release, h.commit, h.served, h.works = active.ID, active.Commit, true, active.Works
	return fmt.Sprintf("%s, commit %.7s, which serves on port %d, with %s", active.ID, active.Commit, h.Active.Port,
		d.environmentText()), nil
}

func (d *Deployment) environmentText() string {
	if d.renewed() == "" {
		return "the environment that it has"
	}
	return "the environment of this run"
}

// renewed is the environment that a release gets which is started again, empty where it keeps its
// own.
func (d *Deployment) renewed() string {
	if !d.op.again || len(d.in.Env)+len(d.in.EnvFrom) == 0 {
		return ""
	}
	return d.environment()
}
