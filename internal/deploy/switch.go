package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/scripts"
)

// switchOver sends new requests to the new slot: by the rename alone, but for the first time or
// when the site's own files changed.
func (s *slots) switchOver(ctx context.Context, h *target) (string, error) {
	h.route, h.routed = routeMaybe, true
	next := []upcoming{{"verify", scripts.Verify, s.verification(h), true}}
	if !h.hasWork() && hasNoTargets(h) { // what has to be proved or taken back first, by a step of its own
		next = append(next, s.markNext(h))
	}
	s.ahead(h, next...)
	var site, flag scripts.Results
	err := h.ExecAll(ctx, s.site.siteFor(h, s.site.keepAs(h), h.trial(), &site), host.Asked{
		Verb: scripts.Switch, Results: &flag, Own: scripts.Values{
			"from": h.activePort(), "to": h.idlePort(), "groups": h.groupsOf(h.activePort()),
		},
	})
	var no *host.Error
	if errors.As(err, &no) && no.Verb == scripts.Site { // the flag was not asked for
		h.route, h.routed = routeOld, false
		return "", err
	}
	if err == nil || site.Has("reloaded") {
		err = cmp.Or(err, s.site.sited(h, &site))
	}
	if err != nil {
		return "", err
	}
	h.route = routeNew
	h.switchedAt = time.UnixMilli(flag.Millis("switched_at").Milliseconds())
	how := "renamed the flag, no reload"
	if h.reloaded {
		how = "nginx has loaded the site (one reload, for new files)"
	}
	return fmt.Sprintf("requests go to port %s: %s", h.idlePort(), how), flag.Err()
}

// switchBack is switch's undo: the rename the other way, then the nginx files as they were. Both
// verbs say "already" when there is nothing to take back, so what is not known of an interrupted
// switch does not matter.
func (s *slots) switchBack(ctx context.Context, h *target) error {
	res, err := h.Exec(ctx, scripts.Switch, scripts.Values{"from": h.idlePort(), "to": h.activePort()})
	if err != nil {
		return err
	}
	switch {
	case res.OneOf("switched", "yes", "already") == "yes", h.route == routeNew:
		// What is back already is so by somebody's hand, or from before the connection was lost.
		h.route = routeBack
	case h.route == routeMaybe:
		h.route = routeOld
	}
	if _, err := h.Exec(ctx, scripts.Restore, scripts.Values{"release": s.site.keepAs(h)}); err != nil {
		return err
	}
	return res.Err()
}
