package inputs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxValue is the size an input may have, in bytes. The runner passes inputs in the environment of
// the docker client, where Linux takes 128 KiB for a variable, its name included.
const maxValue = 128 << 10

// shape is what a value may look like before it is looked at.
type shape int

const (
	line     shape = iota // one line without control characters
	text                  // lines, tabs included
	password              // a secret of one line, given back as it is but for line breaks around it
	keyText               // a secret of lines
	envText               // the same, given back as it is but for line breaks around it
)

func (s shape) secret() bool { return s == password || s == keyText || s == envText }

// parser holds the values of one Parse.
type parser struct {
	in     *Inputs
	values map[string]string // trimmed, defaults filled in
	faults map[string][]error
}

func (p *parser) fault(name string, err error) {
	if err != nil {
		p.faults[name] = append(p.faults[name], &Fault{Input: name, Err: err, Outside: p.in.Outside})
	}
}

// good tells whether nothing was found wrong with an input so far.
func (p *parser) good(name string) bool { return len(p.faults[name]) == 0 }

// read stores the value of an input and checks what needs no knowledge of it.
func (p *parser) read(f field, value string) {
	if f.shape == password || f.shape == envText {
		value = strings.Trim(value, "\r\n")
	} else {
		value = strings.TrimSpace(value)
	}
	if value == "" {
		value = f.def
	}
	if value == "" && f.context != "" {
		value = p.in.Run.context(f.context)
	}
	p.values[f.name] = value
	if p.in.Outside && f.outside != "" {
		f.required = f.outside
	}
	if f.name == "ref" && p.values["operation"] != string(Deploy) { // read before, and no other asks for a commit
		f.required = ""
	}
	p.fault(f.name, check(f, value))
}

func check(f field, value string) error {
	shown := ""
	if !f.shape.secret() {
		shown = " " + got(value)
	}
	switch {
	case value == "" && f.required != "":
		return fmt.Errorf("is required: %s", f.required)
	case len(value) > maxValue:
		return fmt.Errorf("must not be longer than 128 KiB (got %d bytes)", len(value))
	case !utf8.ValidString(value):
		return errors.New("must be UTF-8 text" + shown)
	case (f.shape == line || f.shape == password) && strings.ContainsAny(value, "\r\n"):
		return errors.New("must be one line" + shown)
	case strings.ContainsFunc(value, func(r rune) bool {
		return unicode.IsControl(r) && (f.shape == line || f.shape == password || !strings.ContainsRune("\r\n\t", r))
	}):
		return errors.New("must not contain control characters" + shown)
	}
	return nil
}

// items splits a list by comma or line; blanks around the items and empty items do not count.
func items(value string) []string {
	var list []string
	for _, item := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// duration makes a setter for a duration from lo to hi.
func duration(to func(*Inputs) *time.Duration, lo, hi time.Duration) func(*parser, string) error {
	return func(p *parser, value string) error {
		d, err := time.ParseDuration(value)
		if _, notInt := strconv.Atoi(value); notInt == nil { // ParseDuration takes "0"
			return fmt.Errorf("must have a unit: write %q %s", value+"s", got(value))
		}
		if err != nil {
			return fmt.Errorf("must be a duration such as \"30s\" or \"5m\" %s", got(value))
		}
		if d < lo || d > hi {
			return fmt.Errorf("must be from %s to %s %s", short(lo), short(hi), got(value))
		}
		*to(p.in) = d
		return nil
	}
}

// short writes 10m0s as 10m and 24h0m0s as 24h.
func short(d time.Duration) string {
	s := strings.Replace(d.String(), "m0s", "m", 1)
	return strings.Replace(s, "h0m", "h", 1)
}

// number makes a setter for a whole number from lo to hi; why, if any, explains the limits.
func number(to func(*Inputs) *int, lo, hi int, why string) func(*parser, string) error {
	return func(p *parser, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("must be a whole number from %d to %d%s %s", lo, hi, why, got(value))
		}
		*to(p.in) = n
		return nil
	}
}

// script makes a setter for a command, which may have several lines.
func script(to func(*Inputs) *string) func(*parser, string) error {
	return func(p *parser, value string) error {
		*to(p.in) = strings.ReplaceAll(value, "\r\n", "\n")
		return nil
	}
}

// boolean reads what YAML 1.2 calls a boolean, as @actions/core does.
func boolean(value string) (bool, error) {
	switch value {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	default:
		return false, fmt.Errorf("must be \"true\" or \"false\" %s", got(value))
	}
}
