package scripts

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// root is a deploy root that prune.sh is let loose on.
type root struct {
	t    *testing.T
	path string
}

func newRoot(t *testing.T) *root {
	t.Helper()
	r := &root{t, t.TempDir()}
	r.put(".lock.holder", "t\n")
	r.put("slots/.keep", "")
	r.put("releases/.keep", "")
	return r
}

func (r *root) put(name, text string) {
	r.t.Helper()
	file := filepath.Join(r.path, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *root) link(name, target string) {
	r.t.Helper()
	if err := os.Symlink(target, filepath.Join(r.path, name)); err != nil {
		r.t.Fatal(err)
	}
}

// release makes a complete release; turn is what its marker of having served holds, "-" for one
// that never did.
func (r *root) release(id, turn string) {
	r.t.Helper()
	own := "releases/" + id + "/.deploy-action/"
	r.put(own+"complete", "")
	r.put(own+"commit", fmt.Sprintf("%040s\n", strings.ToLower(id[17:])))
	if turn != "-" {
		r.put(own+"live", turn)
	}
}

func (r *root) prune(values Values) {
	r.t.Helper()
	all := Values{
		"app": "a", "path": r.path, "lock_token": "t", "ports": "8080 8081", "step_id": "", "undo": "no",
		"keep_releases": "2", "keep": "", "live": "yes",
	}
	maps.Copy(all, values)
	text, err := Compose(Prune, all)
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(r.t.Context(), "bash", "-s")
	cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(text, []byte("/var/lib/deploy-action/"), []byte(r.path+"/var/")))
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("prune: %v\n%s", err, out)
	}
}

// has wants a folder of the root to hold just these names, hidden ones aside.
func (r *root) has(folder string, want ...string) {
	r.t.Helper()
	entries, err := os.ReadDir(filepath.Join(r.path, folder))
	if err != nil {
		r.t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			found = append(found, entry.Name())
		}
	}
	if slices.Sort(want); !slices.Equal(found, want) {
		r.t.Errorf("%s holds %v, want %v", folder, found, want)
	}
}

// inside starts a process of this user's that does nothing, in a folder of the root.
func (r *root) inside(folder string, command ...string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), command[0], command[1:]...)
	cmd.Dir = filepath.Join(r.path, folder)
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	})
}

const (
	r1 = "20261120T000000Z-1111111"
	r2 = "20261121T000000Z-2222222"
	r3 = "20261122T000000Z-3333333"
	r4 = "20261123T000000Z-4444444"
	r5 = "20261124T000000Z-5555555"
)

func TestPruneKeepsTheReleasesToGoBackTo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		turns []string // of r1, r2, …
		slots []string
		keep  string
		want  []string
	}{
		{"the newest that served", []string{"1", "2", "3", "4"}, []string{r4}, r4, []string{r3, r4}},
		{"not those that failed since", []string{"1", "2", "-", "-", "3"}, []string{r5}, r5, []string{r2, r5}},
		{
			"one that failed, while a slot points to it",
			[]string{"1", "2", "-", "-", "-"},
			[]string{r2, r5},
			r2,
			[]string{r1, r2, r5},
		},
		{"the order of service, not of a clock", []string{"4", "5", "1", "2", "3"}, []string{r2}, r2, []string{r1, r2}},
		{"numbers, not texts", []string{"10", "9", "8"}, []string{r1}, r1, []string{r1, r2}},
		{"markers without a number, by their names", []string{"", "", "", "1"}, []string{r4}, r4, []string{r3, r4}},
		{"what slots point to", []string{"1", "2", "3", "4"}, []string{r1, r2}, r2, []string{r1, r2, r3, r4}},
		{"what it is told to", []string{"1", "2", "3", "4"}, nil, r1 + " " + r4, []string{r1, r3, r4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoot(t)
			for i, turn := range tt.turns {
				r.release([]string{r1, r2, r3, r4, r5}[i], turn)
			}
			for i, id := range tt.slots {
				r.link(fmt.Sprintf("slots/808%d", i), "../releases/"+id)
			}
			r.put("releases/20261101T000000Z-aaaaaaa.partial/x", "")     // a dead run's
			r.put("releases/20261101T000000Z-bbbbbbb/not-complete", "x") // the same, a step later
			r.put("releases/theirs/x", "")
			r.prune(Values{"keep": tt.keep})
			r.has("releases", append(tt.want, "theirs")...)
		})
	}
}

// However few are kept, the one that a rollback without a name goes to is among them.
func TestPruneKeepsWhatARollbackGoesTo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		turns []string // of r1, r2, …
		left  string   // a rollback went back from it
		slots []string // of 8080, whose release serves, and 8081
		want  []string
	}{
		{
			name: "after the next deployment but one, which failed", turns: []string{"1", "2", "3", "-"}, left: r2,
			slots: []string{r3, r4}, want: []string{r1, r3, r4},
		},
		{
			name: "while what was gone back from is in a slot", turns: []string{"1", "2", "3"}, left: r3,
			slots: []string{r2, r3}, want: []string{r1, r2, r3},
		},
		{
			name: "after one to a release by its name, over others", turns: []string{"1", "2", "3", "4", "-"}, left: r4,
			slots: []string{r2, r5}, want: []string{r1, r2, r5},
		},
		{
			name: "and what was gone back from, where there is room", turns: []string{"2", "1", "-"}, left: r1,
			slots: []string{r2, r3}, want: []string{r1, r2, r3},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoot(t)
			for i, turn := range tt.turns {
				r.release([]string{r1, r2, r3, r4, r5}[i], turn)
			}
			r.put("releases/"+tt.left+"/.deploy-action/left", "")
			for i, id := range tt.slots {
				r.link(fmt.Sprintf("slots/808%d", i), "../releases/"+id)
			}
			r.put("var/a/active/8080", "")
			r.prune(Values{"keep": tt.slots[0]})
			r.has("releases", tt.want...)
		})
	}
}

func TestPruneKeepsWhatProcessesUse(t *testing.T) {
	const venv1, venv2, venv3, venv4 = "1111111111111111", "2222222222222222", "3333333333333333", "4444444444444444"
	r := newRoot(t)
	for i, id := range []string{r1, r2, r3, r4, r5} {
		r.release(id, fmt.Sprint(i+1))
	}
	r.put("venvs/"+venv1+"/.complete", "")
	r.link("releases/"+r1+"/.venv", "../../venvs/"+venv1)
	r.put("venvs/"+venv2+"/.complete", "")
	r.put("venvs/"+venv3+"/.complete", "")
	r.link("releases/"+r5+"/.venv", "../../venvs/"+venv3)
	r.put("venvs/"+venv4+"/.complete", "")
	// a worker that outlived its slot
	r.inside("releases/"+r1, "cat")
	// as a script of a venv shows
	r.inside("", "bash", "-c", "read -r _", filepath.Join(r.path, "venvs", venv2, "bin/python"))
	r.prune(Values{"keep": r5})
	r.has("releases", r1, r4, r5)
	r.has("venvs", venv1, venv2, venv3)
}

// Anybody can have the name of a release on his command line, and must not fill the disk by that.
func TestPruneIsNotStoppedByWhatOthersWrite(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("another user's process takes root; docs/attacks.md has it on a real host")
		return
	}
	r := newRoot(t)
	for i, id := range []string{r1, r2, r3, r4} {
		r.release(id, fmt.Sprint(i+1))
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "read -r _", filepath.Join(r.path, "releases", r1, "app.py"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.prune(Values{"keep": r4})
	r.has("releases", r3, r4)
	_ = in.Close()
	_ = cmd.Wait()
}

func TestPruneDeletesAssetsThatNothingRefersTo(t *testing.T) {
	needed, gone := strings.Repeat("a", 64), strings.Repeat("b", 32)+"-3"
	r := newRoot(t)
	r.release(r1, "1")
	r.put("releases/"+r1+"/.deploy-action/assets", needed+"\n")
	r.put("releases/"+r2+"/.deploy-action/assets", needed+"\n") // failed, not even complete
	for _, name := range []string{needed + "/file", gone + "/file", "half.partial", "theirs/file"} {
		r.put("assets/"+name, "x")
	}
	r.prune(Values{"keep": r1 + " " + r2, "live": "no"})
	r.has("releases", r1, r2)
	r.has("assets", needed, "half.partial", "theirs")
	r.prune(Values{"keep": r1})
	r.has("assets", needed, "theirs")
}

func (r *root) git(mirror, stdin string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", append([]string{"--git-dir=" + filepath.Join(r.path, mirror)},
		args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// commit does what a fetch has done: the commit has a ref, and a pack of its own.
func (r *root) commit(mirror, text string) string {
	r.t.Helper()
	r.git(mirror, fmt.Sprintf("commit refs/new\ncommitter a <a@b> now\ndata 0\nM 100644 inline f\ndata %d\n%s\n",
		len(text), text),
		"-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--date-format=now")
	commit := r.git(mirror, "", "rev-parse", "refs/new")
	r.git(mirror, "", "update-ref", "-d", "refs/new")
	r.git(mirror, "", "update-ref", "refs/deploy/"+commit, commit)
	return commit
}

func TestPruneDeletesCommitsThatNoReleaseNeeds(t *testing.T) {
	const still, gone = "repo.git/modules/aaaaaaaaaaaaaaaa", "repo.git/modules/bbbbbbbbbbbbbbbb"
	lfs := func(oid string) string { return "repo.git/lfs/objects/" + oid[:2] + "/" + oid[2:4] + "/" + oid }
	oid1, oid2 := strings.Repeat("1", 64), strings.Repeat("2", 64)
	r := newRoot(t)
	for _, mirror := range []string{"repo.git", still, gone} {
		r.put(mirror+"/x", "")
		r.git(mirror, "", "init", "-q", "--bare")
	}
	ids := []string{r1, r2, r3, r4, r5}
	var commits, modules []string
	for i, id := range ids {
		r.release(id, fmt.Sprint(i+1))
		commits = append(commits, r.commit("repo.git", "text "+id))
		modules = append(modules, r.commit(still, "module "+id))
		objects := modules[i] + "\n" + oid2 + "\n"
		if i < 3 { // then it is no submodule any more
			objects = modules[i] + "\n" + oid1 + "\n" + r.commit(gone, "gone "+id) + "\n"
		}
		r.put("releases/"+id+"/.deploy-action/commit", commits[i]+"\n")
		r.put("releases/"+id+"/.deploy-action/objects", objects)
	}
	r.put(lfs(oid1), "old")
	r.put(lfs(oid2), "new")
	r.prune(Values{"keep": r5})
	for mirror, all := range map[string][]string{"repo.git": commits, still: modules} {
		want := slices.Sorted(slices.Values(all[3:]))
		if got := r.git(mirror, "", "for-each-ref", "--format=%(objectname)"); got != strings.Join(want, "\n") {
			t.Errorf("refs of %s:\n%s\nwant:\n%s", mirror, got, strings.Join(want, "\n"))
		}
		if got := r.git(mirror, "", "cat-file", "--batch-all-objects",
			"--batch-check=%(objectname)"); strings.Contains(got, all[0]) || !strings.Contains(got, all[4]) {
			t.Errorf("%s still has the commit of a release that is gone, or lacks one that is needed", mirror)
		}
		r.git(mirror, "", "fsck", "--strict")
	}
	r.has("repo.git/modules", filepath.Base(still))
	for oid, want := range map[string]bool{oid1: false, oid2: true} {
		if _, err := os.Stat(filepath.Join(r.path, lfs(oid))); (err == nil) != want {
			t.Errorf("LFS object %s: %v, want it to be there: %t", oid, err, want)
		}
	}
	// Releases that came from elsewhere since need no mirror.
	for _, id := range ids {
		_ = os.RemoveAll(filepath.Join(r.path, "releases", id))
	}
	r.release(r1, "6")
	r.prune(Values{"keep": r1})
	if _, err := os.Stat(filepath.Join(r.path, "repo.git")); err == nil {
		t.Error("a mirror is left that no release has a commit of")
	}
}

// The markers number releases in the order in which they came to serve, once and for all.
func TestReleasesAreNumberedAsTheyComeToServe(t *testing.T) {
	r := newRoot(t)
	r.release(r5, "-")
	r.release(r1, "-")
	r.release(r2, "") // of a time without numbers
	for _, id := range []string{r5, r1, r2, r5} {
		bash(t, "app=a path="+quote(r.path)+"\n"+read(t, "lib/base.sh")+read(t, "lib/files.sh")+"mark_live "+id)
	}
	for id, want := range map[string]string{r5: "1\n", r1: "2\n", r2: "3\n"} {
		if got := read(t, filepath.Join(r.path, "releases", id, ".deploy-action/live")); got != want {
			t.Errorf("release %s has number %q, want %q", id, got, want)
		}
	}
}

func TestTheHistoryIsBounded(t *testing.T) {
	r := newRoot(t)
	r.put("deploys.jsonl", strings.Repeat("{}\n", 1200))
	text, err := Compose(Record, Values{
		"app": "a", "path": r.path, "lock_token": "t", "step_id": "", "undo": "no",
		"line": `{"last":1}`, "history": "2", "gone_from": "", "nginx_include": "/dev/null", "fallback": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	if out := bash(t, string(text)); !strings.Contains(out, "history_0={}\nhistory_1={\"last\":1}\nrecorded=yes\n") {
		t.Errorf("results:\n%s", out)
	}
	r.put("deploys.jsonl", `{"a":"`+strings.Repeat("x", 125000)+"\"}\n{}\n")
	if out := bash(t, string(text)); !strings.Contains(out, "history_0={}\nhistory_1={\"last\":1}\nrecorded=yes\n") {
		t.Errorf("results after a long line:\n%.200s", out)
	}
	if got := read(t, filepath.Join(r.path, "deploys.jsonl")); got != "{}\n{\"last\":1}\n" {
		t.Errorf("a long line is kept: %.80q", got)
	}
	r.put("deploys.jsonl", strings.Repeat("{}\n", 1200))
	bash(t, string(text))
	if got := read(t, filepath.Join(r.path, "deploys.jsonl")); strings.Count(got, "\n") != 1000 ||
		!strings.HasSuffix(got, "{}\n{\"last\":1}\n") {
		t.Errorf("%d lines, the end: %q", strings.Count(got, "\n"), got[len(got)-30:])
	}
}

// What a rollback has gone back from is known to the next one.
func TestRecordNotesWhatARollbackHasLeft(t *testing.T) {
	for _, id := range []string{r1, r3, "20250101T000000Z-aaaaaaa"} {
		r := newRoot(t)
		r.release(r1, "1")
		r.release(r2, "2")
		r.release(r3, "-")
		text, err := Compose(Record, Values{
			"app": "a", "path": r.path, "lock_token": "t", "step_id": "", "undo": "no", "line": "{}", "history": "1",
			"gone_from": id,
		})
		if err != nil {
			t.Fatal(err)
		}
		bash(t, string(text))
		_, err = os.Stat(filepath.Join(r.path, "releases", id, ".deploy-action", "left"))
		if (err == nil) != (id == r1) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
