package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) start(ctx context.Context, h *target) (string, error) {
	d.saveRelease(h)
	own := d.asksHealth(h)
	own["started"] = h.NextID() // has what is not known yet: the process
	d.ahead(h, upcoming{"health", scripts.Health, own, true})
	res, err := h.Exec(ctx, scripts.Start, scripts.Values{
		"port": h.idlePort(), "release": h.release, "active": h.activePort(), "environment": d.renewed(),
	})
	if err != nil {
		return "", err
	}
	h.pid, h.starttime = res.Form("pid", state.NumberForm), res.Form("starttime", state.NumberForm)
	h.logOffset = res.Form("log_offset", state.NumberForm)
	return fmt.Sprintf("%s on port %s, pid %s", h.release, h.idlePort(), h.pid), res.Err()
}

// stopNew is start's undo. A version that may have been switched to may still be answering
// requests: it is drained like an old one.
func (d *Deployment) stopNew(ctx context.Context, h *target) error {
	if h.routed {
		limit := d.in.DrainTimeout
		if deadline, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(deadline)/2)
		}
		if _, err := d.drainSlot(ctx, h, h.idlePort(), "", limit); err != nil {
			return err
		}
	}
	return d.stopSlot(ctx, h, h.idlePort(), "")
}
