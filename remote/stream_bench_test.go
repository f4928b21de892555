package remote_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

// BenchmarkGigabyteOfOutput streams 1 GiB from a real sshd into the job's log, which is cleaned and
// searched for secrets on the way. It reports MB/s and the largest resident memory of the whole
// process, and fails when that is not small.
//
//	go test ./remote -run '^$' -bench Gigabyte -benchtime 1x
func BenchmarkGigabyteOfOutput(b *testing.B) {
	const size, mostMB = 1 << 30, 64
	signer := sshtest.Signer(b, "ed25519")
	s := startOpenSSH(b, []ssh.PublicKey{signer.PublicKey()})
	client := s.dial(b, remote.Config{Signer: signer, HostKeys: pins(b, "", s.fingerprint("ed25519"))})
	for _, tt := range []struct{ name, line string }{
		{
			"lines",
			"yes 'Collecting uvicorn[standard]==0.30.1 from " +
				"https://files.pythonhosted.org/packages/a/b/uvicorn-0.30.1-py3-none-any.whl'",
		},
		{
			"coloured lines",
			`yes "$(printf '\033[32m  PASS\033[0m  tests/test_controller.py::test_health \033[2m(12 ms)\033[0m')"`,
		},
		{"progress bars", `yes "$(printf 'Downloading 10%%\rDownloading 20%%\rDownloading 30%%\r')"`},
		{"one line", "cat /dev/zero | tr '\\0' x"},
		{"zeros", "cat /dev/zero"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.SetBytes(size)
			log := &counter{}
			rep := report.New(log, func(string) string { return "" })
			rep.Mask("ghs_0123456789abcdefghij", "correct horse battery staple", strings.Repeat("k", 70),
				"postgres-password")
			forgetPeak(b)
			for b.Loop() {
				out := rep.Remote("web")
				if err := client.Run(b.Context(), remote.Command{Line: fmt.Sprintf("{ %s; } 2>/dev/null | head -c %d",
					tt.line, size), Stdout: out}); err != nil {
					b.Fatal(err)
				}
				_ = out.Close()
			}
			peak := peakMB(b)
			b.ReportMetric(peak, "peak-MB")
			b.ReportMetric(float64(log.n)/float64(b.N)/1e6, "log-MB")
			if peak > mostMB {
				b.Errorf("%.0f MB at the peak, want at most %d", peak, mostMB)
			}
		})
	}
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// forgetPeak has the kernel count the peak of the resident memory from now on (proc(5),
// clear_refs).
func forgetPeak(b *testing.B) {
	b.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
}

func peakMB(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kb, err := strconv.ParseFloat(string(bytes.Fields(rest)[0]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}
