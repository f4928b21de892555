package state

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/scripts"
)

// Process is who listens on a port without having been started by us, and what port.sh knows of it.
type Process struct {
	Who     string // pid, user and command line
	Holders string // pid:starttime of all that listen, blank-separated
	Folder  string // where it works
	Clone   string // the clone of the repository in which all of them work, empty when they do not
	Head    string // its commit
	Unit    string // the systemd service that runs it
	App     string // the other application that this action runs there
}

// readProcess returns nil when port.sh says nothing of the port.
func readProcess(res *scripts.Results, port uint16) *Process {
	key := func(name string) string { return fmt.Sprintf("%s_%d", name, port) }
	if !res.Has(key("who")) {
		return nil
	}
	return &Process{
		Who:     res.Text(key("who")),
		Holders: res.Text(key("holders")),
		Folder:  res.Text(key("folder")),
		Clone:   res.Text(key("clone")),
		Head:    res.Text(key("head")),
		Unit:    res.Text(key("unit")),
		App:     res.Text(key("app")),
	}
}

func (p Process) pid() string {
	pid, _, _ := strings.Cut(p.Holders, ":")
	return pid
}

// version is the old version as people know it.
func (p Process) version() string {
	return fmt.Sprintf("the version started by hand (pid %s, %s at %.7s)", p.pid(), p.Clone, p.Head)
}

// unproved says why it can't be told from somebody else's process, or not be stopped for good;
// empty when it is the old version.
func (p Process) unproved(repository string) string {
	switch {
	case p.Clone == "":
		return fmt.Sprintf("it works in %s, which is in no clone of %s of this user's",
			cmp.Or(p.Folder, "an unknown folder"), repository)
	case p.Unit != "":
		return fmt.Sprintf("%s runs it, and would start it again", p.Unit)
	}
	return ""
}

// toEnd says how what is left running is ended for good: a process that a service runs, as
// Docker's do, would be there again after a kill, and what pm2 runs can't be told from others.
func (p Process) toEnd() string {
	if p.Unit != "" {
		return fmt.Sprintf("end it then by what runs it, %s", p.Unit)
	}
	return fmt.Sprintf("end it then, with: kill %s, or by what would start it again, such as pm2", p.pid())
}

// adopt makes what listens in the slot the old version: it serves, and it has proved itself by
// having done so.
func (s *Slot) adopt() {
	s.Listen, s.Adopted, s.Proved = Ours, true, true
	s.Release, s.Commit, s.Recipe = "", s.Process.Head, ""
}

// takeOver reads a host as hand-written scripts left it: the include is their one line. The version
// on the port that it names is adopted if that port is one of the pair and the process proved to be
// the old version; on another port it is left running.
func takeOver(f *Facts, p *Position, include string) error {
	p.Outside = f.Outside
	for i := range f.Slots {
		s := &f.Slots[i]
		if s.Port != f.Line || s.Listen != foreign {
			continue
		}
		if why := s.Process.unproved(f.Repository); why != "" {
			return fmt.Errorf("%s sends requests to port %d, whose process (%s) is not taken over: %s. "+
				"With other ports, such as %q in the input ports, it serves until the switch, and is left running",
				include, s.Port, s.Process.Who, why, cmp.Or(f.Spare, "8090,8091"))
		}
		s.adopt()
		p.Adopt = true
	}
	switch {
	case f.Outside != nil:
		p.Notes = append(p.Notes, fmt.Sprintf("port %d, to which %s sends requests, is not one of the pair: "+
			"its process (%s) serves until the switch, and goes on running after it; %s",
			f.Line, include, f.Outside.Who, f.Outside.toEnd()))
	case f.Line != f.Slots[0].Port && f.Line != f.Slots[1].Port:
		p.Notes = append(p.Notes, fmt.Sprintf("nothing listens on port %d, to which %s sends requests: "+
			"the site is down until this deployment is through", f.Line, include))
	}
	return nil
}

// Clone is where the version works that was started by hand and serves, empty when there is none:
// what it has need not come from elsewhere.
func (p Position) Clone() string {
	switch {
	case p.Active != nil && p.Active.Adopted:
		return p.Active.Process.Clone
	case p.Active == nil && p.Outside != nil:
		return p.Outside.Clone
	}
	return ""
}

// foreignError is about a process on a port that a new version is to have: whatever it is, it is
// not stopped.
func foreignError(s Slot, spare string) error {
	if s.Process.App != "" {
		return fmt.Errorf("port %d is held by the application %s, which this action runs there (%s); "+
			"it is left alone: choose two other ports with the input ports, such as %q",
			s.Port, s.Process.App, s.Process.Who, cmp.Or(spare, "8090,8091"))
	}
	if s.Process.Clone != "" {
		end := fmt.Sprintf("with `kill %s`", s.Process.pid())
		if s.Process.Unit != "" { // which would start it again
			end = "by what runs it, " + s.Process.Unit
		}
		return fmt.Errorf("port %d is held by a version from %s that this action did not start (%s), to which nginx sends "+
			"no requests; it is left alone: if visitors come to that port itself, choose two others with the input ports, "+
			"such as %q; if nobody does, end it, %s, and run this workflow again",
			s.Port, s.Process.Clone, s.Process.Who, cmp.Or(spare, "8090,8091"), end)
	}
	return fmt.Errorf("port %d is held by a process that is not this action's (%s); "+
		"stop it, or choose other ports with the input ports", s.Port, s.Process.Who)
}

// claimedError is about a port that another application has in its pair, though it may be its idle
// one and nothing listen there: sooner or later one of the two would be in the other's way, and its
// visitors with it.
func claimedError(s Slot, spare string) error {
	return fmt.Errorf("port %d belongs to the pair of the application %s, which this action runs on this host: "+
		"choose two other ports with the input ports, such as %q; "+
		"if that application is gone, delete what is left of it: sudo rm -r /var/lib/deploy-action/%[2]s",
		s.Port, s.Claimed, cmp.Or(spare, "8090,8091"))
}

// claimedNote is about two applications that have met already, from before this was refused: each
// goes on while the other is not in its way.
func claimedNote(s Slot, spare string) string {
	return fmt.Sprintf("port %d belongs to the pair of the application %s, too: the two will be in each other's way; "+
		"give one of them two ports of its own with the input ports, such as %q",
		s.Port, s.Claimed, cmp.Or(spare, "8090,8091"))
}
