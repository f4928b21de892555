package deploy

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) hasProcesses() bool { return len(d.in.Processes) > 0 || d.in.Procfile }

// processNames are those that the sudoers rules are for: what a Procfile names is not known before
// the release is there.
func (d *Deployment) processNames() string {
	names := make([]string, len(d.in.Processes))
	for i, p := range d.in.Processes {
		names[i] = p.Name
	}
	return strings.Join(names, " ")
}

func (d *Deployment) processLines() string {
	lines := make([]string, len(d.in.Processes))
	for i, p := range d.in.Processes {
		lines[i] = p.Name + ": " + p.Command
	}
	return strings.Join(lines, "\n")
}

// hasWork tells whether there are workers to be started or ended, or timers to be set or taken away.
func (h *target) hasWork() bool {
	return h.works || h.schedule != "" || h.hasWorkers()
}

// hasWorkers tells whether there are any that a release of before has.
func (h *target) hasWorkers() bool {
	return h.Idle.Workers != "" || h.Active != nil && (h.Active.Workers != "" || h.Active.Processes != "")
}

func nothingToWork(h *target) bool { return h.unchanged || !h.hasWork() }

// nothingToSettle: those of the active release run, and no others; so it is with the timers.
func (d *Deployment) nothingToSettle(h *target) bool {
	return workersSettled(h) && h.schedule == d.wantedTimers(h)
}

func workersSettled(h *target) bool {
	return h.Idle.Workers == "" && (h.Active == nil || h.Active.Workers == h.Active.OwnWorkers())
}

// workers ends those of the old release, and starts those of the new one; unless they may overlap in
// that order, so that two versions never work at once.
func (d *Deployment) workers(ctx context.Context, h *target) (string, error) {
	d.ahead(h, d.markNext(h))
	res, err := h.Exec(ctx, scripts.Workers, scripts.Values{
		"port": h.idlePort(), "other": h.activePort(), "overlap": scripts.Yes(d.in.Overlap), "trial": "yes",
		"watch_for": scripts.Millis(d.in.WatchFor), "carries": scripts.Yes(d.carries(h)),
	})
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("%s of %s: up for %s", res.Text("working"), h.release, d.in.WatchFor)
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
func (d *Deployment) workersBack(ctx context.Context, h *target) error {
	if d.in.Strategy != inputs.InPlace {
		if err := d.switchBack(ctx, h); err != nil {
			return err
		}
	}
	return d.putWorkersRight(ctx, h)
}

// settle is for what a run that was cut off has left.
func (d *Deployment) settle(ctx context.Context, h *target) (string, error) {
	if err := d.putWorkersRight(ctx, h); err != nil {
		return "", err
	}
	h.Idle.Workers, h.schedule = "", d.wantedTimers(h)
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
func (d *Deployment) putWorkersRight(ctx context.Context, h *target) error {
	_, err := h.Exec(ctx, scripts.Workers, scripts.Values{
		"port": h.activePort(), "other": h.idlePort(), "overlap": "no", "trial": "no", "watch_for": "0",
		"carries": scripts.Yes(d.carries(h)),
	})
	return err
}

// planWorkers is what the plan says of them.
func (d *Deployment) planWorkers(h *target) []string {
	var lines []string
	old := h.Active != nil && h.Active.Processes != ""
	if old {
		lines = append(lines, "end the workers of "+h.Active.Version()+": "+h.Active.Processes)
	}
	names := d.processNames()
	if d.in.Procfile {
		names = strings.TrimSpace(names + " and what the Procfile names")
	}
	if !d.op.makes {
		names = "those that it was deployed with"
	}
	if d.hasProcesses() || !d.op.makes && old {
		lines = append(lines, fmt.Sprintf("start its workers, and see that they stay up for %s: %s", d.in.WatchFor, names))
	}
	if d.in.Overlap {
		slices.Reverse(lines)
	}
	return lines
}

// worker is one as the host sees it now.
type worker struct {
	port, name, state, restarts string
	uptime                      time.Duration
	rssMB                       int
}

var workerLine = regexp.MustCompile(`^([0-9]{1,5}) ([a-z][a-z0-9_-]{0,31}) ([a-z-]*) ` +
	`([0-9]{1,12}) ([0-9]{0,12}) ([0-9]{1,9})$`)

func readWorkers(res *scripts.Results) []worker {
	var all []worker
	for n := 0; res.Has(fmt.Sprintf("worker_%d", n)); n++ {
		m := workerLine.FindStringSubmatch(res.Form(fmt.Sprintf("worker_%d", n), workerLine))
		if m == nil {
			return nil // which res says
		}
		up, _ := time.ParseDuration(m[4] + "s")
		mb, _ := strconv.Atoi(m[6])
		all = append(all, worker{port: m[1], name: m[2], state: m[3], uptime: up, restarts: m[5], rssMB: mb})
	}
	return all
}

// showWorkers lists them, for who asks.
func (d *Deployment) showWorkers(h *target) {
	var lines, down []string
	for _, w := range h.answer.Workers {
		lines = append(lines, fmt.Sprintf("worker %s of port %s: %s, up for %s, started again %s times, %s", w.name, w.port,
			w.state, cmp.Or(uptimeText(w.uptime), "0s"), cmp.Or(w.restarts, "0"), cmp.Or(memoryText(w.rssMB), "0 MB")))
		if w.state != "running" {
			down = append(down, w.name+" ("+w.state+")")
		}
	}
	d.tell(lines, "")
	if d.op.asks && !workersSettled(h) {
		d.rep.Warn("Workers of "+h.Address.Name, "those that run are not those of the active release: a run was cut off, "+
			"and the next one puts that right")
	}
	if len(down) > 0 {
		d.rep.Warn("Workers of "+h.Address.Name, "these processes do not run: "+strings.Join(down, ", "))
	}
}
