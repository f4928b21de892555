// Package workspace reads the runner's checkout and packs what a host lacks of it. Nothing outside
// of the folder is followed, whatever the checkout's links say.
package workspace

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/clothesme/deploy-action/internal/exclude"
)

// Options say what of a workspace is the release.
type Options struct {
	Workspace string // absolute
	Path      string // the folder in it, local
	Exclude   exclude.Patterns
	ReadOnly  bool  // nobody may write to the files on the host, so that releases can share them
	Memory    int64 // how many bytes of small files are kept, rather than read again
}

// Tree is a folder as it is to be on a host.
type Tree struct {
	Files   int      // how many files
	Skipped []string // what can't be part of a release: sockets, pipes, devices
	Secrets []string // what by its name holds secrets, and is sent all the same

	// Of a tree that is hashed:
	ID    string // SHA-256 of all that is in it, 64 hexadecimal digits
	Bytes int64  // what the files hold

	root     *os.Root
	entries  []entry
	readOnly bool
	memory   atomic.Int64 // what is left for contents, bytes
}

// The root's own: .git may hold the token (actions/checkout leaves it in .git/config),
// .deploy-action is where a release keeps what the action writes.
const (
	gitName  = ".git"
	ownName  = ".deploy-action"
	maxNamed = 5 // how many names a message repeats
	// What a path may have, in bytes: Linux takes 4,095 (PATH_MAX), and on the host the deploy root
	// stands before it.
	maxPath = 3800
)

// Read walks the folder. The tree keeps it open, and is to be hashed before it is compared or
// packed.
func Read(ctx context.Context, o Options) (*Tree, error) {
	outer, err := os.OpenRoot(o.Workspace)
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = outer.Close() }()
	root, err := outer.OpenRoot(o.Path)
	if err != nil {
		return nil, fmt.Errorf("open folder %q of the workspace: %w", o.Path, reason(err))
	}
	t := &Tree{root: root, readOnly: o.ReadOnly}
	t.memory.Store(o.Memory)
	w := walker{tree: t, options: o}
	err = w.walk(ctx, ".")
	if err == nil {
		err = w.faults()
	}
	if err == nil && t.Files == 0 {
		err = fmt.Errorf("folder %q of the workspace has no files to send: is there a checkout or build step before "+
			"this one?", o.Path)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return t, nil
}

type walker struct {
	tree                      *Tree
	options                   Options
	names, escapes, long      []string // faults
	unnamed, escaped, tooLong int      // how many more of each
}

func (w *walker) walk(ctx context.Context, dir string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	handle, err := w.tree.root.Open(dir)
	if err != nil {
		return fmt.Errorf("read workspace: %w", reason(err))
	}
	list, err := handle.ReadDir(-1)
	_ = handle.Close()
	if err != nil {
		return fmt.Errorf("read workspace: %w", err)
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, item := range list {
		name := path.Join(dir, item.Name())
		if item.Name() == gitName || name == ownName || credentials(item.Name()) ||
			w.options.Exclude.Match(name, item.IsDir()) {
			continue
		}
		if err := w.add(ctx, name, item); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) add(ctx context.Context, name string, item fs.DirEntry) error {
	t := w.tree
	if control(name) {
		note(&w.names, &w.unnamed, fmt.Sprintf("%q", name))
		return nil
	}
	if len(name) > maxPath {
		note(&w.long, &w.tooLong, fmt.Sprintf("%.100q…", name))
		return nil
	}
	switch item.Type() {
	case fs.ModeDir:
		t.entries = append(t.entries, entry{path: name, kind: folder, mode: 0o755})
		return w.walk(ctx, name)
	case fs.ModeSymlink:
		target, err := t.root.Readlink(name)
		if err != nil {
			return fmt.Errorf("read workspace: %w", err)
		}
		if control(target) || !w.inside(name, target) {
			note(&w.escapes, &w.escaped, fmt.Sprintf("%q -> %q", name, target))
			return nil
		}
		t.entries = append(t.entries, entry{path: name, kind: link, sum: target})
	case 0:
		if t.secret(name, item.Name()) {
			t.Secrets = append(t.Secrets, fmt.Sprintf("%q", name))
		}
		t.entries = append(t.entries, entry{path: name, kind: file})
		t.Files++
	default:
		t.Skipped = append(t.Skipped, fmt.Sprintf("%q", name))
	}
	return nil
}

// inside reports whether a link ends within the folder, both by its words and by what is there; one
// that leads to nothing, or in a circle, is the application's own business. What is behind more
// links than are followed is each link's own question.
func (w *walker) inside(name, target string) bool {
	if target == "" || filepath.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return false
	}
	_, err := w.tree.root.Stat(name)
	return err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP)
}

func (w *walker) faults() error {
	var errs []error
	if len(w.names) > 0 {
		errs = append(errs, fmt.Errorf("names with line breaks or other control characters can't be sent; rename "+
			"them, or leave them out with the input \"exclude\": %s%s",
			strings.Join(w.names, ", "), more(w.unnamed)))
	}
	if len(w.escapes) > 0 {
		errs = append(errs, fmt.Errorf("links that leave the folder would point to something else on the host; "+
			"replace them by what they point to, or leave them out with the input \"exclude\": %s%s",
			strings.Join(w.escapes, ", "), more(w.escaped)))
	}
	if len(w.long) > 0 {
		errs = append(errs, fmt.Errorf("paths of more than %d bytes have no place on the host; shorten them, or "+
			"leave them out with the input \"exclude\": %s%s",
			maxPath, strings.Join(w.long, ", "), more(w.tooLong)))
	}
	return errors.Join(errs...)
}

func note(names *[]string, others *int, name string) {
	if len(*names) == maxNamed {
		*others++
		return
	}
	*names = append(*names, name)
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func control(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// reason takes the Go out of an error about a path.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%q: %w", p.Path, p.Err)
	}
	return err
}

// smallFile is the size up to which a file may be kept in memory: to open it again would cost more
// than what is in it.
const smallFile = 64 << 10

// Hash reads the files, on all processors. An error leaves the tree useless.
func (t *Tree) Hash(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan *entry)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			h := hasher{tree: t, buffer: make([]byte, 256<<10), from: opener{root: t.root}}
			defer h.from.close()
			for e := range work {
				if err := h.hash(ctx, e); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range t.entries {
		if e := &t.entries[i]; e.kind == file && ctx.Err() == nil {
			work <- e
		}
	}
	close(work)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	lines := make([]string, len(t.entries))
	for i := range t.entries {
		t.Bytes += t.entries[i].size
		lines[i] = t.entries[i].line()
	}
	slices.Sort(lines)
	t.ID = identity(lines)
	return nil
}

type hasher struct {
	tree   *Tree
	buffer []byte // more than a small file
	from   opener
}

func (h *hasher) hash(ctx context.Context, e *entry) error {
	f, info, err := h.from.open(e)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	// The owner always reads, nobody but the owner ever writes, and no bit gives the file somebody
	// else's rights.
	e.mode = uint32(info.Mode().Perm())&0o755 | 0o400
	if h.tree.readOnly {
		e.mode &= 0o555
	}
	e.size, e.changed = info.Size(), info.ModTime()
	if e.size <= smallFile && h.tree.memory.Add(-e.size) >= 0 {
		e.data = make([]byte, e.size)
		_, err := io.ReadFull(f, e.data)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("file %q of the workspace changed while it was read: end what still writes to it "+
				"before this step", e.path)
		case err != nil:
			return fmt.Errorf("read workspace: %w", reason(err))
		}
		e.sum = fmt.Sprintf("%x", sha256.Sum256(e.data))
		return nil
	}
	sum := sha256.New()
	if e.size, err = io.CopyBuffer(sum, struct{ io.Reader }{reader{ctx, f}}, h.buffer); err != nil {
		return fmt.Errorf("read workspace: %w", err)
	}
	e.sum = fmt.Sprintf("%x", sum.Sum(nil))
	return nil
}
