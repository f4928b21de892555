package remote

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Upload appends a stream to what is at path: a file, or a named pipe that
// somebody reads. Many writes are under way at a time, sent and done in order.
// When ctx ends the transfer stops, and the error wraps context.Cause(ctx).
func (c *Client) Upload(ctx context.Context, path string, from io.Reader) error {
	return c.sftp(ctx, "write "+path, func(s *sftp.Client) error {
		// Without O_APPEND the server would seek, which a pipe can't.
		f, err := s.OpenFile(path, os.O_WRONLY|os.O_APPEND)
		if err != nil {
			return err
		}
		_, err = f.ReadFromWithConcurrency(from, 0)
		return errors.Join(err, f.Close())
	})
}

// Download copies a file of the host's, as far as the writer takes it. See [Client.Upload] for the
// errors.
func (c *Client) Download(ctx context.Context, path string, to io.Writer) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	out := &gate{w: to, failed: stop} // who has read enough is sent no more
	defer out.shut()
	return c.sftp(ctx, "read "+path, func(s *sftp.Client) error {
		f, err := s.Open(path)
		if err != nil {
			return err
		}
		_, err = f.WriteTo(out)
		return errors.Join(err, f.Close(), out.failure())
	})
}

// sftp opens a channel for one piece of work, and lets go of it when ctx ends,
// even if the host does not answer any more.
func (c *Client) sftp(ctx context.Context, what string, work func(*sftp.Client) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	over := make(chan struct{})
	defer close(over)
	done := make(chan error, 1)
	go func() { done <- c.overSFTP(over, ctx.Done(), work) }()
	select {
	case err := <-done:
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("%s: %w (%w)", what, context.Cause(ctx), err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return fmt.Errorf("%s: %w (%w)", what, context.Cause(ctx), err)
	case <-time.After(stopGrace):
	}
	return fmt.Errorf("%s: %w", what, context.Cause(ctx))
}

func (c *Client) overSFTP(over, stop <-chan struct{}, work func(*sftp.Client) error) error {
	finished := make(chan struct{})
	defer close(finished)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-stop:
		case <-over:
		case <-finished:
		}
	}()
	s, err := c.takeSFTP(ended)
	if err != nil {
		return err
	}
	go func() {
		<-ended
		_ = s.ch.Close()
	}()
	if err := work(s.client); err != nil {
		return c.explain(err)
	}
	return nil
}

// files is a channel with SFTP on it.
type files struct {
	ch     ssh.Channel
	client *sftp.Client
	err    error
	gone   chan struct{} // closed when the other side has ended it
}

// PrepareFiles opens what the next Upload or Download needs, while something else is done: three
// round trips. That this can't be had is told by that one.
func (c *Client) PrepareFiles() {
	ready := make(chan *files, 1)
	c.mu.Lock()
	c.ready = ready
	c.mu.Unlock()
	go func() {
		s, err := c.openSFTP(nil)
		if err != nil {
			s = &files{err: err}
		}
		ready <- s
	}()
}

// takeSFTP returns what was prepared, or what it opens.
func (c *Client) takeSFTP(ended <-chan struct{}) (*files, error) {
	c.mu.Lock()
	ready := c.ready
	c.ready = nil
	c.mu.Unlock()
	if ready != nil {
		select {
		case s := <-ready:
			if s.err != nil {
				break
			}
			select {
			case <-s.gone: // while it waited
			default:
				return s, nil
			}
		case <-ended:
			return nil, c.explain(errors.New("open session: no answer"))
		}
	}
	return c.openSFTP(ended)
}

// openSFTP opens a channel, which is closed when ended is before SFTP is there.
func (c *Client) openSFTP(ended <-chan struct{}) (*files, error) {
	ch, requests, err := c.ssh.OpenChannel("session", nil)
	if err != nil {
		return nil, c.explain(fmt.Errorf("open session: %w", err))
	}
	go ssh.DiscardRequests(requests)
	begun := make(chan struct{})
	defer close(begun)
	go func() {
		select {
		case <-ended:
			_ = ch.Close()
		case <-begun:
		}
	}()
	ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
	if err == nil && !ok {
		err = errors.New("the host has no SFTP: its sshd_config needs the line \"Subsystem sftp internal-sftp\"")
	} else if err != nil {
		err = c.explain(err)
	}
	if err != nil {
		_ = ch.Close()
		return nil, err
	}
	begins := &beginning{Reader: bufio.NewReader(ch), bytes: make([]byte, 0, 4)}
	s, err := sftp.NewClientPipe(begins, ch, sftp.UseConcurrentWrites(true))
	if err != nil {
		if said := begins.words(); said != "" {
			err = fmt.Errorf("begin SFTP: the login prints %q before it: a start-up file such as ~/.bashrc must "+
				"print nothing where nobody reads it", said)
		} else {
			err = c.explain(fmt.Errorf("begin SFTP: %w", err))
		}
		_ = ch.Close()
		return nil, err
	}
	// Any server takes 32 KiB at a time, 64 of which are under way. One with this extension, OpenSSH
	// from 8.5 on, takes up to 255 KiB (sftp-common.h). So large a packet is a buffer here for each of
	// many hosts, and half of it is as fast; more at a time than these, 2 MiB, does not fit into the
	// window of OpenSSH's channels (channels.h), however far the host is.
	if _, known := s.HasExtension("limits@openssh.com"); known {
		if err := cmp.Or(sftp.MaxPacketUnchecked(128<<10)(s), sftp.MaxConcurrentRequestsPerFile(16)(s)); err != nil {
			_ = ch.Close()
			return nil, err
		}
	}
	f := &files{ch: ch, client: s, gone: make(chan struct{})}
	go func() {
		defer close(f.gone)
		_ = s.Wait()
	}()
	return f, nil
}

// beginning keeps the first bytes that come.
type beginning struct {
	*bufio.Reader
	bytes []byte
}

func (b *beginning) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.bytes = append(b.bytes, p[:min(n, cap(b.bytes)-len(b.bytes))]...)
	return n, err
}

// words returns the first line of what came, if it is not SFTP: that begins with the length of a
// short packet, in four bytes of which the first is 0 (draft-ietf-secsh-filexfer-02, section 3).
func (b *beginning) words() string {
	if len(b.bytes) == 0 || b.bytes[0] == 0 {
		return ""
	}
	rest, _ := b.Peek(min(b.Buffered(), 80))
	line, _, _ := strings.Cut(strings.TrimLeft(string(b.bytes)+string(rest), "\r\n"), "\n")
	return strings.TrimRight(line, "\r")
}

// explain prefers the reason why the connection is gone, if it is.
func (c *Client) explain(err error) error {
	if lost := c.lost(); lost != nil {
		return &LostError{Started: true, Err: lost}
	}
	return err
}
