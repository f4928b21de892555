package deploy

import (
	"fmt"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud/s3"
	"github.com/clothesme/deploy-action/internal/cloud/targets"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// target is one host of the deployment, and what the run has learnt about it. Only its own step at
// a time writes to it.
type target struct {
	*host.Host
	state.Position
	found
	chosen
	course
	fate
	alike   sync.Once
	isAlike bool // see source.alike
}

// found is what a host has and runs, as it has said so before anything was changed.
type found struct {
	machine string // names this boot of this machine, as the lock found it
	bootID  string // as detection found it: what is known of the host is from then
	app     scripts.App
	systemd bool
	// what names the certificate that is there, and the files of the one that the site has
	certificate, siteCertificate string

	recipeKey   string            // by which this host tells recipes; empty before its first deployment
	memoryMB    int               // free; 0 where nobody has asked
	rulesStand  bool              // those for sudo, as check.sh asked last
	groups      map[string]string // by port: its unit's, as lib/process.sh keeps it
	coming      string            // packages that are missing, and that a deployment would install
	seen        [2]state.Slot     // as detection found them
	answer      *answer           // of the site, the last time that it was asked
	registered  []targets.Target  // in the groups, as they were before
	targets     []targets.Target  // those of them that have to be healthy again
	schedule    string            // the timers that detection found set
	closedSince time.Time         // zero while the site is not in maintenance
	releases    []state.Release   // that a rollback may go to; nil before it has asked
	history     []state.Past      // newest first, this run's own line among them
}

// chosen is the release that a host is to serve.
type chosen struct {
	commit, release string
	subject         string  // of the commit; empty where nobody knows it
	joins           *string // the id that others have a checkout by; nil before anybody has looked
	assets          []asset
	unchanged       bool
	works           bool // it has processes beside the one that serves, or jobs
	lacks           bool // a rollback goes to it, and it is not here, but on other hosts
	served          bool // a rollback goes to it, and it was live before
	ailing          bool // the active release is the one that was asked for, and not healthy
}

// course is how far a host is on the way to that.
type course struct {
	pid, starttime string // of the new process
	logOffset      string
	changed        bool   // something was installed or written in setting up
	reloaded       bool   // this deployment made nginx reload
	route          route  // where requests go now
	routed         bool   // requests may have gone to the new slot at some time
	tried          uint16 // the port of a replacement; it is the active one when the old version was started again there
	resumed        bool   // a replacement was taken back: the release of before was started again
	undoing        bool   // what was done is being taken back
	turning        bool   // whether it is in maintenance is being changed, or nobody has heard what came of that
	leaving        bool   // its site may be gone: it is removed
	gone           bool   // it is
	exit           int    // with which the command of the operation run has ended
	switchedAt     time.Time
	live           time.Duration // from the run's start to the first proved answer through nginx
	boot           time.Duration // the application's own share of it
	wasDrained     bool          // the old version, and how that went:
	drained        time.Duration
	connections    int  // open ones that the drain time-out ended
	marked         bool // as proved, or it was to be
	retired        bool
}

// fate is what keeps a host from taking part to the end.
type fate struct {
	unreached *outcome.StepError // why it is left out, of a host that is
	failed    bool               // the run did on it, or another run has it
	undone    error              // why what was done could not be taken back
	taken     bool               // another run has the deploy lock
	atWork    bool               // it goes on taking something back, for which this run has no time
	lost      bool               // nobody reaches it any more, and the new version was proved by then
	left      bool               // nobody reaches it any more, and AWS is ending it
	waitedFor bool               // in vain, when its connection was lost last
	warned    []string           // what was said of it
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

// asset is a file that the release needs, as it is in the store now.
type asset struct {
	inputs.Asset
	object s3.Object
	proof  s3.Proof
}

func isUnchanged(h *target) bool { return h.unchanged }

func nothingToAdopt(h *target) bool { return !h.Adopt }

func nothingToHeal(h *target) bool { return h.Heal == nil && h.SiteBack == "" }

func idleIsClear(h *target) bool { return !h.Idle.Runs() }

func nothingToRetire(h *target) bool { return h.unchanged || h.Active == nil || h.retired }

// id names the asset's content.
func (a asset) id() string { return a.object.ID(a.proof) }

func workersSettled(h *target) bool {
	return h.Idle.Workers == "" && (h.Active == nil || h.Active.Workers == h.Active.OwnWorkers())
}

// hasWork tells whether there are workers to be started or ended, or timers to be set or taken away.
func (h *target) hasWork() bool {
	return h.works || h.schedule != "" || h.hasWorkers()
}

// hasWorkers tells whether there are any that a release of before has.
func (h *target) hasWorkers() bool {
	return h.Idle.Workers != "" || h.Active != nil && (h.Active.Workers != "" || h.Active.Processes != "")
}
