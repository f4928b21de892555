package deploy

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// timerOf names a job's timer by its times: a release with other ones has another timer, and the
// release before keeps its own to go back to.
func timerOf(j inputs.Job) string {
	return fmt.Sprintf("%s.%.4x", j.Name, sha256.Sum256([]byte(strings.Join(j.When, "\n"))))
}

func (d *Deployment) jobTimers() string {
	lines := make([]string, len(d.in.Jobs))
	for i, j := range d.in.Jobs {
		lines[i] = timerOf(j) + " " + strings.Join(j.When, "|")
	}
	return strings.Join(lines, "\n")
}

func (d *Deployment) jobLines() string {
	lines := make([]string, len(d.in.Jobs))
	for i, j := range d.in.Jobs {
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

// carries tells whether the host is the one that starts the jobs: the first that takes part. The
// post step, which may not get to all of several, leaves that as it is.
func (d *Deployment) carries(h *target) bool {
	if d.in.Operation == inputs.Tidy {
		return h.schedule != "" || len(d.in.Hosts) == 1
	}
	return len(d.hosts) < 2 || h == d.staying()[0]
}

// wantedTimers are those of the active release.
func (d *Deployment) wantedTimers(h *target) string {
	if h.Active == nil || !d.carries(h) {
		return ""
	}
	return h.Active.Timers
}

// planJobs is what the plan says of them.
func (d *Deployment) planJobs(h *target) []string {
	switch {
	case !d.carries(h) || d.op.makes && len(d.in.Jobs) == 0:
		if h.schedule == "" {
			return nil
		}
		return []string{"take the timers of these jobs away: " + jobNames(h.schedule)}
	case d.op.makes:
		return []string{"set the timers of its jobs: " + jobNames(d.jobTimerNames())}
	case h.schedule != "":
		return []string{"set the timers of the jobs that it was deployed with"}
	}
	return nil
}

func (d *Deployment) jobTimerNames() string {
	names := make([]string, len(d.in.Jobs))
	for i, j := range d.in.Jobs {
		names[i] = timerOf(j)
	}
	return strings.Join(names, " ")
}

// job is one as the host sees it now; times are the host's words.
type job struct{ name, state, result, status, last, next string }

var jobLine = regexp.MustCompile(`^([a-z][a-z0-9_-]{0,31})\|([a-z-]*)\|([a-z-]*)\|([0-9]{0,3})\|` +
	`([A-Za-z0-9:/ +-]{0,40})\|([A-Za-z0-9:/ +-]{0,40})$`)

func readJobs(res *scripts.Results) []job {
	var all []job
	for n := 0; res.Has(fmt.Sprintf("job_%d", n)); n++ {
		m := jobLine.FindStringSubmatch(res.Form(fmt.Sprintf("job_%d", n), jobLine))
		if m == nil {
			return nil // which res says
		}
		all = append(all, job{m[1], m[2], m[3], m[4], m[5], m[6]})
	}
	return all
}

// text says how a job stands. What systemd knows of its last run is from this boot.
func (j job) text() string {
	said := "job " + j.name
	never := j.last == "" || j.last == "n/a"
	switch {
	case j.state == "activating":
		said += ": runs, since " + j.last
	case never:
		said += ": has not run yet since the boot or since its timer was set"
	case j.result == "success":
		said += ": succeeded, " + j.last
	default:
		said += fmt.Sprintf(": failed (%s, status %s), %s", j.result, j.status, j.last)
	}
	return said + "; next: " + cmp.Or(j.next, "not set")
}

// showJobs lists them, for who asks.
func (d *Deployment) showJobs(h *target) {
	var lines []string
	for _, j := range h.answer.Jobs {
		lines = append(lines, j.text())
	}
	d.tell(lines, "")
	if d.op.asks && strings.HasSuffix(h.schedule, state.Changing) {
		d.rep.Warn("Jobs of "+h.Address.Name, "a run was cut off while it set their timers, and the next one puts that right")
	}
}
