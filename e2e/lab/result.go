package lab

import (
	"slices"
	"strings"
	"time"
)

// Result is what a step left behind.
type Result struct {
	ExitCode   int
	Start, End time.Time
	Lines      []Line
	Outputs    map[string]string
	State      map[string]string
	Env        map[string]string
	Summary    string
	FileErrors []error  // files the runner could not read, which fail the step
	Unexpected []string // inputs that action.yml does not declare, which the runner warns of
}

// Annotation is a message that GitHub shows beside the log.
type Annotation struct {
	Level   string // error, warning, notice
	Title   string
	Message string
}

// Group is a foldable part of the log.
type Group struct {
	Title  string
	Lines  []string // text inside it, without commands
	Closed bool     // by its own ::endgroup::
	Start  time.Time
	End    time.Time // of its last line
}

// Failed tells whether the step is red.
func (r *Result) Failed() bool { return r.ExitCode != 0 || len(r.FileErrors) > 0 }

// Log is the raw log: commands too, nothing masked.
func (r *Result) Log() string { return joinLines(r.Lines) }

// Duration is how long the step took, from the start of its container to its end.
func (r *Result) Duration() time.Duration { return r.End.Sub(r.Start) }

// Commands are the lines that the runner obeyed, those with one of the names or, without names,
// all.
func (r *Result) Commands(names ...string) []Command {
	var found []Command
	for _, line := range r.Lines {
		if c := line.Command; c != nil && (len(names) == 0 || slices.Contains(names, c.Name)) {
			found = append(found, *c)
		}
	}
	return found
}

// Annotations are the errors, warnings and notices, in order.
func (r *Result) Annotations() []Annotation {
	var found []Annotation
	for _, c := range r.Commands("error", "warning", "notice") {
		found = append(found, Annotation{Level: c.Name, Title: c.Properties["title"], Message: c.Data})
	}
	return found
}

// Masks are the texts that the runner blanks out: a value, and each of its lines.
func (r *Result) Masks() []string {
	var masks []string
	for _, c := range r.Commands("add-mask") {
		masks = append(masks, c.Data)
		for line := range strings.Lines(c.Data) {
			if line = strings.TrimSpace(line); line != "" && line != c.Data {
				masks = append(masks, line)
			}
		}
	}
	return masks
}

// Groups are the foldable parts. A group ends at its ::endgroup::, at the next group, or with the
// log.
func (r *Result) Groups() []Group {
	var groups []Group
	open := false
	for _, line := range r.Lines {
		switch {
		case line.Command != nil && line.Command.Name == "group":
			groups = append(groups, Group{Title: line.Command.Data, Start: line.Time, End: line.Time})
			open = true
		case open && line.Command != nil && line.Command.Name == "endgroup":
			groups[len(groups)-1].Closed = true
			groups[len(groups)-1].End = line.Time
			open = false
		case open:
			last := &groups[len(groups)-1]
			last.End = line.Time
			if line.Command == nil {
				last.Lines = append(last.Lines, line.Text)
			}
		}
	}
	return groups
}

// Outside are the lines of text that stand in no group: what is seen with every group folded.
func (r *Result) Outside() []string {
	var lines []string
	inside := false
	for _, line := range r.Lines {
		switch {
		case line.Command == nil && !inside:
			lines = append(lines, line.Text)
		case line.Command != nil && line.Command.Name == "group":
			inside = true
		case line.Command != nil && line.Command.Name == "endgroup":
			inside = false
		}
	}
	return lines
}
