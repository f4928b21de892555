package faults

import (
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// fleetSize is how many hosts one run of the fleet suite deploys to, in two batches: the first host,
// then the others.
const fleetSize = 3

// positions are the hosts that a fault comes over, by their numbers.
var positions = [fleetSize]string{"first", "middle", "last"}

// fleetPlace is where the run is when a fault comes: a batch has been switched, and none of its hosts
// has proved itself.
type fleetPlace string

const (
	inPrepare fleetPlace = "prepare" // the new version is started on all hosts
	inBatch1  fleetPlace = "batch 1"
	inBatch2  fleetPlace = "batch 2"
	inRetire  fleetPlace = "retire" // it is proved on all, and the old one not drained yet on any
)

var fleetPlaces = []fleetPlace{inPrepare, inBatch1, inBatch2, inRetire}

// held is what holds the run there: a host, and a step that it is about to begin. That is the host
// the fault comes over where it has a part in the batch.
func (p fleetPlace) held(victim int) (host int, at lab.Place) {
	switch p {
	case inBatch1:
		return 0, lab.Place{Verb: "verify"}
	case inBatch2:
		return max(1, victim), lab.Place{Verb: "verify"}
	case inRetire:
		return victim, lab.Place{Verb: "drain"}
	case inPrepare:
	}
	return victim, lab.Place{Verb: "health"}
}

// inItsBatch tells whether a host is on probation there.
func inItsBatch(p fleetPlace, victim int) bool {
	return p == inBatch1 && victim == 0 || p == inBatch2 && victim > 0
}

// fleetFault is what may come over one host of several.
type fleetFault struct {
	name string
	how  string // it comes, for the report
	says string // what the annotation of a run that fails of it must match
	at   func(p fleetPlace, victim int) bool
	rule string // in words, why it is not everywhere; empty: it is
	host lab.HostOptions
	with map[string]string // inputs of the run
	bad  string            // what the file BROKEN of its release says
	// the run begins, at the place, when it has ended; the last two may be nil, and without come the
	// run is not held
	before, come, lift func(x *fleetTrial) error
	dead               bool  // nobody hears what the run says
	down               bool  // the host's own users go without answers
	telling            []int // numbers of places, one for each position, that every test run takes; -1: none
}

func onlyIn(one fleetPlace) func(fleetPlace, int) bool {
	return func(p fleetPlace, _ int) bool { return p == one }
}

func everywhere(fleetPlace, int) bool { return true }

const ailment = "/home/ubuntu/bad"

// onVictim is a fault that a script on the host makes, as root.
func onVictim(script string) func(x *fleetTrial) error {
	return func(x *fleetTrial) error {
		_, err := x.hosts[x.victim].Host.Exec(x.ctx, "set -e; root=/home/ubuntu/shop\n"+script)
		return err
	}
}

// otherRun is what another deployment does that gets a host's lock: it waits for it, this run loses it,
// what this one has at work there is ended, and its own name stands in the lock. It goes on until it is
// lifted.
const otherRun = `cd $root; rm -f /tmp/other-run
	setsid runuser -u ubuntu -- bash -c 'echo $$ >/tmp/other-run; exec 9>>.lock; flock 9; echo other-run >.lock
		printf "other-run\nbob https://github.example/runs/5000, since now\n" >.lock.holder; ` +
	`exec sleep 900' >/dev/null 2>&1 </dev/null &
	timeout 60 bash -c 'until pid=$(pgrep -x flock -P "$(</tmp/other-run)") && ` +
	`[[ $(</proc/$pid/stat) == *" (flock) S "* ]]; do sleep 0.05; done' 2>/dev/null # it sleeps for nothing but the lock
	pkill -KILL -fx 'bash -s -- lock' # this host has one run
	timeout 60 bash -c 'until grep -qsx other-run .lock.holder; do sleep 0.05; done'
	if [[ -s .lock.leader ]]; then read -r leader _ <.lock.leader; pkill -KILL -s "$leader" || true; fi`

const otherRunEnds = `cd $root; rm -f .lock.holder; kill "$(cat /tmp/other-run)"`

// theyCut is a network that is away until the run has ended; where that would make the run wait for
// five minutes, for 20 s.
func theyCut(x *fleetTrial) error {
	link := x.hosts[x.victim].link
	link.Cut()
	if x.place == inBatch1 || x.place == inBatch2 {
		return nil
	}
	defer link.Mend()
	select {
	case <-time.After(20 * time.Second):
	case <-x.ctx.Done():
	}
	return x.ctx.Err()
}

func fleetFaults() []fleetFault {
	sick := onVictim("touch " + ailment)
	well := onVictim("rm -f " + ailment)
	return []fleetFault{
		{
			name: "build fails", how: "its build command fails on that host", says: "no wheel for this machine",
			at: onlyIn(inPrepare), rule: "a release is built in prepare",
			with:   map[string]string{"build": "[ ! -e " + ailment + " ] || { echo no wheel for this machine; exit 3; }"},
			before: sick, lift: well,
		},
		{
			name: "never healthy", how: "its /health answers 500 on that host from its start on", says: "answered 500",
			at: onlyIn(inPrepare), rule: "a version is started in prepare",
			with: map[string]string{"health-timeout": "30s"}, bad: "bad-when=" + ailment,
			before: sick, lift: well,
		},
		{
			name: "bad on probation", how: "its /health begins to answer 500 on that host", says: "answered 500",
			at: inItsBatch, rule: "a host is on probation in its own batch", bad: "bad-when=" + ailment,
			come: sick, lift: well,
		},
		{
			name: "runner killed", how: "it dies while that host is about to begin the step", dead: true,
			at:   func(p fleetPlace, victim int) bool { return p == inPrepare || p == inRetire || inItsBatch(p, victim) },
			rule: "only the hosts of a batch have a step to begin in it", telling: []int{-1, 2, -1},
			come: func(x *fleetTrial) error { return x.running.Kill(x.ctx) },
		},
		{
			name: "lock taken", how: "another run has that host's lock from there on, and ends what is at work on it",
			says: "lock", at: everywhere, come: onVictim(otherRun), lift: onVictim(otherRunEnds),
			telling: []int{-1, -1, 1},
		},
		{
			name: "reboot", how: "of that host", says: halt, at: everywhere, down: true, telling: []int{3, -1, -1},
			come: func(x *fleetTrial) error { return x.hosts[x.victim].Host.Restart(x.ctx) },
		},
		{
			name: "disk full", how: "of that host, where its deploy root is", says: "No space|disk", host: small,
			at: everywhere, come: onVictim("dd if=/dev/zero of=$root/full bs=64k status=none 2>/dev/null || test -s " +
				"$root/full"), lift: onVictim("rm -f $root/full"),
		},
		{
			name: "network cut", says: lost,
			how: "nothing gets to that host or comes from it, in a batch until the run has ended, elsewhere for 20 s",
			at:  everywhere, come: theyCut,
			lift: func(x *fleetTrial) error { x.hosts[x.victim].link.Mend(); return nil },
		},
	}
}

// fleetTodo is a fault that is to be tried, on which host, and where.
type fleetTodo struct {
	fault  fleetFault
	victim int
	place  fleetPlace
}

func (x fleetTodo) String() string {
	return fmt.Sprintf("%s, %s host, %s", x.fault.name, positions[x.victim], x.place)
}

// combinations are those that mean something.
func combinations() (all []fleetTodo) {
	for _, f := range fleetFaults() {
		for victim := range positions {
			for _, p := range fleetPlaces {
				if f.at(p, victim) {
					all = append(all, fleetTodo{f, victim, p})
				}
			}
		}
	}
	return all
}

// isTelling tells whether every test run takes it.
func (x fleetTodo) isTelling() bool {
	at := -1
	if x.fault.telling != nil {
		at = x.fault.telling[x.victim]
	}
	return at >= 0 && fleetPlaces[at] == x.place
}
