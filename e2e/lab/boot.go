package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// bootQuestion is how long one question may wait for the boot's end; a host usually needs half of
// it.
const bootQuestion = 3 * time.Second

// errInotify: systemd then gets no inotify instance, and stays in "initializing" for ever.
var errInotify = errors.New("this machine has no inotify instance left for one more host, and systemd hangs " +
	"without: raise the " +
	"limit by `sudo sysctl fs.inotify.max_user_instances=8192`, or run fewer hosts at once (a host takes up to 20)")

// booted asks systemd, which answers at the end of the boot once there is a bus to ask it on.
func (h *Host) booted(ctx context.Context) error {
	if !h.systemd {
		return nil
	}
	question, cancel := context.WithTimeout(ctx, bootQuestion)
	defer cancel()
	state, err := h.lab.engine.run(question, "exec", h.container, "systemctl", "is-system-running", "--wait")
	if state == "running" || state == "degraded" {
		return nil
	}
	if question.Err() != nil {
		err = errors.Join(err, h.checkInotify(ctx))
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
