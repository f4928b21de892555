package remote_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
)

// A hole is a way to a host that can start to swallow everything, both ways,
// as a host does that lost its power or its network.
type hole struct {
	net.Conn
	mu     sync.Mutex
	active bool
	closed chan struct{}
	once   sync.Once
}

func (h *hole) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	h.Conn, h.closed = conn, make(chan struct{})
	return h, err
}

func (h *hole) swallow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active = true
}

func (h *hole) swallowing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.active
}

func (h *hole) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if h.swallowing() {
		<-h.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (h *hole) Write(p []byte) (int, error) {
	if h.swallowing() {
		return len(p), nil
	}
	return h.Conn.Write(p)
}

func (h *hole) Close() error {
	h.once.Do(func() { close(h.closed) })
	return h.Conn.Close()
}

func TestKeepaliveNoticesABlackHole(t *testing.T) {
	tests := []struct {
		name   string
		silent bool
		line   string
	}{
		{name: "network swallows everything", line: "echo up; sleep 60"},
		{name: "host answers nothing", silent: true, line: "echo up; sleep 60"},
		{name: "ctx ends at the same time", line: "echo up; sleep 60"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{Silent: tt.silent})
			hole := new(hole)
			cfg := configFor(t, s)
			cfg.DialContext = hole.dial
			cfg.KeepaliveInterval, cfg.KeepaliveMax = soon, 3
			client := dialWith(t, s, cfg)
			client.SetGrace(time.Minute) // the keepalive comes first
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := client.Run(ctx, remote.Command{Line: tt.line, Stdout: writerFunc(func([]byte) {
				if !tt.silent {
					hole.swallow()
				}
				if strings.HasPrefix(tt.name, "ctx") {
					cancel()
				}
			})})
			var lost *remote.LostError
			if !errors.As(err, &lost) || !errors.Is(err, remote.ErrKeepalive) {
				t.Errorf("Run: %v, want a LostError around ErrKeepalive", err)
			}
			<-client.Done()
			if err := client.Err(); !errors.Is(err, remote.ErrKeepalive) {
				t.Errorf("Err() = %v, want ErrKeepalive", err)
			}
		})
	}
}

func TestKeepaliveLeavesALivingConnectionAlone(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	cfg := configFor(t, s)
	cfg.KeepaliveInterval, cfg.KeepaliveMax = 20*time.Millisecond, 50
	client := dialWith(t, s, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, err := client.Start(ctx, remote.Command{Line: "sleep 60"})
	if err != nil {
		t.Fatal(err)
	}
	for s.Keepalives() < 10 {
		select {
		case <-p.Done():
			t.Fatalf("ended: %v", p.Wait())
		case <-time.After(time.Millisecond):
		}
	}
	if err := client.Err(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := p.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait() = %v", err)
	}
}

// Output counts as life, even from a host that answers no keepalive.
func TestKeepaliveCountsOutputAsLife(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{Silent: true})
	cfg := configFor(t, s)
	cfg.KeepaliveInterval, cfg.KeepaliveMax = soon, 20
	client := dialWith(t, s, cfg)
	// for half as long again as it may be silent
	if err := client.Run(t.Context(),
		remote.Command{Line: "for i in {1..100}; do echo $i; sleep 0.03; done"}); err != nil {
		t.Error(err)
	}
}
