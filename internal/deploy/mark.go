package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/scripts"
)

// marking are the values of mark.sh.
func (s *slots) marking(h *target) scripts.Values {
	return s.process(h, scripts.Values{"release": h.release, "by": s.order.by(h)})
}

// markNext is for what sends mark ahead, as is done for one host alone: it may be marked from then on.
func (s *slots) markNext(h *target) upcoming {
	h.marked = s.isAlone(h)
	return upcoming{"mark", scripts.Mark, s.marking(h), false}
}

// mark is the last that can fail: from here on nothing is taken back.
func (s *slots) mark(ctx context.Context, h *target) (string, error) {
	h.marked = true
	if _, err := h.Exec(ctx, scripts.Mark, s.marking(h)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s has proved itself", h.release), nil
}
