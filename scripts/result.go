package scripts

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Begin opens the results: what a login shell's start-up files print before it is not ours to read.
const Begin = "deploy-action:begin"

// maxResults bounds what a host can make us keep; the longest honest answer is a hundredth of it.
const maxResults = 1 << 20

// Results collects what a script prints on standard output; it is the io.Writer to hand to the
// exec. Anything after the opening line that is not key=value is an error, as the host is not
// trusted to be our own script.
type Results struct {
	mu     sync.Mutex
	rest   []byte
	size   int
	open   bool
	err    error
	values map[string]string
	at     map[string]time.Time
	notify map[string]chan struct{}
}

// Write takes the next bytes of standard output. It never fails: a fault is kept for [Results.Err],
// so that the script is not killed by a closed pipe before it has put things in order.
func (r *Results) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size += len(p)
	if r.size > maxResults {
		r.fault("more than %d bytes of results", maxResults)
		return len(p), nil
	}
	r.rest = append(r.rest, p...)
	for {
		line, rest, found := bytes.Cut(r.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		r.rest = rest
		r.line(string(line))
	}
}

func (r *Results) line(line string) {
	if !r.open {
		r.open = line == Begin
		return
	}
	key, value, found := strings.Cut(line, "=")
	if !found || !name.MatchString(key) {
		r.fault("unexpected output %.80q", line)
		return
	}
	if r.values == nil {
		r.values, r.at = map[string]string{}, map[string]time.Time{}
	}
	if _, twice := r.values[key]; twice {
		r.fault("result %q came twice", key)
		return
	}
	r.values[key], r.at[key] = value, time.Now()
	if ch, ok := r.notify[key]; ok {
		close(ch)
	}
}

func (r *Results) fault(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("parse results: "+format, args...)
	}
}

// Err returns the first fault found so far, among them a getter's: a missing result, or one of the
// wrong form.
func (r *Results) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// private are results that no log has: by a recipe somebody could tell what was in an input, and an
// offer is long.
var private = regexp.MustCompile(`^recipe_|^offer$`)

// String lists the results in the order of their keys, for debugging; private ones are left out.
func (r *Results) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	pairs := make([]string, 0, len(r.values))
	for key, value := range r.values {
		if private.MatchString(key) {
			continue
		}
		pairs = append(pairs, key+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, " ")
}

// Came returns a channel that is closed when the key arrives; for scripts that go on after their
// first word. To be called before the script runs.
func (r *Results) Came(key string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.notify == nil {
		r.notify = map[string]chan struct{}{}
	}
	r.notify[key] = make(chan struct{})
	return r.notify[key]
}

// Has reports whether the script printed the key.
func (r *Results) Has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.values[key]
	return ok
}

// Text returns a result that must be there.
func (r *Results) Text(key string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	value, ok := r.values[key]
	if !ok {
		r.fault("result %q is missing", key)
	}
	return value
}

// Int returns a decimal result.
func (r *Results) Int(key string) int {
	text := r.Text(key)
	n, err := strconv.Atoi(text)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fault("result %q is %.80q, not a number", key, text)
	}
	return n
}

// Form returns a result that must match. It is for what leaves the run, such as an output that a
// later step of the workflow may well put into a command.
func (r *Results) Form(key string, form *regexp.Regexp) string {
	text := r.Text(key)
	if form.MatchString(text) {
		return text
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault("result %q is %.80q, not of the form %s", key, text, form)
	return ""
}

// Port returns a port, or 0 for none.
func (r *Results) Port(key string) uint16 {
	n := r.Int(key)
	if n < 0 || n > 65535 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fault("result %q is %d, not a port", key, n)
		return 0
	}
	return uint16(n)
}

// Millis returns a result in milliseconds as a duration.
func (r *Results) Millis(key string) time.Duration {
	return time.Duration(r.Int(key)) * time.Millisecond
}

// OneOf returns a result that must be one of a few words.
func (r *Results) OneOf(key string, words ...string) string {
	text := r.Text(key)
	for _, word := range words {
		if text == word {
			return text
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault("result %q is %.80q, not one of %s", key, text, strings.Join(words, ", "))
	return words[0]
}

// Yes returns a yes-or-no result.
func (r *Results) Yes(key string) bool {
	return r.OneOf(key, "no", "yes") == "yes"
}

// At returns when the key arrived on this side, zero when it did not.
func (r *Results) At(key string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at[key]
}
