package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// echo keeps one WebSocket open, sends a message every EchoEvery and wants it back unchanged. When
// the server ends the connection, that is written down and a new one is opened: it belongs to the
// release that serves by then. A handshake or an echo that fails is a failed request.
func (l *Load) echo(kind Kind, id int) {
	for n := 0; l.goesOn(); n++ {
		began := time.Now()
		if err := l.session(kind, id, began); err != nil && l.hard.Err() == nil {
			l.fail(Failure{Kind: kind, Conn: id, Nth: n + 1, Took: time.Since(began)}, err)
		}
		if !l.pause(jitter(l.opt.Think)) {
			return
		}
	}
}

// session is one connection from handshake to end. The error is a fault of the server; its ending
// the connection is none.
func (l *Load) session(kind Kind, id int, began time.Time) error {
	dialCtx, cancel := context.WithTimeout(l.hard, l.opt.Timeout)
	defer cancel()
	// A transport of its own: no proxy from the environment, no pooled connection that a retry
	// could hide behind.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	conn, res, err := websocket.Dial(dialCtx, "ws://"+l.addr+"/ws",
		&websocket.DialOptions{Host: l.opt.Host, HTTPClient: client})
	if err != nil {
		cause := causeOf(err, CauseDial)
		if res != nil {
			cause = CauseStatus
		}
		return &requestFault{cause, err}
	}
	defer func() { _ = conn.CloseNow() }()
	release := res.Header.Get("X-Release")
	if release == "" {
		return &requestFault{CauseRelease, errors.New("the handshake has no X-Release header")}
	}
	l.rec.answered(kind, release, time.Since(began))
	book := l.rec.opened(id, release)

	// Read without a pause, so that the end is noticed when it comes and not with the next echo.
	messages, end := make(chan string, 1), make(chan error, 1)
	readCtx, stopReading := context.WithCancel(l.hard)
	defer stopReading()
	go func() {
		for {
			_, data, err := conn.Read(readCtx)
			if err != nil {
				end <- err
				return
			}
			select {
			case messages <- string(data):
			case <-readCtx.Done():
				end <- readCtx.Err()
				return
			}
		}
	}()
	return l.exchangeMessages(conn, book, messages, end)
}

func (l *Load) exchangeMessages(conn *websocket.Conn, book *WebSocketSession, messages <-chan string,
	end <-chan error,
) error {
	tick := time.NewTicker(l.opt.EchoEvery)
	defer tick.Stop()
	overdue := time.NewTimer(l.opt.Timeout)
	defer overdue.Stop()
	overdue.Stop()
	waiting := "" // the message whose echo is due
	for n := 0; ; {
		select {
		case <-l.hard.Done():
			return nil
		case <-l.stopping:
			_ = conn.Close(websocket.StatusNormalClosure, "the load stops")
			return nil
		case err := <-end:
			if l.goesOn() {
				l.rec.ended(book, int(websocket.CloseStatus(err)), closeReason(err))
			}
			return nil
		case got := <-messages:
			if got != waiting {
				return &requestFault{CauseBody, fmt.Errorf("sent %q, got %q", waiting, got)}
			}
			waiting = ""
			overdue.Stop()
			l.rec.echoed(book)
		case <-overdue.C:
			return &requestFault{CauseTimeout, fmt.Errorf("no echo of %q within %v", waiting, l.opt.Timeout)}
		case <-tick.C:
			if waiting != "" {
				continue
			}
			n++
			waiting = fmt.Sprintf("echo %d of connection %d", n, book.Conn)
			overdue.Reset(l.opt.Timeout)
			ctx, cancel := context.WithTimeout(l.hard, l.opt.Timeout)
			err := conn.Write(ctx, websocket.MessageText, []byte(waiting))
			cancel()
			if err != nil {
				_ = conn.CloseNow() // ends the reader, if the cause has not ended it already
			}
		}
	}
}

func closeReason(err error) string {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return closed.Reason
	}
	return err.Error()
}
