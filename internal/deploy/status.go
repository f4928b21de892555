package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// statusHistory is how many deployments the operation status lists.
const statusHistory = 10

// status lists slots, releases and the last deployments, in the log and in the summary.
func (d *Deployment) status(ctx context.Context, h *host) (string, error) {
	res, err := d.exec(ctx, h, scripts.Releases, scripts.Values{"history": fmt.Sprint(statusHistory), "list": "yes"})
	if err != nil {
		return "", err
	}
	releases, history, err := state.ReadReleases(res)
	if err != nil {
		return "", err
	}
	slots := grid{{"slot", "state", "health", "release", "pid", "up for", "restarts", "memory"}}
	for _, s := range h.seen {
		a := h.answer.Slots[s.Port]
		slots = append(slots, []string{
			fmt.Sprint(s.Port), slotState(h, s), healthText(a), cmp.Or(shown(s), "-"), cmp.Or(nonZero(s.PID), "-"), cmp.Or(uptimeText(a.Uptime), "-"), cmp.Or(a.Restarts, "-"), cmp.Or(memoryText(s.RSSMB), "-"),
		})
	}
	known := grid{{"release", "commit", "has served", "size"}}
	for n, r := range releases {
		known = append(known, []string{r.ID, fmt.Sprintf("%.7s", r.Commit), yes(r.Live), sizeText(res, n)})
	}
	past := grid{{"time", "outcome", "release", "by"}}
	for _, line := range slices.Backward(history) {
		past = append(past, pastRow(line))
	}
	for _, g := range []grid{slots, known, past} {
		d.details += "\n" + g.markdown()
		for _, line := range g.text() {
			d.rep.Info(line)
		}
	}
	if len(releases) == 0 {
		return "no release in " + d.in.Path, res.Err()
	}
	line := fmt.Sprintf("%d releases in %s", len(releases), d.in.Path)
	if res.Has("sizes") {
		line += "; " + res.Text("sizes")
	}
	return line, res.Err()
}

// sizeText is what the n-th release takes.
func sizeText(res *scripts.Results, n int) string {
	if key := fmt.Sprintf("mb_%d", n); res.Has(key) {
		return fmt.Sprintf("%d MB", res.Int(key))
	}
	return "-"
}

func healthText(a slotAnswer) string {
	switch {
	case a.Right:
		return "right"
	case a.Listens:
		return "wrong"
	}
	return "-"
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

// shown is what a slot has, in the table's column of releases.
func shown(s state.Slot) string {
	if s.Adopted {
		return fmt.Sprintf("%s at %.7s", s.Process.Clone, s.Process.Head)
	}
	return s.Release
}

func slotState(h *host, s state.Slot) string {
	switch {
	case h.Active != nil && s.Port == h.Active.Port && s.Adopted:
		return "active, started by hand"
	case h.Active != nil && s.Port == h.Active.Port && s.Listen == state.Ours:
		return "active"
	case h.Active != nil && s.Port == h.Active.Port:
		return "active, but nothing listens"
	case s.Runs():
		return "idle, running"
	}
	return "idle"
}

// pastRow reads a line of the history; one that is not ours to read shows as it is.
func pastRow(line string) []string {
	p := state.ReadPast(line)
	if p.Outcome == "" {
		return []string{"?", "?", fmt.Sprintf("%.60q", line), "?"}
	}
	return []string{p.Time.UTC().Format(time.DateTime), p.Outcome, cmp.Or(p.Release, "-"), p.Actor}
}

// grid is a table with a header.
type grid [][]string

func (g grid) text() []string {
	widths := make([]int, len(g[0]))
	for _, row := range g {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	lines := make([]string, len(g))
	for i, row := range g {
		for j, cell := range row {
			lines[i] += cell + strings.Repeat(" ", widths[j]-len([]rune(cell))+2)
		}
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func (g grid) markdown() string {
	var b strings.Builder
	for i, row := range g {
		for _, cell := range row {
			b.WriteString("| " + report.MarkdownText(cell) + " ")
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}

func nonZero(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func memoryText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d MB", n)
}
