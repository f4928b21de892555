package remote_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/scripts"
)

// BenchmarkMemoryOfAHost connects to a real sshd as to a fleet and has each host do one verb. It
// reports what a host then takes while nothing is under way: live heap and stacks.
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
				before := live()
				var fleet []*host.Host
				for range hosts {
					h := host.New(host.Options{Address: c.target(), Dial: dial, Report: rep, Quiet: true, Values: nothing})
					if _, err := h.Connect(b.Context()); err != nil {
						b.Fatal(err)
					}
					fleet = append(fleet, h)
					h.BeginStep("1-x")
					// Its no is as good as a yes here: it was begun, and has ended.
					_, _ = h.Exec(b.Context(), scripts.Releases, scripts.Values{"history": "0", "list": "no"})
				}
				b.ReportMetric(float64(live()-before)/hosts/1024, "KB/host")
				for _, h := range fleet {
					h.HangUp()
				}
			}
		})
	}
}

func nothing() scripts.Values {
	return scripts.Values{}
}

func live() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
