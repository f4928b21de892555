package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Exec runs a bash script on the host as root, beside SSH, and returns its standard output,
// trimmed.
func (h *Host) Exec(ctx context.Context, script string) (string, error) {
	return h.exec(ctx, "root", script)
}

// ExecUser runs a bash script on the host as the login user, in its home.
func (h *Host) ExecUser(ctx context.Context, script string) (string, error) {
	return h.exec(ctx, h.User, script)
}

func (h *Host) exec(ctx context.Context, user, script string) (string, error) {
	out, err := h.run(ctx, user, script)
	if err != nil {
		return out, fmt.Errorf("run on %q: %w", h.Name, err)
	}
	return out, nil
}

// execWith runs a script that reads stdin, by a process of the engine's of its own.
func (h *Host) execWith(ctx context.Context, user, stdin, script string, args ...string) (string, error) {
	command := append(h.execArgs(user), "bash", "-c", script, "bash")
	out, err := h.lab.engine.runWith(ctx, strings.NewReader(stdin), append(command, args...)...)
	if err != nil {
		return out, fmt.Errorf("run on %q: %w", h.Name, err)
	}
	return out, nil
}

// execArgs are the arguments of the docker command that runs something on the host as a user, in
// its home; the command follows.
func (h *Host) execArgs(user string) []string {
	home := "/home/" + user
	if user == "root" {
		home = "/root"
	}
	return []string{
		"exec", "--interactive", "--user", user, "--workdir", home, "--env", "HOME=" + home, "--env", "USER=" + user,
		h.container,
	}
}

// WriteFile puts a file in place with one rename, with mode and owner ("ubuntu", "root:adm");
// folders are made.
func (h *Host) WriteFile(ctx context.Context, path string, mode fs.FileMode, owner, data string) error {
	const script = `set -e; mkdir -p -- "$(dirname -- "$1")"; file=$(mktemp -- "$1.XXXXXX"); cat >"$file"
		chmod -- "$2" "$file"; chown -- "$3" "$file"; mv -fT -- "$file" "$1"`
	if _, err := h.execWith(ctx, "root", data, script, path, fmt.Sprintf("%04o", mode.Perm()), owner); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}

// Running tells whether the host's container runs.
func (h *Host) Running(ctx context.Context) bool {
	state, err := h.lab.engine.run(ctx, "inspect", "--format", "{{.State.Running}}", h.container)
	return err == nil && state == "true"
}

// Restart reboots the host: its services are stopped, /run is empty again, its disk and addresses
// stay.
func (h *Host) Restart(ctx context.Context) error {
	if err := h.do(ctx, "restart"); err != nil {
		return err
	}
	return h.WaitReady(ctx)
}

// PowerOff ends the host's processes where they are; its disk stays.
func (h *Host) PowerOff(ctx context.Context) error { return h.do(ctx, "kill") }

// PowerCycle is what a pulled plug and power again are: nothing on the host is stopped in order.
func (h *Host) PowerCycle(ctx context.Context) error {
	if err := errors.Join(h.do(ctx, "kill"), h.do(ctx, "start")); err != nil {
		return err
	}
	return h.WaitReady(ctx)
}

// Pause freezes every process of the host, as a hung machine: connections stay open, nothing
// answers. The kernel can't freeze a group of processes (cgroups of version 1) while it starts some,
// as a host does that boots, and the engine gives up soon.
func (h *Host) Pause(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := h.do(ctx, "pause")
		if err == nil || !strings.Contains(err.Error(), "unable to freeze") || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Unpause ends Pause.
func (h *Host) Unpause(ctx context.Context) error { return h.do(ctx, "unpause") }

// LimitMemory sets what the host's processes may use together, such as "300m"; the kernel kills who
// asks for more.
func (h *Host) LimitMemory(ctx context.Context, limit string) error {
	return h.do(ctx, "update", "--memory", limit, "--memory-swap", limit)
}

// LimitCPU sets how much of a processor the host's processes may use together, such as "0.25".
func (h *Host) LimitCPU(ctx context.Context, share string) error {
	return h.do(ctx, "update", "--cpus", share)
}

// Disconnect takes the host off the network: packets to and from it are lost without a word.
func (h *Host) Disconnect(ctx context.Context) error {
	return h.do(ctx, "network", "disconnect", h.lab.id)
}

// Connect ends Disconnect; the host has the address it had.
func (h *Host) Connect(ctx context.Context) error {
	return h.do(ctx, "network", "connect", "--ip", h.IP, h.lab.id)
}

// Save makes an image of the host's disk as it is at this moment, and returns its name, for hosts that are to
// start from it. The host stands still meanwhile, or files that are written would be torn.
func (h *Host) Save(ctx context.Context) (string, error) {
	started, err := h.lab.starting()
	if err != nil {
		return "", err
	}
	defer started()
	name := h.lab.id + "-" + randomHex(4)
	if _, err := h.lab.engine.run(context.WithoutCancel(ctx), "commit", h.container, name); err != nil {
		return "", fmt.Errorf("save host %q: %w", h.Name, err)
	}
	return name, nil
}

// Remove ends the host for good.
func (h *Host) Remove(ctx context.Context) error { return h.do(ctx, "rm", "--force", "--volumes") }

func (h *Host) do(ctx context.Context, verb ...string) error {
	if slices.Contains([]string{"restart", "kill", "start", "rm"}, verb[0]) {
		h.shells.end()
	}
	if _, err := h.lab.engine.run(ctx, append(verb, h.container)...); err != nil {
		return fmt.Errorf("%s host %q: %w", strings.Join(verb, " "), h.Name, err)
	}
	return nil
}

// Logs are what helps to understand a failure: units, processes, sockets, the journal, nginx's
// errors, application logs.
func (h *Host) Logs(ctx context.Context) string {
	const script = `exec 2>&1
		show() { printf '\n--- %s\n' "$*"; "$@"; }
		show systemctl --no-pager --no-legend list-units --failed --all
		show journalctl --no-pager --lines 200
		show tail --lines 50 /var/log/nginx/error.log
		show ss -tlnp
		show ps axfo pid,user,args
		for log in /home/*/*/logs/*.log; do [[ ! -e $log ]] || show tail --lines 50 "$log"; done`
	out, err := h.Exec(ctx, script)
	if err != nil {
		out += "\n" + err.Error()
	}
	return fmt.Sprintf("=== host %s (%s)\n%s\n", h.Name, h.IP, out)
}
