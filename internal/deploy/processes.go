package deploy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// work is what of a release goes on beside what serves: its other processes, and its jobs.
type work struct{ *run }

func (wo *work) hasProcesses() bool { return len(wo.in.Processes) > 0 || wo.in.Procfile }

func (wo *work) processLines() string {
	lines := make([]string, len(wo.in.Processes))
	for i, p := range wo.in.Processes {
		lines[i] = p.Name + ": " + p.Command
	}
	return strings.Join(lines, "\n")
}

// planWorkers is what the plan says of them.
func (wo *work) planWorkers(h *target) []string {
	var lines []string
	old := h.Active != nil && h.Active.Processes != ""
	if old {
		lines = append(lines, "end the workers of "+h.Active.Version()+": "+h.Active.Processes)
	}
	names := wo.processNames()
	if wo.in.Procfile {
		names = strings.TrimSpace(names + " and what the Procfile names")
	}
	if !wo.op.makes {
		names = "those that it was deployed with"
	}
	if wo.hasProcesses() || !wo.op.makes && old {
		lines = append(lines, fmt.Sprintf("start its workers, and see that they stay up for %s: %s", wo.in.WatchFor, names))
	}
	if wo.in.Overlap {
		slices.Reverse(lines)
	}
	return lines
}

// showWorkers lists them, for who asks.
func (wo *work) showWorkers(h *target) {
	var lines, down []string
	for _, w := range h.answer.Workers {
		lines = append(lines, fmt.Sprintf("worker %s of port %s: %s, up for %s, started again %s times, %s", w.name, w.port,
			w.state, cmp.Or(uptimeText(w.uptime), "0s"), cmp.Or(w.restarts, "0"), cmp.Or(memoryText(w.rssMB), "0 MB")))
		if w.state != "running" {
			down = append(down, w.name+" ("+w.state+")")
		}
	}
	wo.tell(lines, "")
	if wo.op.asks && !workersSettled(h) {
		wo.rep.Warn("Workers of "+h.Address.Name, "those that run are not those of the active release: a run was cut off, "+
			"and the next one puts that right")
	}
	if len(down) > 0 {
		wo.rep.Warn("Workers of "+h.Address.Name, "these processes do not run: "+strings.Join(down, ", "))
	}
}
