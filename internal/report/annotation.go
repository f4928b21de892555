package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxAnnotation is where the runner cuts a message (ExecutionContext.cs), in UTF-16 units.
	maxAnnotation = 4096
	// maxTitle is where the checks API refuses a title, in characters.
	maxTitle = 255
)

// Warn makes a warning annotation: shown in the log where it happened and on the page of the run.
// The runner keeps ten of a kind for a step, so one a matter.
func (r *Report) Warn(title, msg string) {
	if !r.keep(title, msg) {
		r.annotate("warning", title, msg)
	}
}

// WarnNow is Warn for what a reader waits with: where the annotation comes at the end of the step, a
// line comes at once.
func (r *Report) WarnNow(title, msg string) {
	if r.keep(title, msg) {
		r.Info(oneLine(title + ": " + msg))
	} else {
		r.annotate("warning", title, msg)
	}
}

// keep keeps a warning for the end of the step, and tells whether it does.
func (r *Report) keep(title, msg string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.inStep || len(r.hosts) == 0 {
		return false
	}
	r.kept = append(r.kept, warning{title, msg})
	return true
}

type warning struct{ title, msg string }

// Hosts tells the names of a run's hosts, where they are many. Warnings of one step that differ in
// nothing but such a name are then one annotation, at its end.
func (r *Report) Hosts(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hosts = slices.Clone(names)
	slices.SortFunc(r.hosts, func(a, b string) int { return len(b) - len(a) }) // web-12 is not web-1 and a 2
}

// mostNamed are as many hosts as an annotation names.
const mostNamed = 10

// keptWarnings are the annotations of what was kept. The caller holds the mutex.
func (r *Report) keptWarnings() []byte {
	var kinds []warning // with a placeholder for the host's name
	of := map[warning][]string{}
	for _, w := range r.kept {
		name := ""
		if at := slices.IndexFunc(r.hosts, func(n string) bool { return strings.Contains(w.title+"\n"+w.msg, n) }); at >= 0 {
			name = r.hosts[at]
			w.title, w.msg = strings.ReplaceAll(w.title, name, "\x00"), strings.ReplaceAll(w.msg, name, "\x00")
		}
		if _, known := of[w]; !known {
			kinds = append(kinds, w)
		}
		of[w] = append(of[w], name)
	}
	r.kept = nil
	var out []byte
	for _, w := range kinds {
		names := slices.Compact(slices.Sorted(slices.Values(of[w])))
		who, list := names[0], ""
		if len(names) > 1 {
			named := names[:min(len(names), mostNamed)]
			list = "\nThese are " + strings.Join(named, ", ")
			if more := len(names) - len(named); more > 0 {
				list += fmt.Sprintf(" and %d more", more)
			}
			who = fmt.Sprintf("%d hosts", len(names))
		}
		title, msg := strings.ReplaceAll(w.title, "\x00", who), strings.ReplaceAll(w.msg, "\x00", names[0])
		out = append(out, r.command("warning", cut(oneLine(r.plain(title)), maxTitle),
			cut(r.plain(msg+list), maxAnnotation))...)
	}
	return out
}

// Notice makes an annotation for what works, and may surprise somebody one day.
func (r *Report) Notice(title, msg string) { r.annotate("notice", title, msg) }

// Error makes an error annotation. It closes an open group first, in which nobody would see it.
func (r *Report) Error(title, msg string) { r.annotate("error", title, msg) }

func (r *Report) annotate(kind, title, msg string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []byte
	if kind == "error" {
		out = r.endGroup()
	}
	title = cut(oneLine(r.plain(title)), maxTitle)
	msg = cut(r.plain(msg), maxAnnotation)
	r.write(append(out, r.command(kind, title, msg)...))
}

// cut shortens s to at most limit UTF-16 units, the last of which then is an ellipsis.
func cut(s string, limit int) string {
	units, end := 0, 0 // end: where the text may stop so that the ellipsis still fits
	for i, c := range s {
		width := 1
		if c > 0xFFFF {
			width = 2
		}
		if units+width > limit {
			return s[:end] + "…"
		}
		units += width
		if units < limit {
			end = i + utf8.RuneLen(c)
		}
	}
	return s
}
