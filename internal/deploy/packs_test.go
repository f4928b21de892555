package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/workspace"
	"github.com/clothesme/deploy-action/scripts"
)

// Hosts that lack the same get the same bytes, which are packed once, and nothing of them is left.
func TestWhatSeveralHostsLackIsPackedOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	fleet := newFleet(t, 5)
	in := checkout(t, map[string]string{"a": "1", "b": strings.Repeat("2", 1<<20)})
	in.Hosts = fleet.inputs().Hosts
	for i, f := range fleet {
		f.disk = 1 << 20
		if i == 4 { // it has a part of it
			f.offer = "f\t444\t1\t6b86b273ff34fce1\ta\n"
		}
	}
	result, log, err := fleet.deploy(t, in)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	for i, f := range fleet[:4] {
		if !bytes.Equal(f.received.Bytes(), fleet[0].received.Bytes()) {
			t.Errorf("host %d got something else", i+1)
		}
	}
	if got := strings.Join(names(t, fleet[0].received.Bytes()), " "); got != ".deploy-action/minus "+
		".deploy-action/plus a b" {
		t.Errorf("sent %s", got)
	}
	if got := strings.Join(names(t, fleet[4].received.Bytes()), " "); got != ".deploy-action/minus .deploy-action/plus b" {
		t.Errorf("sent to the fifth: %s", got)
	}
	if strings.Count(log, "2 of 2 files sent") != 1 || len(result.Hosts) != 5 {
		t.Errorf("%s", log)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A transfer that fails on one host is that host's: the others end theirs.
func TestAFailedTransferIsOneHostsOwn(t *testing.T) {
	fleet := newFleet(t, 3)
	in := checkout(t, map[string]string{"a": "1"})
	in.Hosts = fleet.inputs().Hosts
	for _, f := range fleet {
		f.disk = 1 << 20
	}
	fleet[1].faults["upload"] = fault{kind: "error", words: "EOF"}
	_, log, err := fleet.deploy(t, in)
	if err == nil || !strings.Contains(err.Error(), "host: ubuntu@web-2\n") || fleet.flags() != "8080 8080 8080" ||
		!fleet[1].ran(string(scripts.Receive)) {
		t.Errorf("%v, flags %s\n%s", err, fleet.flags(), log)
	}
}

// packed reads a stream of several, and what it is made by.
type packed struct {
	packs
	made atomic.Int32
}

func (p *packed) get(t *testing.T, name string, write packer) io.Reader {
	t.Helper()
	made, err := p.open(t.Context(), name, func(ctx context.Context, w io.Writer) error {
		p.made.Add(1)
		return write(ctx, w)
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.reader()
}

func TestAStreamIsReadWhileItIsMade(t *testing.T) {
	var p packed
	defer p.close()
	more, part := make(chan struct{}), strings.Repeat("x", 100_000)
	write := func(_ context.Context, w io.Writer) error {
		_, _ = io.WriteString(w, part)
		<-more
		_, err := io.WriteString(w, part)
		return err
	}
	quick, slow := p.get(t, "a", write), p.get(t, "a", write)
	if _, err := io.ReadFull(quick, make([]byte, len(part))); err != nil { // before the rest is there
		t.Fatal(err)
	}
	close(more)
	for _, r := range []struct {
		io.Reader
		want int
	}{{quick, len(part)}, {slow, 2 * len(part)}, {p.get(t, "a", write), 2 * len(part)}} {
		if got, err := io.ReadAll(r); err != nil || len(got) != r.want {
			t.Errorf("%d bytes, %v; want %d", len(got), err, r.want)
		}
	}
	if n := p.made.Load(); n != 1 {
		t.Errorf("made %d times", n)
	}
}

// What can't be made fails for all that read it, and is made anew for who comes later.
func TestAStreamThatCannotBeMade(t *testing.T) {
	var p packed
	defer p.close()
	bad := &unreadError{errors.New("file changed")}
	var wg sync.WaitGroup
	for range 3 {
		r := p.get(t, "a", func(context.Context, io.Writer) error { return bad })
		wg.Go(func() {
			var unread *unreadError
			if _, err := io.ReadAll(r); !errors.As(err, &unread) {
				t.Errorf("%v, want %v", err, bad)
			}
		})
	}
	wg.Wait()
	for range 3 {
		p.leave("a")
	}
	r := p.get(t, "a", func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "good"); return err })
	if got, err := io.ReadAll(r); string(got) != "good" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// What nobody waits for any more is not made to its end.
func TestAStreamThatNobodyReadsEnds(t *testing.T) {
	var p packed
	ended := make(chan struct{})
	p.get(t, "a", func(ctx context.Context, _ io.Writer) error {
		<-ctx.Done()
		close(ended)
		return context.Cause(ctx)
	})
	p.leave("a")
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it is still made")
	}
}

// BenchmarkPackForFiveHosts is the processor time that the runner needs to send 200 MB, half of
// which shrinks, to five hosts: apart is what it takes when each host's is packed by itself.
func BenchmarkPackForFiveHosts(b *testing.B) {
	dir := b.TempDir()
	text := bytes.Repeat([]byte("all work and no play makes "), 1<<20/27)
	noise := make([]byte, 1<<20)
	for i, seed := 0, uint32(1); i < len(noise); i++ {
		seed = seed*1664525 + 1013904223
		noise[i] = byte(seed >> 24)
	}
	for name, block := range map[string][]byte{"text": text, "noise": noise} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat(block, 100), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	tree, err := workspace.Read(b.Context(), workspace.Options{Workspace: dir, Path: "."})
	if err == nil {
		err = tree.Hash(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	pack := func(ctx context.Context, w io.Writer) error { return tree.Pack(ctx, w, tree.All(), true) }
	for _, way := range []struct {
		name string
		send func(*packs) error
	}{
		{"apart", func(*packs) error { return pack(b.Context(), io.Discard) }},
		{"once", func(p *packs) error {
			made, err := p.open(b.Context(), "all", pack)
			if err == nil {
				_, err = io.Copy(io.Discard, made.reader())
			}
			return err
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			began := processorTime(b)
			for b.Loop() {
				var p packs
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						if err := way.send(&p); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
				p.close()
			}
			b.ReportMetric((processorTime(b)-began).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
