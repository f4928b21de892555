package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// printer shows a log as the page of a run does, with every group unfolded.
type printer struct {
	out     io.Writer
	grouped bool
}

func newPrinter(out io.Writer) *printer {
	fmt.Fprintln(out, "\nRun clothesme/deploy-action@v1")
	return &printer{out: out}
}

func (p *printer) line(line lab.Line) {
	indent := ""
	if p.grouped {
		indent = "    "
	}
	c := line.Command
	switch {
	case c == nil:
		fmt.Fprintln(p.out, indent+line.Text)
	case c.Name == "group":
		fmt.Fprintln(p.out, "▾ "+c.Data)
		p.grouped = true
	case c.Name == "endgroup":
		p.grouped = false
	case c.Name == "error" || c.Name == "warning" || c.Name == "notice":
		text := strings.ToUpper(c.Name[:1]) + c.Name[1:] + ": " + c.Data
		fmt.Fprintln(p.out, indent+strings.ReplaceAll(text, "\n", "\n"+indent))
	}
	// Masks and debug messages do not show on that page.
}
