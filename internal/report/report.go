// Package report is the only part of the action that prints. It writes the job log (standard
// output, in the language of GitHub's runner) and the files the runner reads when the action has
// ended: outputs and summary.
//
// The rules, which every other file here serves:
//
//   - Everything goes through one writer, whole lines in one Write under one mutex. The runner drains standard
//     output and standard error separately, so two streams would lose their order.
//   - A group a step, closed before its outcome is printed: a closed group hides what is in it, so outcomes and
//     errors stand outside. Groups do not nest.
//   - No time stamps, the runner adds them; durations instead. Marks (✓ ✗) carry the meaning, colour only helps.
//   - Text of others (a host, a commit, an error that quotes one) never becomes a workflow command, an escape
//     sequence or a format string, and a masked secret never gets through, wherever it is printed.
//
// The runner's side of this contract is src/Runner.Common/ActionCommand.cs and src/Runner.Worker/
// ActionCommandManager.cs, Handlers/OutputManager.cs and FileCommandManager.cs of
// github.com/actions/runner.
package report

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
)

// Report prints one run. Its methods may be called by several goroutines at once. None of them
// fails when the log cannot be written: a reader who went away must not stop a deployment between
// two steps.
type Report struct {
	getenv func(string) string
	now    func() time.Time

	mu      sync.Mutex // guards what follows, and the order of the lines
	w       io.Writer
	grouped bool  // a group is open
	printed int64 // how often something was
	outputs int   // bytes of hosts that were printed
	hosts   []string
	kept    []warning // of the step under way
	inStep  bool
	secrets redactor

	outside *outside // of GitHub; nil: there is a runner
}

// Option changes a Report made by New.
type Option func(*Report)

// WithClock replaces time.Now, from which durations are counted.
func WithClock(now func() time.Time) Option {
	return func(r *Report) { r.now = now }
}

// New returns a Report that prints to w and finds the runner's files through getenv.
func New(w io.Writer, getenv func(string) string, opts ...Option) *Report {
	r := &Report{w: w, getenv: getenv, now: time.Now}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// Mask hides secrets from here on: in this process, where they are printed as ***, and in the
// runner, which hides them, and what it derives from them such as base64, in the whole job. A
// secret of several lines is hidden line by line, since that is how it would be printed. Lines
// shorter than four bytes are left alone: hiding every "}" would only shred the log.
//
// To mask is to print, so outside of a runner (GITHUB_ACTIONS is not "true") the second half is
// left out.
func (r *Report) Mask(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []byte
	for _, secret := range secrets {
		for _, line := range splitLines(secret) {
			if r.secrets.add(line) && r.getenv("GITHUB_ACTIONS") == "true" {
				out = append(out, r.command("add-mask", "", strings.TrimSpace(line))...)
			}
		}
	}
	r.write(out)
}

// Group opens a group and closes the one before it.
func (r *Report) Group(title string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(append(r.endGroup(), r.beginGroup(title)...))
}

// EndGroup closes the group, if one is open.
func (r *Report) EndGroup() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(r.endGroup())
}

// Info prints the lines of msg as they are, colours included.
func (r *Report) Info(msg string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out bytes.Buffer
	for _, line := range splitLines(msg) {
		text, _ := r.secrets.redact(r.secrets.coloured(line), noLimit)
		if len(text) > maxLine {
			text, _ = r.secrets.redact(clean(line, dropColour), maxLine)
		}
		out.WriteString(defuseStart(defuse(text)))
		out.WriteByte('\n')
	}
	r.write(out.Bytes())
}

// maxDebug is what is printed of one message for debugging, in UTF-16 units.
const maxDebug = 16 << 10

// Debug prints msg where debug logging is switched on (RUNNER_DEBUG=1); the runner drops it
// otherwise.
func (r *Report) Debug(msg string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write([]byte(r.command("debug", "", cut(r.plain(msg), maxDebug))))
}

func (r *Report) beginGroup(title string) []byte {
	r.grouped = true
	return []byte(r.command("group", "", oneLine(r.plain(title))))
}

func (r *Report) endGroup() []byte {
	if !r.grouped {
		return nil
	}
	r.grouped = false
	return []byte(r.command("endgroup", "", ""))
}

// plain makes text fit for the data of a command: no colours, no secrets, and none of the markers
// that the web page would render in the second and later lines of an annotation.
func (r *Report) plain(text string) string {
	lines := splitLines(text)
	for i, line := range lines {
		line, _ = r.secrets.redact(clean(line, dropColour), noLimit)
		lines[i] = defuse(line)
	}
	return r.words(strings.Join(lines, "\n"))
}

// write prints whole lines. The caller holds the mutex.
func (r *Report) write(lines []byte) {
	if len(lines) > 0 {
		r.printed++
		_, _ = r.w.Write(lines) // see Report: the log is not worth the deployment
	}
}
