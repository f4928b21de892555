package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// pages returns the documents of the repository, by their paths from here. Those of tests are none.
func pages(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			found = append(found, path)
		}
		return nil
	})
	if err != nil || len(found) < 20 {
		t.Fatalf("found %q: %v", found, err)
	}
	return found
}

func readPage(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	fences = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	spans  = regexp.MustCompile("`[^`\n]*`")
	links  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linked = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	named  = regexp.MustCompile(`<a name="([^"]+)">`)
)

// headings returns the lines of a document that are headings.
func headings(text string) []string {
	return regexp.MustCompile(`(?m)^#+ .*$`).FindAllString(fences.ReplaceAllString(text, ""), -1)
}

// anchors returns what a link may name in a document: its headings as GitHub writes them then, in
// small letters, without punctuation and with - for blanks, and what has a name besides.
func anchors(text string) []string {
	all := headings(text)
	for i, heading := range all {
		heading = linked.ReplaceAllString(strings.TrimLeft(heading, "# "), "$1")
		all[i] = strings.Map(func(r rune) rune {
			switch {
			case r == ' ' || r == '-':
				return '-'
			case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, heading)
	}
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// TestLinks: what a page links to in the repository is there, the section too, and README leads to
// every page.
func TestLinks(t *testing.T) {
	leads := map[string][]string{} // a page, and those that it links to
	for _, page := range pages(t) {
		text := spans.ReplaceAllString(fences.ReplaceAllString(readPage(t, page), ""), "")
		for _, m := range links.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, section, _ := strings.Cut(m[1], "#")
			file = filepath.Join(filepath.Dir(page), file)
			if strings.HasPrefix(m[1], "#") {
				file = page
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which there is not", page, m[1])
				continue
			}
			if section != "" && !slices.Contains(anchors(readPage(t, file)), section) {
				t.Errorf("%s links to %s, and that page has no such section", page, m[1])
			}
			leads[page] = append(leads[page], file)
		}
	}
	reached := []string{"../README.md"}
	for i := 0; i < len(reached); i++ {
		for _, file := range leads[reached[i]] {
			if !slices.Contains(reached, file) {
				reached = append(reached, file)
			}
		}
	}
	for _, page := range pages(t) {
		if !slices.Contains(reached, page) {
			t.Errorf("no way leads from README.md to %s", page)
		}
	}
}

// TestReadmeIsRead: it is short, and its lines are.
func TestReadmeIsRead(t *testing.T) {
	text := readPage(t, "../README.md")
	if lines := strings.Count(text, "\n"); lines > 250 {
		t.Errorf("README.md has %d lines, and may have 250: put what is for some readers into a page of docs", lines)
	}
	for line := range strings.Lines(fences.ReplaceAllString(text, "")) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 120 && !strings.HasPrefix(line, "|") &&
			!strings.HasPrefix(line, "!") && !strings.HasPrefix(line, "[") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// TestFiguresAreProved: every figure that README quotes of a measurement stands in the page that it
// links to for it.
func TestFiguresAreProved(t *testing.T) {
	_, section, _ := strings.Cut(readPage(t, "../README.md"), "\n## What was measured\n")
	section, _, _ = strings.Cut(section, "\n## ")
	count := 0
	for line := range strings.Lines(section) {
		link := links.FindStringSubmatch(line)
		if link == nil {
			continue
		}
		proved := figure.FindAllString(readPage(t, filepath.Join("..", link[1])), -1)
		for _, said := range figure.FindAllString(links.ReplaceAllString(line, ""), -1) {
			count++
			if !slices.Contains(proved, said) {
				t.Errorf("README.md says %s, and %s does not: %s", said, link[1], line)
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d figures were found", count)
	}
}

var figure = regexp.MustCompile(`\d[\d,.]*\d|\d`)

// Whoever reads a document as text, or a change of one, gets lines that fit: 120 columns, of which
// what a link leads to counts none. Tables are as wide as they have to be, and so are the lists of
// proofs, which quote what runs say.
func TestProseFits(t *testing.T) {
	for _, page := range pages(t) {
		prose := fences.ReplaceAllStringFunc(readPage(t, page), func(code string) string {
			return strings.Repeat("\n", strings.Count(code, "\n"))
		})
		n := 0
		for line := range strings.Lines(prose) {
			n++
			width := utf8.RuneCountInString(links.ReplaceAllString(strings.TrimSuffix(line, "\n"), "]"))
			quotes := strings.HasPrefix(page, "../docs/proof/") && strings.HasPrefix(strings.TrimLeft(line, " "), "- ")
			if width > 120 && !strings.HasPrefix(line, "|") && !quotes {
				t.Errorf("%s:%d has %d columns", strings.TrimPrefix(page, "../"), n, width)
			}
		}
	}
}
