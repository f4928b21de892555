package deploy

import (
	"context"
	"fmt"
	"time"
)

func (d *Deployment) takeLock(ctx context.Context, h *target) (string, error) {
	taken, err := h.TakeLock(ctx, d.in.Run.Actor+" "+d.in.Run.URL(), d.in.LockTimeout)
	if err == nil && taken.Open {
		d.rep.Warn("Deploy root of "+h.Address.Name, fmt.Sprintf("everybody on %s may read %s, and it stays so "+
			"since nginx's configuration names files in it: give it to nginx's group, "+
			"sudo chgrp www-data %[2]s && sudo chmod 0750 %[2]s", h.Address, d.in.Path))
	}
	if err == nil && !d.sendsNothing(h) {
		h.PrepareFiles()
	}
	if err == nil && taken.Waited >= time.Second {
		return fmt.Sprintf("held, after waiting %s", taken.Waited.Round(time.Second)), nil
	}
	return "held", err
}

func unlock(ctx context.Context, h *target) (string, error) { return "released", h.Unlock(ctx) }
