package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) start(ctx context.Context, h *target) (string, error) {
	d.saveRelease(h, h.release)
	d.goOn(h)
	res, err := h.Exec(ctx, scripts.Start, d.starting(h, h.release))
	if err != nil {
		return "", err
	}
	h.pid, h.starttime = res.Form("pid", state.NumberForm), res.Form("starttime", state.NumberForm)
	h.logOffset = res.Form("log_offset", state.NumberForm)
	h.groups[h.idlePort()] = state.GroupOr.FindString(res.Text("group"))
	return fmt.Sprintf("%s on port %s, pid %s", h.release, h.idlePort(), h.pid), res.Err()
}

func (d *Deployment) starting(h *target, release string) scripts.Values {
	return scripts.Values{
		"port": h.idlePort(), "release": release, "active": h.activePort(), "environment": d.renewed(),
	}
}

// startNext: one of several hosts starts nothing before all have it built.
func (d *Deployment) startNext(h *target, _ string) *upcoming {
	release := d.releaseOf(h)
	if release == "" || !d.isAlone(h) {
		return nil
	}
	d.saveRelease(h, release)
	return &upcoming{verb: scripts.Start, own: d.starting(h, release)}
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
