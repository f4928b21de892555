package lab

import (
	"strings"
	"unicode"
)

// Command is a workflow command as the runner understands it.
type Command struct {
	Name       string // lower case, such as "error"
	Properties map[string]string
	Data       string
	Old        bool // written ##[name]data, which the runner finds anywhere in a line
}

// registered are the commands that the runner obeys (actions/runner, ActionCommandManager.cs); any
// other is text.
var registered = map[string]bool{
	"add-mask": true, "add-matcher": true, "add-path": true, "debug": true, "echo": true, "endgroup": true,
	"error": true,
	"group": true, "notice": true, "remove-matcher": true, "save-state": true, "set-env": true, "set-output": true,
	"stop-commands": true, "warning": true,
}

// commandParser reads lines as the runner does, with the one thing it remembers: the token of
// ::stop-commands::.
type commandParser struct{ stopToken string }

// parse returns the command in a line, or nil. Between ::stop-commands::token and ::token:: there
// are none.
func (p *commandParser) parse(line string) *Command {
	known := func(name string) bool { return registered[name] || (p.stopToken != "" && name == p.stopToken) }
	command := parseNew(line, known)
	if command == nil {
		command = parseOld(line, known)
	}
	switch {
	case command == nil:
		return nil
	case p.stopToken != "" && command.Name == p.stopToken:
		p.stopToken = ""
		return command
	case p.stopToken != "":
		return nil
	case command.Name == "stop-commands":
		p.stopToken = strings.ToLower(command.Data) // .NET compares it ignoring case
	}
	return command
}

// parseNew reads `::name key=value,key=value::data` at the start of a line
// (ActionCommand.TryParseV2).
func parseNew(line string, known func(string) bool) *Command {
	rest, ok := strings.CutPrefix(strings.TrimLeftFunc(line, unicode.IsSpace), "::")
	if !ok {
		return nil
	}
	info, data, ok := strings.Cut(rest, "::")
	if !ok {
		return nil
	}
	return newCommand(info, ",", unescapeProperty, known, unescapeData(data))
}

// parseOld reads `##[name key=value;key=value]data` wherever it stands in a line
// (ActionCommand.TryParse).
func parseOld(line string, known func(string) bool) *Command {
	_, rest, ok := strings.Cut(line, "##[")
	if !ok {
		return nil
	}
	info, data, ok := strings.Cut(rest, "]")
	if !ok {
		return nil
	}
	command := newCommand(info, ";", unescapeOld, known, unescapeOld(data))
	if command != nil {
		command.Old = true
	}
	return command
}

func newCommand(info, separator string, unescape func(string) string, known func(string) bool, data string) *Command {
	name, properties, _ := strings.Cut(info, " ")
	command := &Command{Name: strings.ToLower(name), Properties: make(map[string]string), Data: data}
	if !known(command.Name) {
		return nil
	}
	for pair := range strings.SplitSeq(strings.TrimSpace(properties), separator) {
		if key, value, ok := strings.Cut(pair, "="); ok && key != "" && value != "" {
			command.Properties[strings.ToLower(key)] = unescape(value)
		}
	}
	return command
}

// The runner replaces one escape after the other, "%25" last.
func unescapeData(s string) string { return unescape(s, "\r", "%0D", "\n", "%0A") }

func unescapeProperty(s string) string {
	return unescape(s, "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
}

func unescapeOld(s string) string {
	return unescape(s, ";", "%3B", "\r", "%0D", "\n", "%0A", "]", "%5D")
}

func unescape(s string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		s = strings.ReplaceAll(s, pairs[i+1], pairs[i])
	}
	return strings.ReplaceAll(s, "%25", "%")
}
