package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// stopGrace is how long a command has to end after signal TERM.
	stopGrace = 2 * time.Second
	// quietTime is how long the output of a command that has exited must be
	// silent before it counts as complete although something holds it open.
	quietTime = 500 * time.Millisecond
)

// A Command is one line for the user's login shell. It gets no terminal.
type Command struct {
	Line   string
	Stdin  io.Reader // nil: empty. A failing reader stops the command
	Stdout io.Writer // nil: dropped. Called by one goroutine each,
	Stderr io.Writer // so one writer given for both must be safe for two
}

// A Process is a command that was started.
type Process struct {
	client *Client
	ch     ssh.Channel
	cancel context.CancelCauseFunc
	stdout *gate
	stderr *gate

	exited chan struct{} // the host told how the command ended
	ended  chan struct{} // the channel is closed and all output is written
	quiet  chan struct{} // exited, and nothing more will come
	done   chan struct{} // err is set

	mu   sync.Mutex
	exit *ExitError // nil until exited; Code 0 for success
	err  error
}

func (c *Client) newProcess(ctx context.Context, cmd Command, s session) *Process {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &Process{
		client: c,
		ch:     s.ch,
		cancel: cancel,
		stdout: &gate{w: cmd.Stdout},
		stderr: &gate{w: cmd.Stderr},
		exited: make(chan struct{}),
		ended:  make(chan struct{}),
		quiet:  make(chan struct{}),
		done:   make(chan struct{}),
	}
	var streams sync.WaitGroup
	streams.Go(func() { pour(p.stdout, p.ch) })
	streams.Go(func() { pour(p.stderr, p.ch.Stderr()) })
	streams.Go(func() { p.readExit(s.requests) })
	go func() {
		streams.Wait()
		close(p.ended)
	}()
	go p.feed(cmd.Stdin)
	go p.listen()
	go p.supervise(ctx)
	return p
}

// Wait returns how the command ended, see [Client.Run]. It may be called often.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Done is closed when Wait would return at once.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal asks the host to send a signal to the command. Nothing confirms it.
func (p *Process) Signal(sig ssh.Signal) error {
	if err := sendSignal(p.ch, sig); err != nil {
		return fmt.Errorf("send signal %s: %w", sig, err)
	}
	return nil
}

// Close ends the command as the end of its context does; Wait then returns an
// error that wraps [ErrClosed], unless the command was over before.
func (p *Process) Close() error {
	p.cancel(ErrClosed)
	<-p.done
	return nil
}

// feed copies standard input. A reader that fails must not look like one that
// has ended: the command would take half of its input for the whole.
func (p *Process) feed(stdin io.Reader) {
	if stdin != nil {
		source := &source{r: stdin}
		// What is written at once sets the size of the connection's own buffers, for good. The wrappers
		// keep both sides from bringing another buffer.
		if _, err := io.CopyBuffer(struct{ io.Writer }{p.ch}, struct{ io.Reader }{source},
			make([]byte, smallBuffer)); source.err != nil {
			p.cancel(fmt.Errorf("read standard input: %w", source.err))
			return
		} else if err != nil {
			return // the command has closed its input; its exit status counts
		}
	}
	_ = p.ch.CloseWrite()
}

func (p *Process) readExit(requests <-chan *ssh.Request) {
	for req := range requests {
		exit := parseExit(req)
		if req.WantReply {
			_ = req.Reply(exit != nil, nil)
		}
		p.mu.Lock()
		if exit != nil && p.exit == nil {
			p.exit = exit
			close(p.exited)
		}
		p.mu.Unlock()
	}
}

// listen closes quiet when the command has exited and its output is complete,
// though a background process keeps it open: no byte for a while, and then an
// answer from the host, which comes after all it had to send.
func (p *Process) listen() {
	select {
	case <-p.exited:
	case <-p.done:
		return
	}
	for {
		before, writing := p.writes()
		select {
		case <-p.done:
			return
		case <-time.After(quietTime):
		}
		select {
		case <-p.done:
			return
		case err := <-p.client.ping():
			if err != nil {
				return // the connection is gone, and with it the channel
			}
		}
		// One that was going on when the wait began may have ended just now, and the next not begun.
		if now, busy := p.writes(); now == before && !writing && !busy {
			close(p.quiet)
			return
		}
	}
}

func (p *Process) supervise(ctx context.Context) {
	defer close(p.done)
	defer p.cancel(nil)
	select {
	case <-p.ended:
		p.err = p.outcome()
		return
	case <-p.quiet:
		go func() { _ = p.ch.Close() }()
		p.shut()
		p.err = p.outcome()
		return
	case <-ctx.Done():
	}
	// Writes to a host that is gone may block: nothing here waits for them.
	signalled := make(chan struct{})
	go func() {
		defer close(signalled)
		_ = sendSignal(p.ch, ssh.SIGTERM)
	}()
	stopped := true
	select {
	case <-p.ended:
	case <-p.quiet:
	case <-time.After(p.client.grace):
		stopped = false
	}
	go func() {
		<-signalled
		_ = p.ch.Close()
	}()
	p.shut()
	outcome := p.outcome()
	if !stopped && errors.Is(outcome, ErrNoExitStatus) {
		outcome = &LostError{Started: true, Err: fmt.Errorf("it may still run: no end seen within %s of signal TERM",
			p.client.grace)}
	}
	p.err = interrupted(ctx, outcome)
}

func (p *Process) writes() (n int64, busy bool) {
	out, outBusy := p.stdout.writes()
	err, errBusy := p.stderr.writes()
	return out + err, outBusy || errBusy
}

// shut keeps late output away from the caller's writers.
func (p *Process) shut() {
	p.stdout.shut()
	p.stderr.shut()
}

// outcome says how the command ended, as far as is known by now.
func (p *Process) outcome() error {
	p.mu.Lock()
	exit := p.exit
	p.mu.Unlock()
	lost := p.client.lost()
	switch {
	case exit != nil && exit.Code != 0:
		return exit
	case lost != nil:
		// Even after exit status 0: the output may have been cut.
		return &LostError{Started: true, Err: lost}
	case exit == nil:
		return &LostError{Started: true, Err: ErrNoExitStatus}
	}
	if err := errors.Join(p.stdout.failure(), p.stderr.failure()); err != nil {
		return fmt.Errorf("write output of command: %w", err)
	}
	return nil
}
