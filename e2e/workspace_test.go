package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// checkout is a world whose releases come from a runner's workspace.
type checkout struct{ *world.World }

func newCheckout(t *testing.T, options lab.HostOptions) *checkout {
	t.Helper()
	return &checkout{world.New(t, options)}
}

func (c *checkout) put(name, text string) {
	c.T.Helper()
	full := filepath.Join(c.Runner.Workspace, name)
	err := os.MkdirAll(filepath.Dir(full), 0o755) //nolint:gosec // a checkout's mode
	if target, isLink := strings.CutPrefix(text, "-> "); err == nil && isLink {
		err = os.Symlink(target, full)
	} else if err == nil {
		err = os.WriteFile(full, []byte(text), 0o644) //nolint:gosec // a checkout's mode
	}
	if err != nil {
		c.T.Fatal(err)
	}
}

// noise fills a file with what no compressor makes smaller.
func (c *checkout) noise(name string, size int) {
	c.T.Helper()
	c.put(name, "")
	f, err := os.OpenFile(filepath.Join(c.Runner.Workspace, name), os.O_WRONLY, 0)
	if err != nil {
		c.T.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	random := rand.NewChaCha8(sha256.Sum256([]byte(name)))
	block := make([]byte, 1<<20)
	for ; size > 0; size -= len(block) {
		_, _ = random.Read(block)
		if _, err := f.Write(block[:min(size, len(block))]); err != nil {
			c.T.Fatal(err)
		}
	}
}

// files is the smallest application: Python's own file server, healthy as long as the file health
// is there.
var files = map[string]string{
	"source": "workspace", "start": "exec /usr/bin/python3 -m http.server --bind 127.0.0.1 $PORT", "watch-for": "0s",
	"drain-timeout": "1s",
}

func (c *checkout) start(with map[string]string) *lab.Running {
	c.T.Helper()
	job := c.Job("1234567890123456789012345678901234567890", files)
	for name, value := range with {
		job.With[name] = value
	}
	running, err := c.Runner.Start(c.Ctx, job)
	if err != nil {
		c.T.Fatal(err)
	}
	return running
}

func (c *checkout) send(with map[string]string) *lab.Result {
	c.T.Helper()
	result, err := c.start(with).Wait()
	if err != nil {
		c.T.Fatal(err)
	}
	return result
}

func (c *checkout) deployed(with map[string]string) *lab.Result {
	c.T.Helper()
	result := c.send(with)
	if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		c.T.Fatalf("exit code %d, outcome %q\n%s", result.ExitCode, result.Outputs["outcome"], result.Log())
	}
	return result
}

// traffic is what went over the host's network interface so far, both ways, in bytes.
func (c *checkout) traffic() int {
	c.T.Helper()
	n, err := strconv.Atoi(c.Exec("cd /sys/class/net/eth0/statistics && echo $(($(<rx_bytes) + $(<tx_bytes)))"))
	if err != nil {
		c.T.Fatal(err)
	}
	return n
}

// same wants a release to be the workspace, file by file.
func (c *checkout) same(release string) {
	c.T.Helper()
	var want strings.Builder
	root := c.Runner.Workspace
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil || entry.Name() == ".git":
			return fs.SkipDir
		case entry.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			fmt.Fprintf(&want, "l %s %s\x00", name, target)
			return err
		case entry.Type().IsRegular():
			data, err := os.ReadFile(path)
			fmt.Fprintf(&want, "f %s %x\x00", name, sha256.Sum256(data))
			return err
		}
		return nil
	})
	if err != nil {
		c.T.Fatal(err)
	}
	got := c.Exec(`cd /home/ubuntu/shop/releases/` + release + ` && python3 - <<'PY'
import os, hashlib
b = []
for d, folders, names in os.walk(b'.'):
    if d == b'.': folders.remove(b'.deploy-action')
    for n in names + [f for f in folders if os.path.islink(os.path.join(d, f))]:
        p = os.path.join(d, n); q = os.path.relpath(p, b'.')
        if q == b'.venv' or b'__pycache__' in q: continue
        b.append(b'l %s %s\0' % (q, os.readlink(p)) if os.path.islink(p) ` +
		`else b'f %s %s\0' % (q, hashlib.sha256(open(p, 'rb').read()).hexdigest().encode()))
print(hashlib.sha256(b''.join(sorted(b))).hexdigest(), len(b))
PY`)
	parts := strings.SplitAfter(want.String(), "\x00")
	parts = parts[:len(parts)-1]
	slices.Sort(parts)
	if want := fmt.Sprintf("%x %d", sha256.Sum256([]byte(strings.Join(parts, ""))), len(parts)); got != want {
		c.T.Errorf("the release is not the workspace: %s, want %s", got, want)
	}
}

func TestWorkspaceIsSentAndServes(t *testing.T) {
	c := newCheckout(t, lab.HostOptions{})
	if err := os.CopyFS(c.Runner.Workspace, world.Example()); err != nil {
		t.Fatal(err)
	}
	const token = "ghs_leftByCheckout"
	c.put(".git/config", "extraheader = "+token)
	c.put("vendor/lib/.git/config", token)
	for _, name := range []string{
		"-rf", "a b", " ", "'\"", `back\slash`, "$(touch pwned)", "`id`", "*", "é漢字", "latin1-\xe9", "#x", "~",
		"--checkpoint-action=exec=id", "%s", "..x",
		strings.Repeat("long/", 60) + "x", strings.Repeat("n", 250), "dist/artefact.js",
	} {
		c.put(name, "of "+name)
	}
	c.put("link to a file", "-> dist/artefact.js")
	c.put("dist/up", "-> ../controller")
	c.put("dangling", "-> nowhere")
	c.put("empty", "")
	app := map[string]string{"start": "uvicorn controller.main:app --host 127.0.0.1 --port $PORT"}
	first := c.deployed(app)
	c.Serves(first.Outputs["release"])
	c.same(first.Outputs["release"])
	c.UnderLoad()
	if out := c.Exec("grep -rlF " + token + " /home /tmp /var 2>/dev/null || true; ls -d " +
		"/home/ubuntu/shop/releases/*/.git /home/ubuntu/shop/.transfer 2>/dev/null || true; " +
		"find /home -name pwned"); out != "" {
		t.Errorf("on the host there is %s", out)
	}
	if out := c.Exec("tail -n 1 /home/ubuntu/shop/deploys.jsonl; " +
		"cat /home/ubuntu/shop/releases/*/.deploy-action/sha"); strings.Count(out,
		"1234567890123456789012345678901234567890") != 2 {
		t.Errorf("the workflow's commit is not recorded: %s", out)
	}

	before := c.Exec("ls -i /home/ubuntu/shop/releases")
	again := c.send(app)
	if again.ExitCode != 0 || again.Outputs["outcome"] != "unchanged" ||
		c.Exec("ls -i /home/ubuntu/shop/releases") != before {
		t.Errorf("exit code %d, outcome %q for the same workspace", again.ExitCode, again.Outputs["outcome"])
	}

	c.put("dist/artefact.js", "changed")
	second := c.deployed(app)
	c.same(second.Outputs["release"])
	c.Serves(second.Outputs["release"])
	if !strings.Contains(second.Log(), "1 of ") || !strings.Contains(second.Log(),
		"the rest is that of "+first.Outputs["release"]) {
		t.Errorf("log:\n%s", second.Log())
	}
	shop := "/home/ubuntu/shop/releases/" + second.Outputs["release"]
	if out := c.Exec("stat -c '%h %a' " + shop + "/controller/main.py " + shop +
		"/dist/artefact.js"); out != "2 444\n1 444" {
		t.Errorf("links and modes %q", out)
	}
}

func TestWorkspaceWithAHostileTree(t *testing.T) {
	c := newCheckout(t, lab.HostOptions{})
	c.put("health", "ok")
	c.deployed(nil)
	for _, tt := range []struct {
		name, file, text string
		words            []string
	}{
		{"a link outside", "etc", "-> /etc", []string{`links that leave the folder`, `"etc" -> "/etc"`, "exclude"}},
		{
			"a link to the file system's root by ..", "up", "-> ../../../../etc/shadow",
			[]string{`"up" -> "../../../../etc/shadow"`},
		},
		{
			"a name with a line break", "a\nf\t644\t0\tx\tetc", "x",
			[]string{`names with line breaks`, `"a\nf\t644\t0\tx\tetc"`},
		},
		{"a name with an escape sequence", "\x1b[2J", "x", []string{`"\x1b[2J"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := *c
			c.World = c.In(t)
			c.put(tt.file, tt.text)
			result := c.send(nil)
			world.Failed(t, result, "failed", append(tt.words, "read: ", "site: unchanged")...)
			if err := os.Remove(filepath.Join(c.Runner.Workspace, tt.file)); err != nil {
				t.Fatal(err)
			}
		})
	}
	c.put("notes\n", "x")
	c.put("sub/health", "sub")
	if err := syscall.Mkfifo(filepath.Join(c.Runner.Workspace, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	result := c.deployed(map[string]string{"exclude": "notes?, *.log\n/unused"})
	if a := result.Annotations(); len(a) != 1 || !strings.Contains(a[0].Message, `"pipe"`) {
		t.Errorf("annotations %v, want one that names the pipe", a)
	}
	c.deployed(map[string]string{"workspace-path": "sub"})
	if out := c.Exec("curl -fsS http://127.0.0.1/health"); out != "sub" {
		t.Errorf("the folder sub is served as %q", out)
	}
}

// What the running version did to its own files must not come into the next release, nor the other
// way round.
func TestWorkspaceFilesThatTheHostChanged(t *testing.T) {
	c := newCheckout(t, lab.HostOptions{})
	for _, name := range []string{"health", "written", "replaced", "chmodded", "deleted", "built"} {
		c.put(name, name)
	}
	first := c.deployed(nil)
	if out := c.Exec("cd /home/ubuntu/shop/slots/8080/ && runuser -u ubuntu -- " +
		"bash -c 'echo x >>written; true' 2>&1"); !strings.Contains(out, "Permission denied") {
		t.Errorf("a file that releases share can be written: %q", out)
	}
	c.Exec("cd /home/ubuntu/shop/slots/8080/ && chmod u+w written && echo Xritten >written && touch -d '1 hour ago' " +
		"written && cp replaced r && echo x >r && mv r replaced && chmod 0400 chmodded && rm -f deleted && ln -s " +
		"/etc/passwd deleted && mkdir extra")
	c.put("health", "ok")
	second := c.deployed(nil)
	c.same(second.Outputs["release"])
	if out := c.Exec("cd /home/ubuntu/shop/releases/ && cat " + first.Outputs["release"] + "/written && stat -c %h " +
		second.Outputs["release"] + "/{built,written}"); out != "Xritten\n2\n1" {
		t.Errorf("the old release and the links: %q", out)
	}
	// A build may write to every file; what serves must not notice.
	third := c.deployed(map[string]string{"build": "echo more >>built"})
	fourth := c.deployed(map[string]string{"build": "echo more >>built; echo 4 >four"})
	out := c.Exec(fmt.Sprintf("cd /home/ubuntu/shop/releases && cat {%s,%s,%s}/built", second.Outputs["release"],
		third.Outputs["release"], fourth.Outputs["release"]))
	if out != "builtbuiltmore\nbuiltmore" {
		t.Errorf("what the builds left: %q", out)
	}
}

func TestWorkspaceOfTwentyThousandFiles(t *testing.T) {
	c := newCheckout(t, lab.HostOptions{})
	c.put("health", "ok")
	c.thousands(20)
	c.proportional()
}

// thousands makes small files by the thousand, of 2 KB that compress to the half.
func (c *checkout) thousands(n int) {
	c.T.Helper()
	random := rand.NewChaCha8([32]byte{1})
	text := make([]byte, 1024)
	for i := range n * 1000 {
		_, _ = random.Read(text)
		c.put(fmt.Sprintf("node_modules/package-%d/lib/file-%d.js", i%700, i), fmt.Sprintf("// %d\n%x\n", i, text))
	}
}

func TestWorkspaceWithAFileOf500MB(t *testing.T) {
	c := newCheckout(t, lab.HostOptions{})
	c.put("health", "ok")
	c.noise("model.bin", 500_000_000)
	c.proportional()
}

// proportional sends the workspace, changes one file and sends that.
func (c *checkout) proportional() {
	c.T.Helper()
	zero := c.traffic()
	first := c.deployed(nil)
	all := c.traffic() - zero
	c.put("health", "better")
	zero = c.traffic()
	second := c.deployed(nil)
	change := c.traffic() - zero
	c.T.Logf("first: %s and %d bytes on the wire; one file changed: %s and %d bytes (%.2f %%)",
		fetchTime(first), all, fetchTime(second), change, 100*float64(change)/float64(all))
	if change*20 >= all {
		c.T.Errorf("one file cost %d bytes, the first transfer %d", change, all)
	}
	c.same(second.Outputs["release"])
	if out := c.Exec("curl -fsS http://127.0.0.1/health"); out != "better" {
		c.T.Errorf("the site serves %q", out)
	}
}

// fetchTime is how long the release took to be on the host.
func fetchTime(result *lab.Result) (spent time.Duration) {
	for _, g := range result.Groups() {
		if g.Title == "Reading the checkout" || g.Title == "Fetching the release" {
			spent += g.End.Sub(g.Start).Round(time.Millisecond)
		}
	}
	return spent
}

func TestWorkspaceTransferCutShort(t *testing.T) {
	c := newCheckout(t, lab.HostOptions{})
	c.put("health", "ok")
	good := c.deployed(nil)
	c.noise("model.bin", 400_000_000)
	for name, end := range map[string]func(*lab.Running) error{
		"cancelled": (*lab.Running).Cancel,
		"killed":    func(r *lab.Running) error { return r.Kill(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			running := c.start(nil)
			c.Exec("timeout 120 bash -c 'until [[ $(stat -c %s /home/ubuntu/shop/releases/*.partial/model.bin " +
				"2>/dev/null) -gt 1000000 ]]; do sleep 0.01; done'; test \"$(stat -c %a " +
				"/home/ubuntu/shop/.transfer/stream)\" = 600")
			if err := end(running); err != nil {
				t.Fatal(err)
			}
			result, err := running.Wait()
			if err != nil || result.ExitCode == 0 {
				t.Fatalf("%v, exit code %d\n%s", err, result.ExitCode, result.Log())
			}
			if name == "cancelled" {
				world.Failed(t, result, "failed", "fetch: cancelled", "site: unchanged", good.Outputs["release"])
			}
			// The host notices by itself that nobody sends any more.
			c.Exec("timeout 120 bash -c 'until [[ ! -e /home/ubuntu/shop/.transfer && $(ls " +
				"/home/ubuntu/shop/releases | wc -l) == 1 ]]; do sleep 0.05; done'")
		})
	}
	// What a host leaves that went down in the middle.
	c.Exec("cd /home/ubuntu/shop && mkdir .transfer releases/20200101T000000Z-1234567.partial && echo x " +
		">.transfer/stream && chown -R ubuntu: .transfer releases")
	next := c.deployed(nil)
	c.same(next.Outputs["release"])
	if out := c.Exec("ls -d /home/ubuntu/shop/.transfer " +
		"/home/ubuntu/shop/releases/*.partial 2>/dev/null || true"); out != "" {
		t.Errorf("left of a dead run: %s", out)
	}
}

func TestWorkspaceNeedsRoom(t *testing.T) {
	c := newCheckout(t, lab.HostOptions{Tmpfs: map[string]string{"/srv/small": "size=300m,mode=0777"}})
	c.put("health", "ok")
	c.noise("model.bin", 300_000_000)
	result := c.send(map[string]string{"path": "/srv/small/shop"})
	world.Failed(t, result, "failed", "fetch: only 2", "MB of disk are free at /srv/small/shop, with all deleted "+
		"that no release needs, and sending needs 350 MB", "site: unchanged")
	if out := c.Exec("du -sm /srv/small | cut -f1"); out != "0" && out != "1" {
		t.Errorf("%s MB were sent all the same", out)
	}
}
