package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const reportFile = "../docs/reliability.md"

// rowsFile keeps what was tried: a run of hours may be cut in pieces.
func rowsFile() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "deploy-action", "faults.json"), err
}

func readRows() (rows []row, err error) {
	file, err := rowsFile()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &rows)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return rows, nil
}

// writeRows writes the report of all that are kept, too.
func writeRows(rows []row) error {
	file, err := rowsFile()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), replace(file, text), replace(reportFile, []byte(reportOf(rows))))
}

// replace writes a file that is whole whenever the run is ended.
func replace(file string, text []byte) error {
	return errors.Join(os.WriteFile(file+".new", text, 0o644), os.Rename(file+".new", file))
}

// reportOf is the suite's result for people: what users of the site saw, what the run said, what the next run did.
func reportOf(rows []row) string {
	var b strings.Builder
	places, requests, seen := map[string]bool{}, 0, map[string]bool{}
	for _, r := range rows {
		places[r.Place], seen[r.Fault] = true, true
		requests += r.Requests
	}
	fmt.Fprintf(&b, `<!-- Written by the fault suite (`+"`make faults`"+`, or a part of it), not by hand. -->
# When something breaks

%s deployments were each met by one of %d faults at one of %d places, under load through nginx (GET and POST on connections that are kept, slow
answers, slow uploads), and followed by a deployment that nothing came over; %s requests in all. The hosts were containers with systemd, OpenSSH and
nginx 1.22.1, as the end-to-end tests have them.

A cell says what the users of the site saw in the worst case, what the run said of itself, and what the next run did. "Lost" are requests
that failed although the fault did not make them impossible; those that it did are counted apart, and what they are stands below.

| the fault comes |`, thousands(len(rows)), len(seen), len(places), thousands(requests))
	for s := range stages {
		b.WriteString(" " + s.String() + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", int(stages)) + "\n")
	for _, f := range faults() {
		b.WriteString("| " + f.name + " |")
		for s := range stages {
			b.WriteString(" " + cell(slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.Fault != f.name || r.Stage != s })) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## What a fault makes impossible by itself\n\nEverywhere else it is nothing.\n\n")
	for _, f := range faults() {
		if f.impossible != "" {
			fmt.Fprintf(&b, "- %s: %s\n", f.name, f.impossible)
		}
	}
	b.WriteString("\n## What the run says\n\nThe first line of its error, where it failed; a run that says nothing here went through, or was dead.\n\n")
	for _, f := range faults() {
		if words := distinct(rows, func(r row) string { return strings.TrimSpace(firstLine(r.Word)) }, f.name); len(words) > 0 {
			fmt.Fprintf(&b, "- %s:\n", f.name)
			for _, word := range words {
				fmt.Fprintf(&b, "  - `%s`\n", word)
			}
		}
	}
	b.WriteString("\n## Not as it must be\n\n")
	bad := 0
	for _, r := range rows {
		if r.Bad {
			bad++
			fmt.Fprintf(&b, "- %s, %s: %d lost; the run: %s; the next: %s\n", r.Fault, r.Place, r.Lost, r.Said, r.Next)
		}
	}
	if bad == 0 {
		b.WriteString("Nothing.\n")
	}
	return b.String()
}

// cell sums up the trials of one fault in one stage.
func cell(rows []row) string {
	if len(rows) == 0 {
		return "-"
	}
	requests, lost, impossible, healed := 0, 0, 0, 0
	for _, r := range rows {
		requests, lost, impossible = requests+r.Requests, lost+r.Lost, max(impossible, r.Impossible)
		if r.Next == "deployed" {
			healed++
		}
	}
	text := fmt.Sprintf("%d of %s lost", lost, thousands(requests))
	if lost > 0 {
		text = "**" + text + "**"
	}
	if impossible > 0 {
		text += fmt.Sprintf(", at most %s impossible", thousands(impossible))
	}
	text += "; " + strings.Join(distinct(rows, func(r row) string { return r.Said }, rows[0].Fault), " or ")
	if healed < len(rows) {
		return text + fmt.Sprintf("; **healed %d of %d**", healed, len(rows))
	}
	return text + "; healed"
}

// distinct are the texts that a fault's rows have, the most frequent first.
func distinct(rows []row, text func(row) string, fault string) []string {
	count := map[string]int{}
	var all []string
	for _, r := range rows {
		if t := text(r); r.Fault == fault && t != "" {
			if count[t]++; count[t] == 1 {
				all = append(all, t)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	return all
}

var changing = regexp.MustCompile(`\d{8}T\d{6}Z-[0-9a-f]{7}|\d+\.\d+\.\d+\.\d+(:\d+)?|pid \d+|\d{4}/\d\d/\d\d [0-9:]+ |\d+#\d+: `)

// firstLine is an error's first line without what is another in every run.
func firstLine(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	return strings.ReplaceAll(changing.ReplaceAllStringFunc(line, func(s string) string {
		switch {
		case strings.HasPrefix(s, "pid"):
			return "pid N"
		case strings.Contains(s, "Z-"):
			return "RELEASE"
		case strings.HasSuffix(s, " "): // of nginx's own log
			return ""
		}
		return "HOST"
	}), "`", "'")
}

func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// The table is written by a run that takes hours; that it has every fault is known at once.
func TestReliabilityHasEveryFault(t *testing.T) {
	text, err := os.ReadFile(reportFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults() {
		if _, cells, found := strings.Cut(string(text), "\n| "+f.name+" | "); !found || strings.HasPrefix(cells, strings.Repeat("- | ", int(stages)-1)+"- |") {
			t.Errorf("docs/reliability.md does not know what %q did: make faults writes it", f.name)
		}
	}
}
