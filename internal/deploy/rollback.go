package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// choose takes fetch's place in a rollback.
func (d *Deployment) choose(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Releases, scripts.Values{"history": "0", "list": "no"})
	if err != nil {
		return "", err
	}
	releases, _, err := state.ReadReleases(res)
	if err != nil {
		return "", err
	}
	active := ""
	if h.Active != nil {
		active = h.Active.Release
	}
	chosen, why, err := state.ChooseRelease(releases, active, d.in.Release)
	if err != nil {
		return "", err
	}
	if err := chosen.Fits(d.in.Strategy); err != nil {
		return "", err
	}
	h.release, h.commit, h.served, h.works = chosen.ID, chosen.Commit, chosen.Live, chosen.Works
	if chosen.ID == active && d.servesAlready(h) {
		h.unchanged = true
		return fmt.Sprintf("%s is active already", chosen.ID), nil
	}
	return fmt.Sprintf("%s, commit %.7s: %s", chosen.ID, chosen.Commit, why), nil
}
