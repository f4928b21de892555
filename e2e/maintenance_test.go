package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

const sorry = "<!doctype html><title>Sorry</title><p>We move in.\n"

// passersBy ask from the host over and over, each request on a connection of its own, and keep what
// they are answered. They are strangers to the site: nothing lets this host itself in.
type passersBy struct {
	w    *world.World
	stop chan struct{}
	done chan struct{}
	seen map[string]int // answers by status, Retry-After and what was asked
	err  error
}

// passBy asks for a page, sends a form and looks for what nginx has of its own, with the headers of
// somebody who would like to be let in.
func passBy(w *world.World) *passersBy {
	w.T.Helper()
	ask := "exec curl"
	for i, what := range []string{
		"/version", "/version -H X-Forwarded-For:127.0.0.1 -H X-Real-IP:203.0.113.9", "/form -d some=text", "/health",
		"/health?deep=1", "/healthy", "/.deploy-action/slot%0a", "/.deploy-action/busy/99",
		"/.deploy-action/../version --path-as-is",
	} {
		if i > 0 {
			ask += " --next"
		}
		ask += fmt.Sprintf(` -s -m 20 -o /dev/null -H Connection:close `+
			`-w '%%{http_code} %%header{retry-after} %s\n' http://%s%s`,
			what, w.Host.IP, what)
	}
	p := &passersBy{w: w, stop: make(chan struct{}), done: make(chan struct{}), seen: map[string]int{}}
	go func() {
		defer close(p.done)
		for {
			out, err := w.Host.Exec(w.Ctx, ask)
			if err != nil {
				p.err = err
				return
			}
			for line := range strings.Lines(out) {
				p.seen[strings.TrimSpace(line)]++
			}
			select {
			case <-p.stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return p
}

// saw ends them, and returns how often each answer came.
func (p *passersBy) saw() map[string]int {
	p.w.T.Helper()
	close(p.stop)
	<-p.done
	if p.err != nil {
		p.w.T.Fatal(p.err)
	}
	return p.seen
}

// turnedAway wants every request to be answered with the page, but for the health path.
func turnedAway(t *testing.T, seen map[string]int, but ...string) {
	t.Helper()
	all := 0
	for line, n := range seen {
		all += n
		fields := strings.SplitN(line, " ", 3)
		wanted := "503 120"
		if strings.HasPrefix(fields[2], "/health") && !strings.HasPrefix(fields[2], "/healthy") {
			wanted = "200 "
		}
		right := fields[0]+" "+fields[1] == wanted
		for _, also := range but {
			right = right || fields[0] == also
		}
		if !right {
			t.Errorf("%d times %q, want %q", n, line, wanted)
		}
	}
	if all < 9 {
		t.Errorf("only %d requests: %v", all, seen)
	}
}

func maintenance(w *world.World, onOff string, with map[string]string) *lab.Result {
	w.T.Helper()
	inputs := map[string]string{"operation": "maintenance", "maintenance": onOff}
	for name, value := range with {
		inputs[name] = value
	}
	return w.Run(w.Job(w.Commit(nil), inputs))
}

func wantMaintenance(tb testing.TB, result *lab.Result, outcome string, words ...string) {
	tb.Helper()
	if result.ExitCode != 0 || result.Outputs["outcome"] != outcome {
		tb.Fatalf("exit code %d, outputs %v\n%s", result.ExitCode, result.Outputs, result.Log())
	}
	world.Says(tb, result, words...)
}

func TestMaintenance(t *testing.T) {
	for name, theirs := range map[string]bool{"the action's site": false, "a server block of the user's": true} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t, lab.HostOptions{})
			if theirs {
				w.Exec("rm -f /etc/nginx/sites-enabled/default; printf 'set $service_url \"http://127.0.0.1:8080\";\\n' " +
					">/etc/nginx/conf.d/service-url.inc")
				if err := w.Host.WriteFile(w.Ctx, "/etc/nginx/conf.d/theirs.conf", 0o644, "root", theirSite); err != nil {
					t.Fatal(err)
				}
				w.Exec("nginx -t && nginx -s reload")
			}
			testMaintenance(t, w)
		})
	}
}

func testMaintenance(t *testing.T, w *world.World) {
	t.Helper()
	none := maintenance(w, "on", nil)
	world.Failed(t, none, "failed", "nginx has no site of shop loaded", "site: unchanged")

	friend := strings.TrimSpace(w.Exec("ip -4 route show default | cut -d ' ' -f 3"))
	allow := map[string]string{"maintenance-allow": friend + ", 2001:db8::/56"}
	with := map[string]string{"maintenance-allow": allow["maintenance-allow"], "maintenance-page": "public/sorry.html"}
	first := w.Deploy(w.Commit(map[string]string{"public/sorry.html": sorry}), allow).Outputs
	w.UnderLoad() // by friends: none of their requests may fail, whatever is done
	began := w.Exec("pgrep -P \"$(cat /run/nginx.pid)\"")

	wantMaintenance(t, maintenance(w, "off", nil), "unchanged", "visitors get the application already")
	coming := passBy(w)
	on := maintenance(w, "on", with)
	turnedAway(t, coming.saw(), "200", "404", "405")
	wantMaintenance(t, on, "maintenance", "visitors get status 503 and that page", "Maintenance has begun")
	if on.Outputs["release"] != first["release"] || !strings.Contains(on.Outputs["hosts"], `"maintenance":true`) {
		t.Errorf("outputs %v", on.Outputs)
	}
	if out := w.Exec("curl -s -D - -d some=text http://" + w.Host.IP + "/anything"); !strings.Contains(out, " 503 ") ||
		!strings.HasSuffix(out+"\n", sorry) || !strings.Contains(out, "text/html") || !strings.Contains(out, "no-store") {
		t.Errorf("a visitor gets\n%s", out)
	}
	wantMaintenance(t, maintenance(w, "on", with), "unchanged", "visitors get that page already")

	staying := passBy(w)
	second := w.Deploy(w.Commit(nil), nil)
	world.Says(t, second, "the site is in maintenance since", "right answers through nginx", "no reload",
		"is live on port 8081, and the site in maintenance")
	if !strings.Contains(second.Summary, "in maintenance") {
		t.Errorf("summary:\n%s", second.Summary)
	}
	turnedAway(t, staying.saw())
	broken := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "bad-after=1"}), map[string]string{"watch-for": "20s"}))
	world.Failed(t, broken, "restored", "through nginx: answered 500")
	staying = passBy(w)
	back := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "rollback"}))
	wantMaintenance(t, back, "rolled-back", "the site is in maintenance since")
	for _, operation := range []string{"status", "check"} {
		wantMaintenance(t, w.Run(w.Job(w.Commit(nil), map[string]string{"operation": operation})), "unchanged",
			"the site is in maintenance since")
	}
	turnedAway(t, staying.saw())

	going := passBy(w)
	off := maintenance(w, "off", nil)
	turnedAway(t, going.saw(), "200", "404", "405")
	wantMaintenance(t, off, "maintenance", "visitors get the application again", "Maintenance has ended")
	if now := w.Exec("pgrep -P \"$(cat /run/nginx.pid)\""); now != began {
		t.Errorf("nginx was reloaded: its workers were %s and are %s", began, now)
	}
	w.Exec("curl -fsS -o /dev/null http://" + w.Host.IP + "/version")
	w.EndLoad()

	// From here on others are let in than before: that takes a reload.
	plain := maintenance(w, "on", map[string]string{"health-path": "/version"})
	wantMaintenance(t, plain, "maintenance", "nginx was reloaded once")
	out := w.Exec(fmt.Sprintf("curl -s http://%[1]s/health; curl -fsS -o /dev/null http://%[1]s/version", w.Host.IP))
	if !strings.Contains(out, "We will be back soon") {
		t.Errorf("a visitor gets\n%s", out)
	}
	// The new version is proved although its health path is not let through.
	world.Says(t, w.Deploy(w.Commit(nil), nil), "the site is in maintenance since", "right answers through nginx")
	w.Exec("test ! -e /var/lib/deploy-action/shop/active/.maintenance.html.*")
	wantMaintenance(t, maintenance(w, "off", nil), "maintenance")
}

func TestMaintenanceIsRefused(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	first := w.Deploy(w.Commit(map[string]string{"public/sorry.html": sorry}), nil).Outputs["release"]
	w.UnderLoad()
	release := "/home/ubuntu/shop/releases/" + first
	for _, refused := range []struct{ name, before, page, allow, words, after string }{
		{name: "no such file", page: "gone.html", words: "has no file gone.html that could be read"},
		{name: "a folder", page: "public", words: "has no file public that could be read"},
		{
			name: "a link to the environment", before: "ln -s ../.deploy-action/environment " + release + "/public/env.html",
			page: "public/env.html", words: "which is none of the release's files",
		},
		{
			name: "a link out of the release", before: "ln -s /etc/passwd " + release + "/public/out.html",
			page: "public/out.html", words: "is a link to /etc/passwd, which is none of the release's files",
		},
		{
			name: "too large", before: "truncate -s 2M " + release + "/public/large.html", page: "public/large.html",
			words: "larger than 1 MB",
		},
		{
			name: "nginx can't see it", before: "chmod 0700 /var/lib/deploy-action/shop/active",
			page: "public/sorry.html", words: "nginx does not see the page",
			after: "chmod 0755 /var/lib/deploy-action/shop/active",
		},
		{
			name: "nginx refuses its configuration", before: "echo nonsense >/etc/nginx/conf.d/z.conf", allow: "203.0.113.7",
			words: "nginx refuses its configuration with who gets in", after: "rm /etc/nginx/conf.d/z.conf",
		},
		{
			name: "nginx can't reload", before: "echo 'server { listen 8443; }' >/etc/nginx/conf.d/z.conf; " +
				"setsid python3 -m http.server 8443 >/dev/null 2>&1 </dev/null & timeout 60 bash -c " +
				"'until curl -s http://127.0.0.1:8443/ >/dev/null; do sleep 0.2; done'", allow: "203.0.113.7",
			words: "nginx was told to reload, and did not take up who gets in", after: "rm /etc/nginx/conf.d/z.conf",
		},
	} {
		t.Run(refused.name, func(t *testing.T) {
			w := w.In(t)
			w.Exec(refused.before + "\n:")
			entry := w.Exec("cat /var/lib/deploy-action/shop/maintenance.conf")
			world.Failed(t, maintenance(w, "on", map[string]string{
				"maintenance-page": refused.page, "maintenance-allow": refused.allow,
			}), "failed", refused.words, "site: unchanged")
			w.Exec(refused.after + "\n:")
			if now := w.Exec("cat /var/lib/deploy-action/shop/maintenance.conf"); now != entry {
				t.Errorf("who gets in was\n%s\nand is\n%s", entry, now)
			}
			w.Exec("[[ -z $(ls /var/lib/deploy-action/shop/active/.maint* 2>/dev/null) ]]")
			w.Serves(first)
		})
	}
}

// A site of before learns of it with a deployment; and who may do no more than deploy can begin and
// end it, but not say who gets in.
func TestMaintenanceOfASiteOfBefore(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	siteOfBefore(w, map[string]string{
		"shop.conf": "/etc/nginx/conf.d/shop.conf", "service-url.inc": "/etc/nginx/conf.d/service-url.inc",
	}, "cp /etc/nginx/conf.d/shop.conf /var/lib/deploy-action/shop/site.conf; "+
		"rm /var/lib/deploy-action/shop/maintenance.conf")
	world.Failed(t, maintenance(w, "on", nil), "failed", "knew no maintenance: deploy once with this one",
		"site: unchanged")
	world.Says(t, w.Deploy(w.Commit(nil), nil), "one reload, for new files")
	w.Exec("rm /etc/sudoers.d/90-cloud-init-users; ! runuser -u ubuntu -- sudo -n true")
	world.Failed(t, maintenance(w, "on", map[string]string{"maintenance-allow": "203.0.113.7"}), "failed",
		"has to be written, since others are to get in")
	wantMaintenance(t, maintenance(w, "on", nil), "maintenance")
	w.Exec("[[ $(curl -s -o /dev/null -w '%{http_code}' http://" + w.Host.IP + "/version) == 503 ]]")
	wantMaintenance(t, maintenance(w, "off", nil), "maintenance")
	w.Exec("curl -fsS -o /dev/null http://" + w.Host.IP + "/version")
}
