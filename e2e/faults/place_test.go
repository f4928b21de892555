package faults

import "github.com/clothesme/deploy-action/e2e/lab"

// stage is what a fault's place means for the people who use the site.
type stage int

const (
	preparing stage = iota // the old version serves
	switching              // the rename
	probation              // the new version serves, and can be taken back
	retiring               // it has proved itself
	stages
)

func (s stage) String() string {
	return [...]string{"before the switch", "at the switch", "on probation", "retiring"}[s]
}

// place is where a deployment is when the fault comes.
type place struct {
	step   string
	stage  stage
	inside bool // the step is at work; else the one before it has just ended
	sent   bool // it is passed when the release comes from the runner's workspace
	left   bool // it is passed when a version that a cut-off run left is still up on the idle slot
	held   lab.Place
}

func (p place) String() string {
	switch {
	case p == after:
		return "after the run"
	case p.inside:
		return "inside " + p.step
	}
	return "before " + p.step
}

// after is the place that every deployment reaches by itself.
var after = place{step: "end", stage: retiring}

// places are all that a deployment over a running version passes, in order. Inside a step means:
// its work, or the first part of it, is done and its first word not said; of a hook, that its
// command runs.
func places() []place {
	var all []place
	for _, s := range []struct {
		step  string
		stage stage
		held  lab.Place
	}{
		{"lock", preparing, lab.Place{Verb: "lock"}},
		{"check", preparing, lab.Place{Verb: "check"}},
		{"detect", preparing, lab.Place{Verb: "port"}},
		{"setup", preparing, lab.Place{Verb: "setup"}},
		{"clear", preparing, lab.Place{Verb: "drain"}},
		{"fetch", preparing, lab.Place{Verb: "fetch"}},
		{"offer", preparing, lab.Place{Verb: "offer"}}, // these two in place of fetch, from a workspace
		{"receive", preparing, lab.Place{Verb: "receive"}},
		{"build", preparing, lab.Place{Verb: "build"}},
		{"assets", preparing, lab.Place{Verb: "assets"}},
		{"before-start", preparing, lab.Place{Verb: "hook"}},
		{"start", preparing, lab.Place{Verb: "start"}},
		{"health", preparing, lab.Place{Verb: "health"}},
		{"site", switching, lab.Place{Verb: "site"}},
		{"switch", switching, lab.Place{Verb: "switch"}},
		// start, health, switch, drain and stop at once, with the strategy in-place
		{"replace", switching, lab.Place{Verb: "replace"}},
		{"verify", probation, lab.Place{Verb: "verify"}},
		{"workers", probation, lab.Place{Verb: "workers"}},
		{"mark", probation, lab.Place{Verb: "mark"}},
		{"after-switch", retiring, lab.Place{Verb: "hook", Nth: 1}},
		{"drain", retiring, lab.Place{Verb: "drain"}},
		{"stop", retiring, lab.Place{Verb: "stop"}},
		{"prune", retiring, lab.Place{Verb: "prune"}},
		{"record", retiring, lab.Place{Verb: "record"}},
	} {
		inside := lab.Place{Verb: s.held.Verb, Nth: s.held.Nth, Inside: true}
		switch s.step {
		case "before-start", "after-switch":
			inside = lab.Place{Verb: s.step, Inside: true}
		case "clear":
			inside = lab.Place{Verb: "stop", Inside: true}
		}
		sent, left := s.step == "offer" || s.step == "receive", s.step == "clear"
		all = append(all, place{s.step, s.stage, false, sent, left, s.held},
			place{s.step, s.stage, true, sent, left, inside})
	}
	return append(all, after)
}

// from and until cut places short: the first is where a step begins, the second before it does.
func from(step string) func(place) bool {
	return func(p place) bool { return index(p.step) >= index(step) }
}

func until(step string) func(place) bool {
	return func(p place) bool { return index(p.step) < index(step) }
}

func index(step string) int {
	all := places()
	for i, p := range all {
		if p.step == step {
			return i
		}
	}
	panic("no step " + step)
}
