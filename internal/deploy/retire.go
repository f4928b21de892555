package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) afterSwitch(ctx context.Context, h *host) (string, error) {
	return d.hook(ctx, h, "after-switch", d.in.AfterSwitch)
}

func (d *Deployment) drain(ctx context.Context, h *host) (string, error) {
	took, left, err := d.drainSlot(ctx, h, h.activePort(), h.idlePort(), d.in.DrainTimeout)
	if err != nil {
		return "", err
	}
	h.drained, h.connections, h.wasDrained = took, left, true
	if left > 0 {
		return fmt.Sprintf("%d connection(s) to port %d were still open after %s", left, h.Active.Port, d.in.DrainTimeout), nil
	}
	return fmt.Sprintf("no connection to port %d is left", h.Active.Port), nil
}

// drainSlot waits for the last requests on a port; where somebody's hand has sent new ones there since the switch, they are sent back first.
func (d *Deployment) drainSlot(ctx context.Context, h *host, port, instead string, limit time.Duration) (took time.Duration, left int, err error) {
	for again := true; ; again = false {
		res, err := d.exec(ctx, h, scripts.Drain, scripts.Values{"port": port, "instead": instead, "drain_timeout": seconds(limit)})
		if err != nil {
			return 0, 0, err
		}
		if res.OneOf("flag", "right", "wrong") == "right" || !again {
			return res.Millis("drain_ms"), res.Int("left"), res.Err()
		}
		d.rep.Warn("Flag of "+h.target.Name, fmt.Sprintf("%s is not as this run left it; it is put right", h.app.FlagDir()))
		if _, err := d.exec(ctx, h, scripts.Switch, scripts.Values{"from": port, "to": instead}); err != nil {
			return 0, 0, err
		}
	}
}

func (d *Deployment) stop(ctx context.Context, h *host) (string, error) {
	if err := d.stopSlot(ctx, h, h.Active.Port, h.idlePort()); err != nil {
		return "", err
	}
	h.retired = true
	return fmt.Sprintf("%s on port %d is stopped", h.Active.version(), h.Active.Port), nil
}

// stopSlot stops what runs on a port, once something listens on the one that serves in its place, if there is one. A flag that a hand has given
// it meanwhile goes first, and the requests that followed it.
func (d *Deployment) stopSlot(ctx context.Context, h *host, port uint16, instead string) error {
	values := scripts.Values{"port": fmt.Sprint(port), "stop_timeout": seconds(d.in.StopTimeout), "instead": instead}
	_, err := d.exec(ctx, h, scripts.Stop, values)
	var no *HostError
	if instead == "" || !errors.As(err, &no) || no.Code != scripts.ExitFlag {
		return err
	}
	if _, _, err := d.drainSlot(ctx, h, fmt.Sprint(port), instead, d.in.DrainTimeout); err != nil {
		return err
	}
	_, err = d.exec(ctx, h, scripts.Stop, values)
	return err
}

// prune also ends a run that failed, or failures in a row would fill the disk.
func (d *Deployment) prune(ctx context.Context, h *host) (string, error) {
	keep := h.release
	if h.Active != nil {
		keep += " " + h.Active.Release
	}
	res, err := d.exec(ctx, h, scripts.Prune, scripts.Values{"keep_releases": fmt.Sprint(d.in.KeepReleases), "keep": keep, "live": yes(h.switched)})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d old release(s) deleted", res.Int("pruned")), res.Err()
}
