package lab

import (
	"context"
	"errors"
	"fmt"
)

// bootQuestion asks systemd, which answers at the end of the boot once there is a bus to ask it on; a
// host usually needs half of this time. It asks on the host: a process of the container engine's for
// each question would take the time that the boot needs.
const bootQuestion = `state=offline
until [[ $state == running || $state == degraded ]] || ((SECONDS >= 3)); do
	state=$(timeout 3 systemctl is-system-running --wait 2>/dev/null) || sleep 0.05
done
printf %s "$state"`

// errInotify: systemd then gets no inotify instance, and stays in "initializing" for ever.
var errInotify = errors.New("this machine has no inotify instance left for one more host, and systemd hangs " +
	"without: raise the " +
	"limit by `sudo sysctl fs.inotify.max_user_instances=8192`, or run fewer hosts at once (a host takes up to 20)")

func (h *Host) booted(ctx context.Context) error {
	if !h.systemd {
		return nil
	}
	state, err := h.lab.engine.run(ctx, "exec", h.container, "bash", "-c", bootQuestion)
	if state == "running" || state == "degraded" {
		return nil
	}
	if err == nil { // it was asked for as long as a boot takes
		err = h.checkInotify(ctx)
	}
	return errors.Join(fmt.Errorf("systemd is %q", state), err)
}

// checkInotify tries what systemd needs. Hosts share the limit with each other and with root's
// processes on this machine.
func (h *Host) checkInotify(ctx context.Context) error {
	const try = "import ctypes, errno; c = ctypes.CDLL(None, use_errno=True); " +
		"print('none left' if c.inotify_init() < 0 and ctypes.get_errno() == errno.EMFILE else 'ok')"
	out, err := h.lab.engine.run(ctx, "exec", h.container, "python3", "-c", try)
	if out == "none left" {
		return errInotify
	}
	return err
}
