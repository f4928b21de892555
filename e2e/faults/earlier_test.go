package faults

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// written is the text of a table that is there already. What was tried is kept on one machine alone: another one that
// tries a part has to leave the rest of the table as it is.
type written string

// line is the row that begins with a key, such as "fault" or "fault | host", without its end.
func (w written) line(key string) string {
	_, line, found := strings.Cut(string(w), "\n| "+key+" | ")
	if !found {
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
	return "| " + key + " | " + line
}

// block is what a section says of a fault: the line that begins with its name, those below it that are
// indented, and the next ones of the same.
func (w written) block(section, fault string) string {
	_, text, _ := strings.Cut(string(w), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	// A fault's name may begin with another's and a comma: after it comes where it was tried.
	begins := regexp.MustCompile("^- " + regexp.QuoteMeta(fault) + "(:|, (before|inside) |, [a-z]+ host, )")
	var block strings.Builder
	in := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "  ") {
			in = begins.MatchString(line)
		}
		if in {
			block.WriteString(line)
		}
	}
	return block.String()
}

// number is the first that a pattern's group finds in a text, and 0 if there is none.
func number(pattern, text string) int {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	return n
}

// builds are those that trials were made with, in a cell; what an earlier version of this suite kept has none.
func builds(all []string) string {
	for i := range all {
		all[i] = cmp.Or(all[i], "unknown")
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// programs are those that were tried, and by the name of which commit each goes.
type programs map[string]string

// name is the first commit that a program was tried of: what changes tests or docs alone makes the same again.
func (p programs) name(image, build string) string {
	if image == "" { // kept by an earlier version of this suite
		return build
	}
	if p[image] == "" {
		p[image] = build
	}
	return p[image]
}

const earlierTable = written(`
| a | 3 | 1,000 | 0 | 0 | 3 | dead | - | - | - | by 1111111 |
| a, too | 1 | 10 | 0 | 0 | 1 | dead | - | - | - | by 1111111 |

## What the run says

- a:
  - ` + "`one`" + `
- a, too:
  - ` + "`two`" + `

## Not as it must be

- a, before lock: 1 lost
`)

func TestWhatATableSaysAlready(t *testing.T) {
	if line := earlierTable.line("a"); !strings.HasPrefix(line, "| a | 3 | 1,000 |") ||
		!strings.HasSuffix(line, "| by 1111111 |") {
		t.Errorf("the line is %q", line)
	}
	if line := earlierTable.line("b"); line != "" {
		t.Errorf("a line that is not there is %q", line)
	}
	if block := earlierTable.block("What the run says", "a"); block != "- a:\n  - `one`\n" {
		t.Errorf("the run says %q", block)
	}
	if block := earlierTable.block("Not as it must be", "a"); block != "- a, before lock: 1 lost\n" {
		t.Errorf("what is bad is %q", block)
	}
	if cell := builds([]string{"2222222", "", "1111111+", "2222222"}); cell != "1111111+, 2222222, unknown" {
		t.Errorf("the builds are %q", cell)
	}
}

// A program that two commits make has one name in the table, so that it shows what was tried of one and the same.
func TestAProgramHasOneName(t *testing.T) {
	first, second := faults()[0].name, faults()[1].name
	report := reportOf([]row{
		{Fault: first, Place: "before lock", Said: "dead", Image: "a", Build: "2222222"},
		{Fault: second, Place: "before lock", Said: "dead", Image: "a", Build: "1111111"},
		{Fault: second, Place: "before start", Said: "dead", Image: "b", Build: "3333333"},
	}, "")
	for fault, want := range map[string]string{first: " | 2222222 |", second: " | 2222222, 3333333 |"} {
		if line := written(report).line(fault); !strings.HasSuffix(line, want) {
			t.Errorf("the builds are not %q in %q", want, line)
		}
	}
	fleet := fleetFaults()[0].name
	report = fleetRows{
		{Fault: fleet, Host: positions[0], Place: "prepare", Image: "a", Build: "2222222"},
		{Fault: fleet, Host: positions[1], Place: "prepare", Image: "a", Build: "1111111"},
	}.report(&overlapFigures{}, "")
	for _, position := range positions[:2] {
		if line := written(report).line(fleet + " | " + position); !strings.HasSuffix(line, " | 2222222 |") {
			t.Errorf("the build is not 2222222 in %q", line)
		}
	}
}

// A fault that is tried anew has its row, with the build; the rows of all others stay, with theirs.
func TestATableKeepsWhatIsNotTriedAnew(t *testing.T) {
	first, second := faults()[0].name, faults()[1].name
	one := faults()[slices.IndexFunc(faults(), func(f fault) bool { return len(f.anywhere()) == 1 })] // had two
	old := written("\nat one of 41 places\n\n| " + first + " | 1 | 5 | 0 | 0 | 1 | dead | - | - | - | by 1111111 |\n| " +
		second + " | 2 | 1,000 | 0 | 0 | 2 | dead | - | - | - | by 1111111 |\n| " +
		one.name + " | 2 | 50 | 0 | 0 | 2 | dead | - | - | - | by 1111111 |\n")
	report := reportOf([]row{
		{Fault: first, Place: "before lock", Said: "dead", Next: "deployed", Requests: 7, Build: "2222222+"},
		{Fault: second, Place: "before lock", Said: "dead", Next: "deployed", Requests: 3, Build: "2222222+"},
		{Fault: one.name, Place: one.anywhere()[0].String(), Said: "dead", Next: "deployed", Requests: 9, Build: "2222222+"},
	}, old)
	for _, want := range []string{
		"| " + first + " | 1 | 7 | 0 | 0 | 1 | dead | - | - | - | 2222222+ |\n",
		"| " + second + " | 2 | 1,000 | 0 | 0 | 2 | dead | - | - | - | by 1111111 |\n", // of more places than one
		"| " + one.name + " | 1 | 9 | 0 | 0 | 1 | dead | - | - | - | 2222222+ |\n",     // of all there are
		"\n4 deployments were each met by one of 3 faults at one of 41 places", "; 1,016 requests in all.",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("there is no %q in\n%s", want, report)
		}
	}
	f, position := fleetFaults()[0].name, positions[0]
	key := f + " | " + position
	other := f + " | " + positions[1]
	old = written("\n| " + key + " | - | - | - | - | 5 | 0 | 0 | 1 of 1 | by 1111111 |\n| " + other +
		" | - | - | - | - | 1,000 | 0 | 0 | 2 of 2 | by 1111111 |\n\n## Runs that want the same hosts\n\nas before\n")
	report = fleetRows{{
		Fault: f, Host: position, Place: "prepare", Said: "dead", Serve: "old", Next: "deployed",
		Requests: 7, Build: "2222222+",
	}}.report(&overlapFigures{}, old)
	for _, want := range []string{
		"| " + key + " | dead: old | - | - | - | 7 | 0 | 0 | 1 of 1 | 2222222+ |\n", old.line(other) + "\n",
		"\n3 deployments to ", "; 1,007 requests in all.", "\n## Runs that want the same hosts\n\nas before\n",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("there is no %q in\n%s", want, report)
		}
	}
}
