package report

import "unicode/utf8"

const (
	// maxAnnotation is where the runner cuts a message (ExecutionContext.cs), in UTF-16 units.
	maxAnnotation = 4096
	// maxTitle is where the checks API refuses a title, in characters.
	maxTitle = 255
)

// Warn makes a warning annotation: shown in the log where it happened and on the page of the run.
// The runner keeps ten of a kind for a step, so one a matter.
func (r *Report) Warn(title, msg string) { r.annotate("warning", title, msg) }

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
	r.write(append(out, command(kind, title, msg)...))
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
