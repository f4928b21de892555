package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// healing puts right what a run that was cut off, or a hand, has left wrong.
type healing struct {
	*run
	asking  *asking
	inPlace *inPlace
	machine *machine
	site    *site
}

// heal puts right what a dead run, or somebody's hand, has left wrong: flags, and then the site that
// was written for a release which has not proved itself.
func (he *healing) heal(ctx context.Context, h *target) (string, error) {
	var lines []string
	if h.Heal != nil {
		line, err := he.healFlag(ctx, h)
		if err != nil {
			return "", err
		}
		lines = append(lines, line)
	}
	if h.SiteBack != "" {
		line, err := he.siteBack(ctx, h)
		if err != nil {
			return "", err
		}
		lines = append(lines, line)
		if h.app.Name != "" { // else this operation writes none
			if _, err := he.machine.examineAgain(ctx, h, false); err != nil {
				return "", err
			}
		}
		h.SiteBack = ""
	}
	return strings.Join(lines, "; "), he.site.chooseTLS(h)
}

// siteBack: where that can't be, requests go to the right version all the same, by a site of which
// nginx thinks well.
func (he *healing) siteBack(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Restore, scripts.Values{"release": h.SiteBack})
	var no *host.Error
	if errors.As(err, &no) && (no.Code == scripts.ExitCheck || no.Code == scripts.ExitNginx) {
		he.rep.Warn("Site of "+h.Address.Name, "the nginx site that an earlier run wrote, for a release that it did not "+
			"see proved, stays until a deployment writes another: "+outcome.Describe(err))
		return "the nginx site stays as it is", nil
	}
	if err != nil {
		return "", err
	}
	if res.OneOf("restored", "yes", "already") == "already" || res.Err() != nil {
		return "of the nginx site of before nothing is kept", res.Err()
	}
	h.changed = true
	if h.Active == nil {
		return "the nginx site of before is back", nil
	}
	if err := he.asking.ask(ctx, h, false); err != nil {
		return "", err
	}
	if h.answer.Right {
		return fmt.Sprintf("the nginx site of before is back: GET %s through nginx %s", he.in.Health.Path, h.answer.Said), nil
	}
	line := fmt.Sprintf("the nginx site of before is back, and does not answer right: GET %s for %s through nginx: %s",
		he.in.Health.Path, he.site.verifyHost(), h.answer.Said)
	he.rep.Warn("Site of "+h.Address.Name, line+"; the run goes on, as what it brings may be the remedy")
	return line, nil
}

func (he *healing) healFlag(ctx context.Context, h *target) (string, error) {
	if h.Heal.Back != "" {
		res, err := he.inPlace.resume(ctx, h, h.Heal.From, h.Heal.To, h.Heal.Back)
		if err != nil && isUnwell(err) && res.Has("started") {
			h.changed, h.ailing = true, true
			h.servesOn(res.Port("started"))
			he.rep.Warn("Health of "+h.Address.Name, fmt.Sprintf("%s was started again, on port %d, and is not healthy by what "+
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
	case scripts.ExitDied, scripts.ExitSilent, scripts.ExitUnhealthy, scripts.ExitMemory,
		scripts.ExitDisk, scripts.ExitReadOnly: // it has died of that
		return true
	}
	return false
}
