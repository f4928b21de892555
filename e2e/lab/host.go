package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// bootTime is how long a host may take from its start until it is in service; 1.5 s is usual on two
// cores that have nothing else to do.
const bootTime = 3 * time.Minute

// pollInterval is the pause between two questions whether something is ready.
const pollInterval = 20 * time.Millisecond

// HostOptions say what a host is to be like; the zero value gives an EC2 Ubuntu host with a name of
// its own.
type HostOptions struct {
	Name      string            // its host name; empty: made up
	Release   string            // Bookworm, Trixie; empty: Bookworm
	Image     string            // that another host was saved as, in the place of both; empty: none
	With      string            // what it has besides: the name of a list of packages in e2e/host/with; empty: nothing
	NoSystemd bool              // sshd and nginx run without systemd as process 1
	Tmpfs     map[string]string // small file systems, "/full": "size=8m"
	Memory    string            // a limit such as "512m"; empty: none
	Engine    bool              // it may run containers of its own: it has a package for that
}

// Host is a container that is what an EC2 Ubuntu host is: systemd, sshd, nginx with its default
// site, sudo, Python, and a folder of wheels for pip. Its login user ubuntu may do anything with
// sudo, and has a home nobody else enters.
type Host struct {
	Name string
	IP   string
	User string // who logs in

	lab       *Lab
	image     string
	container string
	systemd   bool
	hostKeys  []ssh.PublicKey
	shells    shells
}

// Host starts a host and returns when it is in service: booted, sshd answering.
func (l *Lab) Host(ctx context.Context, options HostOptions) (*Host, error) {
	if options.Name == "" {
		options.Name = "host-" + randomHex(2)
	}
	l.mu.Lock()
	ip := l.nextIP
	l.nextIP = ip.Next()
	keys := slices.Clone(l.keys)
	l.mu.Unlock()

	h := &Host{
		Name: options.Name, IP: ip.String(), User: "ubuntu",
		lab: l, container: l.id + "-" + options.Name, systemd: !options.NoSystemd,
	}
	fmt.Fprintf(l.out, "lab: starting host %s (%s)\n", h.Name, h.IP)
	var err error
	if h.image = options.Image; h.image == "" {
		if h.image, err = l.HostImage(ctx, options); err != nil {
			return nil, fmt.Errorf("start host %q: %w", h.Name, err)
		}
	}
	if err := h.start(ctx, options); err != nil {
		return nil, fmt.Errorf("start host %q: %w", h.Name, err)
	}
	if err := h.WaitReady(ctx); err != nil {
		return nil, errors.Join(err, h.Remove(context.WithoutCancel(ctx)))
	}
	if err := errors.Join(h.Authorize(ctx, keys...), h.readHostKeys(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("start host %q: %w", h.Name, err), h.Remove(context.WithoutCancel(ctx)))
	}
	return h, nil
}

func (h *Host) start(ctx context.Context, options HostOptions) error {
	started, err := h.lab.starting()
	if err != nil {
		return err
	}
	defer started()
	_, err = h.lab.engine.run(context.WithoutCancel(ctx), h.runArgs(options)...) // cut off, it may still start one
	return err
}

// runArgs are the arguments of the docker command that starts the host. systemd needs to mount
// (SYS_ADMIN) and to write below its own control group; that takes less than --privileged, which
// not every engine may give.
func (h *Host) runArgs(options HostOptions) []string {
	args := []string{
		"run", "--detach", "--name", h.container, "--hostname", h.Name, "--label", ownerKey + "=" + h.lab.label(),
		"--network", h.lab.id, "--ip", h.IP, "--tmpfs", "/run", "--tmpfs", "/run/lock",
	}
	for _, path := range slices.Sorted(maps.Keys(options.Tmpfs)) {
		args = append(args, "--tmpfs", path+":"+options.Tmpfs[path])
	}
	if options.Memory != "" {
		args = append(args, "--memory", options.Memory)
	}
	args = append(args, "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE",
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
	if options.Engine {
		args = append(args, "--cap-add", "NET_ADMIN")
	}
	if !h.systemd {
		return append(args, h.image, "/sbin/plain-init")
	}
	cgroup := []string{"--volume", "/sys/fs/cgroup:/sys/fs/cgroup:ro"} // version 1: the hierarchies below stay writable
	if h.lab.cgroup == "2" {
		cgroup = []string{"--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"}
	}
	args = append(args, cgroup...)
	return append(args, "--stop-signal", "SIGRTMIN+3", h.image, "/sbin/init")
}

// URL is the site that the host's nginx serves.
func (h *Host) URL() string { return "http://" + h.IP }

// Addr is where its sshd listens.
func (h *Host) Addr() string { return net.JoinHostPort(h.IP, "22") }

// WaitReady returns when the host has booted and sshd answers.
func (h *Host) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bootTime, fmt.Errorf("not in service after %s", bootTime))
	defer cancel()
	if err := h.poll(ctx, h.booted); err != nil {
		return fmt.Errorf("boot host %q: %w", h.Name, err)
	}
	if err := h.poll(ctx, h.sshAnswers); err != nil {
		return fmt.Errorf("wait for sshd of %q: %w", h.Name, err)
	}
	return nil
}

// poll asks until the answer is yes; it gives up when the container is gone or ctx ends, with the
// last reason.
func (h *Host) poll(ctx context.Context, ready func(context.Context) error) error {
	for {
		reason := ready(ctx)
		if reason == nil {
			return nil
		}
		if ctx.Err() == nil && !h.Running(ctx) {
			logs, _ := h.lab.engine.run(ctx, "logs", "--tail", "20", h.container)
			return fmt.Errorf("container ended: %w\n%s", reason, logs)
		}
		if errors.Is(reason, errInotify) {
			return reason
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), reason)
		case <-time.After(pollInterval):
		}
	}
}

// sshAnswers dials sshd and reads its version line.
func (h *Host) sshAnswers(ctx context.Context) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", h.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	banner := make([]byte, len("SSH-2.0"))
	if _, err := conn.Read(banner); err != nil {
		return err
	}
	if !strings.HasPrefix(string(banner), "SSH-") {
		return fmt.Errorf("sshd said %q", banner)
	}
	return nil
}
