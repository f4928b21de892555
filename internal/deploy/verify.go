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
func (s *slots) verification(h *target) scripts.Values {
	return s.process(h, scripts.Values{
		"verify_host": s.site.verifyHost(), "site": h.site(), "nginx_include": s.in.NginxInclude,
		"settle": scripts.Millis(settle), "watch_for": scripts.Millis(s.in.WatchFor),
	})
}

func (s *slots) verify(ctx context.Context, h *target) (string, error) {
	if s.in.Strategy == inputs.InPlace && !h.hasWork() && hasNoTargets(h) { // else they were sent along with the switch
		s.ahead(h, s.markNext(h))
	}
	var live time.Time
	res, err := h.Exec(ctx, scripts.Verify, s.verification(h))
	if live = res.At("live"); !live.IsZero() {
		h.live = live.Sub(s.begin)
	}
	if err != nil {
		return "", err
	}
	if denied := res.Form("denied", state.StatusOr); denied != "" {
		s.rep.Warn("Access to "+h.Address.Name, fmt.Sprintf("nginx answers GET %s with status %s: it asks visitors "+
			"for a password, lets in certain addresses only, or limits how often one may ask; "+
			"the application was asked past that, and is right", s.in.Health.Path, denied))
	}
	return fmt.Sprintf("%d right answers through nginx, all from port %s, over %s", res.Int("probes"), h.idlePort(),
		s.in.WatchFor), res.Err()
}
