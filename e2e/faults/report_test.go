package faults

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
	"sync"
	"testing"

	"github.com/clothesme/deploy-action/e2e/world"
)

const reportFile = "../../docs/proof/reliability.md"

// rowsFile keeps what was tried: a run of hours may be cut in pieces.
const rowsFile = "faults.json"

// kept fills a value from what an earlier run kept in a file of that name, if it did.
func kept(name string, value any) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	file := filepath.Join(cache, "deploy-action", name)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, value)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// keeping is held by who does: several suites run side by side.
var keeping sync.Mutex

// keep keeps a value, and writes the report of it.
func keep(name string, value any, reportFile, report string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	keeping.Lock()
	defer keeping.Unlock()
	file := filepath.Join(cache, "deploy-action", name)
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), replace(file, text),
		replace(reportFile, []byte(world.Wrapped(report))))
}

// replace writes a file that is whole whenever the run is ended.
func replace(file string, text []byte) error {
	return errors.Join(os.WriteFile(file+".new", text, 0o644), os.Rename(file+".new", file))
}

// reportOf is the suite's result for people: what users of the site saw, what the run said, what
// the next run did.
func reportOf(rows []row, old written) string {
	var b strings.Builder
	rows = slices.Clone(rows)
	programs := programs{}
	for i, r := range rows {
		rows[i].Build = programs.name(r.Image, r.Build)
	}
	places := map[string]bool{}
	for _, r := range rows {
		places[r.Place] = true
	}
	lines, stays := map[string]string{}, map[string]bool{}
	all, tried, requests, seen := 0, 0, 0, 0
	for _, f := range faults() {
		all += len(f.anywhere())
		line := lineOf(rows, f)
		// A place may be none of a fault's any more.
		if earlier := old.line(f.name); min(trials(earlier), len(f.anywhere())) > trials(line) {
			line, stays[f.name] = earlier, true
		}
		lines[f.name] = line
		tried, requests = tried+trials(line), requests+number(`^(?:[^|]*\|){3} ([0-9,]+) \|`, line)
		if trials(line) > 0 {
			seen++
		}
	}
	fmt.Fprintf(&b, `<!-- Written by the fault suite (`+"`make faults`"+`, or a part of it), not by hand. -->
# When something breaks

%s deployments were each met by one of %d faults at one of %d places, `+
		`under load through nginx (GET and POST on connections that are kept, slow
answers, slow uploads), and followed by a deployment that nothing came over; %s requests in all. `+
		`That is %d %% of all pairs of a fault and a
place that mean something. The hosts were containers with systemd, OpenSSH and nginx 1.22.1, `+
		`as the end-to-end tests have them.

"Lost" are requests that failed although the fault did not make them impossible; `+
		`those that it did are counted apart, and what they are stands
below. "Healed" are the trials whose next deployment went live, `+
		`with one flag, one version on the pair of ports, no process of nobody's, and the
deploy lock free within a minute of the run's end. The last four columns say what the run said of itself, `+
		`by where it was when the fault came,
and how often: *dead* is a runner that was killed, `+
		`*unchanged* a run that failed and left the site as it was, *restored* one that went back,
*switched* one that failed and said that the new version answers. What a run says is compared with what then answers.

`+theBuild+`

Where one run deploys to several hosts, [another table](fleet-faults.md) says what a fault of one of them does to all.

| the fault | trials | requests | lost | impossible, at most | healed |`, world.Thousands(tried), seen,
		max(len(places), number(`at\s+one\s+of\s+(\d+)\s+places`, string(old))), world.Thousands(requests), 100*tried/all)
	for s := range stages {
		b.WriteString(" " + s.String() + " |")
	}
	b.WriteString(" build |\n|---|" + strings.Repeat("--:|", 5) + strings.Repeat("---|", int(stages)) + "---|\n")
	for _, f := range faults() {
		b.WriteString(lines[f.name] + "\n")
	}
	b.WriteString("\n## What a fault makes impossible by itself\n\nEverywhere else it is nothing.\n\n")
	for _, f := range faults() {
		if f.impossible != "" {
			fmt.Fprintf(&b, "- %s: %s\n", f.name, f.impossible)
		}
	}
	b.WriteString("\n## What the run says\n\nThe first line of its error, where it failed, without the step that it " +
		"names; the most frequent ones. A run that says nothing here went through, or was dead.\n\n")
	for _, f := range faults() {
		const most = 4
		if stays[f.name] {
			b.WriteString(old.block("What the run says", f.name))
			continue
		}
		words := distinct(of(rows, f), func(r row) string {
			return figure.ReplaceAllString(strings.TrimSpace(step.ReplaceAllString(firstLine(r.Word), "")), "N $1")
		})
		if len(words) > 0 {
			fmt.Fprintf(&b, "- %s:\n", f.name)
		}
		for _, word := range words[:min(len(words), most)] {
			fmt.Fprintf(&b, "  - `%s`\n", word)
		}
		if len(words) > most {
			fmt.Fprintf(&b, "  - and %d others\n", len(words)-most)
		}
	}
	b.WriteString("\n## " + notAsItMust + "\n\n")
	bad := 0
	for _, f := range faults() {
		if block := old.block(notAsItMust, f.name); stays[f.name] && block != "" {
			bad++
			b.WriteString(block)
		}
	}
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

const notAsItMust = "Not as it must be"

// theBuild explains a column.
const theBuild = `The build is the commit that was tried, with + where files were another than it has; ` +
	`of several with the same program the first. ` +
	`"By" one is what was written down before builds were: the
row stands like that since this commit, and was tried with it or an earlier one. ` +
	`A row that is tried anew takes the place of one with no more trials, and where it has all places of today, of any.`

// lineOf is a fault's row, of what this machine tried.
func lineOf(rows []row, f fault) string {
	rows = of(rows, f)
	line := "| " + f.name + " |" + counts(rows)
	var with []string
	for s := range stages {
		line += " " + said(slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.Stage != s })) + " |"
	}
	for _, r := range rows {
		with = append(with, r.Build)
	}
	return line + " " + cmp.Or(builds(with), "-") + " |"
}

// trials are how many a row tells of.
func trials(line string) int { return number(`^\|[^|]*\| (\d+) \|`, line) }

func of(rows []row, f fault) []row {
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.Fault != f.name })
}

// counts are a fault's cells with numbers.
func counts(rows []row) string {
	requests, lost, impossible, healed := 0, 0, 0, 0
	for _, r := range rows {
		requests, lost, impossible = requests+r.Requests, lost+r.Lost, max(impossible, r.Impossible)
		if r.Next == "deployed" && !r.Bad {
			healed++
		}
	}
	bold := func(n int, as bool) string {
		if as {
			return "**" + world.Thousands(n) + "**"
		}
		return world.Thousands(n)
	}
	return fmt.Sprintf(" %d | %s | %s | %s | %s |", len(rows), world.Thousands(requests), bold(lost, lost > 0),
		world.Thousands(impossible), bold(healed, healed < len(rows)))
}

// said are the ways in which a fault's trials in one stage ended for the run, with how often where
// there are several.
func said(rows []row) string {
	word := func(r row) string { return strings.TrimPrefix(r.Said[strings.Index(r.Said, ",")+1:], " site ") }
	kinds := distinct(rows, word)
	for i, kind := range kinds {
		if len(kinds) > 1 {
			n := len(slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return word(r) != kind }))
			kinds[i] = fmt.Sprintf("%s %d", kind, n)
		}
	}
	return cmp.Or(strings.Join(kinds, ", "), "-")
}

// distinct are the texts that rows have, the most frequent first.
func distinct(rows []row, text func(row) string) []string {
	count := map[string]int{}
	var all []string
	for _, r := range rows {
		if t := text(r); t != "" {
			if count[t]++; count[t] == 1 {
				all = append(all, t)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	return all
}

var figure = regexp.MustCompile(`\d+ (KB|inodes)`)

var step = regexp.MustCompile(`^[a-z-]+: `)

var changing = regexp.MustCompile(`\d{8}T\d{6}Z-[0-9a-f]{7}|\d+\.\d+\.\d+\.\d+(:\d+)?|pid \d+|` +
	`\d{4}/\d\d/\d\d [0-9:]+ |\d+#\d+: `)

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

// The table is written by a run that takes hours; that it has every fault is known at once.
func TestReliabilityHasEveryFault(t *testing.T) {
	text, err := os.ReadFile(reportFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults() {
		if _, cells, found := strings.Cut(string(text), "\n| "+f.name+" | "); !found || strings.HasPrefix(cells, "0 |") {
			t.Errorf("docs/proof/reliability.md does not know what %q did: make faults writes it", f.name)
		}
	}
}
