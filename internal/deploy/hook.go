package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) beforeStart(ctx context.Context, h *target) (string, error) {
	return d.hook(ctx, h, "before-start", d.in.BeforeStart)
}

func (d *Deployment) hook(ctx context.Context, h *target, name, command string) (string, error) {
	res, err := h.Exec(ctx, scripts.Hook, scripts.Values{
		"release": h.release, "port": h.idlePort(), "name": name, "command": command,
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the command succeeded after %s", res.Millis("hook_ms")), res.Err()
}

func (d *Deployment) afterSwitch(ctx context.Context, h *target) (string, error) {
	return d.hook(ctx, h, "after-switch", d.in.AfterSwitch)
}
