package e2e

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// What all tests share: one network, one git server, one runner, one key. Hosts are each test's own.
var shared struct {
	lab    *lab.Lab
	git    *lab.Git
	runner *lab.Runner
	key    *lab.Key
}

func TestMain(m *testing.M) {
	lab.EndOnSignal(os.Exit)
	os.Exit(func() int {
		if err := open(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := shared.lab.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// actionImage is what is tested: what `make prepare` has built, or another image, such as a released one.
func actionImage() string { return cmp.Or(os.Getenv("ACTION_IMAGE"), lab.ActionImage) }

func open(ctx context.Context) (err error) {
	if shared.lab, err = lab.Open(ctx, lab.Options{}); err != nil {
		return err
	}
	if err = os.Setenv("TMPDIR", shared.lab.Dir()); err != nil { // a test that is cut off leaves its own folders
		return err
	}
	if shared.key, err = shared.lab.Key(ctx, lab.Ed25519, lab.OpenSSH, ""); err != nil {
		return err
	}
	if shared.git, err = shared.lab.Git(ctx); err != nil {
		return err
	}
	shared.runner, err = shared.lab.Runner(actionImage())
	return err
}

// world is a host, a repository and what users do with both.
type world struct {
	t    testing.TB
	ctx  context.Context
	host *lab.Host
	repo *lab.Repo
	load *lab.Load
	n    int
}

var notInRepo = regexp.MustCompile(`[^A-Za-z0-9]+`)

func newWorld(t *testing.T, options lab.HostOptions) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context()}
	name := strings.ToLower(notInRepo.ReplaceAllString(t.Name(), "-"))
	var err error
	if w.host, err = shared.lab.Host(w.ctx, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.host.Logs(context.Background()))
		}
		if err := w.host.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if w.repo, err = shared.git.Repo(w.ctx, "acme/"+name); err != nil {
		t.Fatal(err)
	}
	return w
}

// example is the application of examples/fastapi; FastAPI itself is the host's wheel folder's.
func example() fs.FS { return os.DirFS("../examples/fastapi") }

// commit adds a commit of the example with some files changed, and returns its SHA.
func (w *world) commit(files map[string]string) string {
	w.t.Helper()
	w.n++
	all := map[string]string{"VERSION": fmt.Sprintf("v%d\n", w.n)}
	maps.Copy(all, files)
	sha, err := w.repo.Commit(w.ctx, fmt.Sprintf("version %d", w.n), example(), all)
	if err != nil {
		w.t.Fatal(err)
	}
	return sha
}

// job is the step that deploys a commit, with some inputs set otherwise.
func (w *world) job(sha string, with map[string]string) lab.Job {
	inputs := map[string]string{
		"host": w.host.IP, "key": shared.key.Private, "known-hosts": w.host.KnownHosts(), "app": "shop",
		"health-timeout": "15s", "watch-for": "1s", "drain-timeout": "3s", "stop-timeout": "5s", "lock-timeout": "30s",
	}
	maps.Copy(inputs, with)
	return lab.Job{With: inputs, GitHub: lab.GitHub{
		Repository: w.repo.Name(), SHA: sha, ServerURL: shared.git.URL(), Token: shared.git.Token(), Actor: "ada", RunID: "4711", RunNumber: "7",
	}}
}

func (w *world) run(job lab.Job) *lab.Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 3*time.Minute)
	defer cancel()
	result, err := shared.runner.Run(ctx, job)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(result.Unexpected) > 0 || len(result.FileErrors) > 0 {
		w.t.Errorf("the runner complains: unexpected inputs %v, files %v", result.Unexpected, result.FileErrors)
	}
	return result
}

// deploy deploys a commit and wants it live.
func (w *world) deploy(sha string, with map[string]string) *lab.Result {
	w.t.Helper()
	result := w.run(w.job(sha, with))
	if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		w.t.Fatalf("deployment of %.7s: exit code %d, outcome %q\n%s", sha, result.ExitCode, result.Outputs["outcome"], result.Log())
	}
	return result
}

// underLoad starts the load, once a release is live; at the test's end not one request may have failed.
func (w *world) underLoad() {
	w.t.Helper()
	w.load = lab.StartLoad(context.WithoutCancel(w.ctx), lab.LoadOptions{URL: w.host.URL()})
	w.t.Cleanup(w.endLoad)
	if err := w.load.WaitAnswers(w.ctx, lab.KindGet, 50); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) endLoad() {
	if w.load == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	report := w.load.Stop(ctx)
	w.load = nil
	w.t.Log(report)
	if report.Failed > 0 || report.Unfinished > 0 || report.Requests == 0 {
		w.t.Errorf("%d of %d requests failed, %d unfinished\n%s", report.Failed, report.Requests, report.Unfinished, report.Details())
	}
}

// serves wants the answers that come from now on to be a release's, through nginx.
func (w *world) serves(release string) {
	w.t.Helper()
	out, err := w.host.Exec(w.ctx, "curl -fsS -D - -o /dev/null http://127.0.0.1/version")
	if err != nil || !strings.Contains(strings.ToLower(out), "x-release: "+strings.ToLower(release)) {
		w.t.Errorf("want release %s to answer; got %v\n%s", release, err, out)
	}
}

// oneFlag wants exactly one flag, and on it the port.
func (w *world) oneFlag(port string) {
	w.t.Helper()
	if out := w.exec("ls /var/lib/deploy-action/shop/active"); strings.TrimSpace(out) != port {
		w.t.Errorf("flags %q, want just %s", strings.TrimSpace(out), port)
	}
}

func (w *world) exec(script string) string {
	w.t.Helper()
	out, err := w.host.Exec(w.ctx, script)
	if err != nil {
		w.t.Fatalf("%s: %v", script, err)
	}
	return out
}

// failed wants a step that failed and said so in one error annotation holding all of the words.
func failed(t *testing.T, result *lab.Result, outcome string, words ...string) {
	t.Helper()
	if result.ExitCode == 0 || result.Outputs["outcome"] != outcome {
		t.Errorf("exit code %d, outcome %q; want a failure with outcome %q\n%s", result.ExitCode, result.Outputs["outcome"], outcome, result.Log())
	}
	var errs []lab.Annotation
	for _, a := range result.Annotations() {
		if a.Level == "error" {
			errs = append(errs, a)
		}
	}
	if len(errs) != 1 {
		t.Fatalf("%d error annotations, want 1\n%s", len(errs), result.Log())
	}
	for _, word := range words {
		if !strings.Contains(errs[0].Message, word) {
			t.Errorf("the annotation lacks %q:\n%s", word, errs[0].Message)
		}
	}
}
