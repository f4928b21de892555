package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// BenchmarkSiteThroughput compares the managed site with the include that people write by hand, in one nginx, before one application, in
// alternating rounds. The application is as fast as can be, so that the difference is nginx's; `make bench` runs it.
func BenchmarkSiteThroughput(b *testing.B) {
	ctx := b.Context()
	w, result, _ := benchHost(b)
	_, err := w.Host.Exec(ctx, `cat >/etc/nginx/conf.d/service-url-hand.inc <<'X'
set $service_url http://127.0.0.1:`+result.Outputs["active-port"]+`;
X
cat >/etc/nginx/conf.d/hand.conf <<'X'
server { listen 81; include /etc/nginx/conf.d/service-url-hand.inc; location / { proxy_pass $service_url; proxy_set_header Host $host; } }
X
old=$(pgrep -P "$(cat /run/nginx.pid)") # they close what they have accepted, and must be gone before anything is measured
nginx -t && nginx -s reload && timeout 10 bash -c 'while kill -0 '"${old//$'\n'/ || kill -0 }"' || ! curl -fs http://127.0.0.1:81/health; do sleep 0.05; done'`)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var managed, hand []float64
		for range 3 {
			managed = append(managed, wrk(b, ctx, w.Host.URL()+"/health"))
			hand = append(hand, wrk(b, ctx, w.Host.URL()+":81/health"))
		}
		b.ReportMetric(median(managed), "managed-req/s")
		b.ReportMetric(median(hand), "by-hand-req/s")
		b.ReportMetric(median(managed)/median(hand), "ratio")
	}
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

var requestsPerSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

func wrk(b *testing.B, ctx context.Context, url string) float64 {
	b.Helper()
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c32", "-d5s", url).CombinedOutput()
	if err != nil {
		b.Fatalf("wrk: %v\n%s", err, out)
	}
	found := requestsPerSecond.FindSubmatch(out)
	if found == nil || regexp.MustCompile(`Non-2xx|Socket errors`).Match(out) {
		b.Fatalf("wrk on %s:\n%s", url, out)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

// benchHost is a world with a tiny compiled application deployed to it by the action, and the job that did it.
func benchHost(b *testing.B) (*world.World, *lab.Result, lab.Job) {
	b.Helper()
	dir := b.TempDir()
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "server"), "./hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build hello: %v\n%s", err, out)
	}
	w := world.New(b, lab.HostOptions{})
	sha, err := w.Repo.Commit(w.Ctx, "hello", os.DirFS(dir), nil)
	if err != nil {
		b.Fatal(err)
	}
	job := lab.Job{
		With: map[string]string{
			"host": w.Host.IP, "key": world.Shared.Key.Private, "known-hosts": w.Host.KnownHosts(), "build": "chmod +x server", "start": "./server",
		},
		GitHub: lab.GitHub{Repository: w.Repo.Name(), SHA: sha, ServerURL: w.Git.URL(), Token: w.Git.Token()},
	}
	result, err := w.Runner.Run(w.Ctx, job)
	if err != nil || result.ExitCode != 0 {
		b.Fatalf("deploy: %v\n%s", err, result.Log())
	}
	return w, result, job
}

// BenchmarkFirstSSHByte measures from the start of the action's process to the first byte it sends to a host.
func BenchmarkFirstSSHByte(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "deploy-action")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	var took []float64
	for b.Loop() {
		for range 20 {
			cmd := exec.CommandContext(b.Context(), binary)
			cmd.Env = []string{
				"INPUT_HOST=127.0.0.1:" + port, "INPUT_KEY=" + world.Shared.Key.Private, "INPUT_FINGERPRINT=SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
				"INPUT_REPOSITORY=o/r", "INPUT_REF=main", "INPUT_TOKEN=t", "GITHUB_REPOSITORY=o/r",
			}
			begin := time.Now()
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			conn, err := listener.Accept()
			if err != nil {
				b.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				b.Fatal(err)
			}
			took = append(took, float64(time.Since(begin).Microseconds())/1000)
			_ = conn.Close()
			_ = cmd.Wait() // it fails: nobody answers
		}
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "ms-median")
	b.ReportMetric(took[len(took)-1], "ms-max")
}
