package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// open opens one file of the tree.
func (t *Tree) open(e *entry) (*os.File, error) {
	f, _, err := openIn(t.root, e.path, e.path)
	return f, err
}

// opener opens many. It keeps the folder of the last file open, which mostly is that of the next:
// from the top it is a long way.
type opener struct {
	root   *os.Root
	folder *os.Root
	name   string // of the folder
}

func (o *opener) open(e *entry) (*os.File, fs.FileInfo, error) {
	if name := path.Dir(e.path); o.folder == nil || o.name != name {
		o.close()
		folder, err := o.root.OpenRoot(name)
		if err != nil {
			return nil, nil, fmt.Errorf("read workspace: %w", reason(err))
		}
		o.folder, o.name = folder, name
	}
	return openIn(o.folder, path.Base(e.path), e.path)
}

func (o *opener) close() {
	if o.folder != nil {
		_ = o.folder.Close()
		o.folder = nil
	}
}

// openIn opens a regular file; a pipe that took its place since must not hold us up.
func openIn(folder *os.Root, name, full string) (*os.File, fs.FileInfo, error) {
	f, err := folder.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, nil, fmt.Errorf("read workspace: %q: %w", full, err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil, errors.Join(fmt.Errorf("read workspace: %q is not a regular file any more", full), f.Close())
	}
	return f, info, nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
