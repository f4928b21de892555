package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// benchHost is a world with a tiny compiled application deployed to it by the action, and the job
// that did it.
func benchHost(b *testing.B) (*world.World, *lab.Result, lab.Job) {
	b.Helper()
	dir := b.TempDir()
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o",
		filepath.Join(dir, "server"), "./hello")
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
			"host": w.Host.IP, "key": world.Shared.Key.Private, "known-hosts": w.Host.KnownHosts(),
			"build": "chmod +x server", "start": "./server",
		},
		GitHub: lab.GitHub{Repository: w.Repo.Name(), SHA: sha, ServerURL: w.Git.URL(), Token: w.Git.Token()},
	}
	result, err := w.Runner.Run(w.Ctx, job)
	if err != nil || result.ExitCode != 0 {
		b.Fatalf("deploy: %v\n%s", err, result.Log())
	}
	return w, result, job
}

// BenchmarkFirstSSHByte measures from the start of the action's process to the first byte it sends
// to a host.
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
				"INPUT_HOST=127.0.0.1:" + port, "INPUT_KEY=" +
					world.Shared.Key.Private, "INPUT_FINGERPRINT=SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
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
