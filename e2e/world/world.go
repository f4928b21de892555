package world

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
)

// World is a host, a repository, a runner and what users do with them.
type World struct {
	T      testing.TB
	Ctx    context.Context
	Host   *lab.Host
	Git    *lab.Git // has Repo
	Repo   *lab.Repo
	Runner *lab.Runner
	Load   *load.Load // UnderLoad's
	Cold   bool       // the first deployment makes its venv, see bringVenvs

	n        int // commits so far
	kind     string
	deployed bool
}

var notInRepo = regexp.MustCompile(`[^A-Za-z0-9]+`)

// New waits for the test's turn (see Turn: the test is a parallel one from here on), boots a host,
// which is gone after the test, and makes a repository and a runner for it. When the test fails,
// the host's logs are shown.
func New(tb testing.TB, options lab.HostOptions) *World {
	tb.Helper()
	if t, ok := tb.(*testing.T); ok { // benchmarks run one by one
		Turn(t)
	}
	w := &World{T: tb, Ctx: tb.Context(), kind: kind(options)}
	var err error
	if w.Host, err = Shared.Lab.Host(w.Ctx, options); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(w.Host.Logs(context.Background()))
		}
		if err := w.Host.Remove(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	name := strings.ToLower(notInRepo.ReplaceAllString(tb.Name(), "-"))
	if w.Git, err = Shared.Lab.Git(context.WithoutCancel(w.Ctx)); err != nil {
		tb.Fatal(err)
	}
	if w.Repo, err = w.Git.Repo(w.Ctx, "acme/"+name); err != nil {
		tb.Fatal(err)
	}
	if w.Runner, err = Shared.Lab.Runner(ActionImage()); err != nil {
		tb.Fatal(err)
	}
	return w
}

// In is the same world for a subtest: its failures are that one's.
func (w *World) In(t *testing.T) *World {
	t.Helper()
	in := *w
	in.T, in.Ctx = t, t.Context()
	return &in
}

// Example is the tests' application, in e2e/application; FastAPI itself is the host's wheel folder's.
func Example() fs.FS { return os.DirFS(filepath.Join(Shared.Root, "e2e", "application")) }

// Commit adds a commit of the example with some files changed, and returns its SHA.
func (w *World) Commit(files map[string]string) string {
	w.T.Helper()
	w.n++
	all := map[string]string{"VERSION": fmt.Sprintf("v%d\n", w.n)}
	maps.Copy(all, files)
	sha, err := w.Repo.Commit(w.Ctx, fmt.Sprintf("version %d", w.n), Example(), all)
	if err != nil {
		w.T.Fatal(err)
	}
	return sha
}

// Job is the step that deploys a commit, with some inputs set otherwise.
func (w *World) Job(sha string, with map[string]string) lab.Job {
	inputs := map[string]string{
		"host": w.Host.IP, "key": Shared.Key.Private, "known-hosts": w.Host.KnownHosts(), "app": "shop",
		"health-timeout": "1m", "watch-for": "1s", "drain-timeout": "3s", "stop-timeout": "5s", "lock-timeout": "30s",
	}
	maps.Copy(inputs, with)
	return lab.Job{With: inputs, GitHub: lab.GitHub{
		Repository: w.Repo.Name(), SHA: sha, ServerURL: w.Git.URL(), Token: w.Git.Token(),
		Actor: "ada", RunID: "4711", RunNumber: "7",
	}}
}

// hung is how long no run takes, on a machine with other things to do besides.
const hung = 10 * time.Minute

// Run runs a step to its end, whatever that is.
func (w *World) Run(job lab.Job) *lab.Result {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.Ctx, hung)
	defer cancel()
	result, err := w.Runner.Run(ctx, job)
	if err != nil {
		w.T.Fatal(err)
	}
	if len(result.Unexpected) > 0 || len(result.FileErrors) > 0 {
		w.T.Errorf("the runner complains: unexpected inputs %v, files %v", result.Unexpected, result.FileErrors)
	}
	if log := result.Log(); strings.Contains(log, "bug in deploy-action: ") {
		w.T.Errorf("the run has met what nobody should:\n%s", log)
	}
	return result
}

// Deploy deploys a commit and wants it live.
func (w *World) Deploy(sha string, with map[string]string) *lab.Result {
	w.T.Helper()
	w.bringVenvs(with)
	result := w.Run(w.Job(sha, with))
	if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		w.T.Fatalf("deployment of %.7s: exit code %d, outcome %q\n%s",
			sha, result.ExitCode, result.Outputs["outcome"], result.Log())
	}
	w.keepVenvs(with)
	return result
}

// Must ends the test where something has failed without which it can't go on.
func (w *World) Must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// Exec runs a script on the host, as root.
func (w *World) Exec(script string) string {
	w.T.Helper()
	out, err := w.Host.Exec(w.Ctx, script)
	if err != nil {
		w.T.Fatalf("%s: %v", script, err)
	}
	return out
}

// UnderLoad starts the load, once a release is live; at the test's end not one request may have
// failed. It makes 40 requests a second on 25 connections, which leaves room for other hosts on the
// same cores: an application that answers is what a test run takes most of its time for. Its
// uploads take two seconds, less than Job's drain-timeout: what outlives that may meet the moment
// in which the old version closes its socket, and is lost.
func (w *World) UnderLoad() {
	w.T.Helper()
	w.underLoad(load.Options{Think: 500 * time.Millisecond, UploadFor: 2 * time.Second, Mix: lightMix})
}

var lightMix = load.Mix{Get: 16, Post: 4, Slow: 2, Upload: 2, WebSocket: 1}

// UnderDenseLoad is UnderLoad with twice as many requests, for the main scenarios.
func (w *World) UnderDenseLoad() {
	w.T.Helper()
	w.underLoad(load.Options{Think: 500 * time.Millisecond, UploadFor: 2 * time.Second})
}

// UnderPatientLoad is UnderLoad for versions that run one at a time, for which visitors wait, and
// of another mix where an application knows no WebSockets.
func (w *World) UnderPatientLoad(mix load.Mix) {
	w.T.Helper()
	w.underLoad(load.Options{Think: 500 * time.Millisecond, Mix: mix, Timeout: time.Minute})
}

// UnderFullLoad is UnderLoad with 200 requests a second.
func (w *World) UnderFullLoad() {
	w.T.Helper()
	w.underLoad(load.Options{Think: 180 * time.Millisecond})
}

// UnderLoadAt is UnderLoad of a site that is reached by another address than the host's, such as a
// load balancer's.
func (w *World) UnderLoadAt(url string) {
	w.T.Helper()
	w.underLoad(load.Options{
		URL: url, Think: 500 * time.Millisecond, UploadFor: 2 * time.Second, Mix: lightMix,
		MaxDuration: 2 * time.Hour, // for make group
	})
}

func (w *World) underLoad(options load.Options) {
	w.T.Helper()
	if options.URL == "" {
		options.URL = w.Host.URL()
	}
	if options.Timeout == 0 {
		options.Timeout = 30 * time.Second // where hosts share the cores, all of them may stand still for ten
	}
	w.Load = load.Start(context.WithoutCancel(w.Ctx), options)
	w.T.Cleanup(w.EndLoad)
	if err := w.Load.WaitAnswers(w.Ctx, load.KindGet, 50); err != nil {
		w.T.Fatal(err)
	}
}

// EndLoad ends it before the test does.
func (w *World) EndLoad() {
	if w.Load == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	report := w.Load.Stop(ctx)
	w.Load = nil
	w.T.Log(report)
	if report.Failed > 0 || report.Unfinished > 0 || report.Requests == 0 {
		w.T.Errorf("%d of %d requests failed, %d unfinished\n%s",
			report.Failed, report.Requests, report.Unfinished, report.Details())
	}
}
