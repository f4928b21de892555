package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

func (s *slots) start(ctx context.Context, h *target) (string, error) {
	s.saveRelease(h, h.release)
	s.goOn(h)
	res, err := h.Exec(ctx, scripts.Start, s.starting(h, h.release))
	if err != nil {
		return "", err
	}
	h.pid, h.starttime = res.Form("pid", state.NumberForm), res.Form("starttime", state.NumberForm)
	h.logOffset = res.Form("log_offset", state.NumberForm)
	h.groups[h.idlePort()] = state.GroupOr.FindString(res.Text("group"))
	return fmt.Sprintf("%s on port %s, pid %s", h.release, h.idlePort(), h.pid), res.Err()
}

func (s *slots) starting(h *target, release string) scripts.Values {
	return scripts.Values{
		"port": h.idlePort(), "release": release, "active": h.activePort(), "environment": s.recipe.renewed(),
	}
}

// startNext: one of several hosts starts nothing before all have it built.
func (s *slots) startNext(h *target, _ string) *upcoming {
	release := s.source.releaseOf(h)
	if release == "" || !s.isAlone(h) {
		return nil
	}
	s.saveRelease(h, release)
	return &upcoming{verb: scripts.Start, own: s.starting(h, release)}
}

// stopNew is start's undo. A version that may have been switched to may still be answering
// requests: it is drained like an old one.
func (s *slots) stopNew(ctx context.Context, h *target) error {
	if h.routed {
		limit := s.in.DrainTimeout
		if deadline, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(deadline)/2)
		}
		if _, err := s.drainSlot(ctx, h, h.idlePort(), "", limit); err != nil {
			return err
		}
	}
	return s.stopSlot(ctx, h, h.idlePort(), "")
}
