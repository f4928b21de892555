package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// A Jump is a host on the way. It is verified and logged in to as any other,
// with a key and host keys of its own, and connects onwards from there; what
// passes through it is encrypted for the next host.
type Jump struct {
	Host     Host
	Signer   ssh.Signer
	HostKeys *HostKeys
}

// JumpError means that a host on the way could not be reached, trusted or
// logged in to: Err is what [Dial] would have said of it.
type JumpError struct {
	Hop, Hops int // the first is 1
	Host      Host
	Target    Host // where the way leads
	Err       error
}

func (e *JumpError) Error() string {
	return fmt.Sprintf("hop %d of %d on the way to %s: %v", e.Hop, e.Hops, e.Target, e.Err)
}

func (e *JumpError) Unwrap() error { return e.Err }

// way connects to the hosts on the way, each through the one before, and
// returns the last; nil when there is none.
func (cfg Config) way(ctx context.Context, target Host) (*Client, error) {
	var last *Client
	for i, jump := range cfg.Jumps {
		hop := cfg
		hop.Signer, hop.Login, hop.HostKeys = jump.Signer, nil, jump.HostKeys
		next, err := dialPinned(ctx, jump.Host, hop, last)
		if err != nil {
			last.letGo()
			return nil, &JumpError{Hop: i + 1, Hops: len(cfg.Jumps), Host: jump.Host, Target: target, Err: err}
		}
		last = next
	}
	return last, nil
}

// letGo closes the connection without waiting; nil has nothing to close.
func (c *Client) letGo() {
	if c != nil {
		c.end(ErrClosed)
	}
}

// onward connects from this host to the next one. Names mean what they mean
// here.
func (c *Client) onward(ctx context.Context, host Host, cfg Config) (net.Conn, error) {
	conn, err := c.ssh.DialContext(ctx, "tcp", host.Addr())
	if err == nil {
		return conn, nil
	}
	failed := &DialError{Host: host, Kind: Unreachable, Via: c.host.String(), Err: err}
	var no *ssh.OpenChannelError
	switch {
	case ctx.Err() != nil:
		timeout := timeoutError(host, cfg, false)
		timeout.Via = failed.Via
		return nil, timeout
	case errors.As(err, &no) && no.Reason == ssh.ConnectionFailed:
		failed.Err = fmt.Errorf("%s can't connect to it: %q; see that the name means the right address there, that "+
			"the host is up, and that its security group (or another firewall) lets %s in on port %d",
			c.host, no.Message, c.host.Name, host.port())
		failed.Passing = strings.Contains(no.Message, "Connection refused") // as while its sshd starts again
	case errors.As(err, &no):
		failed.Err = fmt.Errorf("%s refuses to connect onwards: %q; its sshd_config must not say "+
			"\"AllowTcpForwarding no\", and PermitOpen there or in authorized_keys must admit %s",
			c.host, no.Message, host.Addr())
	default:
		if lost := c.lost(); lost != nil {
			failed.Err = lost
		}
	}
	return nil, failed
}
