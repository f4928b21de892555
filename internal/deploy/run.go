package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// run is what all parts of a run have in common: what was asked for, the hosts, and how far it is.
type run struct {
	engine
	in      *inputs.Inputs
	op      operation // that the input names
	begin   time.Time
	account *cloud.Account // as whom AWS is asked
	dial    host.Dialer
	token   string              // names the run
	told    sync.Mutex          // guards details
	details string              // Markdown for the summary
	proved  time.Time           // when the new version had proved itself
	untidy  bool                // something is left for the post step
	saved   func(string) string // for Tidy: what the run that was cut off has left
	skipped []*target           // that are left out
	joins   bool                // it is the pass for hosts that came while the run was under way
	joined  []*target           // that such a pass has brought the release
}

// operation is what a run does by what was asked for.
type operation struct {
	success outcome.Outcome // where a host was changed; else it is unchanged
	live    bool            // a release goes live
	makes   bool            // that one is made: else it is on the host already
	again   bool            // it is the one that serves
	needs   bool            // a release that serves must be there
	tools   bool            // what it takes to make one must be there
	asks    bool            // nothing is changed
	history bool            // a failure is written down on the host
}

func (r *run) changes() bool {
	return !r.in.DryRun && r.op.live
}

func (r *run) save(name, value string) {
	if err := r.rep.State(name, value); err != nil {
		r.rep.Debug(err.Error()) // the next deployment tidies too
	}
}

// saveRelease has the post step know which release goes live on a host, and where: one host may have
// it under another id than the others.
func (r *run) saveRelease(h *target, release string) {
	r.save(StateRelease, release)
	r.save(portState(slices.Index(r.in.Hosts, h.Address)), h.idlePort()+" "+release)
}

func portState(host int) string { return fmt.Sprint(StatePort, host) }

// savedOf is what the run that was cut off has saved of a host: the port, and the release that goes
// live there. Where no release stands beside the port, the one that was saved for all hosts counts.
func (r *run) savedOf(h *target) (port, release string) {
	port, release, _ = strings.Cut(r.saved(portState(slices.Index(r.in.Hosts, h.Address))), " ")
	return port, cmp.Or(release, r.saved(StateRelease))
}

func (r *run) sendsNothing(*target) bool {
	return r.in.Source != inputs.Workspace || !r.op.makes
}

// What Run saves for the post step, as it goes.
const (
	StateBegun   = "begun"   // a host may be changed from here on
	StateRelease = "release" // the release that goes live, for hosts that have none beside their port
	StatePort    = "port-"   // and the number of a host: where it does there, and the release by its id there
	StateHosts   = "hosts"   // that were found
	StateEnded   = "ended"   // nothing is left to tidy
)

// takeOn makes targets of the hosts, once they are known.
func (r *run) takeOn() {
	in := r.in
	if len(in.Hosts) > fewHosts {
		r.rep.Hosts(namesOfAll(in.Hosts)...)
	}
	r.toUndo = r.takesBack()
	if in.Strategy == inputs.InPlace { // a batch after the other
		r.toUndo *= time.Duration(max(1, len(in.Batches)))
	}
	for _, address := range in.Hosts {
		h := &target{course: course{undoing: in.Operation == inputs.Tidy}}
		h.Host = host.New(host.Options{
			Address: address, Dial: r.reach, Report: r.rep, Token: r.token,
			Values: func() scripts.Values { return r.values(h) },
			Quiet:  len(r.hosts) > 0 && len(in.Hosts) > fewHosts && r.op.live,
		})
		r.hosts = append(r.hosts, h)
	}
}

func namesOfAll(hosts []remote.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

// takesBack is how long it may take to go back to what served before, by this run's strategy or by
// that of one that was cut off: both slots may have to be drained, workers of both to end, and a
// version that was stopped has to boot again.
func (r *run) takesBack() time.Duration {
	return 2*r.in.DrainTimeout + 3*r.in.StopTimeout + r.in.Health.Timeout + time.Minute
}

func (r *run) isAlone(*target) bool { return len(r.hosts) == 1 }

// values are those that all verbs take, besides what a Host knows itself.
func (r *run) values(h *target) scripts.Values {
	return scripts.Values{
		"app": r.in.App, "path": r.in.Path, "undo": scripts.Yes(h.undoing),
		"ports":         fmt.Sprintf("%d %d", r.in.Ports[0], r.in.Ports[1]),
		"processes":     r.processNames(),
		"keep_releases": strconv.Itoa(r.in.KeepReleases), "keep": h.keep(h.release),
		"any_host":    r.anyHost(),
		"health_path": r.in.Health.Path, "health_status": strconv.Itoa(r.in.Health.Status),
		"health_body": r.in.Health.Body,
	}
}

// reconnectFor is as long as a reboot or a change of the network may take; more often than not the
// host is then gone for good.
const reconnectFor = 5 * time.Minute

// reach dials a host, and hangs up when it is too late to wait for it: what it was asked then ends.
func (r *run) reach(ctx context.Context, at remote.Host) (host.Shell, error) {
	shell, err := r.dial(ctx, at)
	if err == nil {
		context.AfterFunc(r.notice.late, func() { _ = shell.Close() })
	}
	return shell, err
}

// warnOnce leaves out what was said of the host before.
func (r *run) warnOnce(h *target, title, text string) {
	if !slices.Contains(h.warned, text) {
		h.warned = append(h.warned, text)
		r.rep.Warn(title, text)
	}
}

// tell prints lines of one host's together, so that no other host's come in between, and keeps
// details for the summary. Hosts may be told of at once.
func (r *run) tell(lines []string, details string) {
	r.told.Lock()
	defer r.told.Unlock()
	if len(lines) > 0 {
		r.rep.Info(strings.Join(lines, "\n"))
	}
	r.details += details
}

func (r *run) flagDir() string { return scripts.App{Name: r.in.App}.FlagDir() }

// finder is the host that finds out: one that serves the newest release, since others may get that
// from a run that the first hosts have no part in.
func (r *run) finder() *target {
	newest := r.first
	for _, h := range r.present() {
		if h.activeRelease() > newest.activeRelease() {
			newest = h
		}
	}
	return newest
}

// staying are the hosts that have not left, whatever else has become of them.
func (r *run) staying() []*target {
	return slices.DeleteFunc(slices.Clone(r.hosts), func(h *target) bool { return h.left })
}

// stamp begins the ids of this run's releases.
func (r *run) stamp() string { return stampOf(r.begin) }

// stampOf is another one in tests, whose clock begins before the releases that they have.
var stampOf = func(begin time.Time) string { return begin.UTC().Format("20060102T150405Z") }

// release is the one that this run has put live.
func (r *run) release() string { return r.present()[0].release }

// carries tells whether the host is the one that starts the jobs: the first that takes part. The
// post step, which may not get to all of several, leaves that as it is.
func (r *run) carries(h *target) bool {
	if r.in.Operation == inputs.Tidy {
		return h.schedule != "" || len(r.in.Hosts) == 1
	}
	return len(r.hosts) < 2 || h == r.staying()[0]
}

// anyHost is a name that nobody has: by it a site that answers for any is asked for, where another
// one has the name it is asked for first. Such is localhost, which the package of nginx.org gives
// to its welcome page.
func (r *run) anyHost() string {
	if r.in.ServerName == "_" {
		return r.in.App + ".invalid"
	}
	return ""
}

// processNames are those that the sudoers rules are for: what a Procfile names is not known before
// the release is there.
func (r *run) processNames() string {
	names := make([]string, len(r.in.Processes))
	for i, p := range r.in.Processes {
		names[i] = p.Name
	}
	return strings.Join(names, " ")
}
