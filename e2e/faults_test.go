package e2e

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// faultSet says how much of the product of faults and places is run: `some` in continuous integration, `all`, or the faults whose name has a
// word; faultPlaces the places likewise.
var (
	faultSet    = flag.String("faults", "some", "some, all, or part of a fault's name")
	faultPlaces = flag.String("places", "", "part of a place's name")
)

// TestFaults holds a deployment at a place, lets a fault come over it under load, and deploys once more: no request may be lost that the
// fault itself did not make impossible, what the run says must be true, and the next one must heal.
func TestFaults(t *testing.T) {
	var rows []row
	sieges := map[string]*siege{} // by the host that a fault wants
	for i, f := range faults() {
		for _, p := range f.chosen(i) {
			name, host := f.name+", "+p.String(), fmt.Sprint(f.host)
			if sieges[host] == nil {
				sieges[host] = newSiege(t, f.host)
			}
			if !t.Run(name, func(t *testing.T) { rows = append(rows, sieges[host].try(t, f, p)) }) {
				delete(sieges, host) // what a fault broke is not the next one's fault
			}
		}
	}
}

// chosen are the places of a fault that this run takes: of `some`, the telling ones and one that changes from day to day.
func (f fault) chosen(nth int) []place {
	var all, told []place
	for _, p := range places() {
		if f.at == nil || f.at(p) {
			all = append(all, p)
			if slices.Contains(f.telling, p.String()) {
				told = append(told, p)
			}
		}
	}
	switch {
	case *faultSet == "some":
		return append(told, all[(time.Now().YearDay()+7*nth)%len(all)])
	case *faultSet != "all" && !strings.Contains(f.name, *faultSet):
		return nil
	}
	return slices.DeleteFunc(all, func(p place) bool { return !strings.Contains(p.String(), *faultPlaces) })
}
