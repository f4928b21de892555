package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// inPlace puts the new version in the place of the old one, on hosts that have no room for both.
type inPlace struct {
	*run
	recipe  *recipe
	site    *site
	slots   *slots
	workers *workers
}

// canReplace refuses the strategy in-place where the old version could not be had back.
func (i *inPlace) canReplace(h *target) error {
	if i.in.Strategy != inputs.InPlace || !i.op.live {
		return nil
	}
	if !h.systemd {
		return errors.New("the strategy \"in-place\" needs systemd, which holds the socket at which visitors wait: " +
			"set the input strategy to \"blue-green\"")
	}
	if h.Outside != nil || h.Active != nil && (h.Adopt || h.Active.Adopted) {
		return errors.New("the version that runs was started by hand, and could not be started again if the new one " +
			"is bad: " +
			"deploy once with the strategy \"blue-green\", and from then on with \"in-place\"")
	}
	return nil
}

// replace is start, health, switch, drain and stop at once, for hosts that bear one version at a
// time. The host goes through it by itself, and back to the old version when the new one is bad,
// whatever becomes of this run.
func (i *inPlace) replace(ctx context.Context, h *target) (string, error) {
	i.saveRelease(h, h.release)
	if err := i.site.putSite(ctx, h, h.trial()); err != nil {
		return "", err
	}
	h.route, h.routed, h.tried = routeMaybe, true, h.Idle.Port
	h.resumed = false // by a first try, whose connection was lost
	values := i.replacing(h.idlePort(), h.activePort(), "")
	values["release"], values["environment"] = h.release, i.recipe.renewed()
	if h.Active != nil {
		values["back"] = h.Active.Release
	}
	res, err := h.Exec(ctx, scripts.Replace, values)
	if err == nil || res.Has("switched_at") {
		h.switchedAt = time.UnixMilli(res.Millis("switched_at").Milliseconds())
	}
	if err != nil && res.Has("serves") {
		h.route, h.resumed = routeBack, true
		h.servesOn(res.Port("serves"))
	}
	if err != nil {
		return "", err
	}
	h.route = routeNew
	h.pid, h.starttime = res.Form("pid", state.NumberForm), res.Form("starttime", state.NumberForm)
	h.logOffset = res.Form("log_offset", state.NumberForm)
	h.boot = res.Millis("boot_ms")
	if h.Active == nil {
		return fmt.Sprintf("pid %s answers right at the socket of port %s", h.pid, h.idlePort()), res.Err()
	}
	left := drained{
		took: res.Millis("drain_ms"), connections: res.Int("left"),
		hand: res.OneOf("hand", "unknown", "busy", "idle"),
	}
	h.drained, h.connections, h.wasDrained, h.retired = left.took, left.connections, true, true
	return fmt.Sprintf("%s was stopped (%s), and pid %s answers right at the socket of port %s", h.Active.Version(),
		left.text(h.Active.Port, i.in.DrainTimeout), h.pid, h.idlePort()), res.Err()
}

// replacing are the values of a replacement: the port with the socket, the other one, and what to
// go back to.
func (i *inPlace) replacing(port, from, back string) scripts.Values {
	return scripts.Values{
		"port": port, "from": from, "back": back, "drain_timeout": scripts.Seconds(i.in.DrainTimeout),
		"stop_timeout": scripts.Seconds(i.in.StopTimeout), "verify_host": i.site.verifyHost(),
		"health_host": i.in.Health.Host, "health_timeout": scripts.Seconds(i.in.Health.Timeout),
	}
}

// resume has the version before serve again. The host goes on with that when this run can't wait for
// it: cut off, neither version would serve until the next run.
func (i *inPlace) resume(ctx context.Context, h *target, port, from, back string) (*scripts.Results, error) {
	ctx, cancel := lasting(ctx)
	defer cancel()
	return h.Exec(ctx, scripts.Resume, i.replacing(port, from, back))
}

// replaceBack is replace's undo.
func (i *inPlace) replaceBack(ctx context.Context, h *target) error {
	switch {
	case h.resumed: // by the host itself, or a moment ago
	case h.Active == nil:
		res, err := h.Exec(ctx, scripts.Switch, scripts.Values{"from": h.idlePort(), "to": ""})
		if err != nil {
			return err
		}
		if res.OneOf("switched", "yes", "already") == "yes" || h.route == routeNew {
			h.route = routeBack
		} else {
			h.route = routeOld
		}
	default:
		res, err := i.resume(ctx, h, h.idlePort(), h.activePort(), h.Active.Release)
		if err != nil && res.Has("started") {
			h.route = routeMaybe // the new version may be gone, and the old one is not well
		}
		if err != nil {
			return err
		}
		switched, serves := res.OneOf("switched", "yes", "already") == "yes", res.Port("serves")
		if err := res.Err(); err != nil {
			return err
		}
		switch {
		case switched, !h.switchedAt.IsZero(), serves != h.Active.Port:
			h.route = routeBack
		case h.route == routeMaybe: // it was refused before anything was stopped
			h.route = routeOld
		}
		h.servesOn(serves)
		h.resumed = true
	}
	h.retired = false
	if _, err := h.Exec(ctx, scripts.Restore, scripts.Values{"release": i.site.keepAs(h)}); err != nil {
		return err
	}
	if h.Active == nil {
		return i.slots.stopSlot(ctx, h, h.idlePort(), "")
	}
	if h.hasWork() { // the release may serve on another port now
		return i.workers.putWorkersRight(ctx, h)
	}
	return nil
}

// servesOn: the release that served before does so on this port now.
func (h *target) servesOn(port uint16) {
	if h.Active == nil || port == 0 || port == h.Active.Port {
		return
	}
	active := *h.Active
	active.Port, h.Idle.Port = h.Idle.Port, active.Port
	active.Workers, h.Idle.Workers = h.Idle.Workers, active.Workers // those of a port stay there
	h.Active = &active
}
