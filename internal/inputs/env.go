package inputs

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Variable is one of the application's environment.
type Variable struct {
	Name  string
	Value Secret // as it was written, byte for byte
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ownVariables are what the action itself gives the application.
var ownVariables = []string{"PORT", "RELEASE", "PATH"}

// bashVariables are those that bash, which starts the application, lets nobody set, or gives another value
// (bash(1), Shell Variables).
var bashVariables = []string{
	"BASHOPTS", "BASHPID", "BASH_ARGC", "BASH_ARGV", "BASH_COMMAND", "BASH_LINENO", "BASH_SOURCE", "BASH_SUBSHELL",
	"BASH_VERSINFO", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID", "FUNCNAME", "GROUPS", "HISTCMD", "LINENO",
	"PPID", "RANDOM", "SECONDS", "SHELLOPTS", "SRANDOM", "UID",
}

// setEnv reads lines KEY=VALUE. Nothing in a value has a meaning, so nothing needs quoting; a value
// of several lines is written as in GITHUB_ENV: KEY<<END, the lines, END. Empty lines and lines
// that begin with # do not count.
func setEnv(p *parser, value string) error {
	var errs []error
	seen := map[string]bool{}
	lines := strings.Split(strings.ReplaceAll(value, "\r\n", "\n"), "\n")
	for n := 0; n < len(lines); n++ {
		line := lines[n]
		if strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		at := n + 1
		name, text, found := strings.Cut(line, "=")
		if heredoc, end, ok := strings.Cut(line, "<<"); ok && (!found || len(heredoc) < len(name)) && end != "" {
			stop := slices.Index(lines[n+1:], end)
			if stop < 0 {
				return errors.Join(append(errs, fmt.Errorf("line %d: the value of %.40q never ends: end it with a "+
					"line that is just what follows <<", at, heredoc))...)
			}
			name, text, found = heredoc, strings.Join(lines[n+1:n+1+stop], "\n"), true
			n += stop + 1
		}
		name = strings.TrimSpace(name)
		wrong := CheckVariable(name)
		switch {
		case !found:
			errs = append(errs, fmt.Errorf("line %d: must be KEY=VALUE, or KEY<<END for a value of several lines", at))
		case wrong != nil:
			errs = append(errs, fmt.Errorf("line %d: %w", at, wrong))
		case seen[name]:
			errs = append(errs, fmt.Errorf("line %d: %s is there twice", at, name))
		default:
			seen[name] = true
			p.in.Env = append(p.in.Env, Variable{name, Secret(text)})
		}
	}
	return errors.Join(errs...)
}

// ordinary are values that masking would only make the log unreadable with.
var ordinary = []string{"production", "development", "localhost", "127.0.0.1"}

// masked says whether a value of the application's environment is to be masked: not one so short or
// common that the log would suffer.
func masked(value string) bool { return len(value) >= 8 && !slices.Contains(ordinary, value) }

// setShared reads the paths that survive releases, one a line.
func setShared(p *parser, value string) error {
	var errs []error
	for _, item := range items(value) {
		clean := path.Clean(item)
		first, _, _ := strings.Cut(clean, "/")
		switch {
		case !plainPath.MatchString(item):
			errs = append(errs, fmt.Errorf("must have only A-Z, a-z, 0-9 and . _ / - in it %s", gotItem(value, item)))
		case path.IsAbs(clean) || first == ".." || clean == ".":
			errs = append(errs, fmt.Errorf("must be a path within the release, such as \"uploads\" %s",
				gotItem(value, item)))
		case first == ".deploy-action" || first == ".venv":
			errs = append(errs, fmt.Errorf("must not be %q, which the action makes itself", first)) // one of two words
		case slices.ContainsFunc(p.in.Shared, func(s string) bool { return within(s, clean) || within(clean, s) }):
			errs = append(errs, fmt.Errorf("must not name a path twice, or one within another %s",
				gotItem(value, item)))
		default:
			p.in.Shared = append(p.in.Shared, clean)
		}
	}
	return errors.Join(errs...)
}

func within(folder, name string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }
