package deploy

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
)

// timerOf names a job's timer by its times: a release with other ones has another timer, and the
// release before keeps its own to go back to.
func timerOf(j inputs.Job) string {
	return fmt.Sprintf("%s.%.4x", j.Name, sha256.Sum256([]byte(strings.Join(j.When, "\n"))))
}

func (wo *work) jobTimers() string {
	lines := make([]string, len(wo.in.Jobs))
	for i, j := range wo.in.Jobs {
		lines[i] = timerOf(j) + " " + strings.Join(j.When, "|")
	}
	return strings.Join(lines, "\n")
}

func (wo *work) jobLines() string {
	lines := make([]string, len(wo.in.Jobs))
	for i, j := range wo.in.Jobs {
		lines[i] = timerOf(j) + ": " + j.Command
	}
	return strings.Join(lines, "\n")
}

// jobNames are those of timers, for people.
func jobNames(timers string) string {
	var names []string
	for _, timer := range strings.Fields(timers) {
		name, _, _ := strings.Cut(timer, ".")
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// wantedTimers are those of the active release.
func (wo *work) wantedTimers(h *target) string {
	if h.Active == nil || !wo.carries(h) {
		return ""
	}
	return h.Active.Timers
}

// planJobs is what the plan says of them.
func (wo *work) planJobs(h *target) []string {
	switch {
	case !wo.carries(h) || wo.op.makes && len(wo.in.Jobs) == 0:
		if h.schedule == "" {
			return nil
		}
		return []string{"take the timers of these jobs away: " + jobNames(h.schedule)}
	case wo.op.makes:
		return []string{"set the timers of its jobs: " + jobNames(wo.jobTimerNames())}
	case h.schedule != "":
		return []string{"set the timers of the jobs that it was deployed with"}
	}
	return nil
}

func (wo *work) jobTimerNames() string {
	names := make([]string, len(wo.in.Jobs))
	for i, j := range wo.in.Jobs {
		names[i] = timerOf(j)
	}
	return strings.Join(names, " ")
}

// showJobs lists them, for who asks.
func (wo *work) showJobs(h *target) {
	var lines []string
	for _, j := range h.answer.Jobs {
		lines = append(lines, j.text())
	}
	wo.tell(lines, "")
	if wo.op.asks && strings.HasSuffix(h.schedule, state.Changing) {
		wo.rep.Warn("Jobs of "+h.Address.Name, "a run was cut off while it set their timers, and the next one puts that "+
			"right")
	}
}
