package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/scripts"
)

// process are the values that name the new process and say how to judge its answers.
func (s *slots) process(h *target, own scripts.Values) scripts.Values {
	own["port"], own["pid"], own["starttime"], own["log_offset"] = h.idlePort(), h.pid, h.starttime, h.logOffset
	own["groups"] = h.groupsOf(h.idlePort())
	return own
}

func (s *slots) asksHealth(h *target) scripts.Values {
	return s.process(h, scripts.Values{
		"health_host": s.in.Health.Host, "health_timeout": scripts.Seconds(s.in.Health.Timeout), "started": "",
	})
}

// healthNext: the results of start have what is not known yet, the process.
func (s *slots) healthNext(h *target, before string) *upcoming {
	own := s.asksHealth(h)
	own["started"] = before
	return &upcoming{verb: scripts.Health, own: own, early: true}
}

func (s *slots) health(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Health, s.asksHealth(h))
	if err != nil {
		return "", err
	}
	h.boot = res.Millis("boot_ms")
	if res.Yes("open") {
		s.rep.Warn("Port "+h.idlePort()+" of "+h.Address.Name,
			fmt.Sprintf("the application listens on more than 127.0.0.1: whoever reaches port %s of the host gets "+
				"past nginx; have the input \"start\" name 127.0.0.1, and the security group let nobody in there",
				h.idlePort()))
	}
	return fmt.Sprintf("pid %s answers right, %.1fs after its start", h.pid, h.boot.Seconds()), res.Err()
}
