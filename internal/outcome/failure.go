package outcome

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/remote"
)

// Site says what the site does after a failure.
type Site string

// The states.
const (
	SiteUnchanged Site = "unchanged" // nothing was switched
	SiteRestored  Site = "restored"  // it was switched, and switched back
	SiteSwitched  Site = "switched"  // it could not be switched back: the new version answers
	SiteUnknown   Site = "unknown"   // the switch, or what takes it back, ended without a word of what it came to
	SiteMixed     Site = "mixed"     // not all hosts serve the same
	SiteRemoved   Site = "removed"   // visitors do not get it any more, as was asked for
	// SiteAhead is of one of several hosts alone: what the run was to bring it has had since before.
	SiteAhead Site = "ahead"
)

// SiteOf is the state of a site that several hosts serve, by theirs.
func SiteOf(hosts []Site) Site {
	others := slices.DeleteFunc(slices.Clone(hosts), func(site Site) bool { return site == SiteAhead })
	all := SiteUnchanged
	for i, site := range others {
		switch {
		case i == 0 || site == all:
			all = site
		case all == SiteMixed, old(site) != old(all), site == SiteUnknown, all == SiteUnknown:
			all = SiteMixed
		default: // what was not switched serves the same as what was switched back
			all = SiteRestored
		}
	}
	if len(others) < len(hosts) && (all == SiteRestored || all == SiteUnknown) {
		return SiteMixed
	}
	return all
}

// old tells whether what served before serves.
func old(site Site) bool { return site == SiteUnchanged || site == SiteRestored }

// Failure is the run's error: the four facts that whoever reads it needs, in this order.
type Failure struct {
	Outcome  Outcome
	Step     string
	What     string   // what failed
	Evidence []string // the host's own last lines
	Hosts    []string
	Site     Site
	Serving  string   // for people: what serves now
	Each     []string // in its place, where there are several hosts: each one's
	Next     string   // what to do
	Topic    Topic    // where more of it is read
	Err      error
	ExitCode int // of the command that failed, with which the run ends, too; 0 where there is none
}

func (f *Failure) Unwrap() error { return f.Err }

func (f *Failure) Error() string { return f.text(evidenceBytes, false) }

// text has so much of the host's own lines, and what each host serves at its end or in its place.
func (f *Failure) text(most int, eachLast bool) string {
	var b strings.Builder
	b.WriteString(f.What)
	evidence := f.Evidence
	for len(strings.Join(evidence, "\n  ")) > most {
		evidence = evidence[1:]
	}
	for _, line := range evidence {
		b.WriteString("\n  " + line)
	}
	if len(f.Hosts) > 0 {
		fmt.Fprintf(&b, "\nhost: %s", strings.Join(f.Hosts, ", "))
	}
	fmt.Fprintf(&b, "\nsite: %s", f.Site)
	if f.Serving != "" {
		b.WriteString("; " + f.Serving)
	}
	each, next := "", "\nnext: "+f.Next+"; more: "+f.Topic.URL()
	for _, line := range f.Each {
		each += "\n  " + line
	}
	if eachLast {
		each, next = next, each
	}
	return b.String() + each + next
}

// Refuse is the failure of a run whose inputs are wrong: no host was dialled.
func Refuse(cause error) *Failure {
	return &Failure{
		Outcome: Failed, Step: "inputs", What: cause.Error(), Site: SiteUnchanged, Serving: "no host was dialled",
		Next: "put right what is named above and run this workflow again", Topic: TopicInputs, Err: cause,
	}
}

// evidenceBytes leaves room for the other facts in an annotation; the log has it all.
const evidenceBytes = 2600

// StepError is a step that failed on one host.
type StepError struct {
	Step string
	Host remote.Host // empty for a step that no host has a part in
	Err  error
}

func (e *StepError) Error() string {
	if e.Host.Name == "" {
		return fmt.Sprintf("%s: %v", e.Step, e.Err)
	}
	return fmt.Sprintf("%s on %s: %v", e.Step, e.Host, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// Describe says what went wrong without the Go around it: for each host the step and the reason.
func Describe(err error) string {
	//nolint:errorlint // only the join of several hosts' errors itself
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all := joined.Unwrap()
		parts := make([]string, len(all))
		for i, e := range all {
			var s *StepError
			parts[i] = Describe(e)
			if len(all) > 1 && errors.As(e, &s) && s.Host.Name != "" {
				parts[i] = s.Host.String() + ": " + parts[i]
			}
		}
		return strings.Join(parts, "\n")
	}
	var s *StepError
	if errors.As(err, &s) {
		return s.Step + ": " + s.Err.Error()
	}
	return err.Error()
}

// Headline is the first line of the first error that is one.
func Headline(errs []error) string {
	for _, err := range errs {
		if err != nil {
			var s *StepError
			if errors.As(err, &s) {
				err = s.Err
			}
			line, rest, _ := strings.Cut(err.Error(), "\n")
			if strings.HasSuffix(line, ":") { // what it announces is a line of its own
				announced, _, _ := strings.Cut(rest, "\n")
				line += " " + announced
			}
			return line
		}
	}
	return ""
}
