package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/scripts"
)

// confirm asks a release that would be left as it is whether it is healthy. One that is not, is
// treated like one that does not serve: who runs the workflow again hopes for a fresh start of it,
// which then comes by the same steps as any other release.
func (c *choice) confirm(ctx context.Context, h *target) (string, error) {
	_, err := h.Exec(ctx, scripts.Confirm, scripts.Values{
		"port": h.activePort(), "health_host": c.in.Health.Host, "verify_host": c.site.verifyHost(),
	})
	var no *host.Error
	if !errors.As(err, &no) || no.Code != scripts.ExitUnhealthy {
		return fmt.Sprintf("%s answers right, directly and through nginx", h.release), err
	}
	h.ailing, h.unchanged = true, false
	if c.op.makes { // else it is the one that was chosen, for all hosts
		h.release = ""
	}
	c.rep.Warn("Health of "+h.Address.Name, fmt.Sprintf("%s is active and not healthy, so it is started anew "+
		"beside itself: %s", h.Active.Release, no.Reason))
	return "not healthy", nil
}

func isChanged(h *target) bool { return !h.unchanged }

// isChosen: the release step has nothing to do a second time but where the active release turned
// out not to be healthy.
func isChosen(h *target) bool { return h.release != "" }
