package faults

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// How much of the product of a fleet's faults, hosts and places is run; -again and -for hold for it,
// too, and the latter for the rounds of overlapping runs.
var (
	fleetNames = flag.String("fleet", "", "a regular expression for what is tried of several hosts' faults, such as "+
		"\"reboot, last host, batch 2\"; without one, three of them")
	fleetReport = flag.Bool("fleet-report", false, "write docs/proof/fleet-faults.md, from this run and what earlier "+
		"ones tried with this very image, which is not tried again")
)

// TestFleetFaults holds a deployment to three hosts at a place, lets a fault come over one of them
// under load, and deploys once more: no user of any host may lose a request but those of a host that
// is rebooted, all hosts must serve one release or the run must say what each serves, and the next
// run must heal. As many fleets as the machine bears, or -parallel says, are tried at a time.
func TestFleetFaults(t *testing.T) {
	t.Parallel()
	l := newFleetList(t)
	for n := range min(max(1, world.HostsAtOnce()/fleetSize), len(l.left)) {
		t.Run(fmt.Sprintf("fleet %d", n+1), func(t *testing.T) {
			world.Turn(t)
			fleets := map[string]fleetSiege{} // by what a fault wants its hosts to be
			for next, found := l.next(); found; next, found = l.next() {
				host := fmt.Sprint(next.fault.host)
				if fleets[host] == nil {
					fleets[host] = newFleetSiege(t, next.fault.host)
				}
				if !t.Run(next.String(), func(t *testing.T) { fleets[host].tryFleet(t, next, l.record) }) {
					delete(fleets, host) // what a fault broke is not the next one's fault
				}
			}
		})
	}
}

// fleetList is what a run of the suite is to try, and what was tried before.
type fleetList struct {
	image string
	build string
	begun time.Time
	ended context.Context

	mu   sync.Mutex
	left []fleetTodo
	rows fleetRows
}

func newFleetList(t *testing.T) *fleetList {
	t.Helper()
	l := &fleetList{image: imageID(t), build: world.ActionBuild(t), begun: time.Now(), ended: untilInterrupted(t)}
	if *fleetReport {
		if err := kept(fleetFile, &l.rows); err != nil {
			t.Fatal(err)
		}
	}
	wanted := regexp.MustCompile(*fleetNames)
	for _, todo := range combinations() {
		if *fleetNames == "" && !todo.isTelling() || !wanted.MatchString(todo.String()) {
			continue
		}
		if *faultAgain || !slices.ContainsFunc(l.rows, func(r fleetRow) bool {
			return r.of(todo) && r.Image == l.image && !r.Bad
		}) {
			l.left = append(l.left, todo)
		}
	}
	// What was never tried goes before what was tried with another image.
	tried := func(todo fleetTodo) int {
		if slices.ContainsFunc(l.rows, func(r fleetRow) bool { return r.of(todo) && !r.Bad }) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(l.left, func(a, b fleetTodo) int { return cmp.Compare(tried(a), tried(b)) })
	return l
}

func (l *fleetList) next() (fleetTodo, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left) == 0 || *faultFor > 0 && time.Since(l.begun) > *faultFor || l.ended.Err() != nil {
		return fleetTodo{}, false
	}
	next := l.left[0]
	l.left = l.left[1:]
	return next, true
}

// record keeps a trial, in the place of an earlier one of the same.
func (l *fleetList) record(r fleetRow) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !*fleetReport {
		return nil
	}
	r.Image, r.Build = l.image, l.build
	l.rows = append(slices.DeleteFunc(l.rows, func(old fleetRow) bool {
		return old.Fault == r.Fault && old.Host == r.Host && old.Place == r.Place
	}), r)
	return l.rows.keep()
}

func (r fleetRow) of(x fleetTodo) bool {
	return r.Fault == x.fault.name && r.Host == positions[x.victim] && r.Place == string(x.place)
}

// A sample of every run must be there to be taken, and must not need hosts of its own.
func TestTheFleetsSample(t *testing.T) {
	var sample []string
	for _, todo := range combinations() {
		if todo.isTelling() {
			sample = append(sample, todo.String())
			if fmt.Sprint(todo.fault.host) != fmt.Sprint(lab.HostOptions{}) {
				t.Errorf("%s needs hosts of its own", todo)
			}
		}
	}
	if len(sample) != 3 {
		t.Errorf("the sample is %s", strings.Join(sample, "; "))
	}
}
