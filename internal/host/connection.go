package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/remote"
)

// Connect dials, and returns who answered.
func (h *Host) Connect(ctx context.Context) (who string, err error) {
	shell, err := h.dial(ctx, h.Address)
	if err != nil {
		return "", err
	}
	h.shell = shell
	return shell.String(), nil
}

// ErrGone is a host that nobody reached any more.
var ErrGone = errors.New("no connection came about again")

// Disconnected reports whether a step failed by the connection, or by the session in it that holds
// the lock: it may go on over another one.
func (h *Host) Disconnected(err error) bool { return Lost(err) || h.lockGone(err) }

// Reconnect makes a lost connection anew, and with it the lock, which nobody may have had in
// between; still tells whether the host is then as this run left it. It tries until the host
// answers, for limit at most.
func (h *Host) Reconnect(
	parent context.Context, cause error, limit time.Duration, still func(context.Context) error,
) error {
	began := time.Now()
	h.rep.Debug(fmt.Sprintf("connection to %s: %v", h.Address.Name, cause))
	h.rep.WarnNow("Connection to "+h.Address.Name, withoutAddresses(cause)+"; dialling again")
	ctx, cancel := context.WithTimeoutCause(parent, limit, fmt.Errorf("%w within %s", ErrGone, limit))
	defer cancel()
	for pause := time.Second; ; pause = min(2*pause, 10*time.Second) {
		err := h.dialAgain(ctx, still)
		if err == nil {
			took := time.Since(began).Round(100 * time.Millisecond)
			h.rep.Info(fmt.Sprintf("%s: connected again after %s; going on", h.Address.Name, took))
			return nil
		}
		if !passes(err) && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w (last: %w)", cause, context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// withoutAddresses is an error's text without the two ends of a connection, one of which is a port of
// this runner: warnings that differ in nothing else are one, see [report.Report.Hosts].
func withoutAddresses(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), op.Error(), op.Err.Error())
}

// passes tells whether a host that was not reached may be the next time. What is between here and
// AWS, which opens the door and lets keys in, may be what is between here and the host.
func passes(err error) bool {
	var dial *remote.DialError
	var shut *DoorError
	var busy *remote.PassingError
	return errors.As(err, &dial) || errors.As(err, &shut) || errors.As(err, &busy) || Lost(err)
}

func (h *Host) dialAgain(ctx context.Context, still func(context.Context) error) error {
	_ = h.shell.Close()
	h.dropAhead()
	h.dials++
	if _, err := h.Connect(ctx); err != nil {
		return err
	}
	if err := h.resumeLock(ctx); err != nil {
		return err
	}
	return still(ctx)
}

// HangUp ends the connection, and with it the lock.
func (h *Host) HangUp() {
	h.dropAhead()
	if h.lock != nil {
		h.lock.end()
	}
	if h.shell != nil {
		_ = h.shell.Close()
	}
}
