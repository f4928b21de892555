package faults

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/world"
)

// How much of the product of faults and places is run.
var (
	faultNames  = flag.String("faults", "", "a regular expression for the names of faults")
	faultPlaces = flag.String("places", "some", "some (the telling ones of every second fault, and of every fourth "+
		"one more, others from day to day), all, or part of a place's name")
	faultReport = flag.Bool("report", false, "write docs/proof/reliability.md, from this run and what earlier ones tried "+
		"besides; what was tried with this very image is not tried again")
	faultAgain = flag.Bool("again", false, "with -report: try that again too")
	faultFor   = flag.Duration("for", 0, "begin no trial after that time: a run of hours may be cut in slices; 0: "+
		"no limit")
)

// TestFaults holds a deployment at a place, lets a fault come over it under load, and deploys once
// more: no request may be lost that the fault itself did not make impossible, what the run says
// must be true, and the next one must heal. As many hosts as the machine bears, or -parallel says,
// are tried at a time, each on its own. Ended with SIGINT, it begins no further trial.
func TestFaults(t *testing.T) {
	t.Parallel()
	l := newList(t)
	for n := range min(world.HostsAtOnce(), len(l.left)) {
		t.Run(fmt.Sprintf("host %d", n+1), func(t *testing.T) {
			world.Turn(t)
			sieges := map[string]*siege{} // by what a fault wants its host to be
			for next, found := l.next(sieges); found; next, found = l.next(sieges) {
				f, p, host := next.fault, next.place, next.fault.kind()
				if sieges[host] == nil && !f.first {
					sieges[host] = newSiege(t, f.host, f.always())
				}
				if !t.Run(f.name+", "+p.String(), func(t *testing.T) {
					s := sieges[host]
					if f.first {
						s = newHost(t, f.host)
					}
					s.try(t, l, f, p)
				}) {
					delete(sieges, host) // what a fault broke is not the next one's fault
				}
			}
		})
	}
}

// chosen are the places of a fault that this run takes.
func (f fault) chosen(nth int) []place {
	var told, named []place
	all := f.anywhere()
	for _, p := range all {
		if slices.Contains(f.telling, p.String()) {
			told = append(told, p)
		}
		if strings.Contains(p.String(), *faultPlaces) {
			named = append(named, p)
		}
	}
	switch *faultPlaces {
	case "all":
		return all
	case "some":
		day := time.Now().YearDay()
		if (day+nth)%4 == 0 {
			told = append(told, all[(day+7*nth)%len(all)])
		}
		if (day+nth)%2 != 0 {
			return nil
		}
		return told
	}
	return named
}

// anywhere are the places where a fault means something.
func (f fault) anywhere() []place {
	return slices.DeleteFunc(places(), func(p place) bool {
		return f.at != nil && !f.at(p) || p.step == "replace" && !f.inPlace || p.sent && !f.sent
	})
}
