package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// settle is how long nginx may take until a request provably reaches the new slot; the rename acts
// at once, a reload within a second.
const settle = 10 * time.Second

// verification are the values of verify.sh.
func (d *Deployment) verification(h *target) scripts.Values {
	return d.process(h, scripts.Values{
		"verify_host": d.verifyHost(), "site": h.site(), "nginx_include": d.in.NginxInclude,
		"settle": scripts.Millis(settle), "watch_for": scripts.Millis(d.in.WatchFor),
	})
}

func (d *Deployment) verify(ctx context.Context, h *target) (string, error) {
	if d.in.Strategy == inputs.InPlace && !h.hasWork() && hasNoTargets(h) { // else they were sent along with the switch
		d.ahead(h, d.markNext(h))
	}
	var live time.Time
	res, err := h.Exec(ctx, scripts.Verify, d.verification(h))
	if live = res.At("live"); !live.IsZero() {
		h.live = live.Sub(d.begin)
	}
	if err != nil {
		return "", err
	}
	if denied := res.Form("denied", state.StatusOr); denied != "" {
		d.rep.Warn("Access to "+h.Address.Name, fmt.Sprintf("nginx answers GET %s with status %s: it asks visitors "+
			"for a password, lets in certain addresses only, or limits how often one may ask; "+
			"the application was asked past that, and is right", d.in.Health.Path, denied))
	}
	return fmt.Sprintf("%d right answers through nginx, all from port %s, over %s", res.Int("probes"), h.idlePort(),
		d.in.WatchFor), res.Err()
}
