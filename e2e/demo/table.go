package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/clothesme/deploy-action/e2e/load"
)

// row is one deployment in the table that ends the demo. A duration of zero shows as "-": it did
// not come to that.
type row struct {
	Release string
	Port    int           // the slot that the release was started on; 0 shows as "-"
	Live    time.Duration // from the action's start to the switch
	Boot    time.Duration // of that, the application's own boot
	Drained time.Duration // from the switch until the old release had no connection left
	Outcome string        // as in the output of that name, with the reason where there is one
}

var columns = []string{"release", "port", "live after", "of which app boot", "drained after", "outcome"}

func (d *demo) cells() (cells [][]string) {
	for _, r := range d.rows {
		port := "-"
		if r.Port != 0 {
			port = strconv.Itoa(r.Port)
		}
		cells = append(cells, []string{
			r.Release, port, seconds(r.Live), seconds(r.Boot), seconds(r.Drained),
			r.Outcome,
		})
	}
	return cells
}

// table formats cells below their columns: the first and the last column's to the left, the others'
// to the right.
func table(columns []string, cells [][]string) string {
	cells = append([][]string{columns}, cells...)
	widths := make([]int, len(columns))
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, line := range cells {
		writeLine(&b, line, widths)
		if n == 0 {
			rule := make([]string, len(columns))
			for i, width := range widths {
				rule[i] = strings.Repeat("-", width)
			}
			writeLine(&b, rule, widths)
		}
	}
	return b.String()
}

func writeLine(b *strings.Builder, line []string, widths []int) {
	for i, cell := range line {
		fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		switch i {
		case len(line) - 1:
			b.WriteString(cell)
		case 0:
			b.WriteString(cell + fill + "  ")
		default:
			b.WriteString(fill + cell + "  ")
		}
	}
	b.WriteByte('\n')
}

// seconds keeps one unit for the whole column, so that its numbers can be compared at a glance.
func seconds(d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fs", d.Seconds())
}

// stillOpen says what the connections were that the log calls still open. A version that is stopped
// ends the WebSocket that it holds; the load has nothing else that outlasts drain-timeout.
func stillOpen(sessions []load.WebSocketSession) string {
	cut := 0
	for _, s := range sessions {
		if !s.Ended.IsZero() {
			cut++
		}
	}
	if cut == 0 {
		return ""
	}
	times := "once"
	if cut > 1 {
		times = fmt.Sprintf("%d times", cut)
	}
	return fmt.Sprintf("What the log calls still open was the load's own WebSocket, and no request: it was cut %s, "+
		"when drain-timeout was over, and opened anew.\n", times)
}

// closing is the demo's very last line; other programs read it.
func closing(deploys, requests, failed int) string {
	return fmt.Sprintf("demo: deploys=%d requests=%d failed=%d", deploys, requests, failed)
}
