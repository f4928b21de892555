package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/scripts"
)

// marking are the values of mark.sh.
func (d *Deployment) marking(h *target) scripts.Values {
	return d.process(h, scripts.Values{"release": h.release, "by": d.by(h)})
}

// markNext is for what sends mark ahead, as is done for one host alone: it may be marked from then on.
func (d *Deployment) markNext(h *target) upcoming {
	h.marked = d.isAlone(h)
	return upcoming{"mark", scripts.Mark, d.marking(h), false}
}

// mark is the last that can fail: from here on nothing is taken back.
func (d *Deployment) mark(ctx context.Context, h *target) (string, error) {
	h.marked = true
	if _, err := h.Exec(ctx, scripts.Mark, d.marking(h)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s has proved itself", h.release), nil
}
