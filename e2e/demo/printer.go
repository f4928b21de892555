package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// printer shows a log as the page of a run does, with every group unfolded.
type printer struct {
	out     io.Writer
	colours bool
	grouped bool
}

func newPrinter(out io.Writer, colours bool) *printer {
	fmt.Fprintln(out, "\nRun clothesme/deploy-action@v1")
	return &printer{out: out, colours: colours}
}

var colour = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// print leaves the colours out where they would only be in the way, as in a file.
func (p *printer) print(text string) {
	if !p.colours {
		text = colour.ReplaceAllString(text, "")
	}
	fmt.Fprintln(p.out, text)
}

func (p *printer) line(line lab.Line) {
	indent := ""
	if p.grouped {
		indent = "    "
	}
	c := line.Command
	switch {
	case c == nil:
		p.print(indent + line.Text)
	case c.Name == "group":
		p.print("▾ " + c.Data)
		p.grouped = true
	case c.Name == "endgroup":
		p.grouped = false
	case c.Name == "error" || c.Name == "warning" || c.Name == "notice":
		text := strings.ToUpper(c.Name[:1]) + c.Name[1:] + ": " + c.Data
		p.print(indent + strings.ReplaceAll(text, "\n", "\n"+indent))
	}
	// Masks and debug messages do not show on that page.
}
