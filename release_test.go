package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// The workflow that publishes runs on GitHub alone. What its commands do to tags does not need GitHub: they are run here
// as they stand in the file, against a repository in a folder, with stand-ins for the registry and for gh.

// releaseJob is what a test needs of a job of release.yml.
type releaseJob struct {
	Needs any
	Steps []struct {
		Name string
		Env  map[string]string
		Run  string
	}
}

func releaseJobs(t *testing.T) map[string]releaseJob {
	t.Helper()
	var workflow struct {
		Defaults struct{ Run struct{ Shell string } }
		Jobs     map[string]releaseJob
	}
	if err := yaml.Unmarshal([]byte(read(t, ".github/workflows/release.yml")), &workflow); err != nil {
		t.Fatal(err)
	}
	if workflow.Defaults.Run.Shell != "bash" {
		t.Fatal("release.yml names no shell: its commands would run without pipefail")
	}
	return workflow.Jobs
}

// publisher is a clone of a repository whose main branch is checked out, as the jobs that push have it.
type publisher struct {
	t     *testing.T
	jobs  map[string]releaseJob
	clone string
	env   []string
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	dir := t.TempDir()
	p := &publisher{t: t, jobs: releaseJobs(t), clone: filepath.Join(dir, "clone")}
	stubs := filepath.Join(dir, "stubs")
	for name, script := range map[string]string{
		"docker": `[[ $* == "manifest inspect ghcr.io/o/r@$DIGEST" && -z $PRIVATE ]]`,
		"gh": `case $2 in
  view) cat -- "$GH_LOG.$3"; exit ;;
  create) echo true >"$GH_LOG.$3" ;;
  edit) echo false >"$GH_LOG.$3" ;;
esac
printf '%s\n' "$*" >>"$GH_LOG"`,
	} {
		writeScript(t, filepath.Join(stubs, name), script)
	}
	p.env = append(os.Environ(), "PATH="+stubs+":"+os.Getenv("PATH"), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1",
		"GH_LOG="+p.ghLog(), "IMAGE=ghcr.io/o/r")
	p.git("init", "--quiet", "--bare", "--initial-branch=main", filepath.Join(dir, "origin"))
	p.git("clone", "--quiet", filepath.Join(dir, "origin"), p.clone)
	p.git("-C", p.clone, "checkout", "--quiet", "-B", "main")
	if err := os.WriteFile(filepath.Join(p.clone, "action.yml"), []byte(read(t, "action.yml")), 0o600); err != nil {
		t.Fatal(err)
	}
	p.git("-C", p.clone, "add", ".")
	for _, name := range []string{"checksums.txt", "deploy-action-linux-amd64"} { // download-artifact brings them
		writeScript(t, filepath.Join(p.clone, "binaries", name), "")
	}
	p.git("-C", p.clone, "-c", "user.name=ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "-m", "first")
	p.git("-C", p.clone, "push", "--quiet", "origin", "main")
	return p
}

func (p *publisher) ghLog() string { return filepath.Join(filepath.Dir(p.clone), "gh") }

func writeScript(t *testing.T, file, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/usr/bin/env bash\n"+script+"\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
}

func (p *publisher) git(args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "git", args...)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// runs a step of a job for a version, in a fresh checkout of main, and tells what it printed.
func (p *publisher) runs(job, step, version string, more ...string) (string, error) {
	p.t.Helper()
	p.git("-C", p.clone, "checkout", "--quiet", "--force", "-B", "main", "origin/main")
	for _, s := range p.jobs[job].Steps {
		if s.Name != step {
			continue
		}
		cmd := exec.CommandContext(p.t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", s.Run)
		cmd.Dir = p.clone
		cmd.Env = slices.Concat(p.env, []string{"VERSION=" + version, "DIGEST=" + digestOf(version)}, more)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	p.t.Fatalf("release.yml has no step %q in its job %s", step, job)
	return "", nil
}

func digestOf(version string) string {
	return "sha256:" + strings.Repeat(strings.ReplaceAll(version, ".", ""), 64)[:64]
}

const (
	readyStep = "See that the version is one, and new, and that it may be tagged"
	tagStep   = "Tag a commit that runs this image"
	makeStep  = "Make the release"
	moveStep  = "Move the tag of the major version, last"
)

// A version is tagged before it is tried, and v1 is at the newest one that was.
func TestReleaseTags(t *testing.T) {
	p := newPublisher(t)
	image := func(tag string) string {
		p.git("-C", p.clone, "fetch", "--quiet", "--force", "origin", "refs/tags/"+tag+":refs/tags/"+tag)
		action := p.git("-C", p.clone, "show", tag+":action.yml")
		return regexp.MustCompile(`(?m)^  image: (.*)$`).FindStringSubmatch(action)[1]
	}
	must := func(job, step, version string) string {
		t.Helper()
		out, err := p.runs(job, step, version, "KEY_IS_THERE=true")
		if err != nil {
			t.Fatalf("%s of %s: %v\n%s", step, version, err, out)
		}
		return out
	}
	main := p.git("-C", p.clone, "rev-parse", "origin/main")
	of := func(version string) string { return "docker://ghcr.io/o/r:" + version + "@" + digestOf(version) }
	for _, tt := range []struct{ version, major, says string }{
		{"1.2.9", "1.2.9", ""},
		{"1.2.10", "1.2.10", ""},
		{"1.1.7", "1.2.10", "v1 stays at v1.2.10"}, // a patch of an older version
		{"2.0.0", "2.0.0", ""},
	} {
		must("ready", readyStep, tt.version)
		before := p.git("-C", p.clone, "ls-remote", "origin", "refs/tags/v?")
		must("tag", tagStep, tt.version)
		must("tag", tagStep, tt.version) // the job is run again
		major := "v" + tt.version[:1]
		if got := image("v" + tt.version); got != of(tt.version) {
			t.Errorf("v%s runs %s", tt.version, got)
		}
		if after := p.git("-C", p.clone, "ls-remote", "origin", "refs/tags/v?"); after != before {
			t.Errorf("tagging v%s moved %s", tt.version, after)
		}
		must("publish", makeStep, tt.version)
		must("publish", makeStep, tt.version)
		out := must("publish", moveStep, tt.version)
		if got := image(major); got != of(tt.major) || !strings.Contains(out, tt.says) {
			t.Errorf("after v%s, %s runs %s:\n%s", tt.version, major, got, out)
		}
	}
	log := read(t, p.ghLog())
	if got := strings.Count(log, "release upload v1.2.9 --clobber binaries/checksums.txt binaries/deploy-action-linux-amd64\n"); got != 1 {
		t.Errorf("the release of 1.2.9 gets the binaries %d times:\n%s", got, log)
	}
	if !strings.HasPrefix(log, "release create v1.2.9 --verify-tag --draft ") || strings.Contains(log, "--target") ||
		strings.Count(log, "\nrelease edit ") != 4 {
		t.Errorf("gh was asked for\n%s", log)
	}
	if now := p.git("-C", p.clone, "rev-parse", "origin/main"); now != main {
		t.Error("a release changes the main branch")
	}
}

func TestReleaseRefuses(t *testing.T) {
	p := newPublisher(t)
	p.git("-C", p.clone, "tag", "v1.0.0")
	p.git("-C", p.clone, "push", "--quiet", "origin", "v1.0.0")
	for _, tt := range []struct{ job, step, version, env, says string }{
		{"ready", readyStep, "1.0.1", "KEY_IS_THERE=false", "has no secret RELEASE_KEY"},
		{"ready", readyStep, "v1.0.1", "KEY_IS_THERE=true", "is not like 1.2.3"},
		{"ready", readyStep, "1.0.01", "KEY_IS_THERE=true", "is not like 1.2.3"},
		{"ready", readyStep, "1.0.0", "KEY_IS_THERE=true", "v1.0.0 is there already"},
		{"tag", tagStep, "1.0.1", "PRIVATE=yes", "make the package public"},
		{"tag", tagStep, "1.0.0", "", ""}, // a tag that runs another image
	} {
		if out, err := p.runs(tt.job, tt.step, tt.version, tt.env); err == nil || !strings.Contains(out, tt.says) {
			t.Errorf("%s of %s with %s: error %v, says\n%s", tt.step, tt.version, tt.env, err, out)
		}
	}
	p.git("-C", p.clone, "remote", "set-url", "--push", "origin", filepath.Join(t.TempDir(), "none"))
	if out, err := p.runs("ready", readyStep, "1.0.1", "KEY_IS_THERE=true"); err == nil ||
		!strings.Contains(out, "RELEASE_KEY may not push") {
		t.Errorf("a key that may not push: error %v, says\n%s", err, out)
	}
	if tags := p.git("-C", p.clone, "ls-remote", "--refs", "--tags", "origin"); strings.Count(tags, "\n") != 0 {
		t.Errorf("what was refused is tagged: %s", tags)
	}
}

// The release is made, and the major version's tag moved, only after what was tagged has been tried.
func TestReleaseTriesBeforeItPublishes(t *testing.T) {
	jobs := releaseJobs(t)
	for job, needs := range map[string][]string{
		"test": {"ready"}, "image": {"test"}, "smoke": {"image"}, "tag": {"image", "smoke"},
		"published": {"image", "tag"}, "publish": {"published"},
	} {
		var got []string
		switch n := jobs[job].Needs.(type) {
		case string:
			got = []string{n}
		case []any:
			for _, name := range n {
				got = append(got, name.(string))
			}
		}
		if !slices.Equal(got, needs) {
			t.Errorf("job %s needs %v, want %v", job, got, needs)
		}
	}
	last := jobs["publish"].Steps
	if len(last) == 0 || last[len(last)-1].Name != moveStep {
		t.Error("the major version's tag is not moved last")
	}
	for name, job := range jobs {
		for _, step := range job.Steps {
			if name != "publish" && (strings.Contains(step.Run, "--force") || strings.Contains(step.Run, "gh release")) {
				t.Errorf("job %s publishes: %s", name, step.Name)
			}
		}
	}
}

// docs/releasing.md tells how to make what the workflow asks for, and of each job what to do when it
// fails.
func TestReleasingTellsOfEachJob(t *testing.T) {
	doc := read(t, "docs/releasing.md")
	for _, words := range []string{
		"gh secret set RELEASE_KEY --env release ", "gh workflow run release.yml -f version=",
		"gh attestation verify oci://ghcr.io/clothesme/deploy-action:1.2.3 --repo clothesme/deploy-action",
	} {
		if !strings.Contains(doc, words) {
			t.Errorf("docs/releasing.md does not have %q", words)
		}
	}
	_, table, _ := strings.Cut(doc, "\n## When a job fails\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var told []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z, ]+) \| `).FindAllStringSubmatch(table, -1)[1:] {
		told = append(told, strings.Split(row[1], ", ")...)
	}
	var jobs []string
	for job := range releaseJobs(t) {
		jobs = append(jobs, job)
	}
	slices.Sort(told)
	slices.Sort(jobs)
	if !slices.Equal(told, jobs) {
		t.Errorf("docs/releasing.md tells of the jobs %v, there are %v", told, jobs)
	}
}
