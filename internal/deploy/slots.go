package deploy

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/scripts"
)

// slot is what the host says about one port of the pair.
type slot struct {
	Port    uint16
	Flag    bool   // nginx's flag names it
	Enabled bool   // a reboot starts it, and systemd starts it again when it dies
	Listen  string // who listens: none, ours, held or foreign
	Socket  bool   // systemd holds it
	Adopted bool   // what listens was started by hand, and an earlier run has found it proved to be the old version
	Process process
	Claimed string // the other application of this action's that has the port in its pair
	Mine    bool   // the port is of this application's pair from before
	PID     int    // the main process, 0 when there is none
	Release string // what the slot points to, empty when nothing complete
	Commit  string
	Recipe  string
	Proved  bool // the release has served and come through its probation
	By      past // the run that put it live
	RSSMB   int  // resident memory of the slot's processes, MiB
}

// runs reports whether anything of ours lives in the slot, or is about to: a unit that crashes at boot is down most of the time.
func (s slot) runs() bool { return s.PID != 0 || s.Listen == ours || s.Enabled }

// serves reports whether a release of ours, or an adopted version, listens in the slot.
func (s slot) serves() bool { return s.Listen == ours && (s.Release != "" || s.Adopted) }

// noRelease stands for the name of what this action has not deployed.
const noRelease = "no release of ours"

// version names what the slot has, for people.
func (s slot) version() string {
	if s.Adopted {
		return s.Process.version()
	}
	return cmp.Or(s.Release, noRelease)
}

// Words of port.sh.
const (
	none    = "none"
	ours    = "ours"
	held    = "held" // a socket of ours, and nobody answers
	foreign = "foreign"
	absent  = "absent"
	oneLine = "line"
	other   = "other"
	theirs  = "theirs"
)

// facts is all that detection gathers.
type facts struct {
	App            string
	Slots          [2]slot
	Include        string   // the nginx include on disk: absent, ours, line (of a hand-written script) or other
	IncludeApp     string   // the other application of this action's whose the include is, empty when there is none
	IncludePath    string   // and its deploy root
	LastRepository string   // whose releases are in the deploy root
	Line           uint16   // the port that the line names, 0 when there is none
	Outside        *process // who listens there when the port is not one of the pair
	TheirSite      bool     // the server block that includes it is the user's own
	Routed         uint16   // the port nginx itself says it chooses; 0 when our site is not loaded
	Strays         []string // flags of ports outside the pair
	Spare          string   // two ports on which nothing listens, for people; empty where both of the pair can be had
	Repository     string
}

// position is what the facts mean.
type position struct {
	Active    *slot // nil before the first deployment
	Idle      slot
	Outside   *process // serves on a port that is not one of the pair, until the first switch
	TheirSite bool
	Loaded    bool     // nginx has our site loaded
	Adopt     bool     // the active slot's process is to be adopted
	Heal      *heal    // flags to put right before anything else
	Notes     []string // for people
}

// heal is a correction of the flags that switch.sh makes: From is removed, To is there. With Back, a release, it is one that
// resume.sh makes of a replacement that was cut off: From has the socket, To is the other port.
type heal struct{ From, To, Back string }

// readFacts takes detection's results apart.
func readFacts(res *scripts.Results, ports [2]uint16, repository string) (facts, error) {
	f := facts{
		Include: res.OneOf("include", absent, ours, oneLine, other), Line: res.Port("line_port"),
		IncludeApp: res.Form("include_app", appOr), IncludePath: res.Form("include_path", pathOr), LastRepository: res.Form("last_repository", pathOr),
		TheirSite: res.OneOf("site", ours, theirs) == theirs, Strays: strings.Fields(res.Text("strays")), Repository: repository,
	}
	routed := res.Text("routed")
	for i, port := range ports {
		if strings.HasPrefix(routed, "http://") && strings.HasSuffix(routed, fmt.Sprintf("_%d", port)) {
			f.Routed = port
		}
		key := func(name string) string { return fmt.Sprintf("%s_%d", name, port) }
		s := slot{
			Port:    port,
			Flag:    res.Yes(key("flag")),
			Enabled: res.Yes(key("enabled")),
			Adopted: res.Yes(key("adopted")),
			Proved:  res.Yes(key("proved")),
			Listen:  res.OneOf(key("listen"), none, ours, held, foreign),
			Socket:  res.Yes(key("socket")),
			PID:     res.Int(key("pid")),
			Release: res.Form(key("release"), releaseOr),
			RSSMB:   res.Int(key("rss_mb")),
			Claimed: res.Text(key("claimed")),
			Mine:    res.Yes(key("mine")),
		}
		if s.Release != "" {
			s.Commit, s.Recipe = res.Form(key("commit"), commitForm), res.Text(key("recipe"))
			s.By = readPast(res.Text(key("by")))
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

// decide says which slot is active. Flags, sockets, units, the include and nginx's own word are weighed together; where they contradict each
// other in a way that has no safe reading it refuses with what it saw (invariant 4). What is in the way is named all at once.
func decide(f *facts, include string) (position, error) {
	var obstacles []error
	switch {
	case f.Include == other && f.IncludeApp != "":
		obstacles = append(obstacles, renamedError(f, include))
	case f.Include == other:
		obstacles = append(obstacles, fmt.Errorf("%s exists and was not written for this application; choose another file with the input nginx-include", include))
	}
	if len(f.Strays) > 0 {
		obstacles = append(obstacles, strayError(f))
	}
	p := position{Loaded: f.Routed != 0, TheirSite: f.TheirSite}
	if f.Include == oneLine {
		if err := takeOver(f, &p, include); err != nil {
			obstacles = append(obstacles, err)
		}
	}
	for _, s := range f.Slots {
		named := f.Include == oneLine && s.Port == f.Line // above
		switch {
		case f.IncludeApp != "" && (s.Claimed == f.IncludeApp || s.Process.App == f.IncludeApp): // renamedError has said it
		case s.Claimed != "" && !s.Mine:
			obstacles = append(obstacles, claimedError(s, f.Spare))
		case s.Listen == foreign && !named:
			obstacles = append(obstacles, foreignError(s, f.Spare))
		case s.Claimed != "":
			p.Notes = append(p.Notes, claimedNote(s, f.Spare))
		}
	}
	if len(obstacles) > 0 {
		return position{}, errors.Join(obstacles...)
	}
	active, err := active(f, &p, include)
	if err != nil {
		return position{}, err
	}
	active = proved(f, active, &p)
	switch active {
	case -1:
		p.Idle = f.Slots[0]
	default:
		p.Active, p.Idle = &f.Slots[active], f.Slots[1-active]
		if p.Active.Listen != ours {
			p.Notes = append(p.Notes, fmt.Sprintf("nothing listens on the active port %d: the site is down until this deployment is through", p.Active.Port))
		}
	}
	return p, nil
}

// renamedError is about a file that is another application's: as often as not the same one, whose repository got another name.
func renamedError(f *facts, include string) error {
	return fmt.Errorf("%[1]s is that of the application %[2]s, which this action runs on this host: if this is %[2]s under a new name, as when its repository was renamed, set the input app to %[2]q and the input path to %[3]q; "+
		"another application needs a file of its own (input nginx-include), two ports of its own (input ports, such as %[4]q) and a name for its site (input server-name)",
		include, f.IncludeApp, cmp.Or(f.IncludePath, "its folder"), cmp.Or(f.Spare, "8090,8091"))
}

// strayError names the way from one pair of ports to another: over a pair that has the active port and one new one.
func strayError(f *facts) error {
	if len(f.Strays) > 1 {
		return fmt.Errorf("flags of several ports outside the pair are there (%s); delete all but the one of the port that serves", strings.Join(f.Strays, ", "))
	}
	return fmt.Errorf("port %[1]s is active, and not one of the pair; to move, deploy once with the input ports set to \"%[1]s,%[2]d\", and from then on with \"%[2]d,%[3]d\"",
		f.Strays[0], f.Slots[0].Port, f.Slots[1].Port)
}

// proved returns the slot that deserves to be active: a run that died before its verify was through leaves the flag on a release that has
// proved nothing, or that has died since, while the one before it still serves.
func proved(f *facts, active int, p *position) int {
	if active < 0 {
		return active
	}
	flagged, before := f.Slots[active], f.Slots[1-active]
	if flagged.Socket && !flagged.Proved && before.Proved && before.Release != "" {
		return cutOff(f, active, p)
	}
	dead := flagged.Listen != ours && (flagged.PID == 0 || !flagged.Proved)
	if !before.serves() || !before.Proved || (flagged.Proved && !dead) {
		return active
	}
	p.Heal = &heal{From: fmt.Sprint(flagged.Port), To: fmt.Sprint(before.Port)}
	p.Notes = append(p.Notes, fmt.Sprintf("the flag is on port %d, whose release an earlier run did not see proved or that is dead; %s on port %d serves and gets it back",
		flagged.Port, before.version(), before.Port))
	return 1 - active
}

// cutOff: of a replacement whose new version an earlier run did not see proved. The old one serves still, or does again once it is
// started, where visitors wait.
func cutOff(f *facts, active int, p *position) int {
	flagged, before := &f.Slots[active], f.Slots[1-active]
	p.Heal = &heal{From: fmt.Sprint(flagged.Port), To: fmt.Sprint(before.Port), Back: before.Release}
	p.Notes = append(p.Notes, fmt.Sprintf("a replacement at port %d was cut off before its release had proved itself; %s serves again",
		flagged.Port, before.Release))
	if before.serves() {
		return 1 - active
	}
	flagged.Listen, flagged.Release, flagged.Commit, flagged.Recipe = ours, before.Release, before.Commit, before.Recipe
	flagged.Proved, flagged.By = true, before.By
	return active
}

// active returns the index of the active slot, -1 when there has never been one.
func active(f *facts, p *position, include string) (int, error) {
	a, b := f.Slots[0], f.Slots[1]
	routed := f.Routed
	if f.Include == oneLine { // which looks at no flag
		routed = f.Line
	}
	switch {
	case a.Flag != b.Flag:
		i := 0
		if b.Flag {
			i = 1
		}
		if routed != 0 && routed != f.Slots[i].Port && f.Slots[i].Listen == ours {
			return 0, elsewhereError(f, f.Slots[i], routed, include)
		}
		return i, nil
	case a.Flag: // both: the include's last match wins, and the other one when nothing listens there
		i := 1
		if b.Listen != ours && a.Listen == ours || f.Include == oneLine && f.Line == a.Port {
			i = 0
		}
		p.Heal = &heal{From: fmt.Sprint(f.Slots[1-i].Port), To: fmt.Sprint(f.Slots[i].Port)}
		p.Notes = append(p.Notes, fmt.Sprintf("both flags were there; nginx follows port %d, the other flag goes", f.Slots[i].Port))
		return i, nil
	}
	return unflagged(f, p)
}

// elsewhereError is about requests that do not go where the flag is, as after the way back to scripts that docs/migrating.md shows.
func elsewhereError(f *facts, flagged slot, routed uint16, include string) error {
	if f.Include == oneLine {
		return fmt.Errorf("requests go to port %d, by a line that somebody has put into %s, and not to %s of this action on port %d, which has the flag: "+
			"to deploy over the former, end the latter first: sudo systemctl disable --now %s@%[4]d; sudo rm /var/lib/deploy-action/%[5]s/active/%[4]d; to stay with it, have the line name port %[4]d",
			routed, include, flagged.version(), flagged.Port, f.App)
	}
	return fmt.Errorf("the flag names port %d, but nginx sends requests to port %d; look at %s", flagged.Port, routed, saw(f))
}

// unflagged reads a host without any flag: new, set up by hand, or robbed of it. Nginx then follows the include's line or its fall-back, which
// names the slot that was active when nginx last read it.
func unflagged(f *facts, p *position) (int, error) {
	found := -1
	for i, s := range f.Slots {
		if f.Include == oneLine && f.Line == s.Port && s.serves() {
			p.Heal = &heal{To: fmt.Sprint(s.Port)}
			return i, nil
		}
		if !s.serves() || f.Include != ours {
			continue
		}
		if f.Routed == s.Port {
			found = i
			break
		}
		if found >= 0 {
			return 0, fmt.Errorf("no flag is there, both slots run, and nginx names neither; create the right one by hand; %s", saw(f))
		}
		found = i
	}
	if found >= 0 {
		p.Heal = &heal{To: fmt.Sprint(f.Slots[found].Port)}
		p.Notes = append(p.Notes, fmt.Sprintf("the flag was gone; port %d serves, so it gets it back", f.Slots[found].Port))
	}
	return found, nil
}

// saw lists the facts for somebody who has to decide in our place.
func saw(f *facts) string {
	parts := []string{"include " + f.Include, fmt.Sprintf("nginx routes to %d", f.Routed)}
	if f.Include == oneLine {
		parts[0] += fmt.Sprintf(" that names port %d", f.Line)
	}
	for _, s := range f.Slots {
		parts = append(parts, fmt.Sprintf("slot %d: flag %t, listener %s, pid %d, release %q", s.Port, s.Flag, s.Listen, s.PID, s.Release))
	}
	return strings.Join(parts, "; ")
}
