package scripts

import (
	"bytes"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Bash finds the same functions in a file.
func TestAFileFallsIntoItsFunctions(t *testing.T) {
	seen := map[string]bool{}
	for _, verb := range Verbs {
		for _, file := range sources(verb) {
			if seen[file] {
				continue
			}
			seen[file] = true
			all, err := chunks(file)
			if err != nil {
				t.Fatal(err)
			}
			var whole, functions bytes.Buffer
			var names []string
			for _, c := range all {
				whole.Write(c.text)
				if c.function != "" {
					names = append(names, c.function)
					functions.Write(c.text)
				}
			}
			if text, _ := bareFile(file); !bytes.Equal(whole.Bytes(), text) {
				t.Errorf("%s is another text in pieces", file)
			}
			functions.WriteString("declare -F | cut -d ' ' -f 3\n")
			cmd := exec.CommandContext(t.Context(), "bash", "-u")
			cmd.Stdin = &functions
			out, err := cmd.CombinedOutput()
			slices.Sort(names)
			if got := strings.Fields(string(out)); err != nil || !slices.Equal(got, names) {
				t.Errorf("%s: bash finds %v (%v), want %v", file, got, err, names)
			}
		}
	}
}

// A verb has all that stands outside of functions, in the order of its files, and of functions all
// that it may come to: none of those that it lacks is named in what it has.
func TestAVerbHasWhatItMayComeTo(t *testing.T) {
	less := 0
	for _, verb := range Verbs {
		text, err := Compose(verb, nil)
		if err != nil {
			t.Fatal(err)
		}
		lacks, last := map[string]bool{}, 0
		for _, file := range sources(verb) {
			all, err := chunks(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range all {
				at := bytes.Index(text, c.text)
				switch {
				case c.function != "" && at < 0:
					lacks[c.function] = true
				case c.function != "" || c.idle():
				case at < last:
					t.Errorf("%s: %s is not there, or comes too early: %.60q", verb, file, c.text)
				default:
					last = at
				}
			}
		}
		for _, word := range regexp.MustCompile(`\w+`).FindAllString(string(text), -1) {
			if lacks[word] {
				t.Errorf("%s names %s, and does not have it", verb, word)
			}
		}
		less += len(lacks)
	}
	if less < 1000 {
		t.Errorf("only %d functions are left out of %d verbs", less, len(Verbs))
	}
}
