package report

import (
	"strings"
	"unicode"
)

// This file is the runner's side: a Go version of ActionCommand.cs and of the line reader before
// it, by which the tests judge what the runner would do with everything that was written.

// live is a command that the runner would carry out.
type live struct {
	Name       string
	Properties map[string]string
	Data       string
}

var registered = map[string]bool{
	"add-mask": true, "debug": true, "notice": true, "warning": true, "error": true, "group": true, "endgroup": true,
	"echo": true, "stop-commands": true, "add-matcher": true, "remove-matcher": true, "set-output": true,
	"save-state": true, "set-env": true, "add-path": true, "internal-set-repo-path": true,
}

// runnerLines is StreamReader.ReadLine: \n, \r\n and a lone \r end a line.
func runnerLines(log string) []string {
	var lines []string
	for log != "" {
		i := strings.IndexAny(log, "\r\n")
		if i < 0 {
			return append(lines, log)
		}
		lines = append(lines, log[:i])
		if strings.HasPrefix(log[i:], "\r\n") {
			i++
		}
		log = log[i+1:]
	}
	return lines
}

// liveCommands returns what the runner would carry out of a log.
func liveCommands(log string) []live {
	var all []live
	for _, line := range runnerLines(log) {
		if c, ok := parseV2(line); ok {
			all = append(all, c)
		} else if c, ok := parseV1(line); ok {
			all = append(all, c)
		}
	}
	return all
}

// parseV2 is ActionCommand.TryParseV2: ::name k=v,k=v::data.
func parseV2(line string) (live, bool) {
	line = strings.TrimLeftFunc(ignoreInvisible(line), unicode.IsSpace)
	if !strings.HasPrefix(line, "::") {
		return live{}, false
	}
	info, data, ok := strings.Cut(line[2:], "::")
	if !ok {
		return live{}, false
	}
	return parse(info, data, ",", strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%"),
		strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%"))
}

// parseV1 is ActionCommand.TryParse: ##[name k=v;k=v]data, anywhere in the line.
func parseV1(line string) (live, bool) {
	_, after, ok := strings.Cut(ignoreInvisible(line), "##[")
	if !ok {
		return live{}, false
	}
	info, data, ok := strings.Cut(after, "]")
	if !ok {
		return live{}, false
	}
	unescape := strings.NewReplacer("%3B", ";", "%0D", "\r", "%0A", "\n", "%5D", "]", "%25", "%")
	return parse(info, data, ";", unescape, unescape)
}

func parse(info, data, separator string, property, text *strings.Replacer) (live, bool) {
	name, properties, _ := strings.Cut(info, " ")
	if !registered[strings.ToLower(name)] {
		return live{}, false
	}
	c := live{Name: strings.ToLower(name), Data: text.Replace(data)}
	for p := range strings.SplitSeq(strings.TrimSpace(properties), separator) {
		if k, v, ok := strings.Cut(p, "="); ok {
			if c.Properties == nil {
				c.Properties = map[string]string{}
			}
			c.Properties[k] = property.Replace(v)
		}
	}
	return c, true
}

// ignoreInvisible takes out what a culture-sensitive comparison (StartsWith and IndexOf of .NET
// with ICU) overlooks. It is stricter than the runner, whose offsets count those characters.
func ignoreInvisible(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && r != '\v' && r != '\f' && r != 0x85 && unicode.In(r, unicode.Cc, unicode.Cf) {
			return -1
		}
		return r
	}, line)
}
