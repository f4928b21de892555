package deploy

import (
	"context"
	"fmt"
)

// clear ends what a dead run left in the idle slot: a version never switched to, or one that was
// never retired.
func (d *Deployment) clear(ctx context.Context, h *target) (string, error) {
	instead := ""
	if h.Active != nil && h.Active.Serves() {
		instead = h.activePort()
	}
	if _, err := d.drainSlot(ctx, h, h.idlePort(), instead, d.in.DrainTimeout); err != nil {
		return "", err
	}
	if err := d.stopSlot(ctx, h, h.idlePort(), instead); err != nil {
		return "", err
	}
	return fmt.Sprintf("stopped what an earlier run left on port %d", h.Idle.Port), nil
}
