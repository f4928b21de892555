package deploy

import (
	"context"
	"fmt"
)

// clear ends what a dead run left in the idle slot: a version never switched to, or one that was
// never retired.
func (s *slots) clear(ctx context.Context, h *target) (string, error) {
	instead := ""
	if h.Active != nil && h.Active.Serves() {
		instead = h.activePort()
	}
	if _, err := s.drainSlot(ctx, h, h.idlePort(), instead, s.in.DrainTimeout); err != nil {
		return "", err
	}
	if err := s.stopSlot(ctx, h, h.idlePort(), instead); err != nil {
		return "", err
	}
	return fmt.Sprintf("stopped what an earlier run left on port %d", h.Idle.Port), nil
}
