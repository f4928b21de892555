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

// State saves a value for the post step, which gets it as STATE_<name>, even if this step is killed: the runner reads the file at its end.
// Without a runner (GITHUB_STATE is unset) it does nothing.
func (r *Report) State(name, value string) error { return r.set("GITHUB_STATE", "state", name, value) }

func (r *Report) set(file, kind, name, value string) error {
	if !outputName.MatchString(name) {
		return fmt.Errorf("write %s %q: not a name of letters, digits, hyphens and underscores", kind, name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	value, _ = r.secrets.redact(value, noLimit)
	// Random, so that no value can end itself and set outputs of its own (FileCommandManager.cs).
	delimiter := "deploy-action-" + rand.Text()
	if err := appendTo(r.getenv(file), name+"<<"+delimiter+"\n"+value+"\n"+delimiter+"\n"); err != nil {
		return fmt.Errorf("write %s %q: %w", kind, name, err)
	}
	return nil
}

// Summary adds Markdown to the summary of the step; what comes from others goes through MarkdownText, MarkdownCode
// or MarkdownBlock first. Without a runner (GITHUB_STEP_SUMMARY is unset) it does nothing.
func (r *Report) Summary(markdown string) error {
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
	size := int64(len(markdown))
	if info, err := os.Stat(path); err == nil {
		size += info.Size()
	}
	if size >= maxSummary {
		return fmt.Errorf("write summary: %d bytes are more than the runner takes (%d)", size, maxSummary)
	}
	if err := appendTo(path, strings.TrimRight(markdown, "\n")+"\n"); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

// appendTo adds data to a file of the runner in one write, so that it is there as a whole or not at all.
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
