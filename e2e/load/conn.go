package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// maxAnswer bounds an answer's body; the largest that the example sends is an echo of a few hundred
// bytes.
const maxAnswer = 1 << 20

// uploadChunks is how many pieces a spread-out body is sent in.
const uploadChunks = 64

// keptConn is one keep-alive connection with nothing behind its back: no retry, no read-ahead, no
// pool.
type keptConn struct {
	raw    net.Conn
	br     *bufio.Reader
	unhook func() bool
	served int // answers so far
	idle   time.Time
}

type question struct {
	method, target, host string
	contentType          string
	body                 []byte
	spread               time.Duration // over how long the body is sent
	timeout              time.Duration // for the whole exchange
	check                func(reply) error
}

type reply struct {
	status  int
	release string
	body    []byte
	closing bool // the server announced that it closes the connection
}

// requestFault is why a request failed.
type requestFault struct {
	cause Cause
	err   error
}

func (f *requestFault) Error() string { return string(f.cause) + ": " + f.err.Error() }
func (f *requestFault) Unwrap() error { return f.err }

func dialKept(ctx context.Context, addr string, timeout time.Duration) (*keptConn, error) {
	raw, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &requestFault{cause: causeOf(err, CauseDial), err: err}
	}
	c := &keptConn{raw: raw, br: bufio.NewReader(raw)}
	c.unhook = context.AfterFunc(ctx, func() { _ = raw.Close() })
	return c, nil
}

func (c *keptConn) close() {
	c.unhook()
	_ = c.raw.Close()
}

// check looks, without waiting, at a connection that was idle: the server must have neither closed
// it nor said more. The deadline of the exchange before, which may be over by now, is none of it.
func (c *keptConn) check() error {
	source, err := c.raw.(*net.TCPConn).SyscallConn()
	if err != nil {
		return c.fault("look at the connection", err)
	}
	var n int
	var peekErr error
	err = source.Control(func(fd uintptr) {
		var one [1]byte
		n, _, peekErr = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	switch {
	case err != nil:
		return c.fault("look at the connection", err)
	case errors.Is(peekErr, syscall.EAGAIN), errors.Is(peekErr, syscall.EINTR):
		return nil
	case peekErr == nil && n > 0:
		return &requestFault{CauseProtocol, errors.New("more bytes follow the last answer")}
	case peekErr == nil:
		peekErr = io.EOF
	}
	fault := c.fault("use the connection again", peekErr)
	fault.cause = CauseIdle
	return fault
}

// exchange sends one request and reads its answer. hurry, when closed, ends the spreading of the
// body. After an error, and after an answer that is closing, the connection is of no further use.
// The answer comes with a fault too, as far as it got.
func (c *keptConn) exchange(r question, hurry <-chan struct{}) (reply, error) {
	if err := c.raw.SetDeadline(time.Now().Add(r.timeout)); err != nil {
		return reply{}, c.fault("prepare", err)
	}
	sendErr := c.send(r, hurry)
	if sendErr != nil {
		// A server that refuses a body answers first and closes then: its words say more than our
		// broken pipe.
		_ = c.raw.SetDeadline(time.Now().Add(time.Second))
	}
	answer, err := c.receive(r.method)
	switch {
	case sendErr != nil && err == nil:
		return answer, &requestFault{CauseStatus, fmt.Errorf("status %d before the whole request was sent",
			answer.status)}
	case sendErr != nil:
		return answer, c.fault("send the request", sendErr)
	case err != nil:
		return answer, err
	}
	c.served++
	c.idle = time.Now()
	return answer, judge(r, answer)
}

func judge(r question, answer reply) error {
	if answer.status != http.StatusOK {
		return &requestFault{CauseStatus, fmt.Errorf("status %d: %.120q", answer.status, answer.body)}
	}
	if answer.release == "" {
		return &requestFault{CauseRelease, errors.New("the answer has no X-Release header")}
	}
	if err := r.check(answer); err != nil {
		return &requestFault{CauseBody, err}
	}
	return nil
}

func (c *keptConn) send(r question, hurry <-chan struct{}) error {
	head := r.method + " " + r.target + " HTTP/1.1\r\nHost: " + r.host +
		"\r\nUser-Agent: deploy-action-lab\r\nAccept: */*\r\n"
	if r.method == http.MethodPost {
		head += "Content-Type: " + r.contentType + "\r\nContent-Length: " + strconv.Itoa(len(r.body)) + "\r\n"
	}
	if r.spread == 0 {
		_, err := c.raw.Write(append([]byte(head+"\r\n"), r.body...))
		return err
	}
	if _, err := io.WriteString(c.raw, head+"\r\n"); err != nil {
		return err
	}
	began, interval := time.Now(), max(r.spread/uploadChunks, 1)
	pace := time.NewTicker(interval)
	defer pace.Stop()
	size := (len(r.body) + uploadChunks - 1) / uploadChunks
	for rest := r.body; len(rest) > 0; {
		select {
		case <-pace.C:
		case <-hurry:
			_, err := c.raw.Write(rest)
			return err
		}
		// All that is due by now, since a ticker drops what nobody waits for.
		due := size * int(time.Since(began)/interval)
		n := min(max(due-(len(r.body)-len(rest)), size), len(rest))
		if _, err := c.raw.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (c *keptConn) receive(method string) (reply, error) {
	if _, err := c.br.Peek(1); err != nil {
		return reply{}, c.fault("wait for the answer", err)
	}
	res, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		return reply{}, c.fault("read the answer's head", err)
	}
	defer func() { _ = res.Body.Close() }()
	answer := reply{status: res.StatusCode, release: res.Header.Get("X-Release"), closing: res.Close}
	answer.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer, c.fault("read the answer's body", err)
	case len(answer.body) > maxAnswer:
		return answer, &requestFault{CauseBody, fmt.Errorf("the body exceeds %d bytes", maxAnswer)}
	case c.br.Buffered() > 0:
		return answer, &requestFault{CauseProtocol, fmt.Errorf("%d bytes follow the answer", c.br.Buffered())}
	}
	return answer, nil
}

// fault tells what the connection had been through, which is what separates a release that died
// from a server that dropped an idle connection.
func (c *keptConn) fault(doing string, err error) *requestFault {
	history := "on a new connection"
	if c.served > 0 {
		history = fmt.Sprintf("after %d answers on this connection, the last one %v ago", c.served,
			time.Since(c.idle).Round(time.Millisecond))
	}
	return &requestFault{causeOf(err, CauseProtocol), fmt.Errorf("%s: %w (%s)", doing, err, history)}
}

func causeOf(err error, fallback Cause) Cause {
	var netErr net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return CauseRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return CauseReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return CauseClosed
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return CauseTimeout
	}
	return fallback
}
