package deploy

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// packs are streams that are made once and read by several hosts, by a name of what is in them. They
// lie in files that have no name any more: the system removes them when the run ends, however it
// does, and nobody else can open them.
type packs struct {
	mu sync.Mutex
	by map[string]*pack
}

// open returns the stream of a name. The first one to ask has it made; a host that is slow, or that
// gives up, holds up nobody else.
func (p *packs) open(ctx context.Context, name string, write packer) (*pack, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if made := p.by[name]; made != nil {
		made.readers++
		return made, nil
	}
	file, err := os.CreateTemp("", "deploy-action-")
	if err == nil {
		err = os.Remove(file.Name())
	}
	if err != nil {
		return nil, fmt.Errorf("keep what is sent to several hosts: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it is not one host's alone
	made := &pack{file: file, cancel: cancel, over: make(chan struct{}), readers: 1}
	made.more.L = &made.mu
	go func() {
		defer close(made.over)
		made.end(write(ctx, made))
	}()
	if p.by == nil {
		p.by = map[string]*pack{}
	}
	p.by[name] = made
	return made, nil
}

// leave is for who does not read any more. What nobody waits for is not made to its end; what is
// whole stays for who comes later.
func (p *packs) leave(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	made := p.by[name]
	if made.readers--; made.readers == 0 && !made.whole() {
		delete(p.by, name)
		made.drop()
	}
}

// close removes all of them.
func (p *packs) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, made := range p.by {
		made.drop()
	}
	p.by = nil
}

// roomFor tells whether there is as much disk, and some to spare, where the streams lie.
func (p *packs) roomFor(bytes int64) bool {
	var disk syscall.Statfs_t
	err := syscall.Statfs(os.TempDir(), &disk)
	return err == nil && int64(disk.Bavail)*disk.Bsize > bytes+spare //nolint:gosec // no disk has 2^63 bytes
}

// packer writes a stream.
type packer func(context.Context, io.Writer) error

// pack is a stream that is read while it is made.
type pack struct {
	file   *os.File
	cancel context.CancelFunc
	over   chan struct{}

	readers int // guarded by the packs' lock

	mu    sync.Mutex
	more  sync.Cond // there is more to read, or the end
	size  int64
	ended bool
	err   error // why it ended too early
}

func (p *pack) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size += int64(n)
	p.more.Broadcast()
	return n, err
}

func (p *pack) whole() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended && p.err == nil
}

// drop ends its making, and removes it.
func (p *pack) drop() {
	p.cancel()
	<-p.over
	_ = p.file.Close()
}

func (p *pack) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.err = true, err
	p.more.Broadcast()
}

// reader reads it from its beginning.
func (p *pack) reader() io.Reader { return &packReader{pack: p} }

type packReader struct {
	*pack
	at int64
}

func (r *packReader) Read(b []byte) (int, error) {
	r.mu.Lock()
	for r.at == r.size && !r.ended {
		r.more.Wait()
	}
	left, err := r.size-r.at, r.err
	r.mu.Unlock()
	switch {
	case left == 0 && err != nil:
		return 0, err
	case left == 0:
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(b[:min(int64(len(b)), left)], r.at)
	r.at += int64(n)
	return n, err
}

// spare is what must be left of the disk after the release is there, in bytes.
const spare = 64 << 20
