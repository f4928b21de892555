package host

import (
	"errors"
	"strings"
	"sync"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// tail keeps the end of what a script said, for its error.
type tail struct {
	mu   sync.Mutex
	text []byte
	cut  bool // it begins anywhere in a line
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailBytes; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
		t.cut = true
	}
	return len(p), nil
}

// whole is what there is of whole lines: in the rest of one nobody would know the rest of a secret.
func (t *tail) whole() string {
	text := string(t.text)
	if t.cut {
		text = text[strings.IndexAny(text+"\n", "\r\n"):]
	}
	return text
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.whole()
}

// explain gives an exit status the script's own last line as its reason and the lines before it as
// evidence.
func (t *tail) explain(verb scripts.Verb, err error) error {
	var exit *remote.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(t.whole(), "\r", "\n")), "\n")
	if len(lines) > evidenceLines {
		lines = lines[len(lines)-evidenceLines:]
	}
	reason := lines[len(lines)-1]
	if reason == "" {
		reason = exit.Error()
	}
	return &Error{Verb: verb, Code: exit.Code, Reason: reason, Evidence: lines[:len(lines)-1], err: err}
}

// evidenceLines is as much as a person reads before opening the log.
const evidenceLines = 30
