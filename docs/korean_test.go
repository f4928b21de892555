package docs

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var inKorean = []struct{ english, korean string }{
	{"../README.md", "../README.ko.md"},
	{"migrating.md", "ko/migrating.md"},
	{"troubleshooting.md", "ko/troubleshooting.md"},
}

// TestKoreanPages: the Korean pages have what the English ones have: the headings by their levels,
// the code, the inputs and outputs in the tables with as many rows, and links to the same pages and
// sections.
func TestKoreanPages(t *testing.T) {
	for _, page := range inKorean {
		english, korean := readPage(t, page.english), readPage(t, page.korean)
		for _, same := range []struct {
			what string
			of   func(page, text string) []string
		}{
			{"headings", func(_, text string) []string { return levels(text) }},
			{"code blocks", func(_, text string) []string { return codeBlocks(text) }},
			{"inputs and outputs", rowsOfNames},
			{"rows", func(_, text string) []string { return tableRows(text) }},
			{"pages that are linked to", linkedPages},
			{"sections that are linked to", func(page, text string) []string { return linkedSections(t, page, text) }},
		} {
			if diff := cmp.Diff(same.of(page.english, english), same.of(page.korean, korean)); diff != "" {
				t.Errorf("%s has other %s than %s (-English +Korean):\n%s", page.korean, same.what, page.english, diff)
			}
		}
		for line := range strings.Lines(fences.ReplaceAllString(korean, "")) {
			if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 120 && !strings.HasPrefix(line, "|") &&
				!strings.HasPrefix(line, "!") && !strings.HasPrefix(line, "[") {
				t.Errorf("%s has a line of %d columns: %s", page.korean, n, line)
			}
		}
	}
}

// levels returns the level of each heading.
func levels(text string) []string {
	all := headings(text)
	for i, heading := range all {
		all[i], _, _ = strings.Cut(heading, " ")
	}
	return all
}

// comments of a shell's, of YAML's and of nginx's code are for people, who have a language.
var comments = regexp.MustCompile(`(?m)[ \t]+# .*$`)

func codeBlocks(text string) []string {
	all := fences.FindAllString(text, -1)
	for i, block := range all {
		all[i] = comments.ReplaceAllString(block, "")
	}
	return all
}

// names are those of inputs and outputs in the first cell of a row.
var names = regexp.MustCompile(`(?m)^\| ([a-z0-9]+(?:-[a-z0-9]+)*(?:, [a-z0-9]+(?:-[a-z0-9]+)*)*) \|`)

func rowsOfNames(page, text string) []string {
	if !strings.Contains(page, "README") { // the tables of others have none
		return nil
	}
	var all []string
	for _, row := range names.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
		if row[1] != "output" { // the head of a table, in words
			all = append(all, row[1])
		}
	}
	return all
}

// tableRows returns how many cells each row has.
func tableRows(text string) []string {
	all := regexp.MustCompile(`(?m)^\|.*$`).FindAllString(fences.ReplaceAllString(text, ""), -1)
	for i, row := range all {
		all[i] = strings.Repeat("|", strings.Count(spans.ReplaceAllString(row, ""), "|"))
	}
	return all
}

// linkedPages returns the documents that a page links to, by their English names, each once.
func linkedPages(page, text string) []string {
	var all []string
	for _, link := range links.FindAllStringSubmatch(spans.ReplaceAllString(fences.ReplaceAllString(text, ""), ""), -1) {
		file, _, _ := strings.Cut(link[1], "#")
		if file == "" || strings.Contains(link[1], "://") {
			continue
		}
		file = filepath.Join(filepath.Dir(page), file)
		file = strings.Replace(strings.Replace(file, "README.ko.md", "README.md", 1), "ko/", "", 1)
		all = append(all, filepath.Clean(strings.TrimPrefix(file, "../docs/")))
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(file string) bool {
		switch file { // the other language, and a page of its own that has one
		case "../README.md", "migrating.md", "troubleshooting.md":
			return true
		}
		return false
	})
}

// toKorean is the link below a heading to the same section in Korean.
var toKorean = regexp.MustCompile(`(?m)^\[한국어\]\(ko/troubleshooting\.md#(.*)\)$`)

// linkedSections returns the sections that a page links to, those of pages in two languages by their
// number, as often as it does.
func linkedSections(t *testing.T, page, text string) []string {
	t.Helper()
	text = toKorean.ReplaceAllString(spans.ReplaceAllString(fences.ReplaceAllString(text, ""), ""), "")
	var all []string
	for _, link := range links.FindAllStringSubmatch(text, -1) {
		file, section, _ := strings.Cut(link[1], "#")
		if section == "" || strings.Contains(link[1], "://") {
			continue
		}
		if file = filepath.Join(filepath.Dir(page), file); strings.HasPrefix(link[1], "#") {
			file = page
		}
		for _, both := range inKorean {
			if file == both.english || file == both.korean {
				section = strconv.Itoa(slices.Index(anchors(readPage(t, file)), section))
				file = both.english
				break
			}
		}
		all = append(all, file+"#"+section)
	}
	slices.Sort(all)
	return all
}

// TestSectionsLeadToKorean: who follows the link of a failure, which is to the English page, is led on
// to that section in Korean.
func TestSectionsLeadToKorean(t *testing.T) {
	english, korean := readPage(t, "troubleshooting.md"), anchors(readPage(t, "ko/troubleshooting.md"))
	for i, heading := range headings(english) {
		if i < 2 { // the page's own, and one that has only sections below it
			continue
		}
		_, section, _ := strings.Cut(english, "\n"+heading+"\n\n")
		line, _, _ := strings.Cut(section, "\n")
		if to := toKorean.FindStringSubmatch(line); to == nil || to[1] != korean[i] {
			t.Errorf("below %q must stand [한국어](ko/troubleshooting.md#%s), and not %q", heading, korean[i], line)
		}
	}
}
