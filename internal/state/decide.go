package state

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Position is what the facts mean: which slot is active, which idle, and what is to be put right.
type Position struct {
	Active    *Slot // nil before the first deployment
	Idle      Slot
	Outside   *Process // serves on a port that is not one of the pair, until the first switch
	TheirSite bool
	Loaded    bool     // nginx has our site loaded
	Adopt     bool     // the active slot's process is to be adopted
	Heal      *Heal    // flags to put right before anything else
	SiteBack  string   // the name under which the site of before is kept, where that is to come back
	Notes     []string // for people
}

// Heal is a correction of the flags that switch.sh makes: From is removed, To is there. With Back,
// a release, it is one that resume.sh makes of a replacement that was cut off: From has the socket,
// To is the other port.
type Heal struct{ From, To, Back string }

// Decide says which slot is active. Flags, sockets, units, the include and nginx's own word are
// weighed together; where they contradict each other in a way that has no safe reading it refuses
// with what it saw (invariant 4). What is in the way is named all at once. Include is the path of
// the file that nginx includes, for people.
func Decide(f *Facts, include string) (Position, error) {
	var obstacles []error
	switch {
	case f.Include == other && f.IncludeApp != "":
		obstacles = append(obstacles, renamedError(f, include))
	case f.Include == other:
		obstacles = append(obstacles, fmt.Errorf("%s exists and was not written for this application; "+
			"choose another file with the input nginx-include", include))
	}
	if len(f.Strays) > 0 {
		obstacles = append(obstacles, strayError(f))
	}
	p := Position{Loaded: f.Routed != 0, TheirSite: f.TheirSite}
	if f.Include == oneLine {
		if err := takeOver(f, &p, include); err != nil {
			obstacles = append(obstacles, err)
		}
	}
	for _, s := range f.Slots {
		named := f.Include == oneLine && s.Port == f.Line // above
		switch {
		case f.IncludeApp != "" && (s.Claimed == f.IncludeApp || s.Process.App == f.IncludeApp):
			// renamedError has said it.
		case s.Claimed != "" && !s.Mine:
			obstacles = append(obstacles, claimedError(s, f.Spare))
		case s.Listen == foreign && !named:
			obstacles = append(obstacles, foreignError(s, f.Spare))
		case s.Claimed != "":
			p.Notes = append(p.Notes, claimedNote(s, f.Spare))
		}
	}
	if len(obstacles) > 0 {
		return Position{}, errors.Join(obstacles...)
	}
	active, err := active(f, &p, include)
	if err != nil {
		return Position{}, err
	}
	active = proved(f, active, &p)
	switch active {
	case -1:
		p.Idle = f.Slots[0]
		if p.Idle.Listen == none && f.Slots[1].Listen == Ours { // left of an application that was half removed
			p.Idle = f.Slots[1]
		}
	default:
		p.Active, p.Idle = &f.Slots[active], f.Slots[1-active]
		switch p.Active.Listen {
		case Ours:
		case held:
			p.Notes = append(p.Notes, fmt.Sprintf("no version answers on the active port %d: requests wait at its "+
				"socket, which systemd holds", p.Active.Port))
		default:
			p.Notes = append(p.Notes, fmt.Sprintf("nothing listens on the active port %d: "+
				"the site is down until this deployment is through", p.Active.Port))
		}
	}
	if p.SiteBack = siteBack(f, &p); p.SiteBack != "" {
		p.Notes = append(p.Notes, "an earlier run was cut off before the release for which it wrote the nginx site had "+
			"proved itself; the site of before comes back")
	}
	return p, nil
}

// siteBack: a site that was written for a release goes when that has not proved itself and another
// one serves, or none. A replacement that was cut off may have brought the old release back to the
// very port.
func siteBack(f *Facts, p *Position) string {
	words := strings.Fields(f.SiteTrial)
	if len(words) != 3 {
		return ""
	}
	resumed := p.Heal != nil && p.Heal.Back != ""
	if p.Active != nil && !resumed && fmt.Sprint(p.Active.Port) == words[0] && p.Active.Release == words[1] {
		return ""
	}
	return words[2]
}

// renamedError is about a file that is another application's: as often as not the same one, whose
// repository got another name.
func renamedError(f *Facts, include string) error {
	return fmt.Errorf("%[1]s is that of the application %[2]s, which this action runs on this host: "+
		"if this is %[2]s under a new name, as when its repository was renamed, "+
		"set the input app to %[2]q and the input path to %[3]q; "+
		"another application needs a file of its own (input nginx-include), "+
		"two ports of its own (input ports, such as %[4]q) and a name for its site (input server-name)",
		include, f.IncludeApp, cmp.Or(f.IncludePath, "its folder"), cmp.Or(f.Spare, "8090,8091"))
}

// strayError names the way from one pair of ports to another: over a pair that has the active port
// and one new one.
func strayError(f *Facts) error {
	if len(f.Strays) > 1 {
		return fmt.Errorf("flags of several ports outside the pair are there (%s); "+
			"delete all but the one of the port that serves", strings.Join(f.Strays, ", "))
	}
	return fmt.Errorf("port %[1]s is active, and not one of the pair; "+
		"to move, deploy once with the input ports set to \"%[1]s,%[2]d\", and from then on with \"%[2]d,%[3]d\"",
		f.Strays[0], f.Slots[0].Port, f.Slots[1].Port)
}

// proved returns the slot that deserves to be active: a run that died before its verify was through
// leaves the flag on a release that has proved nothing, or that has died since, while the one
// before it still serves.
func proved(f *Facts, active int, p *Position) int {
	if active < 0 {
		return active
	}
	flagged, before := f.Slots[active], f.Slots[1-active]
	if flagged.Socket && !flagged.Proved && before.Proved && before.Release != "" {
		return cutOff(f, active, p)
	}
	dead := flagged.Listen != Ours // also while it boots again: it is the other one that nginx turns to
	if !before.Serves() || !before.Proved || (flagged.Proved && !dead) {
		return active
	}
	p.Heal = &Heal{From: fmt.Sprint(flagged.Port), To: fmt.Sprint(before.Port)}
	p.Notes = append(p.Notes, fmt.Sprintf("the flag is on port %d, whose release an earlier run did not see proved "+
		"or that is dead; %s on port %d serves and gets it back",
		flagged.Port, before.Version(), before.Port))
	return 1 - active
}

// BetweenLives tells whether the version that has the flag and has proved itself is down for the moment, and
// another one stands in for it.
func (f *Facts) BetweenLives() bool {
	for i, s := range f.Slots {
		other := f.Slots[1-i]
		if s.Flag && !other.Flag && s.Proved && s.Listen == none && (s.PID != 0 || s.Enabled) &&
			other.Serves() && other.Proved {
			return true
		}
	}
	return false
}

// VisitorsWait tells whether the version that has the flag and has proved itself is down for the moment, and
// requests wait at its socket, as they do whenever such a version ends and is started again.
func (f *Facts) VisitorsWait() bool {
	for i, s := range f.Slots {
		if s.Flag && !f.Slots[1-i].Flag && s.Proved && s.Listen == held && (s.PID != 0 || s.Enabled) {
			return true
		}
	}
	return false
}

// cutOff: of a replacement whose new version an earlier run did not see proved. The old one serves
// still, or does again once it is started, where visitors wait.
func cutOff(f *Facts, active int, p *Position) int {
	flagged, before := &f.Slots[active], f.Slots[1-active]
	p.Heal = &Heal{From: fmt.Sprint(flagged.Port), To: fmt.Sprint(before.Port), Back: before.Release}
	p.Notes = append(p.Notes, fmt.Sprintf("a replacement at port %d was cut off before its release had proved itself; "+
		"%s serves again",
		flagged.Port, before.Release))
	if before.Serves() {
		return 1 - active
	}
	flagged.Listen, flagged.Release, flagged.Commit, flagged.Recipe = Ours, before.Release, before.Commit, before.Recipe
	flagged.Proved, flagged.By, flagged.Processes, flagged.Timers = true, before.By, before.Processes, before.Timers
	return active
}

// active returns the index of the active slot, -1 when there has never been one.
func active(f *Facts, p *Position, include string) (int, error) {
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
		if routed != 0 && routed != f.Slots[i].Port && f.Slots[i].Listen == Ours {
			return 0, elsewhereError(f, f.Slots[i], routed, include)
		}
		return i, nil
	case a.Flag: // both: nginx says which it follows, or the second one; the other when nothing listens there
		i := 1
		if routed == a.Port {
			i = 0
		}
		if f.Include != oneLine && f.Slots[i].Listen != Ours && f.Slots[1-i].Listen == Ours {
			i = 1 - i
		}
		p.Heal = &Heal{From: fmt.Sprint(f.Slots[1-i].Port), To: fmt.Sprint(f.Slots[i].Port)}
		p.Notes = append(p.Notes, fmt.Sprintf("both flags were there; nginx follows port %d, the other flag goes",
			f.Slots[i].Port))
		return i, nil
	}
	return unflagged(f, p)
}

// elsewhereError is about requests that do not go where the flag is, as after the way back to
// scripts that docs/migrating.md shows.
func elsewhereError(f *Facts, flagged Slot, routed uint16, include string) error {
	if f.Include == oneLine {
		return fmt.Errorf("requests go to port %d, by a line that somebody has put into %s, "+
			"and not to %s of this action on port %d, which has the flag: "+
			"to deploy over the former, end the latter first: sudo systemctl disable --now %s@%[4]d; "+
			"sudo rm /var/lib/deploy-action/%[5]s/active/%[4]d; to stay with it, have the line name port %[4]d",
			routed, include, flagged.Version(), flagged.Port, f.App)
	}
	return fmt.Errorf("the flag names port %d, but nginx sends requests to port %d; look at %s",
		flagged.Port, routed, saw(f))
}

// unflagged reads a host without any flag: new, set up by hand, or robbed of it. Nginx then follows
// the include's line or its fall-back, which names the slot that was active when nginx last read
// it.
func unflagged(f *Facts, p *Position) (int, error) {
	found := -1
	for i, s := range f.Slots {
		if f.Include == oneLine && f.Line == s.Port && s.Serves() {
			p.Heal = &Heal{To: fmt.Sprint(s.Port)}
			return i, nil
		}
		if !s.Serves() || f.Include != Ours {
			continue
		}
		if f.Routed == s.Port {
			found = i
			break
		}
		if found >= 0 {
			return 0, fmt.Errorf("no flag is there, both slots run, and nginx names neither; "+
				"create the right one by hand; %s", saw(f))
		}
		found = i
	}
	if found >= 0 {
		p.Heal = &Heal{To: fmt.Sprint(f.Slots[found].Port)}
		p.Notes = append(p.Notes, fmt.Sprintf("the flag was gone; port %d serves, so it gets it back",
			f.Slots[found].Port))
	}
	return found, nil
}

// saw lists the facts for somebody who has to decide in our place.
func saw(f *Facts) string {
	parts := []string{"include " + f.Include, fmt.Sprintf("nginx routes to %d", f.Routed)}
	if f.Include == oneLine {
		parts[0] += fmt.Sprintf(" that names port %d", f.Line)
	}
	for _, s := range f.Slots {
		parts = append(parts, fmt.Sprintf("slot %d: flag %t, listener %s, pid %d, release %q",
			s.Port, s.Flag, s.Listen, s.PID, s.Release))
	}
	return strings.Join(parts, "; ")
}
