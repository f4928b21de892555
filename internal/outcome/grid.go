package outcome

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/state"
)

// Grid is a table whose first row is its header; all rows have as many cells.
type Grid [][]string

// Text returns the table's lines, with columns of one width, for the log.
func (g Grid) Text() []string {
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

// Markdown returns the table for the summary, with its cells escaped.
func (g Grid) Markdown() string {
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

// PastRow reads a line of the history; one that is not ours to read shows as it is.
func PastRow(line string) []string {
	p := state.ReadPast(line)
	if p.Outcome == "" {
		return []string{"?", "?", fmt.Sprintf("%.60q", line), "?"}
	}
	return []string{p.Time.UTC().Format(time.DateTime), p.Outcome, cmp.Or(p.Release, "-"), p.Actor}
}
