package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/scripts"
)

// adopt writes down that a version started by hand is the active slot's: before the flag, so that a
// version that has it is one that later runs know.
func (s *slots) adopt(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Adopt, scripts.Values{
		"port": h.activePort(), "holders": h.Active.Process.Holders, "clone": h.Active.Process.Clone,
	})
	if err != nil {
		return "", err
	}
	h.changed = true
	return fmt.Sprintf("%s is the active slot's from now on", h.Active.Version()), res.Err()
}
