package e2e

import (
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
	sha := w.Commit(nil)
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
	root := actionSource(t)
	host, err := world.Shared.Lab.HostImage(w.Ctx, lab.HostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(w.Ctx, filepath.Join(cache, "deploy-action", "act@"+actVersion, "act"),
		"push", "-W", filepath.Join(root, "examples", "workflows",
			"deploy.yml"), "--local-repository", "clothesme/deploy-action@v1="+root,
		"-P", "ubuntu-latest="+host, "--network", world.Shared.Lab.Network(), "--pull=false", "--action-offline-mode",
		"--no-cache-server", "--rm",
		"--container-daemon-socket", "-", "--env", "GITHUB_SERVER_URL="+w.Git.URL(), "-s", "DEPLOY_KEY", "-s",
		"GITHUB_TOKEN",
		"--var", "DEPLOY_HOST="+w.Host.IP, "--var", "DEPLOY_KNOWN_HOSTS="+w.Host.KnownHosts())
	cmd.Dir = clone
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "DEPLOY_KEY="+world.Shared.Key.Private,
		"GITHUB_TOKEN="+w.Git.Token())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Job succeeded") {
		t.Fatalf("act: %v\n%s", err, out)
	}
	release := ""
	for line := range strings.Lines(string(out)) {
		if _, after, ok := strings.Cut(line, "Deployed: "); ok {
			release, _, _ = strings.Cut(after, " ")
		}
	}
	if !strings.HasSuffix(release, sha[:7]) {
		t.Errorf("release %q of commit %s\n%s", release, sha, out)
	}
	w.Serves(release)
	for _, secret := range []string{w.Git.Token(), strings.Split(world.Shared.Key.Private, "\n")[1]} {
		if strings.Contains(string(out), secret) {
			t.Errorf("act's log has %q", secret)
		}
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
