package lab

import (
	"context"
	_ "embed"
	"fmt"
)

// Place is where a run can be held on a host: a verb, as the process list there has it.
type Place struct {
	Verb   string
	Nth    int  // of the runs of that verb in one deployment, from 0
	Inside bool // about to say its first result; else its turn has come, and nothing of it is done
}

// HoldScript is what a hook calls, by its own name, to be a place: Place{Verb: name, Inside: true}.
const HoldScript = "/usr/local/lib/lab/hold.sh"

//go:embed hold.sh
var holdText string

// MakePlaces prepares a host, once, so that runs can be held on it. Whatever is held or armed ends
// with a reboot.
func (h *Host) MakePlaces(ctx context.Context) error {
	if err := h.WriteFile(ctx, HoldScript, 0o755, "root", holdText); err != nil {
		return err
	}
	if err := h.WriteFile(ctx, "/etc/ssh/sshd_config.d/70-lab.conf", 0o644, "root",
		"SetEnv BASH_ENV="+HoldScript+"\n"); err != nil {
		return err
	}
	_, err := h.Exec(ctx, "systemctl reload ssh")
	return err
}

// Arm has the next run held at a place.
func (h *Host) Arm(ctx context.Context, p Place) error {
	when := "before"
	if p.Inside {
		when = "inside"
	}
	script := fmt.Sprintf(`set -e; rm -rf /run/lab; mkdir -m 777 /run/lab; mkfifo -m 666 /run/lab/go
		echo '%s %s %d' >/run/lab/armed; chmod 666 /run/lab/armed`, p.Verb, when, p.Nth)
	_, err := h.Exec(ctx, script)
	return err
}

// WaitHeld returns when a run is held.
func (h *Host) WaitHeld(ctx context.Context) error {
	_, err := h.Exec(ctx, "until [ -e /run/lab/held ]; do sleep 0.1; done")
	return err
}

// Release lets go what is held, or will be: the place is disarmed.
func (h *Host) Release(ctx context.Context) error {
	_, err := h.Exec(ctx, "rm -f /run/lab/armed; if [ -e /run/lab/go ]; then timeout 5 bash -c 'echo >/run/lab/go' "+
		"|| true; fi")
	return err
}
