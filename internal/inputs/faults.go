package inputs

import (
	"fmt"
	"strings"
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
	Input string
	Err   error
}

func (f *Fault) Error() string {
	return fmt.Sprintf("input %q: %s", f.Input, strings.ReplaceAll(f.Err.Error(), "\n", "; "))
}

func (f *Fault) Unwrap() error { return f.Err }

// maxGot is how much of a value a message repeats, in characters.
const maxGot = 60

// got quotes a value for the end of a message. It repeats no private key that was put in the wrong place.
func got(value string) string {
	if strings.Contains(value, "PRIVATE KEY") {
		return "(got a private key)"
	}
	if short := []rune(value); len(short) > maxGot {
		value = string(short[:maxGot]) + "…"
	}
	return fmt.Sprintf("(got %q)", value)
}
