package report

import (
	"fmt"
	"os"
	"strings"
)

// outside is what replaces the runner where there is none: GitLab, Jenkins, a terminal. Nobody
// carries out commands there, so the log has none, and no colours of ours, which a file or a web
// page would show as they are.
type outside struct {
	file  string // gets the outputs; "": they stand in the log
	debug bool
	state map[string]string
}

// Outside returns a Report for where there is no runner. Outputs are lines such as
// DEPLOYED_OUTCOME=deployed, in a file or, without one, in the log.
func Outside(file string) Option {
	return func(r *Report) {
		r.outside = &outside{file: file, debug: r.getenv("RUNNER_DEBUG") == "1", state: map[string]string{}}
	}
}

// Saved returns what State has saved: whoever does a post step's work in the same process.
func (r *Report) Saved(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outside.state[name]
}

// line is what stands in the log for a command.
func (o *outside) line(name, title, data string) string {
	switch name {
	case "endgroup", "add-mask":
		return ""
	case "group":
		return data + "\n"
	case "debug":
		if !o.debug {
			return ""
		}
	}
	if title != "" {
		data = title + "\n" + data
	}
	return name + ": " + strings.ReplaceAll(data, "\n", "\n  ") + "\n"
}

// setOutside keeps a state, and writes an output where it belongs.
func (r *Report) setOutside(kind, name, value string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kind == "state" {
		r.outside.state[name] = value
		return nil
	}
	value, _ = r.secrets.redact(value, noLimit)
	line := "DEPLOYED_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "=" + oneLine(value) + "\n"
	if r.outside.file == "" {
		r.write([]byte(line))
		return nil
	}
	if err := appendTo(r.outside.file, line); err != nil {
		return fmt.Errorf("write output %q: %w", name, err)
	}
	return nil
}

// Ready empties the file of the outputs: what an earlier run has left there is not this one's.
func (r *Report) Ready() error {
	if r.outside.file == "" {
		return nil
	}
	return os.WriteFile(r.outside.file, nil, 0o644) //nolint:gosec // for whoever reads the outputs
}

// elsewhere are the words of advice that are true on GitHub only, and what they are without it.
var elsewhere = strings.NewReplacer(
	"run this workflow again", "run this command again", "the post step", "the end of this run",
)

func (r *Report) words(text string) string {
	if r.outside == nil {
		return text
	}
	return elsewhere.Replace(text)
}

func (r *Report) colour(code string) string {
	if r.outside != nil {
		return ""
	}
	return code
}
