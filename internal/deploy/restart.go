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
func (c *choice) hasRelease(h *target) error {
	if !c.op.needs && (c.in.Operation != inputs.Logs || !slices.Contains(c.in.Logs.Of, "app")) {
		return nil
	}
	switch {
	case h.Outside != nil || h.Active != nil && (h.Adopt || h.Active.Adopted):
		return &state.ChoiceError{
			Cause: fmt.Errorf("the version that serves was started by hand, and is no release: operation %q is for one "+
				"that this action has deployed", c.in.Operation),
			Next: "deploy first, by which it is taken over",
		}
	case h.Active == nil || h.Active.Release == "":
		return &state.ChoiceError{
			Cause: fmt.Errorf("no release is active, so there is none for operation %q", c.in.Operation),
			Next:  "deploy first",
		}
	}
	return nil
}

// chooseActive takes fetch's place where the release that serves is started again.
func (c *choice) chooseActive(ctx context.Context, h *target) (string, error) {
	releases, err := c.releasesOf(ctx, h)
	if err != nil {
		return "", err
	}
	active, _, err := state.ChooseRelease(releases, h.Active.Release, h.Active.Release)
	if err != nil {
		return "", err
	}
	if err := active.Fits(c.in.Strategy); err != nil {
		return "", err
	}
	h.release, h.commit, h.served, h.works = active.ID, active.Commit, true, active.Works
	return fmt.Sprintf("%s, commit %.7s, which serves on port %d, with %s", active.ID, active.Commit, h.Active.Port,
		c.recipe.environmentText()), nil
}
