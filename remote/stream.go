package remote

import (
	"io"
	"sync"
	"sync/atomic"
)

// A gate stands before a caller's writer: after shut nothing passes, so the
// caller owns the writer again. It swallows what the writer refuses, for a
// stream that nobody reads would stop the command on the host.
type gate struct {
	mu     sync.Mutex
	w      io.Writer
	closed bool
	err    error
	failed func(error) // told of what the writer refuses; may be nil

	begun, finished atomic.Int64 // writes
}

func (g *gate) Write(p []byte) (int, error) {
	g.begun.Add(1)
	defer g.finished.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w != nil && !g.closed && g.err == nil {
		if _, g.err = g.w.Write(p); g.err != nil && g.failed != nil {
			g.failed(g.err)
		}
	}
	return len(p), nil
}

// writes returns how many writes have begun, and whether one is going on.
func (g *gate) writes() (n int64, busy bool) {
	finished := g.finished.Load()
	n = g.begun.Load()
	return n, n != finished
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *gate) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// A source remembers the error of a caller's reader.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's contract: EOF itself
		s.err = err
	}
	return n, err
}
