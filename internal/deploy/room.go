package deploy

import (
	"fmt"

	"github.com/clothesme/deploy-action/scripts"
)

// warnOfRoom says that older releases had to go for a new one.
func (r *run) warnOfRoom(h *target, res *scripts.Results) {
	if res.Has("kept") {
		r.rep.Warn("Disk of "+h.Address.Name, fmt.Sprintf("the disk has no room for %d releases besides a new one: "+
			"all but %d that have served were deleted; a bigger disk has room for more to roll back to",
			r.in.KeepReleases, res.Int("kept")))
	}
}
