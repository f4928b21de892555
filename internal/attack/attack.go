// Package attack keeps the table of docs/attacks.md: what was tried against the action, and what
// happened. Each attempt is a test with a name; the table is written from those that ran, and a
// test that finds it stale fails.
package attack

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/report"
)

// Table is one section of the document.
type Table struct {
	Section string // its heading
	rows    [][3]string
}

// Try makes one attempt. It returns what happened, for people, and fails its test if the attempt
// succeeds.
func (tb *Table) Try(t *testing.T, area, name string, attempt func(t *testing.T) (happened string)) {
	t.Helper()
	t.Run(area+"/"+name, func(t *testing.T) {
		t.Helper()
		happened := attempt(t)
		if happened == "" && !t.Failed() {
			t.Error("nobody knows what happened")
		}
		tb.rows = append(tb.rows, [3]string{area, name, happened})
	})
}

// Add takes over the rows of another table, of attempts that were made beside this one's.
func (tb *Table) Add(other *Table) { tb.rows = append(tb.rows, other.rows...) }

// Check holds the section against the document, or writes it there.
func (tb *Table) Check(t *testing.T, file string, write bool) {
	t.Helper()
	if t.Failed() {
		return
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+tb.Section+" -->\n", "<!-- end of "+tb.Section+" -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	old, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no section %q", file, tb.Section)
	}
	now := tb.markdown()
	switch {
	case now == old:
	case write:
		if err := os.WriteFile(file, []byte(before+begin+now+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is stale (go test -run Attacks -update writes it); section %q is now\n%s", file, tb.Section, now)
	}
}

func (tb *Table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d attempts, 0 successful.\n\n| where | what was tried | what happened |\n|---|---|---|\n",
		len(tb.rows))
	for _, row := range tb.rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", report.MarkdownText(row[0]), report.MarkdownText(row[1]),
			report.MarkdownCode(short(row[2])))
	}
	return b.String()
}

// short cuts what is too long for a cell.
func short(s string) string {
	const most = 180
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
