package lab

import (
	"fmt"
	"strings"
)

// parseFileCommands reads what an action wrote to GITHUB_OUTPUT or GITHUB_STATE (actions/runner,
// FileCommandManager.cs): `NAME=VALUE` lines, and `NAME<<DELIMITER` followed by lines up to one
// that is the delimiter.
func parseFileCommands(text string) (map[string]string, error) {
	values := make(map[string]string)
	for text != "" {
		var line string
		line, text = nextLine(text)
		if line == "" {
			continue
		}
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		if equals >= 0 && (heredoc < 0 || equals < heredoc) {
			if equals == 0 {
				return nil, fmt.Errorf("parse %q: empty name", line)
			}
			values[line[:equals]] = line[equals+1:]
			continue
		}
		if heredoc < 0 {
			return nil, fmt.Errorf("parse %q: want NAME=VALUE or NAME<<DELIMITER", line)
		}
		name, delimiter := line[:heredoc], line[heredoc+len("<<"):]
		if name == "" || delimiter == "" {
			return nil, fmt.Errorf("parse %q: empty name or delimiter", line)
		}
		var value []string
		for {
			if text == "" {
				return nil, fmt.Errorf("parse %q: no line is the delimiter", line)
			}
			var next string
			if next, text = nextLine(text); next == delimiter {
				break
			}
			value = append(value, next)
		}
		values[name] = strings.Join(value, "\n")
	}
	return values, nil
}

// nextLine cuts a line off; "\n" and "\r\n" end one.
func nextLine(text string) (line, rest string) {
	line, rest, _ = strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}
