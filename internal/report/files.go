package report

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// maxSummary is what the runner takes of one step, in bytes; of a larger file it takes nothing.
const maxSummary = 1 << 20

var outputName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// Output sets an output of the step. Without a runner (GITHUB_OUTPUT is unset) it does nothing.
func (r *Report) Output(name, value string) error {
	return r.set("GITHUB_OUTPUT", "output", name, value)
}

// State saves a value for the post step, which gets it as STATE_<name>, even if this step is
// killed: the runner reads the file at its end. Without a runner (GITHUB_STATE is unset) it does
// nothing.
func (r *Report) State(name, value string) error { return r.set("GITHUB_STATE", "state", name, value) }

func (r *Report) set(file, kind, name, value string) error {
	if r.outside != nil {
		return r.setOutside(kind, name, value)
	}
	if !outputName.MatchString(name) {
		return fmt.Errorf("write %s %q: not a name of letters, digits, hyphens and underscores", kind, name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if kind != "state" { // which nobody is shown, and the post step needs as it is
		value, _ = r.secrets.redact(value, noLimit)
	}
	// Random, so that no value can end itself and set outputs of its own (FileCommandManager.cs).
	delimiter := "deploy-action-" + rand.Text()
	if err := appendTo(r.getenv(file), name+"<<"+delimiter+"\n"+value+"\n"+delimiter+"\n"); err != nil {
		return fmt.Errorf("write %s %q: %w", kind, name, err)
	}
	return nil
}

// Summary adds Markdown to the summary of the step; what comes from others goes through
// MarkdownText, MarkdownCode or MarkdownBlock first. Of more than the runner takes, the end is left
// off, with a warning. Without a runner (GITHUB_STEP_SUMMARY is unset) it does nothing.
func (r *Report) Summary(markdown string) error {
	left, err := r.summary(markdown)
	if left > 0 {
		r.Warn("Summary", fmt.Sprintf("the runner takes %d bytes of a summary, and %d are left off; the log has all "+
			"of it",
			maxSummary, left))
	}
	return err
}

// summary tells how many bytes it has left off.
func (r *Report) summary(markdown string) (left int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hide := redactor{}
	for _, secret := range r.secrets.secrets { // as it is, and as the helpers write it
		hide.add(secret)
		hide.add(MarkdownText(secret))
		hide.add(escapeCode(secret))
	}
	markdown, _ = hide.redact(markdown, noLimit)
	path := r.getenv("GITHUB_STEP_SUMMARY")
	room := maxSummary - 1 // it takes less than that
	if info, err := os.Stat(path); err == nil {
		room -= int(min(info.Size(), maxSummary))
	}
	markdown, left = fit(strings.TrimRight(markdown, "\n")+"\n", room)
	if err := appendTo(path, markdown); err != nil {
		return left, fmt.Errorf("write summary: %w", err)
	}
	return left, nil
}

// fit leaves lines off at the end until what is there, with a note that says so, is no longer than
// room.
func fit(markdown string, room int) (text string, left int) {
	if len(markdown) <= room {
		return markdown, 0
	}
	const note = "\n\nThe rest was too long.\n"
	end := max(strings.LastIndexByte(markdown[:max(room-len(note), 0)], '\n'), 0)
	if left = len(markdown) - end; room < len(note) {
		return "", left
	}
	return markdown[:end] + note, left
}

// appendTo adds data to a file of the runner in one write, so that it is there as a whole or not at
// all.
func appendTo(path, data string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(data)
	return errors.Join(err, f.Close())
}
