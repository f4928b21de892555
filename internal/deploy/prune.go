package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// pruning deletes old releases.
type pruning struct{ *run }

// prune also ends a run that failed, or failures in a row would fill the disk.
func (p *pruning) prune(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Prune, scripts.Values{
		"live": scripts.Yes(h.route == routeNew),
	})
	if err != nil {
		return "", err
	}
	if stuck := strings.TrimSpace(res.Text("stuck")); stuck != "" {
		p.rep.Warn("Could not delete", fmt.Sprintf("%s on %s: the user %s may not delete it; it takes room until "+
			"somebody does", stuck, h.Address.Name, h.Address.User))
	}
	return fmt.Sprintf("%d old release(s) deleted", res.Int("pruned")), res.Err()
}

// goneFrom is the release from which a rollback has gone back to an older one, or this run from its
// own that this host may have marked as proved, when another one could not; empty otherwise. Hosts
// that had the latter before this run go on serving it.
func (p *pruning) goneFrom(h *target) string {
	if h.marked && h.route == routeBack && !h.served && h.release != h.activeRelease() {
		if slices.ContainsFunc(p.staying(), isUnchanged) {
			return ""
		}
		return h.release
	}
	if p.in.Operation != inputs.Rollback || h.route != routeNew || h.Active == nil {
		return ""
	}
	find := func(id string) int {
		return slices.IndexFunc(h.releases, func(r state.Release) bool { return r.ID == id })
	}
	from, to := find(h.Active.Release), find(h.release)
	if from < 0 || to < 0 || !h.releases[to].Before(h.releases[from]) {
		return ""
	}
	return h.releases[from].ID
}
