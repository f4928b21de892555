// Package outcome is what a run came to, and how that is told: by the action's outputs, the
// summary, and the text of a failure. It knows of a run what it is given.
package outcome

import (
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
)

// Outcome says in one word how a run ended; it is the action's output of that name.
type Outcome string

// The outcomes.
const (
	Deployed   Outcome = "deployed"
	RolledBack Outcome = "rolled-back" // as it was asked for
	Restarted  Outcome = "restarted"   // the active release, with another environment if one was given
	Ran        Outcome = "ran"         // the command of the operation run, with status 0
	SetUp      Outcome = "set-up"      // the host lacked something, and is ready now; nothing was deployed
	// Maintenance has begun or ended, as it was asked for.
	Maintenance Outcome = "maintenance"
	Removed     Outcome = "removed"   // the application is off the host
	Unchanged   Outcome = "unchanged" // the active release was this one already, or nothing was to be changed
	Restored    Outcome = "restored"  // failed after the switch; the old version serves again
	Failed      Outcome = "failed"
	Skipped     Outcome = "skipped" // of a host that was not reachable, and was left out
	Left        Outcome = "left"    // of an instance that AWS took out of service in the course of the run
)

// Result is what a run leaves behind for the steps after it.
type Result struct {
	Outcome   Outcome
	Duration  time.Duration // of the whole run
	Hosts     []HostResult
	Skipped   []string     // hosts that were not reachable, and were left out
	Left      []HostResult // instances that went in the course of the run; little is known of them
	Details   string       // Markdown
	Operation inputs.Operation
	DryRun    bool
	Server    string       // https://github.com or an Enterprise Server's address, whose links the summary may hold
	URL       string       // of the site, as visitors have it
	Actor     string       // who started the run
	Begin     time.Time    // of the run, from where the chart counts
	Timeline  []Span       // in the order in which they ran
	History   []state.Past // of the first host, newest first
}

// HostResult is one host's part of it, as the output hosts gives it. Durations are milliseconds.
type HostResult struct {
	Host            string     `json:"host"`
	InstanceID      string     `json:"instance-id,omitempty"` // of EC2, where it was found by one
	Outcome         Outcome    `json:"outcome"`
	Release         string     `json:"release"`
	Commit          string     `json:"commit"`
	Subject         string     `json:"-"`                    // the first line of its message, of anybody's writing
	CommitURL       string     `json:"commit-url,omitempty"` // its page
	PreviousRelease string     `json:"previous-release"`
	ActivePort      uint16     `json:"active-port"` // the slot that serves now, 0 when not known or none
	PreviousPort    uint16     `json:"previous-port"`
	SwitchedAt      *time.Time `json:"switched-at,omitempty"`
	Batch           int        `json:"batch,omitempty"` // of several, in which it was switched, from 1
	Reloaded        bool       `json:"reloaded"`        // the switch needed a reload of nginx
	Live            int64      `json:"live-ms"`         // from the run's start to the first answer proved through nginx
	Boot            int64      `json:"boot-ms"`         // the application's own part of that
	Drained         int64      `json:"drained-ms"`
	Cut             int        `json:"connections-cut"` // still open when the drain time-out was over
	Maintenance     bool       `json:"maintenance"`     // visitors get the maintenance page, as far as is known
	Serving         string     `json:"-"`               // what answers now, for people
	Retired         string     `json:"-"`               // the version that was stopped
	WasDrained      bool       `json:"-"`               // and that its requests were waited for
}

// InMaintenance stands behind what serves, for people, where visitors get the page in its place.
const InMaintenance = ", and visitors get the maintenance page"

// serves says what answers now, and since when where that is known.
func (h HostResult) serves(since string) string {
	if h.Serving == "" || !h.Maintenance {
		return h.Serving + since
	}
	return h.Serving + since + InMaintenance
}
