package report

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newFiles returns a Report whose runner's files exist, and a function that reads one.
func newFiles(t *testing.T) (r *Report, read func(name string) string) {
	t.Helper()
	dir := t.TempDir()
	r = New(&bytes.Buffer{}, func(name string) string {
		if name == "GITHUB_ACTIONS" {
			return "true"
		}
		return filepath.Join(dir, name)
	})
	return r, func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(b)
	}
}

// parseOutputs is the reader of FileCommandManager.cs.
func parseOutputs(t *testing.T, file string) map[string]string {
	t.Helper()
	outputs := map[string]string{}
	for file != "" {
		line, rest, _ := strings.Cut(file, "\n")
		name, delimiter, ok := strings.Cut(line, "<<")
		if equals := strings.Index(line, "="); !ok || equals >= 0 && equals < len(name) || name == "" ||
			delimiter == "" {
			t.Fatalf("the runner would refuse %q", line)
		}
		var value []string
		for {
			if rest == "" {
				t.Fatalf("no %q", delimiter)
			}
			line, rest, _ = strings.Cut(rest, "\n")
			if line == delimiter {
				break
			}
			value = append(value, line)
		}
		outputs[name] = strings.Join(value, "\n")
		file = rest
	}
	return outputs
}

func TestOutput(t *testing.T) {
	r, read := newFiles(t)
	r.Mask("hunter2")
	want := map[string]string{
		OutputOutcome: "deployed",
		OutputRelease: "",
		OutputHosts:   "[\n {\"host\": \"a=b<<c\"}\n]",
		"forged":      "x\n_GitHubActionsFileCommandDelimeter_\nactive-port<<EOF\n1\nEOF",
		"end":         "line\n",
	}
	for name, value := range want {
		if err := r.Output(name, value); err != nil {
			t.Error(err)
		}
	}
	if err := r.Output("secret", "is hunter2"); err != nil {
		t.Error(err)
	}
	want["secret"] = "is ***"
	equal(t, parseOutputs(t, read("GITHUB_OUTPUT")), want)
}

func TestOutputRefusesNames(t *testing.T) {
	r, read := newFiles(t)
	for _, name := range []string{"", "a b", "a=b", "a\nb", "1a", "a<<b", "ä"} {
		if err := r.Output(name, "x"); err == nil || !strings.Contains(err.Error(), "not a name of letters") {
			t.Errorf("Output(%q) = %v", name, err)
		}
	}
	equal(t, read("GITHUB_OUTPUT"), "")
}

func TestWithoutARunnerNothingIsWrittenAndNothingFails(t *testing.T) {
	r := New(&bytes.Buffer{}, func(string) string { return "" })
	if err := r.Output("outcome", "x"); err != nil {
		t.Error(err)
	}
	if err := r.Summary("x"); err != nil {
		t.Error(err)
	}
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	r := New(&bytes.Buffer{}, func(string) string { return filepath.Join(dir, "missing", "file") })
	if err := r.Output("outcome", "x"); !errors.Is(err, fs.ErrNotExist) ||
		!strings.HasPrefix(err.Error(), `write output "outcome": `) {
		t.Errorf("Output: %v", err)
	}
	if err := r.Summary("x"); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "write summary: ") {
		t.Errorf("Summary: %v", err)
	}
}

func TestSummary(t *testing.T) {
	const secret = "se_cr|et"
	r, read := newFiles(t)
	r.Mask(secret)
	for _, s := range []string{
		"# One\n", "two " + secret, MarkdownText("3 " + secret), MarkdownCode("4 " + secret),
		MarkdownBlock("5 " + secret),
	} {
		if err := r.Summary(s); err != nil {
			t.Error(err)
		}
	}
	equal(t, read("GITHUB_STEP_SUMMARY"), "# One\ntwo ***\n3 ***\n`4 ***`\n```text\n5 ***\n```\n")
}

// The runner takes nothing of a summary that is too large, so it is cut; a deployment does not fail
// for it.
func TestASummaryTooLargeIsCut(t *testing.T) {
	for _, tt := range []struct{ name, text, kept string }{
		{"one line", strings.Repeat("x", maxSummary), ""},
		{"lines", "one\n" + strings.Repeat("x", maxSummary), "one"},
		{"as much as there is room for", strings.Repeat("x", maxSummary-len("first\n")-2), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, read := newFiles(t)
			for _, text := range []string{"first", tt.text, "last"} {
				if err := r.Summary(text); err != nil {
					t.Fatal(err)
				}
			}
			got := read("GITHUB_STEP_SUMMARY")
			if len(got) >= maxSummary || !strings.HasPrefix(got, "first\n"+tt.kept) {
				t.Errorf("%d bytes, %.80q", len(got), got)
			}
			if cut := len(tt.text) > len(got); cut != strings.Contains(got, "\n\nThe rest was too long.\n") {
				t.Errorf("cut %v, and the end is %q", cut, got[max(len(got)-80, 0):])
			}
		})
	}
}

func TestOutputsAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range Outputs() {
		if seen[name] || !outputName.MatchString(name) {
			t.Errorf("output %q", name)
		}
		seen[name] = true
	}
}
