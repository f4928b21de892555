package e2e

import (
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// A runner dies on probation, and nobody ends that for long: the old version stands in for the new
// one, with bodies that are whole, until it is gone; and what has its port after that gets nobody,
// also after a reboot, when numbers of processes are others'.
func TestWhoStandsIn(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Exec("echo 'proxy_request_buffering off; disable_symlinks on; limit_conn_dry_run on;' " +
		">/etc/nginx/conf.d/theirs.conf; nginx -t; nginx -s reload; head -c 300000 /dev/zero | tr '\\0' x >/tmp/body")
	asks := func(get, post string) {
		t.Helper()
		for option, want := range map[string]string{"": get, "--limit-rate 600k --data-binary @/tmp/body": post} {
			if got := w.Exec("curl -sS -m 15 -H Expect: " + option + ` http://127.0.0.1/ 2>&1 | python3 -c '
import json, sys
text = sys.stdin.read()
try:
    a = json.loads(text); print(a["port"], a["method"], len(a["body"]))
except ValueError: print(text.partition("<title>")[2][:15])'`); got != want {
				t.Errorf("curl %s: %q, want %q", option, got, want)
			}
		}
	}
	app := map[string]string{"app.py": echoApp}
	w.Deploy(w.Commit(app), echoing)
	w.Deploy(w.Commit(app), echoing)
	w.Exec("rm -r /var/lib/deploy-action/shop/active") // nginx falls back to 8080, where the first one was set up
	asks("8081 GET 0", "8081 POST 300000")
	w.Deploy(w.Commit(app), echoing)
	w.OneFlag("8080")
	w.Exec(`curl -s -m 60 --limit-rate 20k --data-binary @/tmp/body http://127.0.0.1/ >/dev/null & upload=$!
		timeout 60 bash -c 'until [[ $(curl -so /dev/null -w "%{http_code}" ` +
		`http://127.0.0.1/.deploy-action/busy/8080) == 409 ]]; do sleep 0.2; done'
		counted=$?; kill $upload; exit $counted`)
	killAt(w, "Verifying through nginx", w.Job(w.Commit(app), merged(echoing, map[string]string{"watch-for": "60s"})))
	w.OneFlag("8081")
	w.Exec("systemctl stop shop@8081")
	asks("8080 GET 0", "8080 POST 300000")

	w.Exec("systemctl stop shop@8080; systemctl disable shop@8080 shop@8081")
	asks("502 Bad Gateway", "502 Bad Gateway")
	w.Exec("systemctl start shop@8080; timeout 60 bash -c 'until curl -fsS http://127.0.0.1:8080/; do sleep 0.2; done'")
	asks("502 Bad Gateway", "502 Bad Gateway") // one that was started again may be anything

	if err := w.Host.PowerCycle(w.Ctx); err != nil {
		t.Fatal(err)
	}
	w.Exec(`cd /var/lib/deploy-action/shop/active
		if [[ $(readlink .standby-8080) == /proc/* ]]; then ln -sfn /proc/1/stat .standby-8080; fi ` +
		`# which is somebody else's number by now
		systemd-run -q --setenv=PORT=8080 python3 /home/ubuntu/shop/slots/8080/app.py
		timeout 60 bash -c 'until curl -fsS http://127.0.0.1:8080/; do sleep 0.2; done'`)
	asks("502 Bad Gateway", "502 Bad Gateway")
}
