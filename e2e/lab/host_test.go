package lab

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// newHost starts a host for one test; what it logged is shown when the test fails.
func newHost(t *testing.T, options HostOptions) *Host {
	t.Helper()
	h, err := shared.Host(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if t.Failed() {
			t.Log(h.Logs(ctx))
		}
		if err := h.Remove(ctx); err != nil {
			t.Error(err)
		}
	})
	return h
}

func mustExec(t *testing.T, h *Host, script string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// login dials the host with one of its keys pinned and returns the key that it showed.
func login(t *testing.T, h *Host, key *Key) error {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(key.Private))
	if key.passphrase != "" {
		signer, err = ssh.ParsePrivateKeyWithPassphrase([]byte(key.Private), []byte(key.passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", h.Addr(), &ssh.ClientConfig{
		User: h.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: func(_ string, _ net.Addr, shown ssh.PublicKey) error {
			if got, want := ssh.FingerprintSHA256(shown), h.Fingerprints()[shown.Type()]; got != want {
				t.Errorf("host key: got %s, want %s", got, want)
			}
			return nil
		},
		Timeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	return client.Close()
}

func TestHostIsWhatEC2Has(t *testing.T) {
	ctx := t.Context()
	keys := []struct {
		kind       KeyKind
		format     KeyFormat
		passphrase string
	}{
		{kind: Ed25519, format: OpenSSH},
		{kind: ECDSA, format: PEM},
		{kind: RSA, format: PEM, passphrase: "open sesame"},
		{kind: RSA, format: PKCS8},
	}
	for _, k := range keys {
		if _, err := shared.Key(ctx, k.kind, k.format, k.passphrase); err != nil {
			t.Fatal(err)
		}
	}
	h := newHost(t, HostOptions{Name: "web-1", Tmpfs: map[string]string{"/full": "size=1m"}})

	for _, k := range keys {
		key, err := shared.Key(ctx, k.kind, k.format, k.passphrase)
		if err != nil {
			t.Fatal(err)
		}
		if err := login(t, h, key); err != nil {
			t.Errorf("log in with %s %s: %v", k.kind, k.format, err)
		}
	}
	stranger, err := StrangerKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := login(t, h, stranger); err == nil {
		t.Error("a key that nobody authorized logs in")
	}
	if got := strings.Count(h.KnownHosts(), h.IP+" "); got != 3 {
		t.Errorf("known hosts: got %d lines, want 3:\n%s", got, h.KnownHosts())
	}

	checks := []struct{ name, script, want string }{
		{name: "systemd is process 1", script: "cat /proc/1/comm", want: "systemd"},
		{name: "host name", script: "hostname", want: "web-1"},
		{name: "home is closed to others", script: "stat -c '%a %U' /home/ubuntu", want: "750 ubuntu"},
		{name: "sudo asks nothing", script: "runuser -u ubuntu -- sudo -n id -un", want: "root"},
		{name: "nginx runs as www-data", script: "ps -o user= -C nginx | sort -u", want: "root\nwww-data"},
		{name: "no unit failed", script: "systemctl is-system-running", want: "running"},
		{name: "small file system", script: "df --output=size /full | tail -1 | tr -d ' '", want: "1024"},
		{
			name: "no web framework outside a venv", script: "python3 -c 'import fastapi' 2>&1 | tail -1",
			want: "ModuleNotFoundError: No module named 'fastapi'",
		},
	}
	for _, check := range checks {
		if got := mustExec(t, h, check.script); got != check.want {
			t.Errorf("%s: got %q, want %q", check.name, got, check.want)
		}
	}
	if status, body := fetchPage(t, h.URL()); status != http.StatusOK || !strings.Contains(body, "Welcome to nginx!") {
		t.Errorf("default site: got %d %q", status, body)
	}
}

func TestReleases(t *testing.T) {
	for _, release := range []struct {
		name string
		want string // the first line of each version
	}{
		{Bookworm, "bookworm\nnginx version: nginx/1.22.\nOpenSSH_9.2\nsystemd 252 \nPython 3.11."},
		{Trixie, "trixie\nnginx version: nginx/1.26.\nOpenSSH_10.0\nsystemd 257 \nPython 3.13."},
	} {
		t.Run(release.name, func(t *testing.T) {
			h := newHost(t, HostOptions{Release: release.name})
			const versions = `. /etc/os-release; echo "$VERSION_CODENAME"; nginx -v 2>&1; ssh -V 2>&1; ` +
				`systemctl --version | head -n 1; python3 --version`
			lines := strings.Split(mustExec(t, h, versions), "\n")
			for i, want := range strings.Split(release.want, "\n") {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("got %q, want %q", lines[i], want)
				}
			}
			installsWheelsOffline(t, h)
		})
	}
	if out := mustExec(t, newHost(t, HostOptions{With: "node"}), "node --version"); !strings.HasPrefix(out, "v18.") {
		t.Errorf("a host with Node.js: got %q", out)
	}
	if _, err := shared.Host(t.Context(), HostOptions{Release: "sarge"}); err == nil ||
		!strings.Contains(err.Error(), "make prepare") {
		t.Errorf("a release that there is no image of: got %v", err)
	}
}

// installsWheelsOffline wants pip to install what the examples need, and the servers to start.
func installsWheelsOffline(t *testing.T, h *Host) {
	t.Helper()
	const script = `set -e; printf '%s\n' fastapi uvicorn websockets python-multipart gunicorn >requirements.txt
		python3 -m venv venv && venv/bin/pip install --quiet -r requirements.txt && venv/bin/pip check
		venv/bin/python -c 'import fastapi, uvicorn, websockets; print(fastapi.__file__)'
		venv/bin/python -c 'import python_multipart' 2>/dev/null || venv/bin/python -c 'import multipart' # its older name
		venv/bin/uvicorn --version
		echo 'def app(environ, start): start("200 OK", []); return [b"wsgi"]' >wsgi.py
		echo 'import fastapi; app = fastapi.FastAPI(); app.get("/")(lambda: "asgi")' >asgi.py
		for class in sync gthread uvicorn.workers.UvicornWorker; do
			app=wsgi:app; [ "$class" != uvicorn.workers.UvicornWorker ] || app=asgi:app
			venv/bin/gunicorn --worker-class "$class" --bind 127.0.0.1:8080 --pid pid --daemon --error-logfile log "$app"
			curl --silent --show-error --retry 50 --retry-delay 0 --retry-connrefused --retry-max-time 30 ` +
		`http://127.0.0.1:8080/ || cat log
			echo " by $class"; kill "$(cat pid)"; timeout 10 sh -c 'while [ -e pid ]; do sleep 0.05; done'
		done`
	out, err := h.ExecUser(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"No broken requirements found.", "/home/ubuntu/venv/lib/", "Running uvicorn",
		"wsgi by sync", "wsgi by gthread", "\"asgi\" by uvicorn.workers.UvicornWorker",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want it to contain %q", out, want)
		}
	}
}

func TestHostSurvivesRebootAndPowerCut(t *testing.T) {
	ctx := t.Context()
	h := newHost(t, HostOptions{})
	if err := h.WriteFile(ctx, "/home/ubuntu/new/folder/note", 0o640, "ubuntu:ubuntu", "kept"); err != nil {
		t.Fatal(err)
	}
	mustExec(t, h, "touch /run/lost")
	before := h.Fingerprints()["ssh-ed25519"]
	for _, again := range []func(context.Context) error{h.Restart, h.PowerCycle} {
		if err := again(ctx); err != nil {
			t.Fatal(err)
		}
		if got := mustExec(t, h, "stat -c '%a %U' /home/ubuntu/new/folder/note; cat /home/ubuntu/new/folder/note; "+
			"ls /run/lost 2>&1 | tail -c 26"); got != "640 ubuntu\nkeptNo such file or directory" {
			t.Errorf("got %q", got)
		}
		if status, _ := fetchPage(t, h.URL()); status != http.StatusOK {
			t.Errorf("nginx after the boot: got %d", status)
		}
	}
	if err := h.readHostKeys(ctx); err != nil {
		t.Fatal(err)
	}
	if got := h.Fingerprints()["ssh-ed25519"]; got != before {
		t.Errorf("host key: got %s, want %s as before", got, before)
	}
}

func TestHostWithoutSystemd(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	if got := mustExec(t, h, "cat /proc/1/comm; ls -d /run/systemd/system 2>/dev/null || true"); got != "bash" {
		t.Errorf("process 1: got %q", got)
	}
	if status, _ := fetchPage(t, h.URL()); status != http.StatusOK {
		t.Errorf("nginx: got %d", status)
	}
	if err := h.Restart(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHostFaults(t *testing.T) {
	ctx := t.Context()
	h := newHost(t, HostOptions{})
	reachable := func() bool {
		probe, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		return h.sshAnswers(probe) == nil
	}
	faults := []struct {
		name       string
		begin, end func(context.Context) error
	}{
		{name: "partition", begin: h.Disconnect, end: h.Connect},
		{name: "hang", begin: h.Pause, end: h.Unpause},
	}
	for _, fault := range faults {
		if err := fault.begin(ctx); err != nil {
			t.Fatal(err)
		}
		if reachable() {
			t.Errorf("%s: sshd still answers", fault.name)
		}
		if err := fault.end(ctx); err != nil {
			t.Fatal(err)
		}
		if err := h.WaitReady(ctx); err != nil {
			t.Errorf("after the %s: %v", fault.name, err)
		}
	}
}

func TestHostThatDoesNotBootSaysWhy(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	if err := h.do(t.Context(), "kill"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := h.WaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), "container ended") {
		t.Errorf("got %v, want that the container ended", err)
	}
	if took := time.Since(start); took > bootTime/2 {
		t.Errorf("took %s to notice", took)
	}
}

// The limit is the whole machine's, so it is not lowered here: the engine is one that answers as it
// does then.
func TestHostThatLacksInotifySaysSo(t *testing.T) {
	h := &Host{Name: "web-1", IP: "127.0.0.1", lab: shared, container: "web-1", systemd: true}
	const docker = `#!/bin/sh
case "$*" in
  *is-system-running*) exec sleep 60 ;;
  *inotify_init*) echo none left ;;
  *) echo true ;; # it runs
esac`
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "docker"), []byte(docker), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	if err := h.WaitReady(t.Context()); err == nil || !strings.Contains(err.Error(),
		"sysctl fs.inotify.max_user_instances=8192") {
		t.Errorf("got %v, want what to do about the limit", err)
	}
}

func TestHostThatHasInotify(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	if err := h.checkInotify(t.Context()); err != nil {
		t.Error(err)
	}
}

// fetchPage gets a page, once the server accepts connections.
func fetchPage(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err := answer.Body.Close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
