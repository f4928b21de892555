package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFailuresLinkToSections: the sections that failures name, the constants of outcome.Topic, are on
// the page.
func TestFailuresLinkToSections(t *testing.T) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "../internal/outcome/topic.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	on, count := anchors(readPage(t, "troubleshooting.md")), 0
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := spec.Type.(*ast.Ident); !ok || of.Name != "Topic" {
			return true
		}
		for _, value := range spec.Values {
			count++
			if topic, _ := literal(value); !slices.Contains(on, topic) {
				t.Errorf("failures link to troubleshooting.md#%s, and no heading there is that", topic)
			}
		}
		return true
	})
	if count < 20 {
		t.Errorf("only %d topics were found", count)
	}
}

// TestSamplesAreWhatIsSaid: what troubleshooting.md shows of a log is one of the exact texts, with
// something in the place of each ….
func TestSamplesAreWhatIsSaid(t *testing.T) {
	text := readPage(t, "troubleshooting.md")
	var said []*regexp.Regexp
	for _, block := range regexp.MustCompile("(?s)```text\n(.*?)\n```").FindAllStringSubmatch(text, -1) {
		for line := range strings.SplitSeq(block[1], "\n") {
			if strings.Count(line, " ") > 3 { // a short one is in too many
				said = append(said, regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")))
			}
		}
	}
	samples := regexp.MustCompile("(?s)```log\n(.*?)\n```").FindAllStringSubmatch(text, -1)
	for _, block := range samples {
		for line := range strings.SplitSeq(block[1], "\n") {
			if !slices.ContainsFunc(said, func(r *regexp.Regexp) bool { return r.MatchString(line) }) {
				t.Errorf("nothing says\n%s", line)
			}
		}
	}
	if len(samples) < 10 {
		t.Errorf("only %d samples were found", len(samples))
	}
}
