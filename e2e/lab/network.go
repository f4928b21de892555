package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
)

// network is the lab's subnet: its lower half for hosts, whose addresses outlive a reboot as EC2's
// do, and its upper half for containers that the engine gives an address to.
type network struct {
	subnet  netip.Prefix
	gateway netip.Addr
}

// firstHost is the first address that hosts get.
func (n network) firstHost() netip.Addr {
	address := n.gateway
	for range 9 {
		address = address.Next()
	}
	return address
}

// upperHalf is the part of the subnet that the engine may give out by itself.
func (n network) upperHalf() netip.Prefix {
	bytes := n.subnet.Addr().As4()
	bits := n.subnet.Bits()
	bytes[bits/8] |= 0x80 >> (bits % 8)
	return netip.PrefixFrom(netip.AddrFrom4(bytes), bits+1)
}

// createNetwork makes the lab's network. An engine takes fixed addresses only on a network whose
// subnet was given to it, and only the engine knows which are free: so it is asked for one first,
// which is then made again by number.
func (l *Lab) createNetwork(ctx context.Context) (network, error) {
	const tries = 5 // another lab may take the subnet in between
	started, err := l.starting()
	if err != nil {
		return network{}, fmt.Errorf("create network: %w", err)
	}
	defer started()
	ctx = context.WithoutCancel(ctx) // a command that is cut off leaves it open whether there is one
	var errs []error
	for range tries {
		n, err := l.probeNetwork(ctx)
		if err != nil {
			return network{}, err
		}
		_, err = l.engine.run(ctx, "network", "create", "--label", ownerKey+"="+l.label(), "--subnet",
			n.subnet.String(),
			"--gateway", n.gateway.String(), "--ip-range", n.upperHalf().String(), l.id)
		if err == nil {
			return n, nil
		}
		errs = append(errs, err)
	}
	return network{}, fmt.Errorf("create network: %w", errors.Join(errs...))
}

// machine is what a lab's jobs run on: a place on its network, which costs the engine half of a
// container's start, so that they share one.
type machine struct {
	sync.Mutex
	container string // empty: there is none yet
}

// jobNetwork is the machine's network, for `docker run`.
func (l *Lab) jobNetwork(ctx context.Context) (string, error) {
	l.machine.Lock()
	defer l.machine.Unlock()
	if l.machine.container == "" {
		started, err := l.starting()
		if err != nil {
			return "", err
		}
		defer started()
		name := l.id + "-jobs"
		if _, err := l.engine.run(context.WithoutCancel(ctx), "run", "--detach", "--name", name, "--label",
			ownerKey+"="+l.label(), "--network", l.id, "--entrypoint", "sleep", l.hostImage, "infinity"); err != nil {
			return "", fmt.Errorf("start the machine that jobs run on: %w", err)
		}
		l.machine.container = name
	}
	return "container:" + l.machine.container, nil
}

// probeNetwork returns a subnet that the engine finds free.
func (l *Lab) probeNetwork(ctx context.Context) (network, error) {
	probe := l.id + "-probe"
	if _, err := l.engine.run(ctx, "network", "create", "--label", ownerKey+"="+l.label(), probe); err != nil {
		return network{}, fmt.Errorf("create network: %w", err)
	}
	out, err := l.engine.run(ctx, "network", "inspect", "--format",
		"{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}\n{{end}}", probe)
	_, rmErr := l.engine.run(ctx, "network", "rm", probe)
	if err := errors.Join(err, rmErr); err != nil {
		return network{}, fmt.Errorf("find a free subnet: %w", err)
	}
	for line := range strings.Lines(out) {
		subnet, gateway, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := parseNetwork(subnet, gateway); err == nil {
			return n, nil
		}
	}
	return network{}, fmt.Errorf("find a free subnet: no IPv4 one in %q", out)
}

func parseNetwork(subnet, gateway string) (network, error) {
	prefix, err := netip.ParsePrefix(subnet)
	if err != nil {
		return network{}, err
	}
	address, err := netip.ParseAddr(gateway)
	if err != nil {
		return network{}, err
	}
	const narrowest = 24 // leaves room for hosts and runners
	if !prefix.Addr().Is4() || prefix.Bits() > narrowest {
		return network{}, fmt.Errorf("use subnet %q: want IPv4 with room", subnet)
	}
	return network{subnet: prefix.Masked(), gateway: address}, nil
}
