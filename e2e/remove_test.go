package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

// leftOf lists what there is of applications on a host, by their names and ports.
const leftOf = `{ { find /etc /var/lib /home /usr/local /opt -name '*deploy-action*' -o -name '*shop*' -o -name admin \
  -o -name 'admin[.@-]*'; ls -d /etc/nginx/conf.d/*.inc
systemctl list-units --all --plain --no-legend 'shop*' 'admin*'; pgrep -u ubuntu -f uvicorn
ss -Hltn 'sport >= :8080 and sport <= :8091'; systemctl is-active -q nginx || echo nginx; } 2>/dev/null |
grep -vx /var/lib/deploy-action || :; }`

// Of shop: what is left of it while admin goes on.
const leftOfShop = leftOf + ` | grep -v 'admin\|:8090\|:8091' | \
grep -vx "$(pgrep -u ubuntu -f 'uvicorn.*--port 809')" || :`

func remove(w *world.World, with map[string]string) *lab.Result {
	w.T.Helper()
	return w.Run(w.Job("main", merged(map[string]string{"operation": "remove"}, with)))
}

// neighbours is the load of another application on the host, through reloads of nginx, which close
// kept connections: the only requests that may have failed were on their way on one in that moment.
func neighbours(w *world.World) (ended func()) {
	w.T.Helper()
	users := load.Start(context.WithoutCancel(w.Ctx), load.Options{
		URL: w.Host.URL(), TolerateIdleClose: true, Think: 500 * time.Millisecond, UploadFor: 2 * time.Second,
		Mix: load.Mix{Get: 8, Post: 4, Slow: 1, Upload: 1}, Timeout: 30 * time.Second,
	})
	w.T.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		users.Stop(ctx)
	})
	if err := users.WaitAnswers(w.Ctx, load.KindGet, 20); err != nil {
		w.T.Fatal(err)
	}
	return func() {
		w.T.Helper()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Ctx), 30*time.Second)
		defer cancel()
		report := users.Stop(ctx)
		w.T.Logf("%s; %d idle connections closed by reloads; failed: %d", report, report.IdleCloses, report.Failed)
		for _, f := range report.Failures {
			if f.Nth == 1 || f.Cause != load.CauseReset && f.Cause != load.CauseClosed {
				w.T.Errorf("lost for another reason than a reload: %s", f)
			}
		}
		if report.Failed > 30 || report.Unfinished > 0 || report.Requests < 100 {
			w.T.Errorf("%d of %d failed, %d unfinished", report.Failed, report.Requests, report.Unfinished)
		}
	}
}

// An application is taken off a host on which another one is under load: by a list first, by a run
// that is killed, by one that goes on, and by the commands of docs/removing.md.
func TestRemove(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	worker := map[string]string{"processes": "ticker: while :; do sleep 0.1; done", "shared": "uploads"}
	admin := merged(worker, map[string]string{
		"app": "admin", "ports": "8090,8091", "server-name": w.Host.IP,
		"nginx-include": "/etc/nginx/conf.d/admin-url.inc", "schedule": "nightly: 0 3 * * * true",
	})
	none := remove(w, nil)
	if none.ExitCode != 0 || none.Outputs["outcome"] != "unchanged" ||
		!strings.Contains(none.Log(), "nothing of shop is on this host") {
		t.Errorf("outputs %v\n%s", none.Outputs, none.Log())
	}
	w.Exec("[[ -L /etc/nginx/sites-enabled/default && ! -e /home/ubuntu/shop ]]")
	w.Deploy(w.Commit(nil), worker)
	w.Exec("echo keep >/home/ubuntu/shop/shared/uploads/a; mkdir /etc/systemd/system/shop@.service.d; " +
		"runuser -u ubuntu -- touch /home/ubuntu/shop/notes; ! test -e /etc/nginx/sites-enabled/default")
	w.Deploy(w.Commit(nil), admin)
	ended := neighbours(w)

	const state = "find /etc /var/lib/deploy-action /home/ubuntu/shop ! -type d ! -path '*/.lock*' | sort | md5sum; " +
		"systemctl list-units --plain --no-legend 'shop*'"
	before := w.Exec(state)
	list := remove(w, nil)
	if list.ExitCode != 0 || list.Outputs["outcome"] != "unchanged" || list.Outputs["active-port"] != "8080" {
		t.Fatalf("outputs %v\n%s", list.Outputs, list.Log())
	}
	world.Says(t, list, "would go: /etc/nginx/conf.d/shop.conf\n", "would go: /etc/nginx/conf.d/service-url.inc\n",
		"would go: /etc/systemd/system/shop@.service: ends shop@8080.service",
		"process@.service: ends shop.process@8080-ticker.service",
		"would go: /etc/sudoers.d/deploy-action-shop\n",
		"would go: /var/lib/deploy-action/shop\n", "would go: /home/ubuntu/shop/releases: 1 of them, ",
		"would go: /home/ubuntu/shop/repo.git, ", "stays: /home/ubuntu/shop/shared, 1 MB",
		"stays: /etc/systemd/system/shop@.service.d, which is not",
		"Remove: nothing was changed")
	if strings.Contains(list.Log(), "go: /etc/nginx/conf.d/admin") || !strings.Contains(list.Summary, "would go: ") {
		t.Errorf("the list:\n%s\n%s", list.Log(), list.Summary)
	}
	if after := w.Exec(state); after != before {
		t.Errorf("the list has changed\n%s\nto\n%s", before, after)
	}

	sure := map[string]string{"confirm": "shop"}
	w.Exec("setsid bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080; echo $$ >/run/open; exec sleep 600' " +
		">/dev/null 2>&1 </dev/null & " +
		"timeout 60 bash -c 'until [[ -s /run/open ]]; do sleep 0.05; done'")
	killAt(w, "1 connection(s) to port 8080 still open", w.Job("main", merged(sure, map[string]string{
		"operation": "remove", "drain-timeout": "5m",
	})))
	w.Exec("kill $(cat /run/open); curl -fs -o /dev/null http://127.0.0.1:8080/health && " +
		"! test -e /etc/nginx/conf.d/shop.conf && test -L /etc/nginx/sites-enabled/default")
	gone := remove(w, sure)
	if gone.ExitCode != 0 || gone.Outputs["outcome"] != "removed" || gone.Outputs["active-port"] != "" ||
		gone.Outputs["url"] != "" {
		t.Fatalf("outputs %v\n%s", gone.Outputs, gone.Log())
	}
	world.Says(t, gone, "root: left: /home/ubuntu/shop/notes, /home/ubuntu/shop/shared",
		"Removed: the application is off the host")
	left := strings.Join(strings.Fields(w.Exec(leftOfShop)), " ")
	if left != "/etc/systemd/system/shop@.service.d /home/ubuntu/shop" {
		t.Errorf("of shop is left:\n%s", left)
	}
	w.Exec("[[ $(ls -A /home/ubuntu/shop) == $'.app\\nnotes\\nshared' && -e /home/ubuntu/shop/shared/uploads/a ]]; " +
		"rm /home/ubuntu/shop/notes; rmdir /etc/systemd/system/shop@.service.d")

	// From scratch, with what is shared; and then all of it, the folder too.
	again := w.Deploy(w.Commit(nil), worker)
	world.Says(t, again, "first deployment; it goes to port 8080")
	w.Exec("[[ $(cat /home/ubuntu/shop/releases/*/uploads/a) == keep ]]")
	w.Exec("mkdir -p /etc/nginx/shop.d && " +
		"sed -i 's/^server {/server {\\n    server_tokens off;/' /etc/nginx/conf.d/shop.conf && " +
		"nginx -s reload")
	all := remove(w, merged(sure, map[string]string{"remove-shared": "true"}))
	world.Says(t, all, "site.edited", "✓ root: /home/ubuntu/shop is gone")
	w.Exec("grep -q server_tokens /etc/nginx/shop.d/site.edited && rm -r /etc/nginx/shop.d")
	if out := w.Exec(leftOfShop); out != "" {
		t.Errorf("of shop is left:\n%s", out)
	}
	ended()

	page, err := os.ReadFile("../docs/removing.md")
	if err != nil {
		t.Fatal(err)
	}
	const inputs = `app=shop path=/home/ubuntu/shop ports="8080 8081" include=/etc/nginx/conf.d/service-url.inc`
	_, commands, _ := strings.Cut(string(page), "```bash\n"+inputs+"\n")
	commands, _, found := strings.Cut(commands, "```\n")
	if !found {
		t.Fatalf("docs/removing.md has no commands that begin with %s", inputs)
	}
	w.Exec("nginx -t && curl -fsH 'Host: " + w.Host.IP + "' http://127.0.0.1/health && systemctl is-enabled admin@8090")
	w.Exec(`runuser -u ubuntu -- bash -euxc 'app=admin path=/home/ubuntu/admin ports="8090 8091"
include=/etc/nginx/conf.d/admin-url.inc
` + commands + "'")
	if out := w.Exec(leftOf); out != "" {
		t.Errorf("left on the host:\n%s", out)
	}
}

// What keeps an application from being removed is said before anything is touched.
func TestRemoveIsRefused(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Exec("rm -f /etc/nginx/sites-enabled/default; " +
		"printf 'set $service_url \"http://127.0.0.1:8080\";\\n' >/etc/nginx/conf.d/service-url.inc")
	if err := w.Host.WriteFile(w.Ctx, "/etc/nginx/conf.d/theirs.conf", 0o644, "root", theirSite); err != nil {
		t.Fatal(err)
	}
	w.Exec("nginx -t && nginx -s reload")
	release := w.Deploy(w.Commit(nil), nil).Outputs["release"]
	w.UnderLoad()
	sure := map[string]string{"confirm": "shop"}
	line := strings.TrimSpace(w.Exec("grep -n service-url.inc /etc/nginx/conf.d/theirs.conf | cut -d: -f1"))
	for _, refused := range []struct {
		name, before, after string
		with                map[string]string
		words               string
	}{
		{
			name: "a server block of the user's", with: sure,
			words: "list: /etc/nginx/conf.d/theirs.conf:" + line + " includes /etc/nginx/conf.d/service-url.inc, " +
				"by which",
		},
		{
			name: "other ports", with: merged(sure, map[string]string{"ports": "8090,8091"}),
			words: "detect: shop runs on port 8080",
		},
		{
			name: "few rights", with: sure,
			words: "has the rights for routine deployments only, and what is root's has to go, too",
			before: "sed -i 's,include .*service-url.inc;,set $service_url http://127.0.0.1:8080;,' " +
				"/etc/nginx/conf.d/theirs.conf; mv /etc/sudoers.d/90-cloud-init-users /root/; ! runuser -u ubuntu -- sudo -n true",
			after: "mv /root/90-cloud-init-users /etc/sudoers.d/",
		},
		{
			name: "nginx would refuse what is left", with: sure,
			words: "nginx refuses its configuration without the site of shop",
			before: "echo 'server { listen 8444; location / { proxy_pass http://shop_8080; } limit_conn shop_slots 9; }' " +
				">/etc/nginx/conf.d/z.conf",
			after: "rm /etc/nginx/conf.d/z.conf",
		},
		{
			name: "nginx can't reload", with: sure, words: "and did not take up that the site of shop is gone",
			before: "echo 'server { listen 8443; }' >/etc/nginx/conf.d/z.conf; " +
				"setsid python3 -m http.server 8443 >/dev/null 2>&1 </dev/null & timeout 60 bash -c " +
				"'until curl -s http://127.0.0.1:8443/ >/dev/null; do sleep 0.2; done'",
			after: "rm /etc/nginx/conf.d/z.conf",
		},
	} {
		const state = "md5sum /etc/nginx/conf.d/*; ls /etc/systemd/system /etc/sudoers.d " +
			"/var/lib/deploy-action/shop/active"
		t.Run(refused.name, func(t *testing.T) {
			w := w.In(t)
			w.Exec(refused.before + "\n:")
			files := w.Exec(state)
			world.Failed(t, remove(w, refused.with), "failed", refused.words, "site: unchanged")
			if now := w.Exec(state); now != files {
				t.Errorf("before\n%s\nafter\n%s", files, now)
			}
			w.Exec(refused.after + "\n:")
			w.Serves(release)
		})
	}
	w.EndLoad()
	held, err := w.Runner.Start(w.Ctx, w.Job("main", map[string]string{
		"operation": "run", "command": "echo begun; sleep 3010",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := held.WaitLog(w.Ctx, "│ begun"); err != nil {
		t.Fatal(err)
	}
	world.Failed(t, remove(w, sure), "failed", "list: a command of operation run still runs in shop", "site: unchanged")
	if err := held.Kill(w.Ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := held.Wait(); err != nil {
		t.Fatal(err)
	}
	ended(w, "3010")

	w.Exec("mkdir /etc/systemd/system/shop@9000.service.d; " +
		"printf '[Unit]\nRefuseManualStop=yes\n[Service]\nExecStart=\nExecStart=sleep infinity\nWorkingDirectory=/\n' " +
		">/etc/systemd/system/shop@9000.service.d/x.conf; systemctl daemon-reload; " +
		"systemctl start shop@9000; nginx -s reload")
	world.Failed(t, remove(w, sure), "failed", "files: systemd could not stop all of shop@*.service",
		"site: removed; visitors do not get it any more")
	w.Exec("rm -r /etc/systemd/system/shop@9000.service.d; systemctl daemon-reload; systemctl stop shop@9000")
	world.Failed(t, remove(w, merged(sure, map[string]string{"path": "/home/ubuntu/other"})), "failed",
		"list: shop works in /home/ubuntu/shop on this host, and not in /home/ubuntu/other")
	// The block has another place to send requests to by now: what runs goes, and it stays.
	gone := remove(w, sure)
	if gone.ExitCode != 0 || gone.Outputs["outcome"] != "removed" {
		t.Fatalf("outputs %v\n%s", gone.Outputs, gone.Log())
	}
	w.Exec("nginx -t && test -e /etc/nginx/conf.d/theirs.conf && ls /etc/nginx/conf.d/service-url.inc.*.bak && " +
		"! test -e /home/ubuntu/shop && ! test -e /var/lib/deploy-action")
}

// Without systemd what runs is known by its session.
func TestRemoveWithoutSystemd(t *testing.T) {
	w := world.New(t, lab.HostOptions{NoSystemd: true})
	w.Deploy(w.Commit(nil), nil)
	w.Exec(`cd /etc; mkdir -p letsencrypt/{live,archive}/deploy-action-{shop,other} letsencrypt/renewal
for app in shop other; do
  echo "renew_hook = /var/lib/deploy-action/$app/renewed" >letsencrypt/renewal/deploy-action-$app.conf
done`)
	w.Exec("mkdir /home/ubuntu/shop/logs/busy && mount -t tmpfs none /home/ubuntu/shop/logs/busy")
	for _, words := range []string{
		"/home/ubuntu/shop/logs/busy on " + w.Host.IP + ": the user ubuntu may not delete it", "/home/ubuntu/shop is gone",
	} {
		gone := remove(w, map[string]string{"confirm": "shop"})
		if gone.Outputs["outcome"] != "removed" || !strings.Contains(gone.Log(), words) {
			t.Fatalf("no %q; outputs %v\n%s", words, gone.Outputs, gone.Log())
		}
		w.Exec("umount /home/ubuntu/shop/logs/busy 2>/dev/null || true")
	}
	w.Exec("[[ $(cd /etc/letsencrypt && echo */*) == 'archive/deploy-action-other live/deploy-action-other " +
		"renewal/deploy-action-other.conf' ]]")
	w.Exec("! pgrep -u ubuntu -f uvicorn && ! test -e /home/ubuntu/shop && ! ls /etc/nginx/conf.d/shop* && nginx -t")
}
