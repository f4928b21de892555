package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

func (m *machine) connect(ctx context.Context, h *target) (string, error) {
	who, err := h.Connect(ctx)
	for end := m.now().Add(m.in.ConnectTimeout); m.joins && unreachable(err) && m.now().Before(end); {
		if wait(ctx, m.bootPoll) != nil || m.goes(ctx, h) { // it has just come, and may boot
			break
		}
		who, err = h.Connect(ctx)
	}
	if err != nil && ctx.Err() == nil && unreachable(err) && m.goes(ctx, h) {
		return "", fmt.Errorf("%w: %w", errLeft, err)
	}
	if err != nil && m.roster.spare() > 0 && unreachable(err) {
		h.unreached = &outcome.StepError{Step: "connect", Host: h.Address, Err: err}
		return "not reachable", nil
	}
	if err != nil {
		return "", err
	}
	if m.in.KeyInsecure {
		m.rep.Warn("Nobody knows who "+h.Address.Name+" is", "the input \"insecure-skip-host-key-check\" is set: "+
			"whoever sits in between can read and change everything of this deployment, its secrets included. "+
			"Pin the host's key once you have compared it there, and remove that input: "+who)
	}
	if h.Address.User == "root" {
		m.rep.Warn("The user of "+h.Address.Name, "the input \"username\" is root: the application runs as root "+
			"there, and whoever takes it over has the host; make a user for it, "+
			"and give that one sudo for the first run")
	}
	var through string
	for _, jump := range m.in.Jumps {
		through += ", through " + jump.Host.String()
	}
	if m.in.ConnectEndpoint != "" {
		through = ", through the Instance Connect Endpoint " + m.in.ConnectEndpoint
		if m.in.ConnectEndpoint == inputs.OwnEndpoint {
			through = ", through the Instance Connect Endpoint of its network"
		}
	}
	return fmt.Sprintf("%s%s, %s", h.Address, through, who), nil
}

// loginsTake is how long it may take until all hosts were tried, so many at a time, and none answered.
func loginsTake(in *inputs.Inputs) time.Duration {
	turns := 1 + (max(1, len(in.Hosts))-1)/host.LoginsAtOnce
	return time.Duration(turns) * in.ConnectTimeout
}

var errRestarted = errors.New("the host was restarted during this run")

// notRestarted makes sure that a host which was reached anew is as this run left it.
func (m *machine) notRestarted(ctx context.Context, h *target) error {
	if h.bootID == "" {
		return nil
	}
	res, err := h.Exec(ctx, scripts.Port, m.detection())
	if err != nil {
		return err
	}
	if boot := res.Text("boot"); res.Err() == nil && boot != h.bootID {
		return errRestarted
	}
	return res.Err()
}

// bootPoll is the pause between two tries to log in to a host that may boot.
const bootPoll = time.Second
