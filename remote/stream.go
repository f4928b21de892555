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

// Of a hundred hosts most are silent at any time: who waits does so with a small buffer.
const (
	smallBuffer = 4 << 10
	bigBuffer   = 32 << 10
)

var bigBuffers = sync.Pool{New: func() any { return new([bigBuffer]byte) }}

// pour copies until the reader has no more. It waits with a small buffer, and takes a big one for as
// long as there is enough to fill that.
func pour(to *gate, from io.Reader) {
	small := make([]byte, smallBuffer)
	for more, err := false, error(nil); err == nil; {
		buffer := small
		var big *[bigBuffer]byte
		if more {
			big = bigBuffers.Get().(*[bigBuffer]byte)
			buffer = big[:]
		}
		var n int
		if n, err = from.Read(buffer); n > 0 {
			_, _ = to.Write(buffer[:n])
		}
		more = n == len(buffer)
		if big != nil {
			bigBuffers.Put(big)
		}
	}
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
