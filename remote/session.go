package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// Start starts a command; ctx governs its whole life. When ctx ends, the
// command gets signal TERM (OpenSSH 7.9 and later pass it to the process
// group; 9.2 does not for a login as root), two seconds to end, and then loses
// its channel, that is its standard input and output. The error then wraps
// context.Cause(ctx) together with how the command ended: an *[ExitError], or a
// *[LostError] when that is not known, or nothing when it ended well.
//
// A command that has exited while something it left behind holds its output
// open is over as soon as that output is silent.
func (c *Client) Start(ctx context.Context, cmd Command) (*Process, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("start command: %w", context.Cause(ctx))
	}
	opened := make(chan session, 1)
	go func() { opened <- c.open(cmd.Line) }()
	select {
	case s := <-opened:
		if s.err != nil {
			return nil, s.err
		}
		return c.newProcess(ctx, cmd, s), nil
	case <-ctx.Done():
		go func() {
			if s := <-opened; s.err == nil {
				go ssh.DiscardRequests(s.requests)
				_ = sendSignal(s.ch, ssh.SIGTERM)
				_ = s.ch.Close()
			}
		}()
		return nil, interrupted(ctx, &LostError{Started: true, Err: errors.New("the host has not confirmed the start")})
	}
}

// A session is a channel on which a command was started.
type session struct {
	ch       ssh.Channel
	requests <-chan *ssh.Request
	err      error
}

func (c *Client) open(line string) session {
	ch, requests, err := c.ssh.OpenChannel("session", nil)
	if err != nil {
		if lost := c.lost(); lost != nil {
			return session{err: &LostError{Err: lost}}
		}
		return session{err: fmt.Errorf("open session: %w", err)}
	}
	ok, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
	switch {
	case err != nil:
		if lost := c.lost(); lost != nil {
			err = lost
		}
		return session{err: &LostError{Started: true, Err: err}}
	case !ok:
		go ssh.DiscardRequests(requests)
		_ = ch.Close()
		return session{err: errors.New("start command: the host refused to run it")}
	}
	return session{ch: ch, requests: requests}
}

// parseExit reads the two requests of RFC 4254, 6.10; nil for any other.
func parseExit(req *ssh.Request) *ExitError {
	switch req.Type {
	case "exit-status":
		if len(req.Payload) == 4 {
			return &ExitError{Code: int(binary.BigEndian.Uint32(req.Payload))}
		}
	case "exit-signal":
		var msg struct {
			Signal     string
			CoreDumped bool
			Message    string
			Language   string
		}
		if ssh.Unmarshal(req.Payload, &msg) == nil && msg.Signal != "" {
			return &ExitError{Code: 128 + signalNumbers[ssh.Signal(msg.Signal)], Signal: msg.Signal}
		}
	}
	return nil
}

// signalNumbers are those that a shell would add to 128.
var signalNumbers = map[ssh.Signal]int{
	ssh.SIGHUP: 1, ssh.SIGINT: 2, ssh.SIGQUIT: 3, ssh.SIGILL: 4, ssh.SIGABRT: 6, ssh.SIGFPE: 8,
	ssh.SIGKILL: 9, ssh.SIGUSR1: 10, ssh.SIGSEGV: 11, ssh.SIGUSR2: 12, ssh.SIGPIPE: 13, ssh.SIGALRM: 14,
	ssh.SIGTERM: 15,
}

// interrupted joins why a command was stopped with how it ended.
func interrupted(ctx context.Context, outcome error) error {
	if outcome == nil {
		return fmt.Errorf("command stopped: %w", context.Cause(ctx))
	}
	return fmt.Errorf("command stopped: %w (%w)", context.Cause(ctx), outcome)
}

// sendSignal sends the request of RFC 4254, 6.9, which has no reply.
func sendSignal(ch ssh.Channel, sig ssh.Signal) error {
	_, err := ch.SendRequest("signal", false, ssh.Marshal(struct{ Signal string }{string(sig)}))
	return err
}
