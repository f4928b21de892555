package remote_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
)

func TestFailingWriterDoesNotStopTheCommand(t *testing.T) {
	client := dial(t, sshtest.Start(t, sshtest.Options{}))
	reader, writer := io.Pipe()
	reason := errors.New("log is full")
	_ = reader.CloseWithError(reason)
	err := client.Run(t.Context(), remote.Command{Line: "head -c 8000000 /dev/zero", Stdout: writer})
	if !errors.Is(err, reason) {
		t.Errorf("Run: %v, want %v", err, reason)
	}
}

func TestOutputHeldOpenByABackgroundProcess(t *testing.T) {
	client := dial(t, sshtest.Start(t, sshtest.Options{}))
	var stdout bytes.Buffer
	start := time.Now()
	err := client.Run(t.Context(), remote.Command{Line: "sleep 60 & echo done; exit 4", Stdout: &stdout})
	var exit *remote.ExitError
	if !errors.As(err, &exit) || exit.Code != 4 || stdout.String() != "done\n" {
		t.Errorf("Run: %v, stdout %q; want exit status 4, done", err, stdout.String())
	}
	if spent := time.Since(start); spent > 10*time.Second {
		t.Errorf("took %s", spent)
	}
}

func TestOutputAfterTheExitStatusIsComplete(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{Handle: func(e *sshtest.Exec) {
		e.Status(0)
		for range 20 {
			_, _ = e.Channel.Write(make([]byte, 1<<20))
		}
	}})
	var n atomic.Int64
	slow := writerFunc(func(p []byte) {
		if n.Add(int64(len(p))) == int64(len(p)) {
			time.Sleep(time.Second) // longer than the silence that counts as the end
		}
	})
	if err := dial(t, s).Run(t.Context(), remote.Command{Line: "test", Stdout: slow}); err != nil ||
		n.Load() != 20<<20 {
		t.Errorf("Run: %v after %d bytes, want all of %d", err, n.Load(), 20<<20)
	}
}

func TestASlowWriteIsNoSilence(t *testing.T) {
	const size = 100 << 10
	s := sshtest.Start(t, sshtest.Options{Handle: func(e *sshtest.Exec) {
		e.Status(0)
		for range 10 {
			_, _ = e.Channel.Write(make([]byte, size/10))
		}
	}})
	client := dial(t, s)
	var runs sync.WaitGroup
	for i := range 400 { // of one of them the wait for silence ends between two writes
		runs.Go(func() {
			var n atomic.Int64
			slow := writerFunc(func(p []byte) {
				if n.Add(int64(len(p))) == int64(len(p)) {
					time.Sleep(time.Second + time.Duration(i)*time.Millisecond/8) // longer than a silence that is the end
				}
			})
			if err := client.Run(t.Context(), remote.Command{Line: "test", Stdout: slow}); err != nil || n.Load() != size {
				t.Errorf("Run: %v after %d bytes, want all of %d", err, n.Load(), size)
			}
		})
	}
	runs.Wait()
}

func TestOutputIsStreamed(t *testing.T) {
	client := dial(t, sshtest.Start(t, sshtest.Options{}))
	stdin, next := io.Pipe()
	lines := 0
	err := client.Run(t.Context(), remote.Command{
		Line: "for i in 1 2 3; do echo $i; read -r _; done", Stdin: stdin,
		// The command goes on only after its line was seen here.
		Stdout: writerFunc(func([]byte) { lines++; go func() { _, _ = io.WriteString(next, "\n") }() }),
	})
	if err != nil || lines != 3 {
		t.Errorf("Run: %v after %d lines, want 3", err, lines)
	}
}

func TestLargeOutputInConstantMemory(t *testing.T) {
	const size, limit = 100 << 20, 32 << 20
	client := dial(t, sshtest.Start(t, sshtest.Options{}))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	runtime.GC()
	before, peak, n, next := heap(), int64(0), 0, 0
	err := client.Run(t.Context(), remote.Command{
		Line: fmt.Sprintf("head -c %d /dev/zero", size),
		Stdout: writerFunc(func(p []byte) {
			if n += len(p); n >= next {
				next += 10 << 20
				runtime.GC()
				peak = max(peak, heap())
			}
		}),
	})
	if err != nil || n != size {
		t.Errorf("Run: %v after %d bytes, want %d", err, n, size)
	}
	if peak-before > limit {
		t.Errorf("the heap grew by %d bytes, want at most %d", peak-before, limit)
	}
}

func TestConcurrentRuns(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	client := dial(t, s)
	var runs sync.WaitGroup
	for i := range 20 {
		runs.Go(func() {
			var stdout bytes.Buffer
			want := strings.Repeat(fmt.Sprintln(i), 1000)
			if err := client.Run(t.Context(), remote.Command{
				Line: "cat", Stdin: strings.NewReader(want),
				Stdout: &stdout,
			}); err != nil || stdout.String() != want {
				t.Errorf("run %d: %v, %d bytes", i, err, stdout.Len())
			}
		})
	}
	runs.Wait()
	if got := s.Accepted(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// bursts gives one part after the other, and notes with how large a buffer each is waited for, and
// read.
type bursts struct {
	parts            [][]byte
	begun            bool
	waiting, reading int
}

func (b *bursts) Read(p []byte) (int, error) {
	if len(b.parts) == 0 {
		return 0, io.EOF
	}
	if !b.begun {
		b.waiting = max(b.waiting, len(p))
	}
	b.reading = max(b.reading, len(p))
	n := copy(p, b.parts[0])
	b.parts[0] = b.parts[0][n:]
	if b.begun = len(b.parts[0]) > 0; !b.begun {
		b.parts = b.parts[1:]
	}
	return n, nil
}

// A hundred hosts that say nothing take little memory, and one that says much is read in large pieces.
func TestOutputIsWaitedForWithASmallBuffer(t *testing.T) {
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	b := &bursts{parts: [][]byte{data[:100], data[100:500_000], data[500_000:500_001], data[500_001:]}}
	var got bytes.Buffer
	remote.Pour(&got, b)
	if !bytes.Equal(got.Bytes(), data) {
		t.Errorf("%d bytes came as %d, or others", len(data), got.Len())
	}
	if b.waiting > 4<<10 || b.reading < 32<<10 {
		t.Errorf("waited with %d bytes, read up to %d at once", b.waiting, b.reading)
	}
}
