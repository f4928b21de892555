package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// actVersion is the act that `make prepare` builds; its script reads it here.
const actVersion = "v0.2.89"

// act is another program than the runner, and no measure of it: but it reads the workflow file and
// action.yml by itself, evaluates their expressions, and builds the image from the Dockerfile, as
// `uses:` does.
func TestActRunsTheExample(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	// With the application that README has people copy.
	sha, err := w.Repo.Commit(w.Ctx, "the example", os.DirFS(filepath.Join(world.Shared.Root, "examples", "fastapi")), nil)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	clone, home := filepath.Join(t.TempDir(), "clone"), t.TempDir()
	if _, err := w.Repo.Git(w.Ctx, "", "clone", "--quiet", ".", clone); err != nil {
		t.Fatal(err)
	}
	git := exec.CommandContext(w.Ctx, "git", "-C", clone, "remote", "set-url", "origin",
		"https://github.com/"+w.Repo.Name())
	if out, err := git.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	act := actor(w, clone, home, cache)
	out := act("push", filepath.Join(world.Shared.Root, "examples", "workflows", "deploy.yml"), nil)
	release := ""
	for line := range strings.Lines(out) {
		if _, after, ok := strings.Cut(line, "Deployed: "); ok {
			release, _, _ = strings.Cut(after, " ")
		}
	}
	if !strings.HasSuffix(release, sha[:7]) {
		t.Errorf("release %q of commit %s\n%s", release, sha, out)
	}
	if got := w.Exec("curl -fsS http://127.0.0.1/"); got != `{"hello":"world"}` {
		t.Errorf("the site has %q", got)
	}
	out += formInAct(w, act, clone, release)
	for _, secret := range []string{w.Git.Token(), strings.Split(world.Shared.Key.Private, "\n")[1]} {
		if strings.Contains(out, secret) {
			t.Errorf("act's log has %q", secret)
		}
	}
}

type runsWorkflow func(event, workflow string, form map[string]string) (log string)

// actor returns what has act run a workflow of a clone for an event, with the inputs of its form,
// and wants it to succeed.
func actor(w *world.World, clone, home, cache string) runsWorkflow {
	w.T.Helper()
	host, err := world.Shared.Lab.HostImage(w.Ctx, lab.HostOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	// What a step is that is skipped, act reads all the same.
	skipped := w.T.TempDir()
	writeFile(w.T, filepath.Join(skipped, "action.yml"), "name: skipped\nruns: {using: composite, steps: []}\n")
	text, err := os.ReadFile(filepath.Join(world.Shared.Root, "examples", "workflows", "operation.yml"))
	credentials := credentialsAction.FindString(string(text))
	if err != nil || credentials == "" {
		w.T.Fatalf("the workflow of operations takes no credentials: %v", err)
	}
	payload, root := filepath.Join(w.T.TempDir(), "event.json"), actionSource(w.T.(*testing.T))
	return func(event, workflow string, form map[string]string) string {
		w.T.Helper()
		text, err := json.Marshal(map[string]any{"inputs": form})
		if err != nil {
			w.T.Fatal(err)
		}
		writeFile(w.T, payload, string(text))
		args := []string{event, "-W", workflow}
		if form != nil {
			args = append(args, "-e", payload)
		}
		args = append(args, "--local-repository", "clothesme/deploy-action@v1="+root,
			"--local-repository", credentials+"="+skipped, "-P", "ubuntu-latest="+host, "--network",
			world.Shared.Lab.Network(), "--pull=false", "--action-offline-mode", "--no-cache-server", "--rm",
			"--container-daemon-socket", "-", "--env", "GITHUB_SERVER_URL="+w.Git.URL(), "-s", "DEPLOY_KEY", "-s",
			"GITHUB_TOKEN",
			"--var", "DEPLOY_HOST="+w.Host.IP, "--var", "DEPLOY_KNOWN_HOSTS="+w.Host.KnownHosts())
		cmd := exec.CommandContext(w.Ctx, filepath.Join(cache, "deploy-action", "act@"+actVersion, "act"), args...)
		cmd.Dir = clone
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "DEPLOY_KEY="+world.Shared.Key.Private,
			"GITHUB_TOKEN="+w.Git.Token())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Job succeeded") {
			w.T.Fatalf("act %s %v: %v\n%s", event, form, err, out)
		}
		return string(out)
	}
}

// credentialsAction is the step before ours that needs AWS.
var credentialsAction = regexp.MustCompile(`aws-actions/configure-aws-credentials@v[0-9]+`)

// formInAct is the form of examples/workflows, copied as README says, filled in for a host on which
// a release serves. What is typed into it arrives as it is.
func formInAct(w *world.World, act runsWorkflow, clone, release string) string {
	w.T.Helper()
	dir := filepath.Join(clone, ".github", "workflows")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		w.T.Fatal(err)
	}
	for _, name := range []string{"operation.yml", "redeploy.yml"} {
		text, err := os.ReadFile(filepath.Join(world.Shared.Root, "examples", "workflows", name))
		if err != nil {
			w.T.Fatal(err)
		}
		writeFile(w.T, filepath.Join(dir, name), string(text))
	}
	all := ""
	for _, run := range []struct {
		form map[string]string
		says []string
	}{
		{map[string]string{
			"operation": "run",
			"command":   "printf '<%s>\\n' \"it's $(id -un)\" '$(id)' 'a  b' `echo tick`\necho \"second, of $RELEASE\"",
		}, []string{
			"│ <it's ubuntu>", "│ <$(id)>", "│ <a  b>", "│ <tick>", "│ second, of " + release,
			"Ran: the command succeeded in " + release,
		}},
		{map[string]string{"operation": "logs", "log-of": "app", "log-filter": "/GET .health (x|HTTP)/"}, []string{
			"logs/8080.log", "GET /health HTTP/1.1", "Logs: nothing was changed",
		}},
		{map[string]string{"operation": "restart"}, []string{"Restarted: " + release + " is live on port 8081"}},
		{map[string]string{"operation": "maintenance on"}, []string{"Maintenance has begun"}},
		{
			map[string]string{"operation": "remove", "confirm": strings.TrimPrefix(w.Repo.Name(), "acme/")},
			[]string{"Removed: the application is off the host"},
		},
	} {
		out := act("workflow_dispatch", filepath.Join(dir, "redeploy.yml"), run.form)
		for _, word := range run.says {
			if !strings.Contains(out, word) {
				w.T.Errorf("%v: no %q in\n%s", run.form, word, out)
			}
		}
		all += out
	}
	return all
}

func writeFile(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

var pinnedBase = regexp.MustCompile(`(golang:[^\s@]+)@sha256:[0-9a-f]+`)

// actionSource is this checkout; where the base of its image could not be pulled, it is a copy that
// is built on the stand-in which `make prepare` has made, as that itself does.
func actionSource(t *testing.T) string {
	t.Helper()
	root := world.Shared.Root
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	base := pinnedBase.Find(dockerfile)
	if base == nil {
		t.Fatal("the Dockerfile names no base by its digest")
	}
	if exec.CommandContext(t.Context(), "docker", "image", "inspect", string(base)).Run() == nil {
		return root
	}
	dir := filepath.Join(t.TempDir(), "action")
	if err := os.CopyFS(dir, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), pinnedBase.ReplaceAll(dockerfile, []byte("$1")),
		0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
