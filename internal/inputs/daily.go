package inputs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LogsOf is what the operation logs shows.
type LogsOf struct {
	Of     []string // "app", "nginx", "worker:NAME", "job:NAME"
	Lines  int      // of each log, at most
	Ago    time.Duration
	At     time.Time // since then; the zero time for Ago, and where both are zero all
	Filter string    // which lines; "": all
	Regex  bool      // it is an extended regular expression
}

var logSources = []string{"app", "nginx"}

func setCommand(p *parser, value string) error {
	running := p.values["operation"] == string(RunIt)
	switch {
	case strings.TrimSpace(value) == "" && running:
		return errors.New("is required for operation \"run\": write the command")
	case strings.TrimSpace(value) != "" && !running:
		return errors.New("is for operation \"run\" only: leave it out, or set that operation")
	}
	p.in.Command = strings.ReplaceAll(value, "\r\n", "\n")
	return nil
}

func setAtOnce(p *parser, value string) (err error) {
	p.in.AtOnce, err = boolean(value)
	return err
}

func setLogOf(p *parser, value string) error {
	for _, item := range items(value) {
		kind, name, named := strings.Cut(item, ":")
		named = named && (kind == "worker" || kind == "job") && processName.MatchString(name)
		if !named && !slices.Contains(logSources, item) {
			return fmt.Errorf("must be \"app\", \"nginx\", \"worker:\" or \"job:\" with a name, or several of them %s",
				gotItem(value, item))
		}
		p.in.Logs.Of = append(p.in.Logs.Of, item)
	}
	return nil
}

// farthest is how old lines may be that are asked for by their age.
const farthest = 366 * 24 * time.Hour

func setLogSince(p *parser, value string) error {
	if value == "" {
		return nil
	}
	if at, err := time.Parse(time.RFC3339, value); err == nil {
		p.in.Logs.At = at
		return nil
	}
	ago, err := time.ParseDuration(value)
	if err != nil || ago < time.Second || ago > farthest {
		return fmt.Errorf("must be a duration such as \"15m\" or \"24h\", or a time such as \"2026-11-23T10:15:00Z\" %s",
			got(value))
	}
	p.in.Logs.Ago = ago
	return nil
}

// setLogFilter: between slashes stands an extended regular expression, which the host's grep judges.
func setLogFilter(p *parser, value string) error {
	p.in.Logs.Filter = value
	if len(value) > 2 && strings.HasPrefix(value, "/") && strings.HasSuffix(value, "/") {
		p.in.Logs.Filter, p.in.Logs.Regex = value[1:len(value)-1], true
	}
	return nil
}
