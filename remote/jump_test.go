package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

// chain is real sshds, the last of them the target, each with a key of its own
// to get in by.
type chain struct {
	hosts   []*openSSH
	signers []ssh.Signer
}

func newChain(tb testing.TB, hops int, bastion ...string) *chain {
	tb.Helper()
	c := &chain{}
	for i := range hops + 1 {
		signer := sshtest.Signer(tb, "ed25519")
		config := []string{withSFTP}
		if i < hops {
			config = bastion
		}
		c.signers = append(c.signers, signer)
		c.hosts = append(c.hosts, startOpenSSH(tb, []ssh.PublicKey{signer.PublicKey()}, config...))
	}
	return c
}

func (c *chain) target() remote.Host { return c.hosts[len(c.hosts)-1].host }

func (c *chain) config(tb testing.TB) remote.Config {
	tb.Helper()
	kinds := []string{"ed25519", "rsa", "ecdsa-256"}
	last := len(c.hosts) - 1
	cfg := remote.Config{Signer: c.signers[last], HostKeys: pins(tb, "", c.hosts[last].fingerprint("ed25519"))}
	for i, host := range c.hosts[:last] {
		cfg.Jumps = append(cfg.Jumps, remote.Jump{
			Host: host.host, Signer: c.signers[i],
			HostKeys: pins(tb, "", host.fingerprint(kinds[i])),
		})
	}
	return cfg
}

func TestOpenSSHJump(t *testing.T) {
	for _, hops := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d hops", hops), func(t *testing.T) {
			c := newChain(t, hops)
			cfg := c.config(t)
			dials := 0
			cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials++
				if addr != c.hosts[0].host.Addr() {
					t.Errorf("dialled %s from here", addr)
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			client, err := remote.Dial(t.Context(), c.target(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			var out bytes.Buffer
			if err := client.Run(t.Context(), remote.Command{Line: "echo $SSH_CONNECTION; head -c 5000000 /dev/zero " +
				"| tr '\\0' x", Stdout: &out}); err != nil {
				t.Fatal(err)
			}
			first, rest, _ := strings.Cut(out.String(), "\n")
			if !strings.HasSuffix(first, fmt.Sprint(" ", c.target().Port)) || len(rest) != 5_000_000 {
				t.Errorf("the target says %q and %d bytes", first, len(rest))
			}
			if got := ssh.FingerprintSHA256(client.HostKey()); got != c.hosts[hops].fingerprint("ed25519") {
				t.Errorf("host key %s is not the target's", got)
			}
			if hops == 1 && dials != 1 {
				t.Errorf("%d connections for a key that is pinned by its fingerprint", dials)
			}
		})
	}
}

func TestOpenSSHJumpSaysWhichHop(t *testing.T) {
	c := newChain(t, 2)
	nobody := unheard(t)
	stranger := sshtest.Signer(t, "ed25519")
	second := c.hosts[1].host.String()
	tests := []struct {
		name   string
		change func(*remote.Config, *remote.Host)
		hop    int // 0: the error is about the target
		want   []string
	}{
		{
			"the first is down",
			func(cfg *remote.Config, _ *remote.Host) {
				cfg.Jumps[0].Host, cfg.ConnectTimeout = nobody, 2*time.Second
			}, 1,
			[]string{"refused: the host is up"},
		},
		{
			"the second is down", func(cfg *remote.Config, _ *remote.Host) { cfg.Jumps[1].Host = nobody }, 2,
			[]string{c.hosts[0].host.String() + " can't connect to it", "security group"},
		},
		{"the first is another", func(cfg *remote.Config, _ *remote.Host) {
			cfg.Jumps[0].HostKeys = pins(t, "", ssh.FingerprintSHA256(stranger.PublicKey()))
		}, 1, []string{"does not match", "may be an attack", c.hosts[0].host.String()}},
		{"the second is another", func(cfg *remote.Config, _ *remote.Host) {
			cfg.Jumps[1].HostKeys = pins(t, "", ssh.FingerprintSHA256(stranger.PublicKey()))
		}, 2, []string{"does not match", "may be an attack", second}},
		{
			"the second is not pinned",
			func(cfg *remote.Config, _ *remote.Host) { cfg.Jumps[1].HostKeys = pins(t, "") }, 2,
			[]string{"is not pinned", "then put this line into known-hosts:\n[127.0.0.1]:"},
		},
		{
			"the target's pin does not vouch for a hop",
			func(cfg *remote.Config, _ *remote.Host) { cfg.Jumps[1].HostKeys = cfg.HostKeys }, 2,
			[]string{"does not match"},
		},
		{
			"the first refuses the key", func(cfg *remote.Config, _ *remote.Host) { cfg.Jumps[0].Signer = stranger }, 1,
			[]string{"log in to", "authorized_keys"},
		},
		{
			"the second refuses the key", func(cfg *remote.Config, _ *remote.Host) { cfg.Jumps[1].Signer = stranger },
			2,
			[]string{"log in to", second},
		},
		{
			"the target is down", func(_ *remote.Config, host *remote.Host) { *host = nobody }, 0,
			[]string{second + " can't connect to it"},
		},
		{"the target's name is unknown there", func(_ *remote.Config, host *remote.Host) {
			host.Name = "no-such-host.invalid"
		}, 0, []string{second + " can't connect to it", "the name means the right address there"}},
		{
			"the target is another", func(cfg *remote.Config, _ *remote.Host) { cfg.HostKeys = cfg.Jumps[0].HostKeys },
			0,
			[]string{"does not match"},
		},
		{
			"the target refuses the key", func(cfg *remote.Config, _ *remote.Host) { cfg.Signer = stranger }, 0,
			[]string{"log in to"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, host := c.config(t), c.target()
			tt.change(&cfg, &host)
			client, err := remote.Dial(t.Context(), host, cfg)
			if err == nil {
				_ = client.Close()
				t.Fatal("logged in")
			}
			var jump *remote.JumpError
			if errors.As(err, &jump) != (tt.hop > 0) || tt.hop > 0 &&
				(jump.Hop != tt.hop || jump.Hops != 2 || jump.Target != host || jump.Host != cfg.Jumps[tt.hop-1].Host) {
				t.Errorf("Dial: %v, want it to be about hop %d", err, tt.hop)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Dial: %v, want %q", err, want)
				}
			}
			if want := fmt.Sprintf("hop %d of 2 on the way to %s: ", tt.hop, host); tt.hop > 0 &&
				!strings.HasPrefix(err.Error(), want) {
				t.Errorf("Dial: %v, want %q first", err, want)
			}
		})
	}
}

func TestOpenSSHJumpIsForbidden(t *testing.T) {
	for _, config := range []string{"AllowTcpForwarding no", "PermitOpen 192.0.2.1:22"} {
		c := newChain(t, 1, config)
		_, err := remote.Dial(t.Context(), c.target(), c.config(t))
		var dialError *remote.DialError
		if !errors.As(err, &dialError) || !strings.Contains(err.Error(), "refuses to connect onwards") ||
			!strings.Contains(err.Error(), "AllowTcpForwarding") {
			t.Errorf("%s: Dial: %v", config, err)
		}
	}
}

func TestOpenSSHJumpTimesOut(t *testing.T) {
	c := newChain(t, 1)
	for name, host := range map[string]remote.Host{
		"SYN dropped": fullBacklog(t),
		"silent":      hostAt(t, listen(t).Addr()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := c.config(t)
			cfg.ConnectTimeout = 5 * time.Second // the login to the host on the way is a part of it
			begin := time.Now()
			_, err := remote.Dial(t.Context(), host, cfg)
			var dialError *remote.DialError
			if !errors.As(err, &dialError) || dialError.Kind != remote.Timeout || dialError.Host != host {
				t.Errorf("Dial: %v, want a time-out", err)
			}
			if took := time.Since(begin); took < cfg.ConnectTimeout || took > 6*cfg.ConnectTimeout {
				t.Errorf("took %s", took)
			}
		})
	}
}

// watched tells when a connection is closed.
type watched struct {
	net.Conn
	closed chan struct{}
}

func (w *watched) Close() error {
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return w.Conn.Close()
}

func TestJumpEndsWithItsTarget(t *testing.T) {
	c := newChain(t, 2)
	for name, end := range map[string]func(*remote.Client){
		"closed here": func(client *remote.Client) { _ = client.Close() },
		"closed by target": func(client *remote.Client) {
			_ = client.Run(t.Context(),
				remote.Command{Line: "kill -KILL $PPID"})
		},
		"no login": nil,
	} {
		t.Run(name, func(t *testing.T) {
			conns := make(chan *watched, 9)
			cfg := c.config(t)
			cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				w := &watched{Conn: conn, closed: make(chan struct{})}
				conns <- w
				return w, nil
			}
			if end == nil {
				cfg.Signer = sshtest.Signer(t, "rsa")
			}
			client, err := remote.Dial(t.Context(), c.target(), cfg)
			if (err == nil) != (end != nil) {
				t.Fatalf("Dial: %v", err)
			}
			if end != nil {
				end(client)
			}
			select {
			case <-(<-conns).closed:
			case <-time.After(time.Minute):
				t.Error("the connection to the first hop stays open")
			}
		})
	}
}

func TestJumpThatVanishes(t *testing.T) {
	c := newChain(t, 1)
	t.Run("cut", func(t *testing.T) {
		var first *watched
		cfg := c.config(t)
		cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			first = &watched{Conn: conn, closed: make(chan struct{})}
			return first, err
		}
		client, err := remote.Dial(t.Context(), c.target(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = client.Run(t.Context(), remote.Command{
			Line:   "echo; exec sleep 10",
			Stdout: writerFunc(func([]byte) { _ = first.Conn.Close() }),
		})
		var lost *remote.LostError
		if !errors.As(err, &lost) || !lost.Started || !strings.Contains(err.Error(),
			"connection to "+c.hosts[0].host.String()) {
			t.Errorf("Run: %v, want a LostError that names the hop", err)
		}
		if err := client.Run(t.Context(), remote.Command{Line: "true"}); !errors.As(err, &lost) || lost.Started {
			t.Errorf("Run: %v, want a LostError", err)
		}
	})
	t.Run("silent", func(t *testing.T) {
		h := &hole{}
		cfg := c.config(t)
		cfg.DialContext, cfg.KeepaliveInterval, cfg.KeepaliveMax = h.dial, soon, 20
		client, err := remote.Dial(t.Context(), c.target(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = client.Run(t.Context(), remote.Command{
			Line:   "echo; exec sleep 10",
			Stdout: writerFunc(func([]byte) { h.swallow() }),
		})
		if !errors.Is(err, remote.ErrKeepalive) {
			t.Errorf("Run: %v, want ErrKeepalive", err)
		}
	})
}

func TestDialNeedsKeysOfJumps(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	cfg := configFor(t, s)
	cfg.Jumps = []remote.Jump{{Host: remote.Host{User: "ops", Name: "bastion"}}}
	if _, err := remote.Dial(t.Context(), hostOf(s), cfg); err == nil ||
		!strings.Contains(err.Error(), "required for ops@bastion, too") {
		t.Errorf("Dial: %v", err)
	}
}
