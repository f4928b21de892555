package workspace

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// git runs it in a folder, with nothing of the machine's configuration.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a",
		"GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// A checkout is as git itself, and as actions/checkout, leaves it.
func TestTheSubjectOfACheckout(t *testing.T) {
	from := t.TempDir()
	git(t, from, "init", "-q", "-b", "main")
	for _, message := range []string{"First", "Fix the basket: 장바구니\n\nIt was empty.\n"} {
		git(t, from, "commit", "-q", "--allow-empty", "-m", message)
	}
	const want = "Fix the basket: 장바구니"
	clone := func(t *testing.T, args ...string) string {
		t.Helper()
		dir := t.TempDir()
		git(t, dir, append([]string{"clone", "-q"}, append(args, "file://"+from, ".")...)...)
		return dir
	}
	for name, tt := range map[string]struct {
		dir  func(t *testing.T) string
		want string
	}{
		"loose":  {func(*testing.T) string { return from }, want},
		"packed": {func(t *testing.T) string { t.Helper(); return clone(t) }, want},
		"shallow and detached, as actions/checkout leaves it": {func(t *testing.T) string {
			t.Helper()
			dir := clone(t, "--depth=1")
			git(t, dir, "checkout", "-q", "--detach")
			return dir
		}, want},
		"a branch that only packed-refs has": {func(t *testing.T) string {
			t.Helper()
			dir := clone(t)
			git(t, dir, "pack-refs", "--all")
			return dir
		}, want},
		"many objects": {func(t *testing.T) string {
			t.Helper()
			dir := clone(t)
			for range 20 {
				git(t, dir, "commit", "-q", "--allow-empty", "-m", "More")
			}
			git(t, dir, "commit", "-q", "--allow-empty", "-m", "Last")
			git(t, dir, "-c", "pack.window=0", "repack", "-adfq") // none as a difference to another
			return dir
		}, "Last"},
		"no git": {func(t *testing.T) string { t.Helper(); return t.TempDir() }, ""},
		"no commit yet": {func(t *testing.T) string {
			t.Helper()
			dir := t.TempDir()
			git(t, dir, "init", "-q")
			return dir
		}, ""},
		"damaged": {func(t *testing.T) string {
			t.Helper()
			dir := clone(t)
			packs, err := filepath.Glob(filepath.Join(dir, ".git/objects/pack/*.idx"))
			if err != nil || len(packs) != 1 {
				t.Fatalf("packs %v: %v", packs, err)
			}
			if err := os.Chmod(packs[0], 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(packs[0], 1100); err != nil {
				t.Fatal(err)
			}
			return dir
		}, ""},
		"a link out of the workspace": {func(t *testing.T) string {
			t.Helper()
			dir := t.TempDir()
			if err := os.Symlink(filepath.Join(from, ".git"), filepath.Join(dir, ".git")); err != nil {
				t.Fatal(err)
			}
			return dir
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Subject(tt.dir(t)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
