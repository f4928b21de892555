package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// proofRow is a row of README's that links to the table which proves it.
	proofRow = regexp.MustCompile(`(?m)^\| (.*) \| \[[^\]]*\]\((docs/proof/[a-z-]+\.md)\) \|$`)
	figures  = regexp.MustCompile(`[0-9][0-9,.]*s?\b`)
)

// missingFigures are those of a README that are not in the page which it links to for them.
func missingFigures(t *testing.T, readme string) (missing []string) {
	t.Helper()
	rows := proofRow.FindAllStringSubmatch(readme, -1)
	if len(rows) < 3 {
		t.Fatalf("README has %d rows of figures with a table to each", len(rows))
	}
	for _, row := range rows {
		proof := " " + strings.Join(strings.Fields(readPage(t, filepath.Join("..", row[2]))), " ")
		for _, figure := range figures.FindAllString(row[1], -1) {
			if !regexp.MustCompile(`[^0-9,.]` + regexp.QuoteMeta(figure) + `(?:[^0-9,.]|[,.] )`).MatchString(proof) {
				missing = append(missing, figure+" of "+row[2])
			}
		}
	}
	return missing
}

// A figure that README quotes is one of those that the tests wrote down.
func TestFiguresOfReadmeAreProven(t *testing.T) {
	for _, page := range []string{"../README.md", "../README.ko.md"} {
		text := readPage(t, page)
		if missing := missingFigures(t, text); len(missing) > 0 {
			t.Errorf("%s quotes what no table has: %q", page, missing)
		}
		changed := regexp.MustCompile(`[0-9],[0-9]{3},[0-9]{3}`).ReplaceAllString(text, "9,999,999")
		if missing := missingFigures(t, changed); changed == text || len(missing) == 0 {
			t.Errorf("of %s a figure that no table has would not be noticed", page)
		}
	}
}

// Each row of a table says with which build it was tried.
func TestRowsOfProofsNameTheirBuild(t *testing.T) {
	build := regexp.MustCompile(`\| (-|unknown|(by )?[0-9a-f]{7,}\+?(, ((by )?[0-9a-f]{7,}\+?|unknown))*) \|$`)
	for page, head := range map[string]string{
		"proof/reliability.md": "| the fault |", "proof/fleet-faults.md": "| the fault |", "proof/scale.md": "| run |",
	} {
		_, table, found := strings.Cut(readPage(t, page), "\n"+head)
		table, _, _ = strings.Cut(table, "\n\n")
		rows := strings.Split(table, "\n")
		if !found || len(rows) < 3 || !strings.HasSuffix(rows[0], "| build |") {
			t.Errorf("the table of %s has no builds", page)
			continue
		}
		for _, row := range rows[2:] {
			if !build.MatchString(row) && !strings.HasPrefix(row, "| goal |") && !strings.HasPrefix(row, "| may take |") {
				t.Errorf("%s: no build in %s", page, row)
			}
		}
	}
	for _, page := range []string{"proof/soak.md", "proof/group.md", "proof/launch-image.md"} {
		if !regexp.MustCompile(`(?m)^\| build \| (by )?[0-9a-f]{7,}\+? \|$`).MatchString(readPage(t, page)) {
			t.Errorf("%s does not say with which build it was made", page)
		}
	}
}
