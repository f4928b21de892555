package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/scripts"
)

func (s *slots) stop(ctx context.Context, h *target) (string, error) {
	if err := s.stopSlot(ctx, h, h.activePort(), h.idlePort()); err != nil {
		return "", err
	}
	h.retired = true
	return fmt.Sprintf("%s on port %d is stopped", h.Active.Version(), h.Active.Port), nil
}

// stopSlot stops what runs on a port, once something listens on the one that serves in its place,
// if there is one. Flags that a hand has changed at the last moment are looked at once more.
func (s *slots) stopSlot(ctx context.Context, h *target, port, instead string) error {
	values := scripts.Values{"port": port, "stop_timeout": scripts.Seconds(s.in.StopTimeout), "instead": instead}
	_, err := h.Exec(ctx, scripts.Stop, values)
	if instead == "" || !flagged(err) {
		return err
	}
	if _, err := s.drainSlot(ctx, h, port, instead, s.in.DrainTimeout); err != nil {
		return err
	}
	_, err = h.Exec(ctx, scripts.Stop, values)
	return err
}

// flagged reports whether a slot was kept because of its flag.
func flagged(err error) bool { return host.Refused(err, scripts.ExitFlag) }
