package outcome

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
)

// FuzzPast: whatever stands in a host's history, it is a row of bounded length, and no more than a
// row.
func FuzzPast(f *testing.F) {
	f.Add(`{"time":"2026-11-23T10:15:00Z","outcome":"deployed","release":"20261123T101500Z-1a2b3c4",` +
		`"actor":"ada","run":"https://github.com/acme/shop/actions/runs/1","run-id":"1","run-number":"7",` +
		`"workflow":"deploy","duration-ms":9}`)
	f.Add(`{"outcome":"<img src=x>|\n::error::","actor":"` + strings.Repeat("@", 5000) + `","release":"` + "`x" + `"}`)
	f.Add(`{"duration-ms":-9223372036854775808,"outcome":"x","time":"9999-12-31T23:59:59Z"}`)
	f.Add(`[[[[`)
	f.Fuzz(func(t *testing.T, line string) {
		p := state.ReadPast(line)
		table := pastTable([]state.Past{p}, "https://github.com")
		if rows := strings.Count(table, "\n"); rows != 3 || !utf8.ValidString(table) {
			t.Errorf("%d lines: %q", rows, table)
		}
		if len(table) > 64<<10 {
			t.Errorf("%d bytes of a line of %d", len(table), len(line))
		}
		for _, cell := range PastRow(line) {
			if len(cell) > 1<<10 {
				t.Errorf("a cell of %d bytes", len(cell))
			}
		}
		p.NewerThan(inputs.Run{ID: "1", Number: "1"})
	})
}
