package workspace

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// Pack writes a change as one tar, compressed or not: the two lists in .deploy-action, then
// folders, files and links, so that nothing is ever unpacked through a link. A file that is not
// what the manifest says any more is an error: the release would not be what was hashed.
func (t *Tree) Pack(ctx context.Context, w io.Writer, c *Change, compressed bool) error {
	if !compressed {
		buffered := bufio.NewWriterSize(w, blockSize)
		if err := t.pack(ctx, tar.NewWriter(buffered), c); err != nil {
			return err
		}
		return buffered.Flush()
	}
	z := newCompressor(w)
	err := t.pack(ctx, tar.NewWriter(z), c)
	if closed := z.Close(); err == nil {
		err = closed
	}
	return err
}

func (t *Tree) pack(ctx context.Context, w *tar.Writer, c *Change) error {
	for _, list := range []struct {
		name  string
		lines []string
	}{{"minus", c.minus}, {"plus", c.plus}} {
		if err := packLines(w, list.name, list.lines); err != nil {
			return err
		}
	}
	send := slices.Clone(c.send)
	slices.SortFunc(send, func(a, b *entry) int {
		if order := strings.IndexByte(order, byte(a.kind)) - strings.IndexByte(order, byte(b.kind)); order != 0 {
			return order
		}
		return strings.Compare(a.path, b.path)
	})
	buffer := make([]byte, 256<<10)
	for _, e := range send {
		if err := t.packEntry(ctx, w, e, buffer); err != nil {
			return err
		}
	}
	return w.Close()
}

// packLines writes a list, line by line: together they may be as large as all that is sent.
func packLines(w *tar.Writer, name string, lines []string) error {
	size := int64(0)
	for _, line := range lines {
		size += int64(len(line)) + 1
	}
	// The classic form holds names as they are, whatever their bytes.
	h := &tar.Header{
		Name: path.Join(ownName, name), Mode: 0o644, Size: size, Format: tar.FormatGNU, ModTime: time.Unix(0, 0),
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	buffered := bufio.NewWriter(w)
	for _, line := range lines {
		_, _ = buffered.WriteString(line) // what fails, fails Flush
		_ = buffered.WriteByte('\n')
	}
	return buffered.Flush()
}

const order = "dfl"

func (t *Tree) packEntry(ctx context.Context, w *tar.Writer, e *entry, buffer []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	h := &tar.Header{Name: e.path, Mode: int64(e.mode), Size: e.size, Format: tar.FormatGNU, ModTime: time.Unix(0, 0)}
	switch e.kind {
	case folder:
		h.Typeflag, h.Name = tar.TypeDir, e.path+"/"
		return w.WriteHeader(h)
	case link:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.sum, 0o777
		return w.WriteHeader(h)
	}
	h.Typeflag, h.ModTime = tar.TypeReg, e.changed
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	if e.data != nil {
		_, err := w.Write(e.data)
		return err
	}
	f, err := t.open(e)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(w, hash), struct{ io.Reader }{io.LimitReader(reader{ctx, f}, e.size)},
		buffer)
	if err != nil {
		return err
	}
	if n != e.size || fmt.Sprintf("%x", hash.Sum(nil)) != e.sum {
		return fmt.Errorf("file %q of the workspace changed while it was sent: end what still writes to it before "+
			"this step", e.path)
	}
	return nil
}
