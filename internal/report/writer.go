package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

const (
	// maxLine is what is printed of one line of a host, in bytes. The live view of the runner cuts
	// at 1,024 characters (JobServerQueue.cs), the stored log keeps all.
	maxLine = 8 << 10
	// maxOutput is what is printed of one script's output, and maxOutputs of all in a run, in
	// bytes: a host that prints for hours must not fill the runner's disk, nor hide in its own
	// noise what went wrong. What is too much is counted.
	maxOutput  = 4 << 20
	maxOutputs = 32 << 20
	// flushAt keeps the memory for one Write in bounds: a byte "\n" grows by its prefix.
	flushAt = 64 << 10
)

// Remote returns a writer for the output of a host. Each line is printed when it is complete, as
// "host │ line", cleaned, without secrets and without a chance to be a workflow command; of a line
// longer than 8 KiB the rest is counted and dropped, in constant memory, and so is what comes after
// 4 MiB of one writer, or 32 of a run. A lone carriage return ends a line, as it does in the
// runner, so that progress bars become lines.
//
// Write never fails while the writer is open, and Close prints what came without a line break.
// Several goroutines may share one writer; a stream of its own for each of them keeps their lines
// apart.
func (r *Report) Remote(host string) io.WriteCloser {
	label := defuseStart(defuse(oneLine(cleanLines(host))))
	return &remote{r: r, prefix: label + " │"}
}

type remote struct {
	r      *Report
	prefix string

	mu      sync.Mutex
	line    []byte // the line so far, as it came
	dropped int64  // bytes of it that were too many
	cr      bool   // the last byte was \r, so that a \n belongs to it
	empty   bool   // nothing was printed for that \r
	used    int    // bytes printed
	skipped int64  // bytes that came when it was enough
	closed  bool
	out     bytes.Buffer
}

func (w *remote) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, fmt.Errorf("write line: %w", os.ErrClosed)
	}
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			w.fill(p)
			break
		}
		w.fill(p[:i])
		if !w.cr || w.empty {
			w.emit()
		}
		w.cr = false
		p = p[i+1:]
	}
	w.flush()
	return n, nil
}

// Close prints a line that was not ended. It may be called twice.
func (w *remote) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && (len(w.line) > 0 || w.dropped > 0) {
		w.emit()
	}
	if !w.closed && w.skipped > 0 {
		fmt.Fprintf(&w.out, "%s … %d bytes more\n", w.prefix, w.skipped)
	}
	w.flush()
	w.closed = true
	return nil
}

// fill takes bytes that hold no \n.
func (w *remote) fill(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\r')
		if i < 0 {
			w.cr = false
			w.keep(p)
			return
		}
		w.keep(p[:i])
		// "\rprogress" would print an empty line each time; "\r\n" is one, when the \n comes.
		w.cr, w.empty = true, len(w.line) == 0 && w.dropped == 0
		if !w.empty {
			w.emit()
		}
		p = p[i+1:]
	}
}

// keep adds to the line as much as may be needed to print it: the limit, and one secret across it.
func (w *remote) keep(p []byte) {
	room := max(w.limit()-len(w.line), 0)
	if len(p) > room {
		w.dropped += int64(len(p) - room)
		p = p[:room]
	}
	w.line = append(w.line, p...)
}

func (w *remote) limit() int {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return maxLine + w.r.secrets.longest
}

// enough counts the line instead of printing it, once there was enough.
func (w *remote) enough() bool {
	w.r.mu.Lock()
	over := w.used >= maxOutput || w.r.outputs >= maxOutputs
	w.r.mu.Unlock()
	if !over {
		return false
	}
	if w.skipped == 0 {
		fmt.Fprintf(&w.out, "%s … what it says from here on is too much for this log\n", w.prefix)
	}
	w.skipped += int64(len(w.line)) + w.dropped + 1
	w.line, w.dropped = w.line[:0], 0
	return true
}

// emit prints the line.
func (w *remote) emit() {
	if w.enough() {
		return
	}
	begin := w.out.Len()
	w.r.mu.Lock()
	text := w.r.secrets.coloured(string(w.line))
	if w.dropped > 0 || len(text) > maxLine {
		text = clean(string(w.line), dropColour) // a cut must not go through an escape sequence
	}
	limit := maxLine
	if w.dropped > 0 {
		// A secret may have begun within what was kept and ended in what was not. Cleaning
		// shortens, so the distance is counted from the end.
		limit = max(min(limit, len(text)-w.r.secrets.longest), 0)
	}
	text, more := w.r.secrets.redact(text, limit)
	w.r.mu.Unlock()

	w.out.WriteString(w.prefix)
	if text != "" {
		w.out.WriteByte(' ')
		w.out.WriteString(defuse(text))
	}
	if w.dropped > 0 || more > 0 {
		fmt.Fprintf(&w.out, " … (line cut, about %d bytes more)", w.dropped+int64(more))
	}
	w.out.WriteByte('\n')
	w.line, w.dropped = w.line[:0], 0
	w.used += w.out.Len() - begin
	w.r.mu.Lock()
	w.r.outputs += w.out.Len() - begin
	w.r.mu.Unlock()
	if w.out.Len() >= flushAt {
		w.flush()
	}
}

// flush prints the lines collected so far, in one Write.
func (w *remote) flush() {
	if w.out.Len() == 0 {
		return
	}
	w.r.mu.Lock()
	w.r.write(w.out.Bytes())
	w.r.mu.Unlock()
	w.out.Reset()
}
