package inputs

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Errors is every fault of the inputs, in the order of action.yml, one line each.
type Errors []error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the faults, for errors.Is and errors.As.
func (e Errors) Unwrap() []error { return e }

// Fault is what is wrong with one input, and how to put it right.
type Fault struct {
	Input   string
	Err     error
	Outside bool // of GitHub, where an input is a flag
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%s: %s", f.where(), strings.ReplaceAll(f.Err.Error(), "\n", "; "))
}

func (f *Fault) where() string {
	if f.Outside {
		return fmt.Sprintf("--%s (or %s)", f.Input, variable(f.Input))
	}
	return fmt.Sprintf("input %q", f.Input)
}

func (f *Fault) Unwrap() error { return f.Err }

// maxGot is how long a value may be for a message to repeat it, in characters.
const maxGot = 60

// got quotes a value for the end of a message, whole or not at all: the runner masks a secret that
// was put in the wrong place, but no part of one. It repeats no private key.
func got(value string) string {
	if strings.Contains(value, "PRIVATE KEY") {
		return "(got a private key)"
	}
	if length := utf8.RuneCountInString(value); length > maxGot {
		return fmt.Sprintf("(got %d characters)", length)
	}
	return fmt.Sprintf("(got %q)", value)
}

// gotItem does the same for an item of a list: alone where it is a line of its own, which the
// runner masks too.
func gotItem(list, item string) string {
	for line := range strings.Lines(list) {
		if strings.TrimSpace(line) == item {
			return got(item)
		}
	}
	return got(list)
}
