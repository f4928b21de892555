package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/scripts"
)

// runCommand runs a command of the user's in the release that serves. The host ends it when this run
// is cancelled or not heard any more, so it is not begun a second time: nobody knows how far it got.
func (as *asking) runCommand(ctx context.Context, h *target) (string, error) {
	h.release, h.commit = h.Active.Release, h.Active.Commit
	res, err := h.Exec(ctx, scripts.Run, scripts.Values{
		"port": h.activePort(), "release": h.release, "command": as.in.Command, "at_once": scripts.Yes(as.in.AtOnce),
		"note": as.in.Run.Actor + " " + as.in.Run.URL(), "lock_timeout": scripts.Seconds(as.in.LockTimeout), "step_id": "",
	})
	if res != nil && res.Has("status") {
		h.exit = res.Int("status")
	}
	if host.Lost(err) && ctx.Err() == nil {
		return "", fmt.Errorf("the connection was lost while the command ran: the host ends the command, and how far it "+
			"got is not known: %w", err)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the command in %s succeeded after %s", h.release, res.Millis("run_ms")), res.Err()
}
