package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/scripts"
)

// heal puts flags right that a dead run, or somebody's hand, has left wrong.
func (d *Deployment) heal(ctx context.Context, h *target) (string, error) {
	if h.Heal.Back != "" {
		res, err := h.Exec(ctx, scripts.Resume, d.replacing(h.Heal.From, h.Heal.To, h.Heal.Back))
		if err != nil {
			return "", err
		}
		h.changed = true
		h.servesOn(res.Port("serves"))
		return fmt.Sprintf("%s serves again, on port %d", h.Heal.Back, h.Active.Port), res.Err()
	}
	if _, err := h.Exec(ctx, scripts.Switch, scripts.Values{"from": h.Heal.From, "to": h.Heal.To}); err != nil {
		return "", err
	}
	h.changed = true
	return "the flag is on port " + h.Heal.To, nil
}
