package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// statusHistory is how many deployments the operation status lists.
const statusHistory = 10

// status lists slots, releases and the last deployments, in the log and in the summary.
func (as *asking) status(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Releases, scripts.Values{"history": fmt.Sprint(statusHistory), "list": "yes"})
	if err != nil {
		return "", err
	}
	releases, history, err := state.ReadReleases(res)
	if err != nil {
		return "", err
	}
	slots := outcome.Grid{{"slot", "state", "health", "release", "pid", "up for", "restarts", "memory"}}
	for _, s := range h.seen {
		a := h.answer.Slots[s.Port]
		slots = append(slots, []string{
			fmt.Sprint(s.Port), slotState(h, s), healthText(a), cmp.Or(shown(s), "-"), cmp.Or(nonZero(s.PID),
				"-"), cmp.Or(uptimeText(a.Uptime), "-"), cmp.Or(a.Restarts, "-"), cmp.Or(memoryText(s.RSSMB), "-"),
		})
	}
	known := outcome.Grid{{"release", "commit", "has served", "size"}}
	for n, r := range releases {
		known = append(known, []string{r.ID, fmt.Sprintf("%.7s", r.Commit), scripts.Yes(r.Live), sizeText(res, n)})
	}
	past := outcome.Grid{{"time", "outcome", "release", "by"}}
	for _, line := range slices.Backward(history) {
		past = append(past, outcome.PastRow(line))
	}
	var lines []string
	var details string
	if len(as.hosts) > 1 {
		lines = []string{h.Address.String() + ":"}
		details = "\n#### " + report.MarkdownCode(h.Address.String()) + "\n"
	}
	for _, g := range []outcome.Grid{slots, known, past} {
		lines = append(lines, g.Text()...)
		details += "\n" + g.Markdown()
	}
	as.tell(lines, details)
	if len(releases) == 0 {
		return "no release in " + as.in.Path, res.Err()
	}
	line := fmt.Sprintf("%d releases in %s", len(releases), as.in.Path)
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

// shown is what a slot has, in the table's column of releases.
func shown(s state.Slot) string {
	if s.Adopted {
		return fmt.Sprintf("%s at %.7s", s.Process.Clone, s.Process.Head)
	}
	return s.Release
}

func slotState(h *target, s state.Slot) string {
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

func nonZero(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
