// Package state is what a host said, and what that means: its slots, the version that a hand
// started, its releases and its history. All of it is pure; nothing here asks a host, or changes
// one.
package state

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/scripts"
)

// Slot is what the host says about one port of the pair.
type Slot struct {
	Port    uint16
	Flag    bool   // nginx's flag names it
	Enabled bool   // a reboot starts it, and systemd starts it again when it dies
	Listen  string // who listens: none, ours, held or foreign
	Socket  bool   // systemd holds it
	Group   string // of its unit, as lib/process.sh keeps it; empty where nothing of it runs
	Adopted bool   // what listens was started by hand, and an earlier run has found it proved to be the old version
	Process Process
	Claimed string // the other application of this action's that has the port in its pair
	Mine    bool   // the port is of this application's pair from before
	PID     int    // the main process, 0 when there is none
	Release string // what the slot points to, empty when nothing complete
	Commit  string
	Recipe  string
	Proved  bool // the release has served and come through its probation
	By      Past // the run that put it live
	RSSMB   int  // resident memory of the slot's processes, MiB

	Processes string // names of those that the release has beside the one that serves, blank-separated
	Workers   string // of those that run: their release (with "-changing" behind it until all do), and the names
	Timers    string // of the release's jobs, blank-separated
}

// OwnWorkers is what Workers has to be while the slot is the active one.
func (s Slot) OwnWorkers() string {
	if s.Processes == "" {
		return ""
	}
	return s.Release + " " + s.Processes
}

// Runs reports whether anything of ours lives in the slot, or is about to: a unit that crashes at
// boot is down most of the time, and a socket starts it when somebody comes. Where somebody else
// listens the process is theirs.
func (s Slot) Runs() bool {
	return s.PID != 0 && s.Listen != foreign || s.Listen == Ours || s.Enabled || s.Socket
}

// Serves reports whether a release of ours, or an adopted version, listens in the slot.
func (s Slot) Serves() bool { return s.Listen == Ours && (s.Release != "" || s.Adopted) }

// NoRelease stands for the name of what this action has not deployed.
const NoRelease = "no release of ours"

// Version names what the slot has, for people.
func (s Slot) Version() string {
	if s.Adopted {
		return s.Process.version()
	}
	return cmp.Or(s.Release, NoRelease)
}

// Words of port.sh: of who listens, of the include, and of the server block that includes it.
const (
	Ours    = "ours"
	Theirs  = "theirs"
	none    = "none"
	held    = "held" // a socket of ours, and nobody answers
	foreign = "foreign"
	absent  = "absent"
	oneLine = "line"
	other   = "other"
)

// Changing ends a schedule of which a run that was cut off has set a part.
const Changing = "changing"

// Facts is all that detection gathers, by port.sh; Decide says what it means.
type Facts struct {
	App            string
	Slots          [2]Slot
	Include        string   // the nginx include on disk: absent, ours, line (of a hand-written script) or other
	IncludeApp     string   // the other application of this action's whose the include is, empty when there is none
	IncludePath    string   // and its deploy root
	LastRepository string   // whose releases are in the deploy root
	Line           uint16   // the port that the line names, 0 when there is none
	Outside        *Process // who listens there when the port is not one of the pair
	TheirSite      bool     // the server block that includes it is the user's own
	Routed         uint16   // the port nginx itself says it chooses; 0 when our site is not loaded
	Strays         []string // flags of ports outside the pair
	Spare          string   // two ports on which nothing listens, for people; empty where both of the pair can be had
	Repository     string
	ClosedSince    time.Time // visitors get the maintenance page; zero if they do not
	Schedule       string    // the timers that are set, blank-separated; the last word is Changing until all are
	FailedJobs     string    // whose last run failed, for people
	SiteTrial      string    // port and release for which the site was written, until they are proved, and what is kept
}

// ReadFacts takes detection's results apart: of the two ports, and for the repository (owner/name)
// whose clones are the old version's. The error is that of the results.
func ReadFacts(res *scripts.Results, ports [2]uint16, repository string) (Facts, error) {
	f := Facts{
		Include:        res.OneOf("include", absent, Ours, oneLine, other),
		Line:           res.Port("line_port"),
		IncludeApp:     res.Form("include_app", appOr),
		IncludePath:    res.Form("include_path", pathOr),
		LastRepository: res.Form("last_repository", pathOr),
		Schedule:       res.Form("schedule", timersOr),
		FailedJobs:     res.Text("failed_jobs"),
		SiteTrial:      res.Form("site_trial", trialOr),
		TheirSite:      res.OneOf("site", Ours, Theirs) == Theirs,
		Strays:         strings.Fields(res.Text("strays")),
		Repository:     repository,
	}
	if since := res.Form("closed", numberOr); since != "" {
		seconds, _ := strconv.ParseInt(since, 10, 64) // of that form
		f.ClosedSince = time.Unix(seconds, 0)
	}
	routed := res.Text("routed")
	for i, port := range ports {
		if strings.HasPrefix(routed, "http://") && strings.HasSuffix(routed, fmt.Sprintf("_%d", port)) {
			f.Routed = port
		}
		key := func(name string) string { return fmt.Sprintf("%s_%d", name, port) }
		s := Slot{
			Port:    port,
			Flag:    res.Yes(key("flag")),
			Enabled: res.Yes(key("enabled")),
			Adopted: res.Yes(key("adopted")),
			Group:   GroupOr.FindString(res.Text(key("group"))),
			Proved:  res.Yes(key("proved")),
			Listen:  res.OneOf(key("listen"), none, Ours, held, foreign),
			Socket:  res.Yes(key("socket")),
			PID:     res.Int(key("pid")),
			Release: res.Form(key("release"), ReleaseOr),
			RSSMB:   res.Int(key("rss_mb")),
			Claimed: res.Text(key("claimed")),
			Mine:    res.Yes(key("mine")),

			Processes: res.Form(key("processes"), namesOr), Workers: res.Form(key("workers"), namesOr),
			Timers: res.Form(key("timers"), timersOr),
		}
		if s.Release != "" {
			s.Commit, s.Recipe = res.Form(key("commit"), CommitForm), res.Text(key("recipe"))
			s.By = ReadPast(res.Text(key("by")))
		}
		if p := readProcess(res, port); p != nil {
			s.Process = *p
		}
		if s.Adopted {
			s.adopt()
		}
		f.Slots[i] = s
	}
	if res.Has("spare") {
		f.Spare = res.Text("spare")
	}
	if f.Line != 0 && f.Line != ports[0] && f.Line != ports[1] {
		f.Outside = readProcess(res, f.Line)
	}
	return f, res.Err()
}
