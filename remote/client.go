package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Client is one connection to one host. It may be used by any number of
// goroutines; each command has its own channel.
type Client struct {
	host    Host
	hostKey ssh.PublicKey
	ssh     *ssh.Client
	wire    *wire

	grace time.Duration // stopGrace, except in tests

	done chan struct{}
	mu   sync.Mutex
	err  error // why the transport ended, fixed by whoever ended it first

	ready chan *files // was prepared, and is not taken yet
}

func newClient(w *wire, sshClient *ssh.Client, host Host, hostKey ssh.PublicKey, cfg Config) *Client {
	c := &Client{host: host, hostKey: hostKey, ssh: sshClient, wire: w, grace: stopGrace, done: make(chan struct{})}
	go c.watch()
	go c.keepalive(cfg.KeepaliveInterval, cfg.KeepaliveMax)
	return c
}

// Close ends the connection and every command on it. It may be called twice.
func (c *Client) Close() error {
	c.end(ErrClosed)
	<-c.done
	return nil
}

// Done is closed when the connection is gone, for whatever reason.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns nil while the connection is up, then why it is not.
func (c *Client) Err() error {
	select {
	case <-c.done:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	default:
		return nil
	}
}

// ServerVersion returns the host's identification, such as
// "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13".
func (c *Client) ServerVersion() string { return string(c.ssh.ServerVersion()) }

// HostKey returns the key, or host certificate, that the host proved to hold.
func (c *Client) HostKey() ssh.PublicKey { return c.hostKey }

// Run runs a command and waits for its end. It returns nil for exit status 0,
// else an *[ExitError], a *[LostError], or, when ctx ended first, an error that
// wraps context.Cause(ctx) and one of those two: see [Client.Start].
func (c *Client) Run(ctx context.Context, cmd Command) error {
	p, err := c.Start(ctx, cmd)
	if err != nil {
		return err
	}
	return p.Wait()
}

// end closes the transport for the given reason.
func (c *Client) end(reason error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = fmt.Errorf("connection to %s: %w", c.host, reason)
	}
	c.mu.Unlock()
	// The TCP connection, not the SSH one: nothing here may wait for a peer
	// that does not read.
	c.wire.abort()
}

func (c *Client) watch() {
	err := c.ssh.Wait()
	var onTheWay error
	if c.wire.via != nil {
		onTheWay = c.wire.via.lost()
	}
	switch {
	case onTheWay != nil:
		err = onTheWay
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		// Which of them is chance: a host that goes with something of ours unread resets, and a
		// reset that a write learned of reads as an end.
		err = fmt.Errorf("closed by the host, or by something on the way: %w", err)
	}
	c.end(err)
	close(c.done)
}

// lost returns why the connection is gone, or nil. It is exact for a channel
// that has just ended: a wire that was cut or closed before the channel's end
// makes it wait the moment until Done.
func (c *Client) lost() error {
	if c.wire.cut() || c.wire.closed.Load() {
		<-c.done
	}
	return c.Err()
}

// ping asks the host for a sign of life, and reports how it went on the
// channel. SSH answers in order: an answer proves that everything the host had
// sent before it has arrived.
func (c *Client) ping() <-chan error {
	answered := make(chan error, 1)
	go func() {
		_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	return answered
}
