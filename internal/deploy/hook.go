package deploy

import (
	"context"
	"fmt"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

func (s *slots) beforeStart(ctx context.Context, h *target) (string, error) {
	return s.hookOn(ctx, h, s.in.BeforeStartOn, "before-start", s.in.BeforeStart)
}

func (s *slots) afterSwitch(ctx context.Context, h *target) (string, error) {
	return s.hookOn(ctx, h, s.in.AfterSwitchOn, "after-switch", s.in.AfterSwitch)
}

// hookOn runs a command on the first of the hosts that it is for, or on all.
func (s *slots) hookOn(ctx context.Context, h *target, on inputs.On, name, command string) (string, error) {
	if on == inputs.OnFirst && h != s.first {
		return "left to " + s.first.Address.Name, nil
	}
	return s.hook(ctx, h, name, command)
}

func (s *slots) hook(ctx context.Context, h *target, name, command string) (string, error) {
	res, err := h.Exec(ctx, scripts.Hook, scripts.Values{
		"release": h.release, "port": h.idlePort(), "name": name, "command": command,
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the command succeeded after %s", res.Millis("hook_ms")), res.Err()
}
