package inputs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Process runs beside the one that the input start is.
type Process struct{ Name, Command string }

var (
	// processName is also that of scripts/lib/workers.sh.
	processName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	processLine = regexp.MustCompile(`^([^\s:]+):\s*(.*)$`)
)

// procfile is the line that stands for those that the release's own Procfile names.
const procfile = "Procfile"

// setProcesses reads lines NAME: COMMAND, the form of a Procfile. Empty lines and lines that begin
// with # do not count.
func setProcesses(p *parser, value string) error {
	var errs []error
	for n, line := range strings.Split(value, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if line == procfile {
			p.in.Procfile = true
			continue
		}
		m := processLine.FindStringSubmatch(line)
		switch {
		case m == nil || m[2] == "":
			errs = append(errs, fmt.Errorf("line %d: must be NAME: COMMAND, or just Procfile", n+1))
		case m[1] == "web":
			errs = append(errs, fmt.Errorf("line %d: web is what the input start runs; leave it out here", n+1))
		case !processName.MatchString(m[1]):
			errs = append(errs, fmt.Errorf("line %d: the name must begin with a letter of a-z, and have at most 32 of "+
				"a-z, 0-9, _ and - in it", n+1))
		case slices.ContainsFunc(p.in.Processes, func(o Process) bool { return o.Name == m[1] }):
			errs = append(errs, fmt.Errorf("line %d: %s is there twice", n+1, m[1]))
		default:
			p.in.Processes = append(p.in.Processes, Process{m[1], m[2]})
		}
	}
	return errors.Join(errs...)
}

func setOverlap(p *parser, value string) (err error) {
	p.in.Overlap, err = boolean(value)
	return err
}
