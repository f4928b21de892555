package e2e

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// How much of the product of faults and places is run.
var (
	faultNames  = flag.String("faults", "", "a regular expression for the names of faults")
	faultPlaces = flag.String("places", "some", "some (the telling ones of each fault, and of every fourth fault one more, others from day to day), all, or part of a place's name")
	faultReport = flag.Bool("report", false, "write docs/reliability.md, from this run and what earlier ones tried besides")
)

// TestFaults holds a deployment at a place, lets a fault come over it under load, and deploys once more: no request may be lost that the
// fault itself did not make impossible, what the run says must be true, and the next one must heal.
func TestFaults(t *testing.T) {
	sieges := map[string]*siege{} // by the host that a fault wants
	wanted := regexp.MustCompile(*faultNames)
	for i, f := range faults() {
		if !wanted.MatchString(f.name) {
			continue
		}
		for _, p := range f.chosen(i) {
			name, host := f.name+", "+p.String(), fmt.Sprint(f.host)
			if sieges[host] == nil {
				sieges[host] = newSiege(t, f.host)
			}
			if !t.Run(name, func(t *testing.T) { sieges[host].try(t, f, p) }) {
				delete(sieges, host) // what a fault broke is not the next one's fault
			}
		}
	}
}

// chosen are the places of a fault that this run takes.
func (f fault) chosen(nth int) []place {
	var all, told, named []place
	for _, p := range places() {
		if f.at != nil && !f.at(p) {
			continue
		}
		all = append(all, p)
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
		if day := time.Now().YearDay(); (day+nth)%4 == 0 {
			return append(told, all[(day+7*nth)%len(all)])
		}
		return told
	}
	return named
}
