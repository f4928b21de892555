package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// StepError is a step that failed on one host.
type StepError struct {
	Step string
	Host remote.Host
	Err  error
}

func (e *StepError) Error() string { return fmt.Sprintf("%s on %s: %v", e.Step, e.Host, e.Err) }
func (e *StepError) Unwrap() error { return e.Err }

// cutShort is a step whose context ended: the cause is what people need, how the step then ended is not.
type cutShort struct{ cause, outcome error }

func (e *cutShort) Error() string {
	if errors.Is(e.cause, context.Canceled) {
		return "cancelled: " + e.cause.Error()
	}
	return e.cause.Error()
}

func (e *cutShort) Unwrap() []error { return []error{e.cause, e.outcome} }

// HostError is the host's own no: a script that ended with an exit code other than 0.
type HostError struct {
	Verb     scripts.Verb
	Code     int      // one of the scripts package's
	Reason   string   // the script's last line
	Evidence []string // the lines before it, the application's own among them
	err      error
}

func (e *HostError) Error() string { return e.Reason }
func (e *HostError) Unwrap() error { return e.err }

// Site says what the site does after a failure.
type Site string

// The states.
const (
	SiteUnchanged Site = "unchanged" // nothing was switched
	SiteRestored  Site = "restored"  // it was switched, and switched back
	SiteSwitched  Site = "switched"  // it could not be switched back: the new version answers
	SiteUnknown   Site = "unknown"   // the switch, or what takes it back, ended without a word of what it came to
)

// Failure is the run's error: the four facts that whoever reads it needs, in this order.
type Failure struct {
	Outcome  Outcome
	Step     string
	What     string   // what failed
	Evidence []string // the host's own last lines
	Hosts    []string
	Site     Site
	Serving  string // for people: what serves now
	Next     string // what to do
	err      error
}

func (f *Failure) Unwrap() error { return f.err }

func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString(f.What)
	evidence := f.Evidence
	for len(strings.Join(evidence, "\n  ")) > evidenceBytes {
		evidence = evidence[1:]
	}
	for _, line := range evidence {
		b.WriteString("\n  " + line)
	}
	if len(f.Hosts) > 0 {
		fmt.Fprintf(&b, "\nhost: %s", strings.Join(f.Hosts, ", "))
	}
	fmt.Fprintf(&b, "\nsite: %s; %s\nnext: %s", f.Site, f.Serving, f.Next)
	return b.String()
}

// Refuse is the failure of a run whose inputs are wrong: no host was dialled.
func Refuse(cause error) *Failure {
	return &Failure{
		Outcome: Failed, Step: "inputs", What: cause.Error(), Site: SiteUnchanged, Serving: "no host was dialled",
		Next: "put right what is named above and run this workflow again", err: cause,
	}
}

// evidenceBytes leaves room for the other facts in an annotation, which is cut at 4096 characters; the log has it all.
const evidenceBytes = 2600

// failure puts the four facts together. undone is what went wrong in taking back.
func (d *Deployment) failure(s step, cause, undone error) *Failure {
	f := &Failure{Outcome: Failed, Step: s.name, What: describe(cause), Site: SiteUnchanged, err: cause}
	var host *HostError
	if errors.As(cause, &host) {
		f.Evidence = host.Evidence
	}
	for _, h := range d.hosts {
		if s.phase == prepare || len(d.hosts) == 1 || failedOn(cause, h) {
			f.Hosts = append(f.Hosts, h.target.String())
		}
		f.Serving = serving(h)
		if h.Active != nil && h.answer == nil {
			f.Serving += ", as far as is known: it could not be asked"
		}
		switch {
		case h.switched && undone != nil:
			f.Site = SiteSwitched
			var exit *remote.ExitError
			if !errors.As(undone, &exit) {
				f.Site = SiteUnknown
			}
		case h.unsure && undone != nil:
			f.Site = SiteUnknown
		case h.restored && f.Site == SiteUnchanged:
			f.Site = SiteRestored
			if h.Active != nil || h.Outside != nil {
				f.Outcome = Restored
			}
		}
	}
	f.Next = d.next(s, cause)
	switch {
	case overtaken(cause) || overtaken(undone):
		f.Site, f.Serving = SiteUnknown, "it is in the hands of the other deployment"
	case f.Site == SiteUnknown || f.Site == SiteSwitched:
		h := d.hosts[0]
		f.Serving = "the flag on the host tells"
		f.Next = fmt.Sprintf("see which port is active: ssh %s ls %s; then run this workflow again, it finds out and goes on from there", sshTarget(h.target), d.flagDir())
	}
	if undone != nil {
		f.What += "\nand taking it back failed too: " + describe(undone)
	}
	return f
}

func failedOn(err error, h *host) bool {
	var s *StepError
	return errors.As(err, &s) && s.Host == h.target
}

func serving(h *host) string {
	if h.Active == nil {
		if h.Outside != nil {
			return "the version that was there (" + h.Outside.Who + ") serves"
		}
		if h.Idle.Port == 0 {
			return "nothing was touched"
		}
		return "there is no earlier release to serve"
	}
	if h.answer != nil {
		return h.answer.serving(h)
	}
	if h.Active.Listen != state.Ours {
		return fmt.Sprintf("nothing listened on its port %d when this run began, so it is down as it was", h.Active.Port)
	}
	if h.ailing {
		return fmt.Sprintf("%s on port %d serves; it did not answer the health check when this run began either",
			h.Active.Version(), h.Active.Port)
	}
	return fmt.Sprintf("%s on port %d serves", h.Active.Version(), h.Active.Port)
}

// describe says what went wrong without the Go around it: for each host the step and the reason.
func describe(err error) string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only the join of several hosts' errors itself
		parts := make([]string, 0, 2)
		for _, e := range joined.Unwrap() {
			parts = append(parts, describe(e))
		}
		return strings.Join(parts, "\n")
	}
	var s *StepError
	if errors.As(err, &s) {
		return s.Step + ": " + s.Err.Error()
	}
	return err.Error()
}

// said are the host's own last lines before the reason, such as sudo's: a warning has no place of
// its own for them.
func said(err error) string {
	var host *HostError
	if !errors.As(err, &host) {
		return ""
	}
	var b strings.Builder
	for _, line := range host.Evidence[max(len(host.Evidence)-saidLines, 0):] {
		b.WriteString("\n  " + line)
	}
	return b.String()
}

const saidLines = 5

// headline is the first line of the first error.
func headline(errs []error) string {
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

// next is the remedy for what failed; remote's errors carry theirs in their own text.
func (d *Deployment) next(s step, cause error) string {
	var host *HostError
	var order *state.OrderError
	var none *state.ChoiceError
	var down *downError
	h := d.hosts[0]
	mend := "fix the release or the input \"start\" and push again"
	if d.in.Operation == inputs.Rollback {
		mend = "choose another release with the input \"release\", or fix this one and push it"
	}
	log := fmt.Sprintf("; the whole log: ssh %s tail -n 100 %s/logs/%d.log", sshTarget(h.target), d.in.Path, cmp.Or(h.tried, h.Idle.Port))
	switch {
	case errors.Is(cause, context.Canceled):
		return "run this workflow again when it suits"
	case errors.Is(cause, errTimeout) || errors.Is(cause, errDeadline):
		return "look at the last lines above for what took so long; raise the input \"timeout\" if it needs that long"
	case errors.As(cause, &order):
		return "nothing, if the newer release is what should be live; else run the newest run again, or set the input \"allow-older\""
	case errors.As(cause, &none):
		return none.Next
	case errors.As(cause, &down):
		return "see the application's last lines above; start it anew by a deployment, or with: ssh " + sshTarget(h.target) + " " + d.restartCommand(h) +
			"; with the input \"allow-down\" the operation status reports and passes"
	case !errors.As(cause, &host):
		var lost *remote.LostError
		var shell *ShellError
		if errors.As(cause, &shell) || s.name == "connect" || s.name == "read" || s.name == "resolve" || s.name == "detect" && !errors.As(cause, &lost) { // their errors carry the remedy
			return "put right what is named above and run this workflow again"
		}
		return "run this workflow again; it finds out what is there and goes on"
	}
	switch host.Code {
	case scripts.ExitCheck:
		return "put right what is listed above on the host and run this workflow again"
	case scripts.ExitLockBusy:
		return "wait for the other run to end, or raise the input \"lock-timeout\""
	case scripts.ExitLockLost:
		return "see what the other deployment did; run this workflow again if its release is still wanted"
	case scripts.ExitStepBusy:
		return "end that process on the host and run this workflow again"
	case scripts.ExitFetch:
		return "correct the input \"ref\" if there is no such commit, branch or tag; the token needs \"contents: read\" on " + d.in.Repository + ", and the commit must be pushed"
	case scripts.ExitReceive:
		return "run this workflow again: everything is sent anew where the host does not have it whole"
	case scripts.ExitBuild:
		return "see the build's words above, fix it and push again"
	case scripts.ExitHook:
		return "see the command's words above, fix it and run this workflow again"
	case scripts.ExitForeign:
		return "stop that process, or choose other ports with the input \"ports\""
	case scripts.ExitDied, scripts.ExitStart:
		return mend + log
	case scripts.ExitSilent:
		return "make the application listen on $PORT, or give it more time with the input \"health-timeout\"" + log
	case scripts.ExitUnhealthy:
		return "make it answer right and push again, or correct the inputs health-path, health-status and health-body" + log
	case scripts.ExitNginx:
		return "resolve on the host what is named above and run this workflow again"
	case scripts.ExitNotRouted:
		return "change the server block that is named above, or give this site other names with the input \"server-name\"; what nginx reads: ssh " +
			sshTarget(h.target) + " sudo nginx -T"
	case scripts.ExitFlag:
		return "see who else writes to " + d.flagDir() + "; run this workflow again, it puts the flag right"
	case scripts.ExitHalt:
		return "run this workflow again once the host is back"
	case scripts.ExitMemory:
		return "give the host swap (input \"swap\", such as \"1G\"), or a bigger instance: two versions run at once for as long as the new one proves itself; what a build takes, the runner can do with source \"workspace\""
	case scripts.ExitDisk:
		return "give the host a bigger disk, or free some of it (see what takes it: ssh " + sshTarget(h.target) + " sudo du -xhd 2 / | sort -h | tail), and run this workflow again; what has come already is kept"
	case scripts.ExitReadOnly:
		return "see why: ssh " + sshTarget(h.target) + " sudo dmesg, whose last lines name a disk that fails; else remount it (sudo mount -o remount,rw and the folder it is mounted at), and run this workflow again"
	case scripts.ExitAssetPath:
		return "take the file out of the repository, or choose another path in the input \"assets\""
	case scripts.ExitAssetRefused:
		return "the runner was allowed to look it up: see whether a bucket policy admits the host's network, whether s3:GetObjectVersion is allowed where the bucket keeps versions, and whether the credentials had ended"
	case scripts.ExitAssetMissing, scripts.ExitAssetStale:
		return "run this workflow again once the object is in place and no longer changes"
	case scripts.ExitAssetCut:
		return "see curl's words above; run this workflow again, it goes on where this one stopped"
	case scripts.ExitAssetWrong:
		return "compare the sha256 in the input \"assets\" with the file's; if it is none of the workflow's, upload the file again, or give its sha256 there"
	}
	return "see the lines above and run this workflow again"
}

func sshTarget(h remote.Host) string {
	if h.Port == 22 {
		return h.User + "@" + h.Name
	}
	return fmt.Sprintf("-p %d %s@%s", h.Port, h.User, h.Name)
}
