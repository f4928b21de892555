package main

import (
	"bytes"
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
)

// recording is what the page of a run shows while its groups are folded, and beside each line how
// the clients fared until then.
type recording struct {
	load   *load.Load
	folded bool
	rows   []row
}

type row struct {
	at               time.Time
	text             string
	requests, failed int
}

func (r *recording) line(line lab.Line) {
	text := line.Text
	switch c := line.Command; {
	case c == nil && r.folded:
		return
	case c != nil && c.Name == "group":
		r.folded = true
		return
	case c != nil && c.Name == "endgroup":
		r.folded = false
		return
	case c != nil:
		return // masks and debug messages
	}
	report := r.load.Report()
	r.rows = append(r.rows, row{line.Time, text, report.Requests, report.Failed})
}

const (
	columns    = 124 // of the log's part
	charWidth  = 7   // and a bit: a line is cut before it gets so far
	lineHeight = 18
	margin     = 16
)

var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// svg draws the recording. Lines come when they came in the run; who wants less motion, or takes a
// still, sees them all.
func (r *recording) svg() []byte {
	var b bytes.Buffer
	right := margin + columns*charWidth
	width, height := right+150, margin*2+lineHeight*(len(r.rows)+1)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" `+
		`role="img" aria-label="The log of a deployment, and beside it how many requests were answered meanwhile">
<style>
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; `+
		`fill: #e6edf3; white-space: pre; }
.head { fill: #8d96a0; } .good { fill: #3fb950; } .bad { fill: #f85149; } .plan { fill: #8d96a0; }
@media (prefers-reduced-motion: no-preference) { .row { opacity: 0; animation: come 0.1s forwards; } }
@keyframes come { to { opacity: 1; } }
</style>
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
`, width, height)
	y := margin + lineHeight - 4
	fmt.Fprintf(&b, "<text class=\"head\" x=\"%d\" y=\"%d\">Run clothesme/deploy-action@v1</text><text "+
		"class=\"head\" x=\"%d\" y=\"%[2]d\">requests   failed</text>\n", margin, y, right)
	for _, row := range r.rows {
		y += lineHeight
		text := colours.ReplaceAllString(row.text, "")
		class := ""
		switch {
		case strings.HasPrefix(text, "✓"):
			class = "good"
		case strings.HasPrefix(text, "✗"):
			class = "bad"
		case strings.HasPrefix(text, "  ") || strings.HasPrefix(text, "plan for"):
			class = "plan"
		}
		count := "good"
		if row.failed > 0 {
			count = "bad"
		}
		fmt.Fprintf(&b, "<g class=\"row\" style=\"animation-delay: %.2fs\">%s<text x=\"%d\" "+
			"y=\"%d\">%8d</text><text class=\"%s\" x=\"%d\" y=\"%d\">%8d</text></g>\n",
			row.at.Sub(r.rows[0].at).Seconds(), words(text, class,
				y), right, y, row.requests, count, right+9*8, y, row.failed)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// words draws a line: its mark in colour, the rest plain unless the whole line is.
func words(text, class string, y int) string {
	if utf8.RuneCountInString(text) > columns-2 {
		text = string([]rune(text)[:columns-3]) + "…"
	}
	mark, rest := "", text
	if class == "good" || class == "bad" {
		mark, rest = text[:len("✓")], text[len("✓"):]
		return fmt.Sprintf(`<text x="%d" y="%d"><tspan class="%s">%s</tspan>%s</text>`, margin, y, class, mark,
			html.EscapeString(rest))
	}
	return fmt.Sprintf(`<text class="%s" x="%d" y="%d">%s</text>`, class, margin, y, html.EscapeString(rest))
}
