package main

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
)

func TestPrinter(t *testing.T) {
	lines := []lab.Line{
		{Command: &lab.Command{Name: "add-mask", Data: "secret"}},
		{Command: &lab.Command{Name: "group", Data: "Waiting for health"}},
		{Text: "host │ \x1b[33mtests\x1b[0m"},
		{Command: &lab.Command{Name: "endgroup"}},
		{Text: "\x1b[31m✗ health (0.3s)\x1b[0m"},
		{Command: &lab.Command{Name: "error", Data: "health: the application exited\nsite: unchanged"}},
	}
	const plain = `
Run clothesme/deploy-action@v1
▾ Waiting for health
    host │ tests
✗ health (0.3s)
Error: health: the application exited
site: unchanged
`
	for _, tt := range []struct {
		name    string
		colours bool
		want    string
	}{
		{"to a file", false, plain},
		{
			"to a terminal", true,
			strings.NewReplacer("tests", "\x1b[33mtests\x1b[0m", "✗ health (0.3s)",
				"\x1b[31m✗ health (0.3s)\x1b[0m").Replace(plain),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			p := newPrinter(&out, tt.colours)
			for _, line := range lines {
				p.line(line)
			}
			if got := out.String(); got != tt.want {
				t.Errorf("got\n%q\nwant\n%q", got, tt.want)
			}
		})
	}
}
