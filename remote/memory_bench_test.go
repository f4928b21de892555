package remote_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/scripts"
)

// BenchmarkMemoryOfAHost connects to a real sshd as to a fleet and has each host do one verb. It
// reports what a host then takes while nothing is under way, and while it is sent as much as may be
// on the way to it: live heap and stacks.
//
//	go test ./remote -run '^$' -bench MemoryOfAHost -benchtime 1x
func BenchmarkMemoryOfAHost(b *testing.B) {
	const hosts = 10
	c := newChain(b, 1)
	for _, way := range []string{"direct", "bastion"} {
		b.Run(way, func(b *testing.B) {
			cfg := c.config(b)
			cfg.ConnectTimeout = time.Minute
			if way == "direct" {
				cfg.Jumps = nil
			}
			rep := report.New(&bytes.Buffer{}, func(string) string { return "" })
			for b.Loop() {
				dial := host.SSH(cfg, nil)
				var before uint64
				var fleet []*host.Host
				for range 1 + hosts {
					h := host.New(host.Options{Address: c.target(), Dial: dial, Report: rep, Quiet: true, Values: nothing})
					if _, err := h.Connect(b.Context()); err != nil {
						b.Fatal(err)
					}
					h.BeginStep("1-x")
					// Its no is as good as a yes here: it was begun, and has ended.
					_, _ = h.Exec(b.Context(), scripts.Releases, scripts.Values{"history": "0", "list": "no"})
					if fleet = append(fleet, h); len(fleet) == 1 {
						before = live() // with what is there once for all
					}
				}
				b.ReportMetric(float64(live()-before)/hosts/1024, "KB/host")
				ctx, cancel := context.WithCancel(b.Context())
				var sent, over sync.WaitGroup
				for _, h := range fleet[1:] {
					path := filepath.Join(b.TempDir(), "pipe")
					if err := syscall.Mkfifo(path, 0o600); err != nil {
						b.Fatal(err)
					}
					unread, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the test's own
					if err != nil {
						b.Fatal(err)
					}
					defer func() { _ = unread.Close() }()
					sent.Add(1)
					over.Go(func() { _ = h.Upload(ctx, path, &held{left: onTheWay, sent: sent.Done, until: ctx.Done()}) })
				}
				sent.Wait()
				b.ReportMetric(float64(live()-before)/hosts/1024, "KB/sender")
				cancel()
				for _, h := range fleet {
					h.HangUp()
				}
				over.Wait()
			}
		})
	}
}

// onTheWay is the window of OpenSSH's channels (channels.h).
const onTheWay = 2 << 20

// held gives so much, and then waits.
type held struct {
	left  int
	sent  func()
	until <-chan struct{}
}

func (h *held) Read(p []byte) (int, error) {
	if h.left == 0 {
		h.sent()
		<-h.until
		return 0, io.EOF
	}
	n := min(len(p), h.left)
	h.left -= n
	return n, nil
}

func nothing() scripts.Values { return scripts.Values{} }

func live() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
