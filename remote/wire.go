package remote

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
)

// greetingLimit is how much of a host's first words is kept for error messages.
const greetingLimit = 512

// A wire is the TCP connection under an SSH one. It knows three things that
// the SSH library does not tell: what the peer said first, whether anything
// arrives at all, and whether the end came from outside.
type wire struct {
	net.Conn
	via    *Client // the host whose connection this one goes through, or nil
	reads  atomic.Uint64
	closed atomic.Bool

	mu       sync.Mutex
	greeting []byte
	broken   bool
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.reads.Add(1)
	}
	if err != nil || n > 0 {
		w.mu.Lock()
		if room := greetingLimit - len(w.greeting); room > 0 {
			w.greeting = append(w.greeting, p[:min(n, room)]...)
		}
		w.broken = w.broken || (err != nil && !w.closed.Load())
		w.mu.Unlock()
	}
	return n, err
}

// Close ends this connection alone: over the same way another may follow.
func (w *wire) Close() error {
	w.closed.Store(true)
	if w.via != nil {
		// To close a channel is to write, and so to wait for a host that does not read.
		go func() { _ = w.Conn.Close() }()
		return nil
	}
	return w.Conn.Close()
}

// abort ends this connection and those it goes through, at once.
func (w *wire) abort() {
	w.closed.Store(true)
	if w.via != nil {
		w.via.end(ErrClosed)
		return
	}
	_ = w.Conn.Close()
}

// cut tells whether the peer, or the network, ended the connection. It is true
// before any reader above learns of the end.
func (w *wire) cut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// firstWords returns what the peer said first, and whether it was SSH
// (RFC 4253, 4.2: other lines may come before).
func (w *wire) firstWords() (line string, isSSH bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, _, _ := bytes.Cut(w.greeting, []byte("\n"))
	return string(bytes.TrimSpace(first)), bytes.HasPrefix(w.greeting, []byte("SSH-")) ||
		bytes.Contains(w.greeting, []byte("\nSSH-"))
}
