package deploy

import (
	"fmt"
	"slices"
	"strings"
)

// batches are the parts of the fleet that get the release one after the other.
type batches struct{ *run }

// of has steps done on one batch of the hosts after the other: the new version has proved
// itself on one before the next gets it, and the old ones can serve again until it has on all.
func (b *batches) of(steps ...step) []step {
	var all []step
	for n := range max(1, len(b.in.Batches)) {
		for _, s := range steps {
			unless := s.unless
			s.unless = func(h *target) bool {
				return h.unchanged || b.batchOf(h) != n || unless != nil && unless(h)
			}
			s.named = len(b.hosts) > 1 && len(b.in.Batches) > 1
			all = append(all, s)
		}
	}
	return all
}

// batchOf is the number of a host's batch, from 0: those that get the release are counted, in their
// order.
func (b *batches) batchOf(h *target) int {
	getIt := slices.DeleteFunc(slices.Clone(b.hosts), isUnchanged)
	place := slices.Index(getIt, h)
	for n, share := range b.in.Batches {
		if place < share.AtLeast(len(getIt)) {
			return n
		}
	}
	return 0
}

// text says how many hosts each batch has when all get the release; nothing where there is one.
func (b *batches) text() string {
	var sizes []string
	before := 0
	for _, share := range b.in.Batches {
		if n := share.AtLeast(len(b.hosts)) - before; n > 0 {
			sizes, before = append(sizes, fmt.Sprint(n)), before+n
		}
	}
	if len(sizes) < 2 || !b.op.live {
		return ""
	}
	return fmt.Sprintf(", in %d batches (%s)", len(sizes), strings.Join(sizes, ", "))
}
