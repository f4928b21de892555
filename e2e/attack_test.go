package e2e

import (
	"flag"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
	"github.com/clothesme/deploy-action/internal/attack"
)

var update = flag.Bool("update", false, "write the table in docs/attacks.md anew")

// What takes a real host: systemd, sudo and nginx themselves, a user who plants links, a visitor
// who knows our names.
func TestAttacksOnAHost(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	table := &attack.Table{Section: "a real host"}
	first := w.Deploy(w.Commit(nil), nil)
	visitors(t, w, table)
	planted(t, w, table)
	forged(t, w, table)
	widest(t, w, table)
	takeSudo(w, true)
	beyondTheRules(t, w, table)
	w.Serves(w.Run(w.Job(w.Commit(nil), nil)).Outputs["release"])
	if first.Outputs["release"] == "" {
		t.Error("nothing was deployed")
	}
	table.Check(t, "../docs/attacks.md", *update)
}

// visitors ask nginx from outside for what it tells the host itself.
func visitors(t *testing.T, w *world.World, table *attack.Table) {
	t.Helper()
	ask := func(t *testing.T, path, host, name, value string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.Host.URL()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if req.Host = host; name != "" {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	for _, tt := range []struct{ name, path, host, header, value, happened string }{
		{"asks which slot is active", "/.deploy-action/slot", "", "", "", "404 Not Found"},
		{
			"says that he is the host", "/.deploy-action/slot", "localhost", "X-Forwarded-For", "127.0.0.1",
			"404 Not Found",
		},
		{"asks what is in hand for a slot", "/.deploy-action/busy/8080", "", "", "", "404 Not Found"},
		{
			"says that he is a proxy on the host", "/.deploy-action/slot", "localhost", "Forwarded",
			"for=127.0.0.1;host=localhost", "404 Not Found",
		},
		{"asks in the host's own name", "/.deploy-action/slot", "127.0.0.1", "X-Real-IP", "127.0.0.1", "404 Not Found"},
	} {
		table.Try(t, "visitor", tt.name, func(t *testing.T) string {
			if got := ask(t, tt.path, tt.host, tt.header, tt.value).Status; got != tt.happened {
				t.Errorf("answer %q, want %q", got, tt.happened)
			}
			return "answer " + tt.happened
		})
	}
}

// planted are links where the next deployment writes, and where root does.
func planted(t *testing.T, w *world.World, table *attack.Table) {
	t.Helper()
	const root = "/home/ubuntu/shop"
	w.Exec("rm -f /var/lib/deploy-action/shop/active/8081 " + root + "/slots/8081; " +
		"runuser -u ubuntu -- bash -ec 'ln -s /etc/cron.d/flag /var/lib/deploy-action/shop/active/8081; cd " + root + `
		ln -s /etc slots/8081; ln -s /etc slots/8081.next; ln -sf /etc/cron.d/holder .lock.holder; ` +
		`ln -sf /etc/cron.d/steps .lock.step; ln -sf /etc/cron.d/leader .lock.leader
		rm -rf .lock.steps; ln -s /etc/cron.d .lock.steps; ln -sf /etc/cron.d/history deploys.jsonl.next
		mkdir -p shared; ln -s /etc/cron.d shared/uploads'`)
	before := w.Exec("find /etc/cron.d /etc/slots* -printf '%p %T@\\n' 2>/dev/null; ls -A /etc | sort | md5sum")
	result := w.Run(w.Job(w.Commit(nil), nil))
	for _, link := range []struct{ name, place string }{
		{"the flag of the idle port", "/var/lib/deploy-action/shop/active/8081"},
		{"the idle slot", root + "/slots/8081"},
		{"the idle slot's next", root + "/slots/8081.next"},
		{"the lock's holder", root + "/.lock.holder"},
		{"the lock of steps", root + "/.lock.step"},
		{"the leader of a step", root + "/.lock.leader"},
		{"the results of steps", root + "/.lock.steps"},
	} {
		table.Try(t, "link planted as", link.name, func(t *testing.T) string {
			if after := w.Exec("find /etc/cron.d /etc/slots* -printf '%p %T@\\n' 2>/dev/null; ls -A /etc | sort | " +
				"md5sum"); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if result.ExitCode != 0 {
				t.Errorf("the deployment failed:\n%s", result.Log())
			}
			if to := w.Exec("readlink -- " + link.place + " || true"); strings.HasPrefix(to, "/etc") {
				t.Errorf("%s still leads to %s", link.place, to)
			}
			return "replaced, not followed"
		})
	}
	w.Exec("rm -f " + root + "/shared/uploads")
	for _, link := range []struct{ name, place, step string }{
		{"the log of the next start", root + "/logs/8080.log", "start: "},
		{"the deploy lock", root + "/.lock", "lock: /home/ubuntu/shop holds what is not this action's"},
	} {
		table.Try(t, "link planted as", link.name, func(t *testing.T) string {
			w.Exec("runuser -u ubuntu -- bash -c 'mv -f " + link.place + " " + root +
				"/kept; ln -s /etc/cron.d/planted " + link.place + "'")
			world.Failed(t, w.Run(w.Job(w.Commit(nil), nil)), "failed", link.step, "site: unchanged")
			w.Exec("test ! -e /etc/cron.d/planted && rm -f " + link.place + "; if [ -e " + root +
				"/kept ]; then mv -f " + root + "/kept " + link.place + "; fi")
			return "opened as the user, not as root: the deployment fails, nothing is written"
		})
	}
	for _, file := range []struct{ name, path string }{
		{"the unit", "/etc/systemd/system/shop@.service"},
		{"the sudoers rules", rulesFile},
		{"their copy, by which they are compared", "/var/lib/deploy-action/shop/sudoers"},
		{"the site", "/etc/nginx/conf.d/shop.conf"},
		{"the site's copy", "/var/lib/deploy-action/shop/site.conf"},
		{"the include", "/etc/nginx/conf.d/service-url.inc"},
		{"what is put back into nginx's folder", "/var/lib/deploy-action/shop/nginx"},
		{"the folder of the flags", "/var/lib/deploy-action/shop"},
	} {
		table.Try(t, "the user writes to", file.name, func(t *testing.T) string {
			if out := w.Exec("test -e " + file.path + " || echo missing; runuser -u ubuntu -- bash -c 'test -w " +
				file.path + " && echo writable; mv -- " + file.path + " " + file.path +
				".x 2>/dev/null && echo moved'; true"); out != "" {
				t.Errorf("%s is %s", file.path, out)
			}
			return "only root may"
		})
	}
}

// forged is what a commit may hold.
func forged(t *testing.T, w *world.World, table *attack.Table) {
	t.Helper()
	table.Try(t, "commit", "the action's own files: a complete release, with a start file and an environment",
		func(t *testing.T) string {
			result := w.Deploy(w.Commit(map[string]string{
				".deploy-action/complete": "", ".deploy-action/live": "9999",
				".deploy-action/start":       "touch /home/ubuntu/pwned\n",
				".deploy-action/environment": "touch /home/ubuntu/pwned\n",
				".deploy-action/commit":      strings.Repeat("f", 40), ".deploy-action/by": `{"run-id":"99999999"}`,
			}), nil)
			if out := w.Exec("ls /home/ubuntu/pwned 2>/dev/null; cat /home/ubuntu/shop/releases/" +
				result.Outputs["release"] + "/.deploy-action/live"); out == "9999" || strings.Contains(out, "pwned") {
				t.Error(out)
			}
			return "deleted before the release is built"
		})
	table.Try(t, "commit", "names that are options, blanks, quotes and backslashes", func(t *testing.T) string {
		files := map[string]string{
			"-rf": "x", "--checkpoint-action=exec=touch pwned": "x",
			"a b'$(touch pwned)`touch pwned`\\": "x", "%i": "x",
		}
		w.Deploy(w.Commit(files), nil)
		if out := w.Exec("find / -xdev -name pwned 2>/dev/null"); out != "" {
			t.Error(out)
		}
		return "files like any other"
	})
	lying := map[string]string{"app.py": liar}
	const lies = "says in a header that another slot has answered"
	table.Try(t, "application", lies, func(t *testing.T) string {
		w := w.In(t)
		result := w.Deploy(w.Commit(lying), map[string]string{"build": "true", "start": "exec python3 app.py"})
		port := result.Outputs["active-port"]
		out := w.Exec("curl -fs http://127.0.0.1/.deploy-action/slot; curl -fs http://127.0.0.1/")
		if !strings.HasPrefix(out, "http://shop_"+port) || !strings.HasSuffix(out, "lies") {
			t.Errorf("port %s is live, and nginx says %q", port, out)
		}
		return "deployed: only nginx itself is asked, by a place that no request to the application has"
	})
	table.Try(t, "build command", "what a release's build prints, to the runner", func(t *testing.T) string {
		result := w.Deploy(w.Commit(nil),
			map[string]string{"build": `printf 'x\r::error::pwned\n##[error]pwned\n::set-output name=outcome::pwned\n` +
				`::add-mask::e\n::stop-commands::x\n' >&2; ln -sfnT "../../venvs/$(ls ../../venvs)" .venv`})
		for _, command := range result.Commands() {
			if strings.Contains(command.Data, "pwned") || command.Name == "stop-commands" ||
				command.Name == "set-output" {
				t.Errorf("the runner obeyed %+v", command)
			}
		}
		if result.Outputs["outcome"] != "deployed" {
			t.Errorf("outputs %v", result.Outputs)
		}
		return "printed as text"
	})
}

// liar answers everything, and says that it is somebody else.
const liar = `import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "4")
        self.send_header("X-Deploy-Action-Upstream", "127.0.0.1:1")
        self.send_header("X-Deploy-Action", "http://shop_1")
        self.end_headers(); self.wfile.write(b"lies")
    do_POST = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
`

// widest are the longest and strangest names that inputs let through: systemd, nginx and sudo
// themselves say what they think.
func widest(t *testing.T, w *world.World, table *attack.Table) {
	t.Helper()
	app := "a-" + strings.Repeat("z", 30)
	with := map[string]string{
		"app": app, "path": "/srv/A.b_c-9/x..y", "ports": "9080,65535", "server-name": "*.example.com .example.org " +
			"www.example.* [2001:db8::1] a_b.example", "nginx-include": "/etc/nginx/A.b_c-9/x..y.inc",
		"health-path": "/health?x=$(touch%20pwned);touch$IFS/pwned&&!~*[a]", "health-host": "www.example.net:8443",
		"start": "exec uvicorn controller.main:app --port \"$PORT\" # %i $HOME \\x20", "stop-timeout": "10m",
	}
	result := w.Run(w.Job(w.Commit(nil), maps.Clone(with)))
	for _, tt := range []struct{ area, name, check, happened string }{
		{
			"systemd", "the widest names that are let through",
			"systemd-analyze verify --man=no /etc/systemd/system/" + app + "@.service 2>&1 | grep -F " + app,
			"systemd-analyze verify finds nothing",
		},
		{
			"nginx", "the widest names that are let through",
			// Names as long as these may fill nginx's hash of variables beyond what it calls optimal.
			"nginx -t 2>&1 | grep -vE 'syntax is ok|test is successful|optimal variables_hash'", "nginx -t finds nothing",
		},
		{
			"sudoers", "the widest names that are let through", "visudo -c | grep -v 'parsed OK'",
			"visudo -c finds nothing",
		},
		{
			"health check", "commands in the path", "find / -xdev -name pwned 2>/dev/null",
			"they reach the application as they are; nothing runs",
		},
	} {
		table.Try(t, tt.area, tt.name, func(t *testing.T) string {
			if result.ExitCode != 0 {
				t.Errorf("exit code %d\n%s", result.ExitCode, result.Log())
			}
			if out := w.Exec(tt.check + " || true"); out != "" {
				t.Error(out)
			}
			return tt.happened
		})
	}
}

// beyondTheRules: the login user has nothing but the sudoers rules, and a wish for more.
func beyondTheRules(t *testing.T, w *world.World, table *attack.Table) {
	t.Helper()
	w.Exec(`mkdir -p /home/ubuntu/evil; printf '#!/bin/sh\ntouch /pwned\n' >/home/ubuntu/evil/nginx; ` +
		`cp /home/ubuntu/evil/nginx /home/ubuntu/evil/systemctl; chmod -R a+rx /home/ubuntu/evil; ` +
		`echo 'user root; events {}' >/home/ubuntu/evil.conf`)
	for _, tt := range []struct{ name, command string }{
		{"any command", "sudo -n id"},
		{"a shell", "sudo -n -s"},
		{"a configuration of his own", "sudo -n nginx -t -c /home/ubuntu/evil.conf"},
		{"a directive of his own", "sudo -n nginx -t -g 'load_module /home/ubuntu/x.so;'"},
		{"an end of nginx", "sudo -n nginx -s stop"},
		{"a second unit behind the first", "sudo -n systemctl -q restart -- shop@8080.service ssh.service"},
		{"an instance of another port", "sudo -n systemctl -q restart -- shop@22.service"},
		{"a pattern", "sudo -n systemctl -q restart -- 'shop@*.service'"},
		{"another unit", "sudo -n systemctl -q stop -- ssh.service"},
		{"an edit of the unit", "sudo -n systemctl -q edit -- shop@8080.service"},
		{"a unit from a folder of his own", "sudo -n systemctl -q enable -- /home/ubuntu/shop@8080.service"},
		{"a comparison of files he may not read", "sudo -n cmp -s -- /etc/shadow /etc/passwd"},
		{"another user", "sudo -n -u www-data nginx -t"},
		{"an environment of his own", "sudo -n LD_PRELOAD=/home/ubuntu/x.so nginx -t"},
	} {
		table.Try(t, "sudo with the rules alone", tt.name, func(t *testing.T) string {
			// The refusal must be sudo's own: what it runs may well fail by itself.
			if out := w.Exec("runuser -u ubuntu -- bash -c " + quoted(tt.command) +
				" 2>&1 </dev/null && echo ran || true"); !regexp.MustCompile(
				`a password is required|not allowed`).MatchString(out) || strings.HasSuffix(out, "ran") {
				t.Errorf("sudo says %q", out)
			}
			return "sudo refuses"
		})
	}
	const include = "an nginx-include in his home, which root would read"
	table.Try(t, "sudo with the rules alone", include, func(t *testing.T) string {
		w := w.In(t)
		with := map[string]string{"nginx-include": "/home/ubuntu/conf/service-url.inc"}
		world.Failed(t, w.Run(w.Job(w.Commit(nil), with)), "failed",
			"check: ubuntu may write to /home/ubuntu, and root reads configuration there",
			"sudo chown root:root /home/ubuntu && sudo chmod go-w /home/ubuntu, or choose", "site: unchanged")
		return "refused before anything is touched"
	})
	table.Try(t, "sudo with the rules alone", "a search path of his own", func(*testing.T) string {
		w.Exec("runuser -u ubuntu -- bash -c 'PATH=/home/ubuntu/evil:$PATH sudo -n nginx -t; " +
			"PATH=/home/ubuntu/evil:$PATH sudo -n systemctl -q reset-failed -- shop@8080.service' >/dev/null 2>&1; " +
			"test ! -e /pwned")
		return "sudo looks on its own path"
	})
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
