package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/scripts"
)

// prune also ends a run that failed, or failures in a row would fill the disk.
func (d *Deployment) prune(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Prune, scripts.Values{"live": scripts.Yes(h.route == routeNew)})
	if err != nil {
		return "", err
	}
	if stuck := strings.TrimSpace(res.Text("stuck")); stuck != "" {
		d.rep.Warn("Could not delete", fmt.Sprintf("%s on %s: the user %s may not delete it; it takes room until "+
			"somebody does", stuck, h.Address.Name, h.Address.User))
	}
	return fmt.Sprintf("%d old release(s) deleted", res.Int("pruned")), res.Err()
}

func (d *Deployment) flagDir() string { return scripts.App{Name: d.in.App}.FlagDir() }
