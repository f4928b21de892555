package lab

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestGitServesOneCommitBySHA(t *testing.T) {
	git := serveGit(t)
	repo := newRepo(t, git, "acme/shop")
	first := commit(t, repo, "first", map[string]string{"VERSION": "v1\n", "old.txt": "gone with the second commit"})
	commit(t, repo, "second", map[string]string{"VERSION": "v2\n", "run.sh": "#!/bin/sh\n"})

	dir := t.TempDir()
	if out, err := fetch(t, dir, git, gitUser, git.Token(), "acme/shop", first); err != nil {
		t.Fatalf("fetch %s: %v\n%s", first, err, out)
	}
	wantFile(t, filepath.Join(dir, "VERSION"), "v1\n")
	wantFile(t, filepath.Join(dir, "old.txt"), "gone with the second commit")

	if out, err := fetch(t, dir, git, gitUser, git.Token(), "acme/shop.git", "refs/heads/main"); err != nil {
		t.Fatalf("fetch main: %v\n%s", err, out)
	}
	wantFile(t, filepath.Join(dir, "VERSION"), "v2\n")
	if _, err := os.Stat(filepath.Join(dir, "old.txt")); !os.IsNotExist(err) {
		t.Errorf("old.txt after the second commit: %v, want it gone", err)
	}
	info, err := os.Stat(filepath.Join(dir, "run.sh"))
	if err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("run.sh: mode %v, error %v, want it executable", info, err)
	}
}

func TestGitAccess(t *testing.T) {
	git := serveGit(t)
	private := newRepo(t, git, "acme/private")
	commit(t, private, "first", map[string]string{"a": "1"})
	public := newRepo(t, git, "acme/public")
	commit(t, public, "first", map[string]string{"a": "1"})
	public.SetPublic(true)

	tests := []struct {
		name, repo, user, password string
		want                       int
	}{
		{"private with the token", "acme/private", gitUser, git.Token(), http.StatusOK},
		{"private without a token", "acme/private", "", "", http.StatusUnauthorized},
		{"private with a wrong token", "acme/private", gitUser, "ghs_wrong", http.StatusUnauthorized},
		{"private with another user", "acme/private", "git", git.Token(), http.StatusUnauthorized},
		{"public without a token", "acme/public", "", "", http.StatusOK},
		{"public with a wrong token", "acme/public", gitUser, "ghs_wrong", http.StatusUnauthorized},
		{"missing without a token", "acme/nothing", "", "", http.StatusUnauthorized},
		{"missing with the token", "acme/nothing", gitUser, git.Token(), http.StatusNotFound},
		{"outside the root", "../etc", gitUser, git.Token(), http.StatusNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := git.URL() + "/" + tt.repo + ".git/info/refs?service=git-upload-pack"
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.user != "" {
				req.SetBasicAuth(tt.user, tt.password)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if res.StatusCode != tt.want {
				t.Errorf("status %d, want %d", res.StatusCode, tt.want)
			}
			if challenge := res.Header.Get("WWW-Authenticate"); (challenge != "") != (tt.want == http.StatusUnauthorized) {
				t.Errorf("WWW-Authenticate %q with status %d", challenge, res.StatusCode)
			}
		})
	}
}

func TestGitRefusesPushes(t *testing.T) {
	git := serveGit(t)
	repo := newRepo(t, git, "acme/shop")
	commit(t, repo, "first", map[string]string{"a": "1"})
	dir := t.TempDir()
	if out, err := fetch(t, dir, git, gitUser, git.Token(), "acme/shop", "main"); err != nil {
		t.Fatalf("fetch: %v\n%s", err, out)
	}
	out, err := runGit(t, dir, "push", "--quiet", withUser(t, git.URL()+"/acme/shop", gitUser, git.Token()),
		"HEAD:refs/heads/other")
	if err == nil {
		t.Errorf("push succeeded, want it refused\n%s", out)
	}
}

func TestGitRecordsRequests(t *testing.T) {
	git := serveGit(t)
	repo := newRepo(t, git, "acme/shop")
	sha := commit(t, repo, "first", map[string]string{"a": "1"})
	if out, err := fetch(t, t.TempDir(), git, gitUser, git.Token(), "acme/shop", sha); err != nil {
		t.Fatalf("fetch: %v\n%s", err, out)
	}
	seen := git.Requests()
	if len(seen) == 0 {
		t.Fatal("no request recorded")
	}
	valid := 0
	for _, r := range seen {
		if strings.Contains(r.Target, git.Token()) {
			t.Errorf("token in the address %q", r.Target)
		}
		if r.TokenValid != (r.Status == http.StatusOK) {
			t.Errorf("%s %s: token valid %t, status %d", r.Method, r.Target, r.TokenValid, r.Status)
		}
		if r.TokenValid {
			valid++
		}
	}
	if valid < 2 {
		t.Errorf("%d requests with the token, want at least the advertisement and the pack: %+v", valid, seen)
	}
}

func TestGitCommitTakesAFolder(t *testing.T) {
	git := serveGit(t)
	repo := newRepo(t, git, "acme/shop")
	base := fstest.MapFS{
		"controller/main.py":               {Data: []byte("app = 1\n")},
		"controller/__pycache__/main.pyc":  {Data: []byte("x")},
		"bin/run":                          {Data: []byte("binary"), Mode: 0o755},
		"VERSION":                          {Data: []byte("base")},
		"a file with blanks and 'quotes'":  {Data: []byte("")},
		"controller/static/nested/deep.js": {Data: []byte("\n\n")},
	}
	if _, err := repo.Commit(t.Context(), "v1", base, map[string]string{"VERSION": "v1"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := fetch(t, dir, git, gitUser, git.Token(), "acme/shop", "main"); err != nil {
		t.Fatalf("fetch: %v\n%s", err, out)
	}
	wantFile(t, filepath.Join(dir, "VERSION"), "v1")
	wantFile(t, filepath.Join(dir, "a file with blanks and 'quotes'"), "")
	wantFile(t, filepath.Join(dir, "controller/static/nested/deep.js"), "\n\n")
	if _, err := os.Stat(filepath.Join(dir, "controller/__pycache__")); !os.IsNotExist(err) {
		t.Errorf("__pycache__: %v, want it left out", err)
	}
	for _, bad := range []string{"../up", "/etc/passwd", "a\nb", `"a"`} {
		if _, err := repo.Commit(t.Context(), "bad", nil, map[string]string{bad: ""}); err == nil {
			t.Errorf("commit with the path %q succeeded", bad)
		}
	}
	if _, err := git.Repo(t.Context(), "../etc"); err == nil {
		t.Error(`repository "../etc" was made`)
	}
}

func TestGitStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	git, err := ServeGit(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-git.served
	if err := git.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(git.root); !os.IsNotExist(err) {
		t.Errorf("root after Close: %v, want it gone", err)
	}
}

func serveGit(t *testing.T) *Git {
	t.Helper()
	git, err := ServeGit(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := git.Close(); err != nil {
			t.Error(err)
		}
	})
	return git
}

func newRepo(t *testing.T, git *Git, name string) *Repo {
	t.Helper()
	repo, err := git.Repo(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func commit(t *testing.T, repo *Repo, message string, files map[string]string) string {
	t.Helper()
	sha, err := repo.Commit(t.Context(), message, nil, files)
	if err != nil {
		t.Fatal(err)
	}
	if len(sha) != 40 {
		t.Fatalf("commit %q: want a SHA of 40 digits", sha)
	}
	return sha
}

// fetch gets one ref or commit with depth 1, as a deployment does, and checks it out in dir.
func fetch(t *testing.T, dir string, git *Git, user, password, repo, ref string) (string, error) {
	t.Helper()
	if out, err := runGit(t, dir, "init", "--quiet"); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	out, err := runGit(t, dir, "fetch", "--quiet", "--depth=1", withUser(t, git.URL()+"/"+repo, user, password), ref)
	if err != nil {
		return out, err
	}
	return runGit(t, dir, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
}

func withUser(t *testing.T, address, user, password string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func runGit(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(gitEnv(dir), "PATH="+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	if string(data) != want {
		t.Errorf("%s: %q, want %q", filepath.Base(path), data, want)
	}
}
