package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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

// prose returns a document without what stands in fences and in code spans.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return codeSpan.ReplaceAllString(fenced.ReplaceAllString(string(text), ""), "``")
}

var (
	fenced   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	codeSpan = regexp.MustCompile("`[^`\n]*`")
	target   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	named    = regexp.MustCompile(`<a name="([^"]+)">`)
	markup   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns what a link may name in a page, as GitHub makes it of the headings.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
		all = append(all, strings.ReplaceAll(markup.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	for _, m := range named.FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	return all
}

// TestLinks: what a page links to in the repository is there, the section too, and README leads to
// every page.
func TestLinks(t *testing.T) {
	leads := map[string][]string{} // a page, and those that it links to
	for _, page := range pages(t) {
		for _, m := range target.FindAllStringSubmatch(prose(t, page), -1) {
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
			if section != "" && !slices.Contains(anchors(t, file), section) {
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
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 250 {
		t.Errorf("README.md has %d lines, and may have 250: put what is for some readers into a page of docs", lines)
	}
	for line := range strings.Lines(fenced.ReplaceAllString(string(text), "")) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 120 && !strings.HasPrefix(line, "|") &&
			!strings.HasPrefix(line, "!") && !strings.HasPrefix(line, "[") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// TestFiguresAreProved: every figure that README quotes of a measurement stands in the page that it
// links to for it.
func TestFiguresAreProved(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## What was measured\n")
	section, _, _ = strings.Cut(section, "\n## ")
	count := 0
	for line := range strings.Lines(section) {
		link := target.FindStringSubmatch(line)
		if link == nil {
			continue
		}
		page, err := os.ReadFile(filepath.Join("..", link[1]))
		if err != nil {
			t.Fatal(err)
		}
		proved := figure.FindAllString(string(page), -1)
		for _, said := range figure.FindAllString(target.ReplaceAllString(line, ""), -1) {
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
