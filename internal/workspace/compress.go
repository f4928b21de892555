package workspace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// blockSize is what one processor compresses at a time; each block is a gzip member of its own (RFC
// 1952, 2.2), which gzip reads as one stream.
const blockSize = 1 << 20

// compressor is gzip on all processors. A block that does not shrink is stored: models, images and
// wheels are compressed already, and another try would only be slower than the network.
type compressor struct {
	block []byte
	queue chan chan []byte // blocks at work, in order
	done  chan error
}

func newCompressor(w io.Writer) *compressor {
	z := &compressor{queue: make(chan chan []byte, runtime.GOMAXPROCS(0)), done: make(chan error, 1)}
	go func() {
		var failed error
		for block := range z.queue {
			if packed := <-block; failed == nil {
				_, failed = w.Write(packed)
			}
		}
		z.done <- failed
	}()
	return z
}

// Write never fails: what the writer below says is Close's to return, and a reader that has gone is
// told to the source by its context.
func (z *compressor) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if z.block == nil {
			z.block = make([]byte, 0, blockSize)
		}
		take := min(len(p), blockSize-len(z.block))
		z.block, p = append(z.block, p[:take]...), p[take:]
		if len(z.block) == blockSize {
			z.flush()
		}
	}
	return n, nil
}

func (z *compressor) flush() {
	block, packed := z.block, make(chan []byte, 1)
	z.block = nil
	z.queue <- packed
	go func() { packed <- compress(block) }()
}

// Close writes what is left and returns the first error of the writer below.
func (z *compressor) Close() error {
	if len(z.block) > 0 {
		z.flush()
	}
	close(z.queue)
	return <-z.done
}

// samples is how many places of a change are tried before anything is sent.
const samples = 64

// Shrinks reports whether a change is worth compressing. Where most of it would be stored all the
// same, a model for instance, gzip would only keep the host busy: it reads 300 MB a second, less
// than a good network brings.
func (t *Tree) Shrinks(c *Change) (bool, error) {
	if c.Bytes < blockSize {
		return true, nil // the lists may be most of it
	}
	step := max(c.Bytes/samples, sampleSize)
	var passed, next, tried, packed int64
	sample := make([]byte, sampleSize)
	for _, e := range c.send {
		if e.kind != file {
			continue
		}
		for ; next < passed+e.size; next += step {
			n, err := t.readAt(e, sample, next-passed)
			if err != nil {
				return false, err
			}
			tried += int64(n)
			_, shrunk := try(sample[:n])
			packed += int64(shrunk)
		}
		passed += e.size
	}
	return packed < tried*9/10, nil
}

func (t *Tree) readAt(e *entry, p []byte, offset int64) (int, error) {
	if e.data != nil {
		return copy(p, e.data[min(offset, int64(len(e.data))):]), nil
	}
	f, err := t.open(e)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	n, err := f.ReadAt(p, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read workspace: %w", err)
	}
	return n, nil
}

var levels = map[int]*sync.Pool{
	gzip.BestSpeed: writers(gzip.BestSpeed), gzip.HuffmanOnly: writers(gzip.HuffmanOnly),
	gzip.NoCompression: writers(gzip.NoCompression),
}

func writers(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, level)
		if err != nil {
			panic(err) // the level is one of the package's own
		}
		return w
	}}
}

// sampleSize is how much of a block is tried.
const sampleSize = 16 << 10

func compress(block []byte) []byte {
	middle := max(0, len(block)-sampleSize) / 2
	sample := block[middle:min(len(block), middle+sampleSize)]
	level, shrunk := try(sample)
	if shrunk > len(sample)*95/100 {
		level = gzip.NoCompression
	}
	return deflate(block, level)
}

// try returns the level for what a sample stands for, and how much that makes of the sample. This
// package's BestSpeed stores what has no repetitions, though of 256 values it may use few:
// hexadecimal digits, base64, numbers. A sample of those in which it met one repetition by chance
// is as small by either level, and what stands around it is stored: BestSpeed has to win by more.
func try(sample []byte) (level, size int) {
	level, size = gzip.BestSpeed, len(deflate(sample, gzip.BestSpeed))
	if coded := len(deflate(sample, gzip.HuffmanOnly)); size > coded*98/100 {
		level, size = gzip.HuffmanOnly, coded
	}
	return level, size
}

func deflate(block []byte, level int) []byte {
	w, _ := levels[level].Get().(*gzip.Writer)
	defer levels[level].Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	_, _ = w.Write(block) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}
