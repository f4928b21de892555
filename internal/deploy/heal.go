package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// heal puts flags right that a dead run, or somebody's hand, has left wrong.
func (d *Deployment) heal(ctx context.Context, h *target) (string, error) {
	if h.Heal.Back != "" {
		res, err := h.Exec(ctx, scripts.Resume, d.replacing(h.Heal.From, h.Heal.To, h.Heal.Back))
		if err != nil && isUnwell(err) && res.Has("started") {
			h.changed, h.ailing = true, true
			h.servesOn(res.Port("started"))
			d.rep.Warn("Health of "+h.Address.Name, fmt.Sprintf("%s was started again, on port %d, and is not healthy by what "+
				"this run asks: %s; the run goes on, as what it brings may be the remedy", h.Heal.Back, h.Active.Port,
				outcome.Describe(err)))
			return fmt.Sprintf("%s was started again, on port %d", h.Heal.Back, h.Active.Port), res.Err()
		}
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

// isUnwell tells an error of an application that was started, and of nothing else.
func isUnwell(err error) bool {
	var no *host.Error
	if !errors.As(err, &no) {
		return false
	}
	switch no.Code {
	case scripts.ExitDied, scripts.ExitSilent, scripts.ExitUnhealthy, scripts.ExitMemory:
		return true
	}
	return false
}
