package faults

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/world"
)

const (
	fleetFile       = "fleet-faults.json"
	fleetReportFile = "../../docs/proof/fleet-faults.md"
)

// fleetRows are the trials with several hosts.
type fleetRows []fleetRow

// keep keeps them, and writes the report.
func (rows fleetRows) keep() error {
	var overlap overlapFigures
	if err := kept(overlapFile, &overlap); err != nil {
		return err
	}
	text, err := os.ReadFile(fleetReportFile)
	if err != nil {
		return err
	}
	return keep(fleetFile, rows, fleetReportFile, rows.report(&overlap, written(text)))
}

// report is the suite's result for people.
func (rows fleetRows) report(overlap *overlapFigures, old written) string {
	var lines strings.Builder
	rows = slices.Clone(rows)
	programs := programs{}
	for i, r := range rows {
		rows[i].Build = programs.name(r.Image, r.Build)
	}
	requests, tried, stays := 0, 0, map[string]bool{}
	for _, f := range fleetFaults() {
		for _, position := range positions {
			line := rows.line(f, position)
			if earlier := old.line(f.name + " | " + position); fleetTrials(earlier) > fleetTrials(line) {
				line, stays[f.name] = earlier, true
			}
			lines.WriteString(line + "\n")
			tried, requests = tried+fleetTrials(line), requests+number(`^(?:[^|]*\|){7} ([0-9,]+) \|`, line)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<!-- Written by the fault suite of several hosts (`+"`make fleet-faults`"+`), not by hand. -->
# When something breaks on one of several hosts

%d deployments to %d hosts, in two batches (the first host, then the two others), `+
		`were each met by a fault of one host while the sites of all of
them were under load through nginx, and followed by a deployment that nothing came over; %s requests in all. `+
		`%d of %d combinations were tried. The hosts were containers with systemd, OpenSSH and nginx 1.22.1.

`, tried, fleetSize, world.Thousands(requests), tried, len(combinations()))
	b.WriteString(`The places: *prepare* is when the new version was started on all hosts ` +
		`and is not known to be healthy; a *batch* is when it was switched to
on the hosts of the batch and is on probation there; ` +
		`*retire* is when it has proved itself everywhere and no old one was drained yet.

What a cell says is what came of the run, and what the hosts then served, the first one's first: ` +
		`*unchanged* and *restored* are runs that failed
and left or put back the release before on all hosts, *mixed* one that could not reach a host, ` +
		`or must not touch it since another run has it, *dead*
a runner that was killed, *deployed* one that went through. ` +
		`What a run said of each host was compared with what the host then answered. "Lost" are
requests that failed although the fault did not make them impossible; ` +
		`only the reboot of a host makes any so, those to itself while it is down,
which are the next column. "Healed" are the trials whose next run went live on all hosts, ` +
		`with one release, one flag, one version on the pair of
ports, and no process of nobody's on any.

` + theBuild + `

| the fault | of the host |`)
	for _, place := range fleetPlaces {
		fmt.Fprintf(&b, " %s |", place)
	}
	b.WriteString(" requests | lost | impossible | healed | build |\n|---|---|" +
		strings.Repeat("---|", len(fleetPlaces)) +
		strings.Repeat("--:|", 4) + "---|\n" + lines.String())
	b.WriteString("\n## What the faults are\n\n")
	for _, f := range fleetFaults() {
		fmt.Fprintf(&b, "- %s: %s\n", f.name, f.how)
	}
	b.WriteString("\n## What is left out\n\nA dash in the table is a combination that can't be; " +
		"what is not tried yet is left to the next run of the suite.\n\n")
	for _, f := range fleetFaults() {
		if f.rule != "" {
			fmt.Fprintf(&b, "- %s: %s\n", f.name, f.rule)
		}
	}
	b.WriteString("\n## What the run says\n\nThe first line of its error, where it failed.\n\n")
	for _, f := range fleetFaults() {
		var said string
		if stays[f.name] { // for a host
			said = old.block("What the run says", f.name)
		}
		b.WriteString(said)
		for _, word := range distinctWords(rows.of(f.name, "")) {
			if line := fmt.Sprintf("- %s: `%s`\n", f.name, word); !strings.Contains(said, line) {
				b.WriteString(line)
			}
		}
	}
	b.WriteString(cmp.Or(overlap.report(), old.overlap()))
	b.WriteString("\n## " + notAsItMust + "\n\n")
	bad := 0
	for _, f := range fleetFaults() {
		if block := old.block(notAsItMust, f.name); stays[f.name] && block != "" {
			bad++
			b.WriteString(block)
		}
	}
	for _, r := range rows {
		if r.Bad {
			bad++
			fmt.Fprintf(&b, "- %s, %s host, %s: %d lost; the run: %s; the next: %s\n", r.Fault, r.Host, r.Place, r.Lost,
				r.Said, r.Next)
		}
	}
	if bad == 0 {
		b.WriteString("Nothing.\n")
	}
	return b.String()
}

// line is a fault's, of one host.
func (rows fleetRows) line(f fleetFault, position string) string {
	tried := rows.of(f.name, position)
	line := fmt.Sprintf("| %s | %s |", f.name, position)
	requests, lost, impossible, healed := 0, 0, 0, 0
	for _, place := range fleetPlaces {
		if !f.at(place, slices.Index(positions[:], position)) {
			line += " - |"
			continue
		}
		cell := "not tried"
		for _, r := range tried {
			if r.Place == string(place) {
				cell = r.cell()
			}
		}
		line += " " + cell + " |"
	}
	for _, r := range tried {
		requests, lost, impossible = requests+r.Requests, lost+r.Lost, impossible+r.Impossible
		if r.Next == "deployed" && !r.Bad {
			healed++
		}
	}
	var with []string
	for _, r := range tried {
		with = append(with, r.Build)
	}
	return fmt.Sprintf("%s %s | %s | %s | %d of %d | %s |", line, world.Thousands(requests), world.Thousands(lost),
		world.Thousands(impossible), healed, len(tried), cmp.Or(builds(with), "-"))
}

// fleetTrials are how many a row tells of.
func fleetTrials(line string) int { return number(` of (\d+) \|[^|]*\|$`, line) }

// cell is what came of a trial.
func (r fleetRow) cell() string {
	_, site, found := strings.Cut(r.Said, ", site ")
	if !found {
		site = r.Said
	}
	cell := site + ": " + r.Serve
	if r.Bad {
		cell = "**" + cell + "**"
	}
	return cell
}

// of are the trials of a fault, of one host where a position is given, in the order of the hosts.
func (rows fleetRows) of(fault, position string) fleetRows {
	found := slices.DeleteFunc(slices.Clone(rows), func(r fleetRow) bool {
		return r.Fault != fault || position != "" && r.Host != position
	})
	slices.SortStableFunc(found, func(a, b fleetRow) int {
		return cmp.Compare(slices.Index(positions[:], a.Host), slices.Index(positions[:], b.Host))
	})
	return found
}

func distinctWords(rows []fleetRow) (words []string) {
	for _, r := range rows {
		word := step.ReplaceAllString(r.Word, "")
		if word != "" && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

// The table is written by a run that takes an hour; that it knows every fault, and that nothing in it is
// as it must not be, is known at once.
func TestTheFleetsTableHasEveryFault(t *testing.T) {
	file, err := os.ReadFile(fleetReportFile)
	if err != nil {
		t.Fatal(err)
	}
	text := string(file)
	for _, f := range fleetFaults() {
		tried := regexp.MustCompile(`(?m)^\| ` + f.name + ` \| .*\b(old|new), (old|new), (old|new)\b`)
		if !tried.MatchString(text) {
			t.Errorf("docs/proof/fleet-faults.md does not know what %q did: make fleet-faults writes it", f.name)
		}
	}
	if !strings.Contains(text, "\n## Not as it must be\n\nNothing.\n") {
		t.Error("docs/proof/fleet-faults.md says that not all is as it must be")
	}
}
