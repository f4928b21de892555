package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) beforeStart(ctx context.Context, h *target) (string, error) {
	return d.hookOn(ctx, h, d.in.BeforeStartOn, "before-start", d.in.BeforeStart)
}

func (d *Deployment) afterSwitch(ctx context.Context, h *target) (string, error) {
	return d.hookOn(ctx, h, d.in.AfterSwitchOn, "after-switch", d.in.AfterSwitch)
}

// hookOn runs a command on the first of the hosts that it is for, or on all.
func (d *Deployment) hookOn(ctx context.Context, h *target, on inputs.On, name, command string) (string, error) {
	if on == inputs.OnFirst && h != d.first {
		return "left to " + d.first.Address.Name, nil
	}
	return d.hook(ctx, h, name, command)
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
