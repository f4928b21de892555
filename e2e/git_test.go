package e2e

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// gitFiles is the smallest application from git: Python's own file server.
func gitFiles(with map[string]string) map[string]string {
	all := maps.Clone(files)
	all["source"] = "git"
	maps.Copy(all, with)
	return all
}

// history imports a commit for each text, the file health, on top of each other, and returns their
// SHAs, oldest first.
func history(t *testing.T, repo *lab.Repo, branch string, texts ...string) []string {
	t.Helper()
	var stream strings.Builder
	for i, text := range texts {
		fmt.Fprintf(&stream, "commit refs/heads/%s\ncommitter Lab <lab@example.com> %d +0000\ndata 1\n.\nM 100644 "+
			"inline health\ndata %d\n%s\n", branch, 1700000000+i, len(text), text)
	}
	if _, err := repo.Git(t.Context(), stream.String(), "fast-import", "--quiet"); err != nil {
		t.Fatal(err)
	}
	out, err := repo.Git(t.Context(), "", "rev-list", "--reverse", branch)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(out)
}

func TestGitRefs(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	texts := make([]string, 1200)
	for i := range texts {
		texts[i] = fmt.Sprintf("text %d", i)
	}
	commits := history(t, w.Repo, "main", texts...)
	git := func(args ...string) {
		t.Helper()
		if _, err := w.Repo.Git(w.Ctx, "", args...); err != nil {
			t.Fatal(err)
		}
	}
	git("branch", "feature/one", commits[10])
	git("tag", "light", commits[20])
	git("tag", "-a", "-m", "annotated", "v1.0", commits[30])
	git("branch", "other/feature/one", commits[40]) // ends like another
	git("branch", commits[50][:7], commits[60])     // looks like a commit
	git("branch", "both", commits[10])
	git("tag", "both", commits[20])
	seen, twice := map[string]int{}, ""
	for i, commit := range commits {
		if other, known := seen[commit[:4]]; known && twice == "" {
			twice = commits[other][:4]
		}
		seen[commit[:4]] = i
	}
	for _, tt := range []struct{ name, ref, text string }{
		{"branch with a slash", "feature/one", texts[10]},
		{"lightweight tag", "light", texts[20]},
		{"annotated tag", "v1.0", texts[30]},
		{"full name of a branch", "refs/heads/main", texts[1199]},
		{"abbreviated commit in the middle of the history", commits[70][:12], texts[70]},
		{"the same in capitals", strings.ToUpper(commits[80][:12]), texts[80]},
		{"full commit", commits[90], texts[90]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.In(t)
			w.Deploy(commits[0], gitFiles(map[string]string{"ref": tt.ref}))
			if out := w.Exec("curl -fsS http://127.0.0.1/health"); out != tt.text {
				t.Errorf("%q is served, want %q", out, tt.text)
			}
		})
	}
	for _, tt := range []struct{ name, ref, want string }{
		{"unknown branch", "nowhere", "there is no such branch or tag"},
		{"unknown abbreviated commit", "0123456789abcdef", "no branch, tag or commit of any branch begins so"},
		{"ambiguous abbreviated commit", twice, "stands for several commits"},
		{"a branch that looks like a commit", commits[50][:7], "is a branch or tag (" + commits[60] + ")"},
		{"a tag that has a branch's name", "both", "is a branch (" + commits[10] + ") and a tag (" + commits[20] + ")"},
		{
			"unknown full commit", "0123456789012345678901234567890123456789",
			"git could not fetch 0123456789012345678901234567890123456789",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.In(t)
			world.Failed(t, w.Run(w.Job(commits[0], gitFiles(map[string]string{"ref": tt.ref}))), "failed", "fetch: ",
				tt.want, "site: unchanged")
		})
	}
	if out := w.Exec("ls -d /home/ubuntu/shop/repo.git/resolve 2>/dev/null || true; git -C " +
		"/home/ubuntu/shop/repo.git -c safe.directory='*' config --get-regexp 'remote|extensions' || true"); out != "" {
		t.Errorf("left in the mirror: %s", out)
	}
}

// A fetch after the first is sent what is new, and nothing at all for a commit that is here.
func TestGitFetchesWhatIsNew(t *testing.T) {
	t.Parallel()
	for _, public := range []bool{false, true} {
		t.Run(fmt.Sprintf("public %t", public), func(t *testing.T) {
			w := world.New(t, lab.HostOptions{})
			w.Repo.SetPublic(public)
			token := map[string]string{}
			if public {
				token["token"] = ""
			}
			noise := strings.Repeat(fmt.Sprintf("%x", "no compression gets far with this"), 1)
			big := make([]byte, 0, 3<<20)
			for i := range 100_000 {
				big = fmt.Appendf(big, "%x%s", i*2654435761%4294967296, noise[:i%7])
			}
			first := w.Commit(map[string]string{"big": string(big), "health": "1"})
			second := w.Commit(map[string]string{"big": string(big), "health": "2"})
			cost := func(sha string) (bytes int) {
				before := len(w.Git.Requests())
				w.Deploy(sha, gitFiles(token))
				for _, r := range w.Git.Requests()[before:] {
					bytes += r.Bytes
					if r.TokenValid == public && r.Status == 200 {
						t.Errorf("%s %s with a token: %t", r.Method, r.Target, r.TokenValid)
					}
				}
				return bytes
			}
			all, change, back := cost(first), cost(second), cost(first)
			t.Logf("served: first %d bytes, one file changed %d, back to the first %d", all, change, back)
			if change*20 > all || back != 0 {
				t.Errorf("served: first %d bytes, one file changed %d, back to the first %d", all, change, back)
			}
		})
	}
}

func TestGitSubmodules(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	other, err := world.Shared.Lab.Git(w.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	repo := func(git *lab.Git, name string) *lab.Repo {
		t.Helper()
		r, err := git.Repo(w.Ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	public := repo(other, "acme/public")
	public.SetPublic(true)
	deep, lib, bySSH := repo(w.Git, "acme/deep"), repo(w.Git, "acme/lib"), repo(w.Git, "acme/by-ssh")
	deepCommits := history(t, deep, "main", "deep 1", "deep 2") // the older one is used: exact commits, not branches
	sshCommits, publicCommits := history(t, bySSH, "main", "ssh"), history(t, public, "main", "public")
	with := func(r *lab.Repo, text, modules string, links map[string]string) string {
		t.Helper()
		stream := fmt.Sprintf("commit refs/heads/main\ncommitter Lab <lab@example.com> now\ndata 1\n.\nM 100644 "+
			"inline health\ndata %d\n%s\nM 100644 inline .gitmodules\ndata %d\n%s\n", len(text), text, len(modules), modules)
		for path, commit := range links {
			stream += fmt.Sprintf("M 160000 %s %s\n", commit, path)
		}
		if _, err := r.Git(w.Ctx, stream, "fast-import", "--quiet", "--force", "--date-format=now"); err != nil {
			t.Fatal(err)
		}
		sha, err := r.Git(w.Ctx, "", "rev-parse", "main")
		if err != nil {
			t.Fatal(err)
		}
		return sha
	}
	libCommit := with(lib, "lib", "[submodule \"d\"]\n\tpath = vendor/deep\n\turl = ./../deep.git/\n",
		map[string]string{"vendor/deep": deepCommits[0]})
	server, err := url.Parse(w.Git.URL())
	if err != nil {
		t.Fatal(err)
	}
	modules := fmt.Sprintf("[submodule \"with.dots and blanks\"]\n\tpath = third party/lib\n\turl = "+
		"../lib\n[submodule \"s\"]\n\tpath = ssh\n\turl = git@%s:acme/by-ssh.git\n[submodule \"p\"]\n\tpath = "+
		"public\n\turl = %s/acme/public.git\n",
		server.Hostname(), other.URL())
	links := map[string]string{"third party/lib": libCommit, "ssh": sshCommits[0], "public": publicCommits[0]}
	w.Deploy(with(w.Repo, "one", modules, links), gitFiles(nil))
	out := w.Exec("cd /home/ubuntu/shop/slots/8080/ && cat health 'third party/lib/health' 'third " +
		"party/lib/vendor/deep/health' ssh/health public/health && find . -name .git")
	if out != "onelibdeep 1sshpublic" {
		t.Errorf("the release holds %q", out)
	}
	for _, r := range other.Requests() {
		if r.Authorized {
			t.Errorf("the token went to another server: %+v", r)
		}
	}
	token := w.Git.Token()
	if out := w.Exec("grep -rlF -- " + token + " /home /tmp /var /etc 2>/dev/null || true"); out != "" {
		t.Errorf("the token lies in %s", out)
	}
	before := len(w.Git.Requests())
	w.Deploy(with(w.Repo, "two", modules, links), gitFiles(nil))
	for _, r := range w.Git.Requests()[before:] {
		if !strings.Contains(r.Target, w.Repo.Name()) {
			t.Errorf("an unchanged submodule was asked for again: %s", r.Target)
		}
	}
	delete(links, "public")
	for _, text := range []string{"three", "four"} {
		w.Deploy(with(w.Repo, text, modules, links), gitFiles(map[string]string{"keep-releases": "2"}))
	}
	if out := w.Exec("cd /home/ubuntu/shop/repo.git/modules && cat */refs/deploy/* | sort"); out !=
		strings.Join(slices.Sorted(slices.Values([]string{libCommit, deepCommits[0], sshCommits[0]})), "\n") {
		t.Errorf("commits of submodules that are kept:\n%s\nwant those of lib, deep and ssh, not public's", out)
	}
	for _, tt := range []struct{ name, modules, want string }{
		{
			"a local path", "[submodule \"l\"]\n\tpath = l\n\turl = /home/ubuntu/.ssh\n",
			"the submodule in l has a URL that is neither http(s) nor on the repository's own server",
		},
		{"a command", "[submodule \"l\"]\n\tpath = l\n\turl = ext::sh -c id\n", "neither http(s)"},
		{"up and out", "[submodule \"l\"]\n\tpath = l\n\turl = ../../../../../../etc\n", "neither http(s)"},
		{
			"no entry", "[submodule \"x\"]\n\tpath = x\n\turl = ../lib\n",
			"the submodule in l has no entry in .gitmodules",
		},
		{
			"not there", "[submodule \"l\"]\n\tpath = l\n\turl = ../gone\n",
			"git could not fetch commit " + libCommit[:7] + " of the submodule in l from " + w.Git.URL() + "/acme/gone",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sha := with(w.Repo, tt.name, tt.modules, map[string]string{"l": libCommit})
			world.Failed(t, w.Run(w.Job(sha, gitFiles(nil))), "failed", "fetch: ", tt.want, "site: unchanged")
		})
	}
}

func TestGitLFS(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	attributes := "*.bin filter=lfs diff=lfs merge=lfs -text\n"
	sha := w.Commit(map[string]string{
		".gitattributes": attributes, "model.bin": w.Repo.LFS("the model"), "sub/other.bin": w.Repo.LFS("the other"),
		"lfs": "a name that is a word of git's", "health": "ok",
	})
	w.Exec("mv \"$(command -v git-lfs)\" /root/")
	world.Failed(t, w.Run(w.Job(sha, gitFiles(nil))), "failed", "fetch: 2 file(s) of ", "are kept in Git LFS",
		"sudo apt-get install -y git-lfs", "site: unchanged")
	w.Exec("mv /root/git-lfs /usr/bin/")
	w.Deploy(sha, gitFiles(nil))
	if out := w.Exec("cd /home/ubuntu/shop/slots/8080 && cat model.bin sub/other.bin lfs"); out !=
		"the modelthe othera name that is a word of git's" {
		t.Errorf("the release holds %q", out)
	}
	before := len(w.Git.Requests())
	w.Deploy(w.Commit(map[string]string{
		".gitattributes": attributes, "model.bin": w.Repo.LFS("the model"),
		"health": "2",
	}), gitFiles(nil))
	for _, r := range w.Git.Requests()[before:] {
		if strings.Contains(r.Target, "/info/lfs/objects/") && r.Method == "GET" {
			t.Errorf("a file that is here was asked for again: %s", r.Target)
		}
	}
	if out := w.Exec("cat /home/ubuntu/shop/slots/8081/model.bin; grep -rlF -- " + w.Git.Token() +
		" /home /tmp /var /etc 2>/dev/null || true"); out != "the model" {
		t.Errorf("the file, and where the token lies: %q", out)
	}
	for _, health := range []string{"3", "4"} {
		w.Deploy(w.Commit(map[string]string{
			".gitattributes": attributes, "model.bin": w.Repo.LFS("the model"),
			"health": health,
		}), gitFiles(map[string]string{"keep-releases": "2"}))
	}
	if out := w.Exec("find /home/ubuntu/shop/repo.git/lfs -type f -exec cat {} +"); out != "the model" {
		t.Errorf("git-lfs keeps %q, want just what a release on the host has", out)
	}
	missing := strings.Replace(w.Repo.LFS("x"), "oid sha256:2", "oid sha256:3", 1)
	sha = w.Commit(map[string]string{".gitattributes": attributes, "model.bin": missing, "health": "5"})
	world.Failed(t, w.Run(w.Job(sha, gitFiles(nil))), "failed", "fetch: git-lfs could not fetch the files of "+sha[:7],
		"site: unchanged")
}

// What a busy git server answers passes, and the log says that it is waited for.
func TestGitServerIsBusyForAWhile(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	sha := w.Commit(map[string]string{"health": "1"})
	w.Git.Busy(2)
	result := w.Run(w.Job(sha, gitFiles(map[string]string{"ref": "main"})))
	log := result.Log()
	if result.ExitCode != 0 || strings.Count(log, ": trying again in ") != 2 ||
		!strings.Contains(log, "The requested URL returned error: 503") {
		t.Errorf("exit code %d\n%s", result.ExitCode, log)
	}
	if out := w.Exec("curl -fsS http://127.0.0.1/health"); out != "1" {
		t.Errorf("%q is served", out)
	}
}
