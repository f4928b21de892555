package deploy

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/clothesme/deploy-action/scripts"
)

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

// answer is what the site said to a request that was made at some moment, as a visitor would make
// it.
type answer struct {
	Right bool
	Said  string // what came, for people
	Port  uint16 // that nginx names, 0 when it names none
	Slots map[uint16]slotAnswer

	Workers []worker // where they are asked for
	Jobs    []job
}

// slotAnswer is what a slot itself said then.
type slotAnswer struct {
	Listens, Right bool
	Uptime         time.Duration // of its main process, 0 when there is none
	Restarts       string        // by systemd, since somebody started it; empty where it is not known
}

// uptimeText says how long something has run, in two units at most.
func uptimeText(d time.Duration) string {
	days, hours, minutes := d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60
	switch {
	case d == 0:
		return ""
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	}
	return d.String()
}

func memoryText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d MB", n)
}
