package deploy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/remote"
)

// earlier is what a run has left when its locks went back, for the pass over hosts that came since.
type earlier struct {
	hosts  map[remote.Host]*target
	proved time.Time // its release had proved itself by then
}

func (c *choice) leaves() earlier {
	left := earlier{map[remote.Host]*target{}, c.proved}
	for _, h := range c.present() {
		left.hosts[h.Address] = h
	}
	return left
}

// newerError is what another run has put live between a run and the pass over hosts that came since.
type newerError struct {
	hosts string
	last  *state.Slot // that serves now; nil for none
}

func (e *newerError) Error() string {
	if e.last == nil {
		return fmt.Sprintf("another run has changed %s since: no release serves there any more", e.hosts)
	}
	by := e.last.By
	return fmt.Sprintf("another run has changed %s since: %s was put live there at %s, by %s", e.hosts, e.last.Release,
		by.Time.UTC().Format(time.DateTime), strings.TrimSpace(by.Actor+" "+by.Run))
}

// unlessNewer refuses to go on, now that the locks are held again, where another run has changed the
// fleet since the run before gave them back. The order of runs does not tell: a rollback, and what
// somebody has started by hand, may follow any.
func (c *choice) unlessNewer() error {
	if !c.joins {
		return nil
	}
	for _, h := range c.present() {
		h.assets = slices.Clone(c.recipe.assets) // which are known from the run before, and part of a recipe
	}
	changed := slices.DeleteFunc(c.present(), func(h *target) bool { return !c.before.changed(c, h) })
	if len(changed) == 0 {
		return nil
	}
	return &newerError{namesOf(changed), changed[0].Active}
}

// changed tells of a host whether another run has put something else live there since. What a hand has
// changed, and an older version that stands in, is put right as ever.
func (e earlier) changed(c *choice, h *target) bool {
	before := e.hosts[h.Address]
	switch {
	case before == nil: // it came since, with what its image has, or what another run has put there
		return h.Active != nil && !h.Active.By.Time.Before(e.proved.Truncate(time.Second)) && !e.left(c, h)
	case h.Active == nil: // it was removed
		return true
	case h.Active.Release == before.release, h.Active.By.Time.IsZero():
		return false
	}
	return !slices.ContainsFunc(before.seen[:], func(s state.Slot) bool {
		return s.Release == h.Active.Release && s.By.RunID == h.Active.By.RunID && s.By.Time.Equal(h.Active.By.Time)
	})
}

// left tells whether a host that came since serves what the run has left on others.
func (e earlier) left(c *choice, h *target) bool {
	alike := !c.op.makes || h.Active.Recipe == c.recipe.of(h)
	for _, other := range e.hosts {
		if h.Active.Release == other.release || h.Active.Commit == other.commit && alike {
			return true
		}
	}
	return false
}
