package deploy

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// target is one host of the deployment, and what the run has learnt about it. Only its own step at
// a time writes to it.
type target struct {
	*host.Host
	bootID    string // another one after each start of the host; as detection found it
	app       scripts.App
	systemd   bool
	recipeKey string // by which this host tells recipes; empty before its first deployment
	memoryMB  int    // free; 0 where nobody has asked
	warned    []string
	coming    string        // packages that are missing, and that a deployment would install
	seen      [2]state.Slot // as detection found them
	answer    *answer       // of the site, the last time that it was asked
	state.Position

	commit, release string
	assets          []asset
	unchanged       bool
	served          bool   // the release that a rollback has chosen was live before
	ailing          bool   // the active release is the one that was asked for, and not healthy
	pid, starttime  string // of the new process
	logOffset       string

	changed     bool   // something was installed or written in setting up
	reloaded    bool   // this deployment made nginx reload
	undoing     bool   // what was done is being taken back
	route       route  // where requests go now
	routed      bool   // requests may have gone to the new slot at some time
	tried       uint16 // the port of a replacement; it is the active one when the old version was started again there
	resumed     bool   // a replacement was taken back: the release of before was started again
	switchedAt  time.Time
	live        time.Duration // from the run's start to the first proved answer through nginx
	boot        time.Duration // the application's own share of it
	wasDrained  bool          // the old version, and how that went:
	drained     time.Duration
	connections int // open ones that the drain time-out ended
	retired     bool
	history     []state.Past // newest first, this run's own line among them
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

func (h *target) idlePort() string { return fmt.Sprint(h.Idle.Port) }

// values are those that all verbs take, besides what a Host knows itself.
func (d *Deployment) values(h *target) scripts.Values {
	return scripts.Values{
		"app": d.in.App, "path": d.in.Path, "undo": scripts.Yes(h.undoing),
		"ports":         fmt.Sprintf("%d %d", d.in.Ports[0], d.in.Ports[1]),
		"keep_releases": strconv.Itoa(d.in.KeepReleases), "keep": h.keep(),
		"any_host":    d.anyHost(),
		"health_path": d.in.Health.Path, "health_status": strconv.Itoa(d.in.Health.Status),
		"health_body": d.in.Health.Body,
	}
}

// keep names the releases that stay on the host in any case.
func (h *target) keep() string {
	keep := h.release
	if h.Active != nil {
		keep += " " + h.Active.Release
	}
	return keep
}

// warnOnce leaves out what was said of the host before.
func (d *Deployment) warnOnce(h *target, title, text string) {
	if !slices.Contains(h.warned, text) {
		h.warned = append(h.warned, text)
		d.rep.Warn(title, text)
	}
}
