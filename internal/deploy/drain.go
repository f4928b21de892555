package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

func (s *slots) drain(ctx context.Context, h *target) (string, error) {
	left, err := s.drainSlot(ctx, h, h.activePort(), h.idlePort(), s.in.DrainTimeout)
	if err != nil {
		return "", err
	}
	h.drained, h.connections, h.wasDrained = left.took, left.connections, true
	return left.text(h.Active.Port, s.in.DrainTimeout), nil
}

// drained is how waiting for a slot's last requests ended.
type drained struct {
	took        time.Duration
	connections int    // that are still open
	hand        string // what nginx says of requests that it has in hand: busy, idle or unknown
}

func (l drained) text(port uint16, limit time.Duration) string {
	switch {
	case l.connections > 0:
		return fmt.Sprintf("%d connection(s) to port %d were still open after %s", l.connections, port, limit)
	case l.hand == "busy":
		return fmt.Sprintf("nginx still counted requests for port %d after %s, which none had a connection there: "+
			"uploads, "+
			"or what a worker of nginx that crashed has left", port, limit)
	case l.hand == "unknown":
		return fmt.Sprintf("no connection to port %d is left; nginx does not say what it has in hand", port)
	}
	return fmt.Sprintf("no request for port %d is left, and no connection to it", port)
}

// drainSlot waits for the last requests on a port. Where a hand has left the flags unclear since
// the switch they are put right first, for the port that serves in its place; a flag that somebody
// has moved is theirs: what it is on goes on, since stop refuses it.
func (s *slots) drainSlot(
	ctx context.Context, h *target, port, instead string, limit time.Duration,
) (left drained, err error) {
	for again := true; ; again = false {
		res, err := h.Exec(ctx, scripts.Drain, scripts.Values{
			"port": port, "instead": instead, "drain_timeout": scripts.Seconds(max(limit-left.took, 0)),
			"verify_host": s.site.verifyHost(), "retiring": scripts.Yes(s.op.success == outcome.Removed),
		})
		if err != nil {
			return left, err
		}
		left.took += res.Millis("drain_ms")
		left.connections, left.hand = res.Int("left"), res.OneOf("hand", "unknown", "busy", "idle")
		if res.OneOf("flag", "right", "moved", "unclear") != "unclear" || !again {
			return left, res.Err()
		}
		// Its answer is of no use to another attempt: a hand may have been there in between.
		back := scripts.Values{"from": port, "to": instead, "step_id": ""}
		if _, err := h.Exec(ctx, scripts.Switch, back); err != nil {
			return left, err
		}
		s.rep.Warn("Flag of "+h.Address.Name, fmt.Sprintf("somebody changed what is in %s during this run; port %s "+
			"has the flag again", s.flagDir(), instead))
	}
}
