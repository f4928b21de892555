package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/remote"
)

// failure puts the four facts together. undone is what went wrong in taking back.
func (o *outcomes) failure(s step, cause, undone error) *outcome.Failure {
	f := &outcome.Failure{Outcome: outcome.Failed, Step: s.name, What: outcome.Describe(cause), Err: cause}
	var no *host.Error
	if errors.As(cause, &no) {
		f.Evidence = no.Evidence
	}
	hosts := o.staying()
	if len(hosts) == 0 { // the last one left as it was taken back
		hosts = o.hosts
	}
	at := hosts[0] // the first one on which it failed
	sites, unsure := make([]outcome.Site, len(hosts)), (*target)(nil)
	for i, h := range slices.Backward(hosts) {
		if failedOn(cause, h) {
			at = h
		}
		sites[i] = siteOf(h)
		if sites[i] == outcome.SiteUnchanged && o.isAhead(h) {
			sites[i] = outcome.SiteAhead
		}
		if !h.taken && !h.left && (sites[i] == outcome.SiteUnknown || sites[i] == outcome.SiteSwitched) {
			unsure = h
		}
	}
	f.Site = outcome.SiteOf(sites)
	if o.in.Operation == inputs.Maintenance && halfClosed(hosts) {
		f.Site = outcome.SiteMixed
	}
	if f.Site == outcome.SiteRestored && slices.ContainsFunc(hosts, (*target).restored) {
		f.Outcome = outcome.Restored
	}
	for i, h := range hosts {
		f.ExitCode = cmp.Or(f.ExitCode, h.exit)
		h.failed = h.taken || failedOn(cause, h)
		if failedOn(cause, h) || len(hosts) == 1 {
			f.Hosts = append(f.Hosts, h.Address.String())
		}
		if said := servesOf(h, sites[i]); len(hosts) == 1 {
			f.Serving = said
		} else {
			f.Each = append(f.Each, h.Address.String()+": "+said)
		}
	}
	if len(f.Hosts) == 0 { // no host has a part in it
		for _, h := range hosts {
			f.Hosts = append(f.Hosts, h.Address.String())
		}
	}
	f.Next, f.Topic = o.next(s, at, cause), o.topic(s, cause)
	if unsure != nil && o.op.live {
		f.Next = fmt.Sprintf("see which port is active: ssh %s ls %s; then run this workflow again, it finds out "+
			"and goes on from there", sshTarget(unsure.Address), o.flagDir())
		f.Topic = outcome.TopicLost
	}
	if unsure == nil && o.op.live && f.Site == outcome.SiteMixed && slices.Contains(sites, outcome.SiteAhead) {
		f.Next += "; to bring what some hosts serve already to the others, too, " + o.bringThere()
	}
	if o.in.Maintenance && f.Site == outcome.SiteMixed {
		f.Next += "; with maintenance \"off\" it takes the page down on all of them"
	}
	if undone != nil {
		f.What += "\nand taking it back failed too: " + outcome.Describe(undone)
	}
	return f
}

// isAhead tells whether a host was left as it is since it has what this run brings, and others do not.
func (o *outcomes) isAhead(h *target) bool {
	return h.unchanged && (o.in.Operation == inputs.Remove ||
		o.op.live && slices.ContainsFunc(o.staying(), func(other *target) bool {
			return !other.unchanged && other.activeRelease() != h.activeRelease() && // else that one was not healthy
				!o.recipe.madeAlike([]*target{h, other})
		}))
}

// siteOf is what became of the site of one host.
func siteOf(h *target) outcome.Site {
	var exit *remote.ExitError
	var cut *cutShort // what was told to end may have been through
	switch {
	case h.taken, h.left, h.leaving && !h.gone, h.turning:
		return outcome.SiteUnknown
	case h.gone:
		return outcome.SiteRemoved
	case h.route == routeNew && h.undone != nil && errors.As(h.undone, &exit) && !errors.As(h.undone, &cut):
		return outcome.SiteSwitched
	case h.route == routeNew && h.undone != nil, h.route == routeMaybe && h.undone != nil:
		return outcome.SiteUnknown
	case h.route == routeBack:
		return outcome.SiteRestored
	}
	return outcome.SiteUnchanged
}

// failedOn tells whether a host has part in an error, which may join those of several.
func failedOn(err error, h *target) bool {
	switch err := err.(type) { //nolint:errorlint // each is looked at as it is
	case *outcome.StepError:
		return err.Host == h.Address
	case interface{ Unwrap() error }:
		return failedOn(err.Unwrap(), h)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(err.Unwrap(), func(err error) bool { return failedOn(err, h) })
	}
	return false
}

// said are the host's own last lines before the reason, such as sudo's: a warning has no place of
// its own for them.
func said(err error) string {
	var no *host.Error
	if !errors.As(err, &no) {
		return ""
	}
	var b strings.Builder
	for _, line := range no.Evidence[max(len(no.Evidence)-saidLines, 0):] {
		b.WriteString("\n  " + line)
	}
	return b.String()
}

const saidLines = 5

// next is the remedy for what failed; remote's errors carry theirs in their own text.
func (o *outcomes) next(s step, h *target, cause error) string {
	var no *host.Error
	var order *state.OrderError
	var none *state.ChoiceError
	var down *downError
	switch {
	case errors.Is(cause, context.Canceled):
		return "run this workflow again when it suits"
	case errors.Is(cause, errTimeout) || errors.Is(cause, errDeadline):
		return "look at the last lines above for what took so long; raise the input \"timeout\" if it needs that long"
	case errors.As(cause, &order):
		return "nothing, if the newer release is what should be live; " +
			"else run the newest run again, or set the input \"allow-older\""
	case errors.As(cause, &none):
		return none.Next
	case errors.As(cause, &down):
		return "see the application's last lines above; start it anew by a deployment, or with: ssh " +
			sshTarget(h.Address) + " " + o.asking.restartCommand(h) +
			"; with the input \"allow-down\" the operation status reports and passes"
	case gitServerFailed(cause):
		return "see git's words above: its server was busy or did not answer, or the host can't reach it; run this " +
			"workflow again once it does"
	case errors.As(cause, &no):
		return o.place(h).Remedy(no.Code)
	}
	var shell *host.ShellError
	var https *httpsError
	if errors.As(cause, &shell) || errors.As(cause, &https) ||
		s.name == "connect" || s.name == "read" || s.name == "resolve" || s.name == "env-from" ||
		s.name == "detect" && !host.Lost(cause) { // their errors carry the remedy
		return "put right what is named above and run this workflow again"
	}
	return "run this workflow again; it finds out what is there and goes on"
}

// topic is the section of the documents that says more about a failure.
func (o *outcomes) topic(s step, cause error) outcome.Topic {
	var (
		no       *host.Error
		order    *state.OrderError
		none     *state.ChoiceError
		down     *downError
		shell    *host.ShellError
		https    *httpsError
		auth     *remote.AuthError
		hostKey  *remote.HostKeyError
		door     *host.DoorError
		ofScript outcome.Topic
	)
	if errors.As(cause, &no) {
		ofScript = outcome.TopicOf(no.Code)
	}
	switch {
	case errors.Is(cause, context.Canceled), errors.As(cause, &order):
		return outcome.TopicOtherRun
	case errors.Is(cause, errTimeout) || errors.Is(cause, errDeadline):
		return outcome.TopicTime
	case errors.As(cause, &none):
		return outcome.TopicRollback
	case errors.As(cause, &down):
		return outcome.TopicDown
	case errors.As(cause, &https):
		return outcome.TopicHTTPS
	case errors.As(cause, &hostKey):
		return outcome.TopicHostKey
	case errors.As(cause, &auth):
		return outcome.TopicKey
	case errors.As(cause, &shell):
		return outcome.TopicLogin
	case errors.As(cause, &door):
		return outcome.TopicDoor
	case s.name == "connect":
		return outcome.TopicNoAnswer
	case errors.Is(cause, host.ErrGone), host.Lost(cause), errors.Is(cause, errRestarted):
		return outcome.TopicLost
	case o.in.Operation == inputs.Remove && ofScript != outcome.TopicOtherRun && s.name != "check":
		return outcome.TopicRemove
	case o.in.Operation == inputs.Maintenance && ofScript != outcome.TopicOtherRun && s.name != "check":
		return outcome.TopicMaintenance
	case ofScript != "":
		return ofScript
	}
	return cmp.Or(topicOfStep[s.name], outcome.TopicTexts)
}

// topicOfStep is for what a step's own check or this side finds.
var topicOfStep = map[string]outcome.Topic{
	"env-from":    outcome.TopicAWS,
	"find":        outcome.TopicInputs,
	"targets":     outcome.TopicBalancer,
	"balancer":    outcome.TopicBalancer,
	"gate":        outcome.TopicBalancer,
	"templates":   outcome.TopicImage,
	"read":        outcome.TopicWorkspace,
	"fetch":       outcome.TopicWorkspace, // git's own failures have an exit code
	"lock":        outcome.TopicHost,
	"check":       outcome.TopicHost,
	"install":     outcome.TopicHost,
	"detect":      outcome.TopicRuns,
	"adopt":       outcome.TopicRuns,
	"resolve":     outcome.TopicS3,
	"assets":      outcome.TopicS3,
	"setup":       outcome.TopicRights,
	"site":        outcome.TopicRights,
	"choose":      outcome.TopicRollback,
	"agree":       outcome.TopicRollback,
	"settle":      outcome.TopicWorkers,
	"workers":     outcome.TopicWorkers,
	"build":       outcome.TopicBuild,
	"certificate": outcome.TopicCertificate,
	"start":       outcome.TopicInPlace,
	"replace":     outcome.TopicInPlace,
	"logs":        outcome.TopicRun,
}

// place is what a remedy names of this run.
func (o *outcomes) place(h *target) outcome.Place {
	return outcome.Place{
		SSH: sshTarget(h.Address), Path: o.in.Path, Flags: o.flagDir(), Repository: o.in.Repository,
		LogPort: cmp.Or(h.tried, h.Idle.Port), Rollback: o.op.live && !o.op.makes, Again: o.op.again,
	}
}

func sshTarget(h remote.Host) string {
	if h.Port == 22 {
		return h.User + "@" + h.Name
	}
	return fmt.Sprintf("-p %d %s@%s", h.Port, h.User, h.Name)
}

// bringThere is how the others get the release, too. A rollback that names none goes back by one more
// each time.
func (o *outcomes) bringThere() string {
	run := o.in.Run
	switch {
	case !o.op.makes:
		return fmt.Sprintf("run the operation rollback again with the input \"release\": %s; hosts that serve it are "+
			"left as they are", o.release())
	case run.URL() == "":
		return "run this again; hosts that serve it are left as they are"
	}
	return fmt.Sprintf("once this run is over, and unless a newer one is live by then: gh run rerun %s --repo %s; "+
		"hosts that serve it are left as they are", run.ID, run.Repository)
}
