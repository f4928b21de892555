package deploy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud/targets"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// target is one host of the deployment, and what the run has learnt about it. Only its own step at
// a time writes to it.
type target struct {
	*host.Host
	unreached *outcome.StepError // why it is left out, of a host that is
	machine   string             // names this boot of this machine, as the lock found it
	bootID    string             // as detection found it: what is known of the host is from then
	app       scripts.App
	systemd   bool
	// what names the certificate that is there, and the files of the one that the site has
	certificate, siteCertificate string

	recipeKey string // by which this host tells recipes; empty before its first deployment
	alike     sync.Once
	isAlike   bool // see Deployment.alike
	memoryMB  int  // free; 0 where nobody has asked
	warned    []string
	// the rules for sudo stood, as check.sh asked last
	rulesStand bool
	groups     map[string]string // by port: its unit's, as lib/process.sh keeps it
	coming     string            // packages that are missing, and that a deployment would install
	seen       [2]state.Slot     // as detection found them
	answer     *answer           // of the site, the last time that it was asked
	state.Position

	commit, release string
	subject         string // of the commit; empty where nobody knows it
	assets          []asset
	registered      []targets.Target // in the groups, as they were before
	targets         []targets.Target // those of them that have to be healthy again
	unchanged       bool
	failed          bool   // the run did on it, or another run has it
	works           bool   // the release has processes beside the one that serves, or jobs
	schedule        string // the timers that detection found set
	lacks           bool   // a rollback goes to a release that is not here, but on other hosts
	served          bool   // the release that a rollback has chosen was live before
	ailing          bool   // the active release is the one that was asked for, and not healthy
	pid, starttime  string // of the new process
	logOffset       string

	exit        int       // with which the command of the operation run has ended
	closedSince time.Time // zero while the site is not in maintenance
	turning     bool      // whether it is, is being changed, or nobody has heard what came of that
	leaving     bool      // its site may be gone: it is removed
	gone        bool      // it is
	changed     bool      // something was installed or written in setting up
	reloaded    bool      // this deployment made nginx reload
	undoing     bool      // what was done is being taken back
	undone      error     // why that failed
	taken       bool      // another run has the deploy lock
	lost        bool      // nobody reaches it any more, and the new version was proved by then
	left        bool      // nobody reaches it any more, and AWS is ending it
	waitedFor   bool      // in vain, when its connection was lost last
	route       route     // where requests go now
	routed      bool      // requests may have gone to the new slot at some time
	tried       uint16    // the port of a replacement; it is the active one when the old version was started again there
	resumed     bool      // a replacement was taken back: the release of before was started again
	switchedAt  time.Time
	live        time.Duration // from the run's start to the first proved answer through nginx
	boot        time.Duration // the application's own share of it
	wasDrained  bool          // the old version, and how that went:
	drained     time.Duration
	connections int  // open ones that the drain time-out ended
	marked      bool // as proved, or it was to be
	retired     bool
	releases    []state.Release // that a rollback may go to; nil before it has asked
	history     []state.Past    // newest first, this run's own line among them
}

// route is where this run has sent requests.
type route int

const (
	routeOld   route = iota // to what served before
	routeMaybe              // it has asked for the new slot, and does not know what came of that
	routeNew                // to the new slot
	routeBack               // to the new slot, and back to what served before
)

func (h *target) activePort() string {
	if h.Active == nil {
		return ""
	}
	return fmt.Sprint(h.Active.Port)
}

// activeRelease is the release that serves, empty for none of ours.
func (h *target) activeRelease() string {
	if h.Active == nil {
		return ""
	}
	return h.Active.Release
}

// servingPort is where what the run has put live serves.
func (h *target) servingPort() string {
	if h.route == routeNew {
		return h.idlePort()
	}
	return h.activePort()
}

// restored tells whether what served before the switch serves again.
func (h *target) restored() bool {
	return h.route == routeBack && (h.Active != nil || h.Outside != nil)
}

func (h *target) idlePort() string { return fmt.Sprint(h.Idle.Port) }

// keep names the releases that stay on the host in any case.
func (h *target) keep(release string) string {
	keep := release
	if h.Active != nil {
		keep += " " + h.Active.Release
	}
	return keep
}

// groupsOf tells verbs what the host has said of a slot's unit, so that they need not ask systemd.
func (h *target) groupsOf(port string) string {
	if h.groups[port] == "" {
		return ""
	}
	return port + " " + h.groups[port]
}

// warnOnce leaves out what was said of the host before.
func (d *Deployment) warnOnce(h *target, title, text string) {
	if !slices.Contains(h.warned, text) {
		h.warned = append(h.warned, text)
		d.rep.Warn(title, text)
	}
}

// tell prints lines of one host's together, so that no other host's come in between, and keeps
// details for the summary. Hosts may be told of at once.
func (d *Deployment) tell(lines []string, details string) {
	d.told.Lock()
	defer d.told.Unlock()
	if len(lines) > 0 {
		d.rep.Info(strings.Join(lines, "\n"))
	}
	d.details += details
}

// answer is what the site said to a request that was made at some moment, as a visitor would make
// it.
type answer struct {
	Right bool
	Said  string // what came, for people
	Port  uint16 // that nginx names, 0 when it names none
	Slots map[uint16]slotAnswer

	Workers []worker // where they are asked for
	Jobs    []job
}

// slotAnswer is what a slot itself said then.
type slotAnswer struct {
	Listens, Right bool
	Uptime         time.Duration // of its main process, 0 when there is none
	Restarts       string        // by systemd, since somebody started it; empty where it is not known
}
