package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// The workflow that publishes runs on GitHub alone. What its commands do to tags does not need
// GitHub: they are run here as they stand in the file, against a repository that they reach over
// SSH by a deploy key, with stand-ins for the registry and for gh.

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
	keys  string // the folder of the deploy keys
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
	p.keys = filepath.Join(dir, "keys")
	p.env = append(os.Environ(), "PATH="+stubs+":"+os.Getenv("PATH"), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1",
		"GH_LOG="+p.ghLog(), "IMAGE=ghcr.io/o/r", p.by("release"))
	p.git("init", "--quiet", "--bare", "--initial-branch=main", filepath.Join(dir, "origin"))
	p.git("clone", "--quiet", p.serve()+filepath.Join(dir, "origin"), p.clone)
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

// by has git log in with a key, as actions/checkout does with its input ssh-key.
func (p *publisher) by(key string) string {
	return "GIT_SSH_COMMAND=ssh -F none -i " + filepath.Join(p.keys, key) + " -o IdentitiesOnly=yes " +
		"-o StrictHostKeyChecking=yes -o CheckHostIP=no -o UserKnownHostsFile=" + filepath.Join(p.keys, "known_hosts")
}

// serve has sshd give repositories to two deploy keys, of which one may not push, until the test ends,
// and returns where.
func (p *publisher) serve() string {
	p.t.Helper()
	listener, err := new(net.ListenConfig).Listen(p.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr) //nolint:errcheck,forcetypeassert // of TCP it is one
	_ = listener.Close()
	me, err := user.Current()
	if err != nil {
		p.t.Fatal(err)
	}
	// What GitHub says to a key without write access.
	const readOnly = `case $SSH_ORIGINAL_COMMAND in git-upload-pack*) ;; *) echo 'ERROR: The key you are ` +
		`authenticating with has been marked as read only.' >&2; exit 1 ;; esac; `
	if err := os.Mkdir(p.keys, 0o700); err != nil {
		p.t.Fatal(err)
	}
	var allowed strings.Builder
	for key, first := range map[string]string{"host": "", "release": "", "reader": readOnly} {
		file := filepath.Join(p.keys, key)
		if out, err := exec.CommandContext(p.t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).
			CombinedOutput(); err != nil {
			p.t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
		if public := read(p.t, file+".pub"); key == "host" {
			p.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", address.Port, public))
		} else {
			writeScript(p.t, file+".sh", first+`exec git-shell -c "$SSH_ORIGINAL_COMMAND"`)
			_, _ = fmt.Fprintf(&allowed, "restrict,command=%q %s", file+".sh", public)
		}
	}
	p.write("authorized_keys", allowed.String())
	p.write("config", fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nUsePAM no\nStrictModes no\nPidFile none\n"+
		"PermitRootLogin prohibit-password\nHostKey %[2]s/host\nAuthorizedKeysFile %[2]s/authorized_keys\n",
		address.Port, p.keys))
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { //nolint:gosec // as its package makes it
			p.t.Fatal(err)
		}
	}
	server := exec.CommandContext(p.t.Context(), "/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(p.keys, "config"))
	if err := server.Start(); err != nil {
		p.t.Fatalf("sshd (of package openssh-server): %v", err)
	}
	p.t.Cleanup(func() { _ = server.Wait() }) // which the end of the test's context ends
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(p.t.Context(), "tcp", address.String())
		if err == nil {
			_ = conn.Close()
			return fmt.Sprintf("ssh://%s@%s", me.Username, address)
		}
		if time.Now().After(deadline) {
			p.t.Fatal(err)
		}
	}
}

func (p *publisher) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.keys, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *publisher) ghLog() string { return filepath.Join(filepath.Dir(p.clone), "gh") }

func writeScript(t *testing.T, file, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	//nolint:gosec // it is run
	if err := os.WriteFile(file, []byte("#!/usr/bin/env bash\n"+script+"\n"), 0o700); err != nil {
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
	if got := strings.Count(log, "release upload v1.2.9 --clobber binaries/checksums.txt "+
		"binaries/deploy-action-linux-amd64\n"); got != 1 {
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
	if out, err := p.runs("ready", readyStep, "1.0.1", "KEY_IS_THERE=true", p.by("reader")); err == nil ||
		!strings.Contains(out, "RELEASE_KEY may not push") || !strings.Contains(out, "marked as read only") {
		t.Errorf("a key that may not push: error %v, says\n%s", err, out)
	}
	if tags := p.git("-C", p.clone, "ls-remote", "--refs", "--tags", "origin"); strings.Count(tags, "\n") != 0 {
		t.Errorf("what was refused is tagged: %s", tags)
	}
}

// What is tried before anything is tagged takes what a release is for one, and nothing else. The registry's engine is
// the program itself, with the environment that the step gives it.
func TestReleaseSmoke(t *testing.T) {
	p := newPublisher(t)
	binaries := filepath.Join(p.clone, "binaries")
	built := exec.CommandContext(t.Context(), "bash", "-ec", `rm "$1"/*
CGO_ENABLED=0 go build -ldflags "-X main.version=v1.2.3" \
  -o "$1/deploy-action-linux-$(dpkg --print-architecture)" .
cd "$1" && sha256sum deploy-action-* >checksums.txt`, "-", binaries)
	if out, err := built.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	writeScript(t, filepath.Join(filepath.Dir(p.clone), "stubs", "docker"), `case $* in
  "login ghcr.io --username ada --password-stdin") grep -qx of-the-job ;;
  "run --rm -e GITHUB_ACTIONS ghcr.io/o/r@$DIGEST") exec env -i GITHUB_ACTIONS="$GITHUB_ACTIONS" `+
		`binaries/deploy-action-linux-* ;;
  *) exit 3 ;;
esac`)
	env := []string{"TOKEN=of-the-job", "GITHUB_ACTOR=ada", "GITHUB_ACTIONS=true"}
	for _, step := range []string{"Run the image", "Run the binary"} {
		if out, err := p.runs("smoke", step, "1.2.3", env...); err != nil {
			t.Errorf("%s: %v\n%s", step, err, out)
		}
		if out, err := p.runs("smoke", step, "1.2.4", env...); err == nil {
			t.Errorf("%s takes another version\n%s", step, out)
		}
	}
	if err := os.WriteFile(filepath.Join(binaries, "checksums.txt"), []byte(strings.Repeat("0", 64)+" *"+
		filepath.Base(p.git("-C", p.clone, "ls-files", "--others", "binaries/deploy-action-*"))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := p.runs("smoke", "Run the binary", "1.2.3", env...); err == nil {
		t.Errorf("a binary is run that is not what was attested\n%s", out)
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
