package deploy

import (
	"cmp"
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

// workers changes the processes beside what serves, and the jobs' timers, from a release's to
// another's.
type workers struct {
	*run
	slots *slots
	work  *work
}

func nothingToWork(h *target) bool { return h.unchanged || !h.hasWork() }

// nothingToSettle: those of the active release run, and no others; so it is with the timers.
func (w *workers) nothingToSettle(h *target) bool {
	return workersSettled(h) && h.schedule == w.work.wantedTimers(h)
}

// change ends those of the old release, and starts those of the new one; unless they may overlap in
// that order, so that two versions never work at once.
func (w *workers) change(ctx context.Context, h *target) (string, error) {
	w.ahead(h, w.slots.markNext(h))
	res, err := h.Exec(ctx, scripts.Workers, scripts.Values{
		"port": h.idlePort(), "other": h.activePort(), "overlap": scripts.Yes(w.in.Overlap), "trial": "yes",
		"watch_for": scripts.Millis(w.in.WatchFor), "carries": scripts.Yes(w.carries(h)),
	})
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("%s of %s: up for %s", res.Text("working"), h.release, w.in.WatchFor)
	if res.Text("working") == "" {
		line = "no workers"
	}
	if ended := res.Text("ended"); ended != "" {
		line += fmt.Sprintf("; ended of %s: %s", h.Active.Version(), ended)
	}
	if set := res.Text("scheduled"); set+h.schedule != "" {
		line += "; jobs by the clock: " + cmp.Or(jobNames(set), "none any more")
	}
	return line, res.Err()
}

// workersBack is workers' undo. Requests go back first, by a rename, since those that end may take
// their time; a replacement goes back by itself.
func (w *workers) workersBack(ctx context.Context, h *target) error {
	if w.in.Strategy != inputs.InPlace {
		if err := w.slots.switchBack(ctx, h); err != nil {
			return err
		}
	}
	return w.putWorkersRight(ctx, h)
}

// settle is for what a run that was cut off has left.
func (w *workers) settle(ctx context.Context, h *target) (string, error) {
	if err := w.putWorkersRight(ctx, h); err != nil {
		return "", err
	}
	h.Idle.Workers, h.schedule = "", w.work.wantedTimers(h)
	if h.Active == nil {
		return "none run any more", nil
	}
	h.Active.Workers = h.Active.OwnWorkers()
	line := fmt.Sprintf("%s of %s", cmp.Or(h.Active.Processes, "none"), h.Active.Version())
	if h.schedule != "" {
		line += "; jobs by the clock: " + jobNames(h.schedule)
	}
	return line, nil
}

// putWorkersRight has those of the active release run, and no others. One that does not stay up is
// said, and no reason to stop: what is about to be deployed may be its remedy.
func (w *workers) putWorkersRight(ctx context.Context, h *target) error {
	_, err := h.Exec(ctx, scripts.Workers, scripts.Values{
		"port": h.activePort(), "other": h.idlePort(), "overlap": "no", "trial": "no", "watch_for": "0",
		"carries": scripts.Yes(w.carries(h)),
	})
	return err
}
