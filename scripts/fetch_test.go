package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// origin is a repository with a branch main of three commits, and whatever else a row makes; it
// returns where it is.
func origin(t *testing.T, script string) (dir string, commits []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "origin")
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", `
		git init -q -b main "$0" && cd "$0"
		git config user.name a; git config user.email a@b.example; git config uploadpack.allowAnySHA1InWant true
		for n in 1 2 3; do echo $n >f; git add f; git commit -qm $n; git rev-parse HEAD; done
		git checkout -q --orphan evil; echo evil >f; git commit -qam evil; git rev-parse HEAD; git checkout -q main
		git config uploadpack.allowFilter true
		one=$(git rev-parse main~2) two=$(git rev-parse main~1) evil=$(git rev-parse evil)
		`+script, dir)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir, strings.Fields(string(out))[:4]
}

// fetchRef lets fetch.sh fetch from a folder, and returns the commit or its last words.
func fetchRef(t *testing.T, url string, values Values) (commit, words string) {
	t.Helper()
	return fetchTo(t, t.TempDir(), url, values)
}

func fetchTo(t *testing.T, path, url string, values Values) (commit, words string) {
	t.Helper()
	for name, text := range map[string]string{".lock.holder": "t\n", "releases/.keep": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(path, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := Values{
		"app": "a", "path": path, "ports": "8080 8081", "keep_releases": "2", "keep": "", "lock_token": "t",
		"step_id": "", "undo": "no",
		"git_url": "file://" + url, "token": "", "branch": "", "stamp": "20261123T101500Z", "recipe": "r",
		"active_commit": "", "active_recipe": "", "known": "",
	}
	for name, value := range values {
		all[name] = value
	}
	text, err := Compose(Fetch, all)
	if err != nil {
		t.Fatal(err)
	}
	const last = "\nmain \"$@\" </dev/null\n"
	local := strings.Replace(string(text), last, "\nonline() { git --git-dir=\"$mirror\" \"$@\" </dev/null; }"+last, 1)
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin = strings.NewReader(local)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if left, _ := filepath.Glob(filepath.Join(path, "repo.git", "resolve")); len(left) > 0 && err == nil {
		t.Errorf("left over: %v", left)
	}
	for line := range strings.Lines(string(out)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), "commit="); found {
			commit = value
		}
	}
	if err == nil {
		return commit, ""
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	return "", lines[len(lines)-1]
}

// Who may push tags is mostly not who may push to a protected branch.
func TestANameStandsForOneCommit(t *testing.T) {
	for _, tt := range []struct {
		name, script, ref string
		want              int    // of the commits
		words             string // COMMIT1 to COMMIT4 stand for the commits
	}{
		{"a branch", "", "main", 3, ""},
		{"a tag", "git tag v1 $one", "v1", 1, ""},
		{"an annotated tag", "git tag -a -m x v1 $one", "v1", 1, ""},
		{
			"a tag that has the branch's name", "git tag main $evil", "main", 0,
			"main is a branch (COMMIT3) and a tag (COMMIT4) of URL: write refs/heads/main or refs/tags/main",
		},
		{"an annotated one", "git tag -a -m x main $evil", "main", 0, "is a branch (COMMIT3) and a tag (COMMIT4)"},
		{"such a tag on the same commit", "git tag main main", "main", 3, ""},
		{"such an annotated tag", "git tag -a -m x main main", "main", 3, ""},
		{"the branch in full", "git tag main $evil", "refs/heads/main", 3, ""},
		{"the tag in full", "git tag main $one", "refs/tags/main", 1, ""},
		{"a name below another", "git branch x/y $one", "y", 0, "there is no such branch or tag"},
		{"an abbreviated commit", "", "COMMIT2", 2, ""},
		{
			"a tag that has its name", "git tag ${two:0:10} $evil", "COMMIT2", 0,
			"is a branch or tag (COMMIT4) and begins a commit (COMMIT2)",
		},
		{"a tag of that commit", "git tag ${two:0:10} $two", "COMMIT2", 2, ""},
		{"a name that looks like a commit", "git branch beefbeef $one", "beefbeef", 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, commits := origin(t, tt.script)
			ref := tt.ref
			if strings.HasPrefix(ref, "COMMIT") {
				ref = commits[1][:10]
			}
			commit, words := fetchRef(t, url, Values{"ref": ref})
			want := strings.NewReplacer("COMMIT2", commits[1], "COMMIT3", commits[2], "COMMIT4", commits[3],
				"URL", "file://"+url).Replace(tt.words)
			switch {
			case tt.want > 0 && commit != commits[tt.want-1]:
				t.Errorf("%q (%s), want %s", commit, words, commits[tt.want-1])
			case tt.want == 0 && (commit != "" || !strings.Contains(words, want)):
				t.Errorf("%q, said %q, want %q", commit, words, want)
			}
		})
	}
}

// A host that gets a release later has it under the id that it has on other hosts, unless it had it
// before: what is complete stays as it is.
func TestAReleaseHasTheIDThatOtherHostsHaveItUnder(t *testing.T) {
	url, commits := origin(t, "")
	path := t.TempDir()
	theirs := "20261120T000000Z-" + commits[0][:7]
	known := commits[1] + " 20261119T000000Z-" + commits[1][:7] + "\n" + commits[0] + " " + theirs
	for _, tt := range []struct{ known, want string }{
		{commits[1] + " 20261119T000000Z-" + commits[1][:7], "20261123T101500Z-" + commits[0][:7]},
		{known, theirs},
		{known, "20261123T101500Z-" + commits[0][:7]}, // it is complete by now
	} {
		if err := os.RemoveAll(filepath.Join(path, "releases", "20261123T101500Z-"+commits[0][:7])); err != nil {
			t.Fatal(err)
		}
		if commit, said := fetchTo(t, path, url, Values{"ref": commits[0], "known": tt.known}); commit != commits[0] {
			t.Fatalf("%q: %s", commit, said)
		}
		mark := filepath.Join(path, "releases", tt.want, ".deploy-action", "complete")
		if err := os.WriteFile(mark, nil, 0o600); err != nil {
			t.Errorf("known %q: %v", tt.known, err)
		}
	}
}

// A host that goes down while git is at work leaves its locks behind.
func TestWhatGitHeldWhenTheHostWentDown(t *testing.T) {
	url, commits := origin(t, "")
	path := t.TempDir()
	if commit, said := fetchTo(t, path, url, Values{"ref": commits[0]}); commit != commits[0] {
		t.Fatal(said)
	}
	next := "refs/deploy/" + commits[1] + ".lock"
	for _, name := range []string{"shallow.lock", "deploy.index.lock", "packed-refs.lock", "config.lock", next} {
		if err := os.WriteFile(filepath.Join(path, "repo.git", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if commit, said := fetchTo(t, path, url, Values{"ref": commits[1]}); commit != commits[1] {
		t.Errorf("%q: %s", commit, said)
	}
}

// After workflow_run GitHub tells the name of a branch, which may be that of a tag.
func TestTheCommitOfAnotherWorkflowIsOnItsBranch(t *testing.T) {
	url, commits := origin(t, "git tag main $evil")
	for i, words := range []string{"", "", "", "is not on the branch main of file://" + url} {
		commit, said := fetchRef(t, url, Values{"ref": commits[i], "branch": "main"})
		if want := commits[i]; words == "" && commit != want {
			t.Errorf("%q (%s), want %s", commit, said, want)
		}
		if words != "" && (commit != "" || !strings.Contains(said, words)) {
			t.Errorf("%q, said %q, want %q", commit, said, words)
		}
	}
	if commit, said := fetchRef(t, url, Values{"ref": commits[3]}); commit != commits[3] {
		t.Errorf("who names a commit gets it: %q (%s)", commit, said)
	}
}
