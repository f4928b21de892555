package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// The values that a zero field of [Config] stands for.
const (
	DefaultConnectTimeout    = 30 * time.Second
	DefaultKeepaliveInterval = 10 * time.Second
	DefaultKeepaliveMax      = 3
)

// Config says how to log in, and when to give up.
type Config struct {
	Signer ssh.Signer
	// Login makes the key for one login to the host, in place of Signer, in the moment that the host
	// asks for it. Its error ends the dialling, and is handed on: a *[PassingError] may be gone the next
	// time, as is any once the time for dialling is over. Hosts on the way have keys of their own.
	Login    func(ctx context.Context, host Host) (ssh.Signer, error)
	HostKeys *HostKeys
	// Pin finds known_hosts lines about the host where HostKeys has nothing about it; nil does not. What
	// it finds none for is refused.
	Pin   func(ctx context.Context, host Host) (knownHosts string, err error)
	Jumps []Jump // on the way to the host, in this order

	// for name, TCP, handshake and login together, those of the hosts on the way included
	ConnectTimeout    time.Duration
	KeepaliveInterval time.Duration // between two signs of life
	KeepaliveMax      int           // intervals without an answer until the connection counts as lost

	// Tunnel makes the connection to the host, in place of TCP and of Jumps. Its *[DialError], also of
	// the connection before the host has said anything, is what [Dial] goes by; any other error, such as
	// a *[PassingError], ends the dialling.
	Tunnel func(ctx context.Context, host Host) (net.Conn, error)

	// DialContext makes the TCP connection, to the first host on the way if there is one; nil means
	// a net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (cfg Config) normalize() (Config, error) {
	if cfg.Signer == nil && cfg.Login == nil || cfg.HostKeys == nil {
		return cfg, errors.New("bug in deploy-action: dial: a key and host keys are required")
	}
	for _, jump := range cfg.Jumps {
		if jump.Signer == nil || jump.HostKeys == nil {
			return cfg, fmt.Errorf("bug in deploy-action: dial: a key and host keys are required for %s, too", jump.Host)
		}
	}
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = DefaultConnectTimeout
	}
	if cfg.KeepaliveInterval <= 0 {
		cfg.KeepaliveInterval = DefaultKeepaliveInterval
	}
	if cfg.KeepaliveMax <= 0 {
		cfg.KeepaliveMax = DefaultKeepaliveMax
	}
	if cfg.DialContext == nil {
		cfg.DialContext = new(net.Dialer).DialContext // sets TCP_NODELAY
	}
	return cfg, nil
}

// Dial connects and logs in, and tries again within [Config].ConnectTimeout what a busy sshd, or
// one that starts again, refuses or cuts off. The context bounds the dialling only. Errors are
// *[DialError], *[HostKeyError] and *[AuthError], in a *[JumpError] when they are about a host on
// the way, or wrap context.Cause(ctx) or what a function of the Config has said.
func Dial(ctx context.Context, host Host, cfg Config) (*Client, error) {
	cfg, err := cfg.normalize()
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	if cfg.Pin != nil && !cfg.HostKeys.knows(host) {
		lines, err := cfg.Pin(within, host)
		if err == nil {
			cfg.HostKeys, err = cfg.HostKeys.with(lines)
		}
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", host, err)
		}
	}
	var refusal error // the last that was one
	refusedKeys := 0
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		client, err := dialOnce(within, host, cfg)
		var failed *DialError
		var no *AuthError
		var later *PassingError
		switch {
		case err == nil:
			return client, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("connect to %s: %w", host, context.Cause(ctx))
		case errors.As(err, &failed) && failed.Passing:
			refusal = err
		case errors.As(err, &no) && no.Fresh && refusedKeys == 0: // the host may have been too slow to look for it
			refusedKeys++
			refusal = err
		case refusal != nil && within.Err() != nil: // that time was over in another try says less
			if errors.As(err, &later) { // but the host was not asked again
				refusal = &PassingError{refusal}
			}
			return nil, refusal
		default:
			return nil, err
		}
		select {
		case <-within.Done():
			if ctx.Err() != nil {
				return nil, fmt.Errorf("connect to %s: %w", host, context.Cause(ctx))
			}
			return nil, refusal
		case <-time.After(pause):
		}
	}
}

// The pauses between tries. An sshd that is full lets one in three in; one that starts again takes
// a second or two.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 3 * time.Second
)

func dialOnce(ctx context.Context, host Host, cfg Config) (*Client, error) {
	via, err := cfg.way(ctx, host)
	if err != nil {
		return nil, err
	}
	client, err := dialPinned(ctx, host, cfg, via)
	if err != nil {
		via.letGo()
	}
	return client, err
}

// dialPinned dials, through via unless that is nil, until the host has shown a
// pinned key or has no other type of key left: which of its keys a host shows
// is the client's choice, once a connection.
func dialPinned(ctx context.Context, host Host, cfg Config, via *Client) (*Client, error) {
	algos := cfg.HostKeys.algorithms(host)
	var refusal *HostKeyError
	var pinned []string // what was asked for first, once all else is
	for {
		client, err := attempt(ctx, host, cfg, algos, via)
		var refused *HostKeyError
		var nothingCommon *AlgorithmError
		switch {
		case errors.As(err, &refused):
			if refusal != nil {
				refused.Offered = append(refusal.Offered, refused.Offered...)
			}
			refusal = refused
			algos = withoutFamily(algos, refused.Offered[len(refused.Offered)-1])
			if refused.Revoked || refused.Unknown || len(algos) == 0 {
				return nil, refusal
			}
		case errors.As(err, &nothingCommon) && nothingCommon.What == hostKeyAlgorithm && refusal != nil:
			return nil, refusal
		case errors.As(err, &nothingCommon) && nothingCommon.What == hostKeyAlgorithm && pinned == nil:
			// The host has no key of a pinned type. Ask for the others, only
			// to say what it has: none of them can match.
			pinned = algos
			algos = slices.DeleteFunc(plainAlgorithms(func(string) bool { return true }), func(algo string) bool {
				return slices.Contains(pinned, algo)
			})
			if len(algos) == 0 {
				return nil, err
			}
		case errors.As(err, &nothingCommon) && nothingCommon.What == hostKeyAlgorithm:
			nothingCommon.Ours = slices.Concat(pinned, algos)
			return nil, err
		default:
			return client, err
		}
	}
}

// attempt makes one connection, asking for the given host key algorithms.
func attempt(ctx context.Context, host Host, cfg Config, algos []string, via *Client) (*Client, error) {
	w, err := connect(ctx, host, cfg, via)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, w.abort)
	defer stop()

	l := &login{ctx: ctx, host: host, cfg: cfg}
	sshConn, chans, reqs, err := ssh.NewClientConn(w, host.Addr(), l.config(algos))
	if err == nil && stop() {
		return newClient(w, ssh.NewClient(sshConn, chans, reqs), host, l.hostKey(), cfg), nil
	}
	_ = w.Close()
	var refused *HostKeyError
	var behind *DialError // of a tunnel that ends before the host
	switch {
	case errors.As(err, &refused):
		return nil, refused
	case errors.As(err, &behind):
		return nil, behind
	case ctx.Err() != nil && l.noKey() == nil: // or the key was what the time went for, and not the host
		return nil, timeoutError(host, cfg, true)
	}
	return nil, l.explain(w, err)
}

func connect(ctx context.Context, host Host, cfg Config, via *Client) (*wire, error) {
	if via != nil {
		conn, err := via.onward(ctx, host, cfg)
		return &wire{Conn: conn, via: via}, err
	}
	if cfg.Tunnel != nil {
		conn, err := cfg.Tunnel(ctx, host)
		if err != nil {
			return nil, tunnelError(ctx, host, cfg, err)
		}
		return &wire{Conn: conn}, nil
	}
	conn, err := cfg.DialContext(ctx, "tcp", host.Addr())
	if err != nil {
		return nil, connectError(ctx, host, cfg, err)
	}
	return &wire{Conn: conn}, nil
}

func tunnelError(ctx context.Context, host Host, cfg Config, err error) error {
	var failed *DialError
	switch {
	case errors.As(err, &failed):
		return failed
	case ctx.Err() != nil:
		late := fmt.Errorf("no tunnel to it came about within %s", cfg.ConnectTimeout)
		if err.Error() != context.Cause(ctx).Error() { // who makes tunnels may know what the time went for
			late = fmt.Errorf("%w: %w", late, err)
		}
		return &DialError{Host: host, Kind: Unreachable, Via: "a tunnel", Err: late}
	}
	return fmt.Errorf("connect to %s: %w", host, err)
}

func connectError(ctx context.Context, host Host, cfg Config, err error) error {
	var (
		dns    *net.DNSError
		netErr net.Error
	)
	switch {
	case errors.As(err, &dns):
		return &DialError{Host: host, Kind: Resolve, Passing: dns.Temporary() && !dns.IsNotFound, Err: err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &DialError{Host: host, Kind: Refused, Passing: true, Err: err}
	case errors.Is(err, syscall.ECONNRESET):
		return &DialError{Host: host, Kind: Unreachable, Passing: true, Err: err}
	case ctx.Err() != nil, errors.As(err, &netErr) && netErr.Timeout():
		return timeoutError(host, cfg, false)
	}
	return &DialError{Host: host, Kind: Unreachable, Err: err}
}

func timeoutError(host Host, cfg Config, connected bool) *DialError {
	return &DialError{
		Host: host, Kind: Timeout, Connected: connected,
		Err: fmt.Errorf("no answer within %s", cfg.ConnectTimeout),
	}
}
