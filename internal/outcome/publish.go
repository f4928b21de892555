package outcome

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
)

// Publish sets the action's outputs, one value each for the first host and the whole fleet in
// hosts, writes the summary, and closes the log of a run that succeeded: one that failed ends with
// its error.
func Publish(rep *report.Report, r *Result, cause error) error {
	if cause == nil {
		rep.Closing(r.headline(nil), r.closing()...)
	}
	var first HostResult
	if len(r.Hosts) > 0 {
		first = r.Hosts[0]
	}
	all := slices.Concat([]HostResult{}, r.Hosts, r.Left)
	for _, name := range r.Skipped {
		all = append(all, HostResult{Host: name, Outcome: Skipped})
	}
	hosts, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("encode hosts: %w", err)
	}
	at, site := "", ""
	var failure *Failure
	if errors.As(cause, &failure) {
		site = string(failure.Site)
	}
	if first.SwitchedAt != nil {
		at = first.SwitchedAt.Format(time.RFC3339)
	}
	for _, output := range [][2]string{
		{"outcome", string(r.Outcome)},
		{"active-port", portText(first.ActivePort)},
		{"previous-port", portText(first.PreviousPort)},
		{"release", first.Release},
		{"previous-release", first.PreviousRelease},
		{"duration", r.Duration.Round(time.Millisecond).String()},
		{"switched-at", at},
		{"site", site},
		{"url", r.URL},
		{"hosts", string(hosts)},
		{"skipped", strings.Join(r.Skipped, ",")},
	} {
		if err := rep.Output(output[0], output[1]); err != nil {
			return err
		}
	}
	return rep.Summary(summary(r, cause))
}

func portText(port uint16) string {
	if port == 0 {
		return ""
	}
	return fmt.Sprint(port)
}

// closing are the log's last lines: what is live, since when, and what was retired.
func (r *Result) closing() []string {
	var lines []string
	for _, h := range r.Hosts {
		if h.SwitchedAt == nil {
			if h.Serving != "" {
				lines = append(lines, h.Host+": "+h.serves(""))
			}
			continue
		}
		lines = append(lines, h.Host+": "+h.serves(fmt.Sprintf(" since %s UTC, %s after this run began",
			h.SwitchedAt.Format(time.TimeOnly), tookText(h.Live))))
		switch {
		case h.Retired != "" && h.Cut > 0:
			lines = append(lines, fmt.Sprintf("%s: %s was stopped, with %d connection(s) still open after %s",
				h.Host, h.Retired, h.Cut, tookText(h.Drained)))
		case h.Retired != "" && !h.WasDrained:
			lines = append(lines, fmt.Sprintf("%s: %s was stopped; whether requests to it were still open is not known",
				h.Host, h.Retired))
		case h.Retired != "":
			lines = append(lines, fmt.Sprintf("%s: %s was drained in %s and stopped",
				h.Host, h.Retired, tookText(h.Drained)))
		case h.PreviousPort != 0:
			lines = append(lines, fmt.Sprintf("%s: what ran on port %d was not retired; the next deployment does that",
				h.Host, h.PreviousPort))
		}
	}
	if r.URL != "" && (r.Outcome == Deployed || r.Outcome == RolledBack) {
		lines = append(lines, "the site: "+r.URL)
	}
	return append(lines, "the whole run took "+report.Elapsed(r.Duration))
}

// headline says in one line what came of the run.
func (r *Result) headline(f *Failure) string {
	var first HostResult
	if len(r.Hosts) > 0 {
		first = r.Hosts[0]
	}
	switch r.Outcome {
	case Deployed, RolledBack, Restarted:
		where := fmt.Sprintf("port %d", first.ActivePort)
		if len(r.Hosts) > 1 {
			where = fmt.Sprintf("%d hosts", len(r.Hosts))
		}
		where += r.inMaintenance() + r.leftOut()
		for n, h := range r.Left {
			where += []string{"; not in service any more: ", ", "}[min(n, 1)] + h.Host
		}
		return fmt.Sprintf("%s: %s is live on %s",
			title(strings.Replace(string(r.Outcome), "-", " ", 1)), first.Release, where)
	case Maintenance:
		return "Maintenance has " + map[bool]string{true: "begun: visitors get its page", false: "ended"}[first.Maintenance] +
			r.leftOut()
	case Removed:
		return "Removed: the application is off " + map[bool]string{true: "the host", false: "all hosts"}[len(r.Hosts) == 1] +
			r.leftOut()
	case Ran:
		return "Ran: the command succeeded in " + first.Release + r.leftOut()
	case SetUp:
		return "Set up: the host is ready for deployments" + r.leftOut()
	case Restored:
		return "Restored: the new version failed after the switch, and the one before serves again"
	case Unchanged:
		return r.unchanged(first) + r.leftOut()
	}
	switch {
	case len(f.Hosts) == 0:
		return "Failed: nothing was begun"
	case f.Site == SiteRemoved:
		return "Failed: visitors do not get the application any more, and not all of it is deleted"
	case f.Site == SiteMixed:
		return "Failed: not all hosts serve the same now"
	case f.Site == SiteUnknown:
		return "Failed: what the site serves now is not known"
	case f.Site == SiteSwitched:
		return "Failed: the new version answers, and could not be taken back"
	case f.Site == SiteRestored:
		return "Failed: what was switched is switched back"
	}
	return "Failed: nothing changed for visitors"
}

// leftOut names the hosts of which nothing that a headline says is true.
func (r *Result) leftOut() string {
	if len(r.Skipped) == 0 {
		return ""
	}
	return "; left out: " + strings.Join(r.Skipped, ", ")
}

// inMaintenance says of a release that is live that visitors get a page in its place.
func (r *Result) inMaintenance() string {
	closed := 0
	for _, h := range r.Hosts {
		if h.Maintenance {
			closed++
		}
	}
	switch closed {
	case 0:
		return ""
	case len(r.Hosts):
		return ", and the site in maintenance"
	}
	return fmt.Sprintf(", and %d of them in maintenance", closed)
}

func (r *Result) unchanged(first HostResult) string {
	switch {
	case r.DryRun:
		return "Dry run: nothing was changed"
	case r.Operation == inputs.Status || r.Operation == inputs.Check || r.Operation == inputs.Logs ||
		r.Operation == inputs.Remove:
		return title(string(r.Operation)) + ": nothing was changed"
	case r.Operation == inputs.Maintenance && first.Maintenance:
		return "Unchanged: the site was in maintenance already"
	case r.Operation == inputs.Maintenance:
		return "Unchanged: the site was not in maintenance"
	case r.Operation == inputs.Setup:
		return "Unchanged: the host was set up already"
	}
	return "Unchanged: " + first.Release + " was live already, and is healthy"
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
