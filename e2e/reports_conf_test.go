package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// besides is a script that gives the host's nginx a file of somebody else's, and returns when that
// is loaded: a site of its own in it tells.
func besides(text string) string {
	return `cat >/etc/nginx/conf.d/00-theirs.conf <<CONF
` + text + `
server { listen 80; server_name theirs.example; return 418; }
CONF
reload_nginx; ` + untilTheirs("== 418")
}

// notBesides takes it away again.
var notBesides = `rm /etc/nginx/conf.d/00-theirs.conf; reload_nginx; ` + untilTheirs("!= 418")

func untilTheirs(is string) string {
	return `timeout 120 bash -c 'until [[ $(curl -so /dev/null -w "%{http_code}" ` +
		`-H "Host: theirs.example" http://127.84.0.1/) ` + is + ` ]]; do sleep 0.2; done'
`
}

// clients ask from so many addresses of the host, each so often a second, GET and POST by turns,
// until ended; all they want is echoApp's answer.
func clients(addresses int, each float64, options string) string {
	return fmt.Sprintf(`cat >/tmp/clients.py <<'PY'
%s
PY
rm -f /tmp/clients.end /tmp/clients.json
setsid python3 /tmp/clients.py %d %g '%s' >/tmp/clients.log 2>&1 </dev/null &
timeout 120 bash -c 'until [[ -e /tmp/clients.begun ]]; do sleep 0.05; done'; `+
		`rm /tmp/clients.begun`, clientsPy, addresses, each, options)
}

const clientsPy = `import http.client, json, os, socket, sys, threading, time
n, each, options = int(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3] or "{}")
right, wrong, lock = [0, 0], [], threading.Lock()
class Proxied(http.client.HTTPConnection):
    def connect(self):
        super().connect()
        self.sock.sendall(b"PROXY TCP4 203.0.113.%d 127.0.0.2 4711 80\r\n" % self.number)
def client(i):
    due = time.monotonic() + i / n / each
    turn = 0
    while not os.path.exists("/tmp/clients.end"):
        time.sleep(max(0, due - time.monotonic()))
        due += 1 / each
        turn += 1
        method, body = ("POST", "some=text") if turn % 2 else ("GET", None)
        kind = Proxied if options.get("proxied") else http.client.HTTPConnection
        c = kind("127.0.0.2", 80, timeout=20, source_address=("127.0.1.%d" % (i + 1), 0))
        c.number = i + 1
        try:
            c.request(method, "/", body, {"Connection": "close", **options.get("headers", {})})
            a = c.getresponse()
            text = a.read().decode("latin-1")
            ok = a.status == 200 and json.loads(text)["method"] == method and json.loads(text)["body"] == (body or "")
            if options.get("has"): ok = ok and ` +
	`(options["has"] % (i + 1) if "%" in options["has"] else options["has"]) in text
            said = "%s %d %.600s" % (method, a.status, text)
        except Exception as e:
            ok, said = False, "%s %r" % (method, e)
        finally:
            c.close()
        with lock:
            if ok: right[turn % 2] += 1
            elif len(wrong) < 20: wrong.append("%.1f %s" % (time.time(), said))
threads = [threading.Thread(target=client, args=(i,)) for i in range(n)]
for t in threads: t.start()
open("/tmp/clients.begun", "w").close()
for t in threads: t.join()
json.dump({"GET": right[0], "POST": right[1], "wrong": wrong}, open("/tmp/clients.json.new", "w"))
os.rename("/tmp/clients.json.new", "/tmp/clients.json")`

// allRight ends the clients, and wants all of their answers to have been right, and some to have
// come.
func allRight(w *world.World, _ *lab.Result) {
	w.T.Helper()
	out := w.Exec(`touch /tmp/clients.end; timeout 120 bash -c 'until [[ -e /tmp/clients.json ]]; do sleep 0.1; done'; ` +
		`cat /tmp/clients.log /tmp/clients.json`)
	var got struct {
		GET, POST int
		Wrong     []string
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		w.T.Fatalf("clients: %v\n%s", err, out)
	}
	w.T.Logf("%d GET and %d POST right, %d wrong", got.GET, got.POST, len(got.Wrong))
	if got.GET < 20 || got.POST < 20 || len(got.Wrong) > 0 {
		w.T.Errorf("%d GET and %d POST are right; wrong:\n%s", got.GET, got.POST, strings.Join(got.Wrong, "\n"))
	}
}

// What other people's nginx does to the site: it works, or it is refused with the file and the
// line.
func TestReportsConf(t *testing.T) {
	tryReports(t, []report{
		{
			name: "a server on the host's own address", setup: besides("server { listen $(hostname -I | cut -d' ' " +
				"-f1):80; server_name blog.example; return 200 blog; }"), undo: notBesides,
			asks: []ask{{from: "127.0.0.2"}}, refused: []string{
				"check: /etc/nginx/conf.d/00-theirs.conf:1 (listen ",
				"has the address", "to itself",
			},
		},
		{
			name: "the site of another application has the idle port in its pair",
			with: map[string]string{
				"app": "admin", "ports": "8081,8090", "server-name": "admin.example",
				"nginx-include": "/etc/nginx/conf.d/admin.inc",
			},
			refused: []string{
				"detect: port 8081 belongs to the pair of the application shop, which this action runs on this host",
				`such as "8091,8092"`,
			},
		},
		{
			name: "another site that is the default_server", bare: true,
			setup: `rm /etc/nginx/sites-enabled/default; ` +
				besides("server { listen 80 default_server; return 200 theirs; }"),
			refused: []string{
				"check: /etc/nginx/conf.d/00-theirs.conf:1 (listen *:80; ", "is the default_server of port 80 already",
				`server-name`,
			},
		},
		{
			name: "the include in a location", bare: true, setup: `rm /etc/nginx/sites-enabled/default
				printf 'set $service_url http://127.0.0.1:9000;\n' >/etc/nginx/conf.d/service-url.inc
				printf 'server {\n listen 80;\n location / {\n  include conf.d/service-url.inc;\n ` +
				`proxy_pass $service_url; } }\n' >/etc/nginx/conf.d/own.conf; reload_nginx`,
			refused: []string{
				"check: /etc/nginx/conf.d/own.conf:4 includes /etc/nginx/conf.d/service-url.inc inside location: it " +
					"must be included at server level",
			},
		},
		{
			name: "a block of theirs that says no Host, which the application checks", bare: true,
			setup: `rm /etc/nginx/sites-enabled/default
				printf 'set $service_url http://127.0.0.1:9000;\n' >/etc/nginx/conf.d/service-url.inc
				printf 'server {\n listen 80 default_server;\n include conf.d/service-url.inc;\n location / {\n  ` +
				`proxy_pass $service_url; } }\n' >/etc/nginx/conf.d/own.conf; reload_nginx`,
			asks: []ask{
				{has: []string{`["Host", "127.0.0.1:8080"]`}},
				{body: "some=text", has: []string{`["Host", "127.0.0.1:8080"]`}},
			},
			warned: []string{"nothing listens on port 9000"},
		},
		{
			name: "a block of theirs that sets where requests go below the include", bare: true,
			setup: `rm /etc/nginx/sites-enabled/default
				printf 'set $service_url http://127.0.0.1:9000;\n' >/etc/nginx/conf.d/service-url.inc
				printf 'server {\n listen 80 default_server;\n include conf.d/service-url.inc;\n ` +
				`set $service_url http://127.0.0.1:9000;\n location / {\n  proxy_pass $service_url; } }\n' ` +
				`>/etc/nginx/conf.d/own.conf; reload_nginx`,
			failed: []string{"did not take this site up", "the files are as they were"},
			check: func(w *world.World, _ *lab.Result) {
				w.Exec("cd /etc/nginx/conf.d && test ! -e shop.upstreams.conf && ! grep -q deploy-action service-url.inc")
			},
		},
		{
			name: "another program has port 80", bare: true, setup: "systemctl disable -q --now nginx; systemd-run " +
				"-q --unit apache2 python3 -m http.server 80; timeout 120 bash -c 'until curl -s http://127.0.0.1/ " +
				">/dev/null; do sleep 0.05; done'",
			refused: []string{
				"check: port 80, which nginx needs, is another program's (pid ",
				"user root, program python3): end it, with sudo systemctl disable --now apache2.service",
				"site: unchanged; nothing was touched",
			},
			check: func(w *world.World,
				_ *lab.Result,
			) {
				w.Exec("! systemctl is-enabled -q nginx && ! pgrep -x nginx")
			},
		},
		{
			name: "another program has port 80, and nginx is not installed", bare: true, setup: `systemctl stop nginx
				DEBIAN_FRONTEND=noninteractive apt-get purge -y nginx nginx-common >/dev/null 2>&1; rm -rf /etc/nginx
				systemd-run -q --unit apache2 python3 -m http.server 80; ` +
				`timeout 120 bash -c 'until curl -s http://127.0.0.1/ >/dev/null; do sleep 0.2; done'`,
			refused: []string{"check: port 80, which nginx needs, is another program's (pid "},
			check:   func(w *world.World, _ *lab.Result) { w.Exec("! command -v nginx") },
		},
		{
			name: "nginx.conf reads no folder of sites", bare: true,
			setup: `sed -i '/conf.d\|sites-enabled/d' /etc/nginx/nginx.conf; reload_nginx`,
			refused: []string{
				"check: the http block at /etc/nginx/nginx.conf:",
				"includes no folder that a site could be put into: add the line: include /etc/nginx/conf.d/*.conf;",
			},
		},
		{
			name: "nginx.conf reads sites-enabled alone", bare: true,
			setup: `sed -i '/conf.d/d' /etc/nginx/nginx.conf; reload_nginx`,
			check: func(w *world.World, _ *lab.Result) {
				w.Exec("test -e /etc/nginx/sites-enabled/shop.conf && test ! -e /etc/nginx/conf.d/shop.conf")
			},
		},
		{
			name: "the welcome page is enabled by a relative link", bare: true,
			setup: `ln -sfn ../sites-available/default /etc/nginx/sites-enabled/default; reload_nginx`,
			check: func(w *world.World, _ *lab.Result) { w.Exec("test ! -L /etc/nginx/sites-enabled/default") },
		},
		{
			name: "nginx was started with a file of its own", bare: true,
			setup: `systemctl stop nginx; mkdir -p /opt/web/sites; cp /etc/nginx/mime.types /opt/web
				printf 'pid /run/web.pid;\nuser www-data;\nevents {}\nhttp { include mime.types; include sites/*.conf; }\n' ` +
				`>/opt/web/nginx.conf; nginx -c /opt/web/nginx.conf`,
			check: func(w *world.World, _ *lab.Result) {
				w.Exec("test -e /opt/web/sites/shop.conf && grep 'NOPASSWD: /usr/sbin/nginx -c /opt/web/nginx.conf " +
					"-s reload' " + rulesFile)
			},
		},
		{
			name: "nginx was started with a file that the user may write", bare: true,
			setup: `systemctl stop nginx; cp /etc/nginx/nginx.conf /home/ubuntu/nginx.conf; ` +
				`sed -i 's,include m,include /etc/nginx/m,' /home/ubuntu/nginx.conf; ` +
				`chown ubuntu: /home/ubuntu/nginx.conf; nginx -c /home/ubuntu/nginx.conf`,
			refused: []string{
				"check: nginx was started with -c /home/ubuntu/nginx.conf, and others than root may write there",
			},
		},
		{
			name: "real_ip trusts 127.0.0.1, for Cloudflare's tunnel", setup: besides("set_real_ip_from 127.0.0.1; " +
				"real_ip_header CF-Connecting-IP;"), undo: notBesides,
			asks: append([]ask{
				{
					from: "127.0.0.1", header: map[string]string{"CF-Connecting-IP": "203.0.113.9"},
					has: []string{`"X-Real-IP", "203.0.113.9"`},
				},
				{
					from: "127.0.0.1", header: map[string]string{"CF-Connecting-IP": "203.0.113.9"}, body: "some=text",
					has: []string{`"X-Real-IP", "203.0.113.9"`, `"body": "some=text"`},
				},
			}, anybody...),
		},
		{
			name: "real_ip trusts everybody", setup: besides("set_real_ip_from 0.0.0.0/0; real_ip_header " +
				"X-Forwarded-For;"), undo: notBesides,
			asks: append([]ask{
				{
					header: map[string]string{"X-Forwarded-For": "203.0.113.9"},
					has:    []string{`"X-Real-IP", "203.0.113.9"`},
				},
				{
					header: map[string]string{"X-Forwarded-For": "203.0.113.9"}, body: "some=text",
					has: []string{`"X-Real-IP", "203.0.113.9"`, `"body": "some=text"`},
				},
				{
					header: map[string]string{"X-Forwarded-For": "127.0.0.1"}, path: "/.deploy-action/slot",
					status: http.StatusNotFound,
				},
			}, anybody...),
		},
		{
			name: "real_ip trusts a balancer's network", setup: besides("set_real_ip_from 172.16.0.0/12; " +
				"set_real_ip_from 10.0.0.0/8; set_real_ip_from 192.168.0.0/16; real_ip_header X-Forwarded-For; " +
				"real_ip_recursive on;"), undo: notBesides,
			asks: append([]ask{
				{
					header: map[string]string{"X-Forwarded-For": "203.0.113.9, 10.0.0.7"},
					has:    []string{`"X-Real-IP", "203.0.113.9"`},
				},
				{
					header: map[string]string{"X-Forwarded-For": "203.0.113.9, 10.0.0.7"}, body: "some=text",
					has: []string{`"X-Real-IP", "203.0.113.9"`},
				},
			}, anybody...),
		},
		{
			name: "a limit of requests per client",
			setup: besides(`limit_req_zone \$binary_remote_addr zone=perip:1m rate=5r/s; limit_req zone=perip burst=5;`) +
				clients(20, 2, ""),
			undo: notBesides,
			asks: []ask{}, check: allRight,
		},
		{
			name: "a limit of connections per client",
			setup: besides(`limit_conn_zone \$binary_remote_addr zone=perip:1m; limit_conn perip 2;`) +
				clients(20, 2, ""),
			undo: notBesides,
			asks: []ask{}, check: allRight,
		},
		{
			name: "proxy_bind", setup: besides("proxy_bind 127.0.0.5;") + clients(5, 4, ""), undo: notBesides,
			check: allRight,
		},
		{
			name: "a password", setup: "echo 'ada:{PLAIN}secret' >/etc/nginx/theirs.passwd\n" +
				besides("auth_basic ours; auth_basic_user_file /etc/nginx/theirs.passwd;") +
				clients(5, 4, `{"headers": {"Authorization": "Basic YWRhOnNlY3JldA=="}}`), undo: notBesides +
				"rm /etc/nginx/theirs.passwd",
			asks: []ask{
				{status: http.StatusUnauthorized},
				{body: "some=text", status: http.StatusUnauthorized},
				// of a visitor in a tunnel, say
				{from: "127.0.0.1", path: "/.deploy-action/through/", status: http.StatusUnauthorized},
				{
					header: map[string]string{"Authorization": "Basic YWRhOnNlY3JldA=="},
					has:    []string{`"method": "GET"`},
				},
				{
					header: map[string]string{"Authorization": "Basic YWRhOnNlY3JldA=="}, body: "some=text",
					has: []string{`"body": "some=text"`},
				},
			},
			warned: []string{"nginx answers GET /health with status 401: it asks visitors for a password"},
			check:  allRight,
		},
		{
			name: "only certain addresses", setup: besides("allow 127.0.1.0/24; deny all;") +
				clients(5, 4, ""), undo: notBesides,
			asks: []ask{
				{status: http.StatusForbidden},
				{body: "some=text", status: http.StatusForbidden},
				{from: "127.0.0.1", status: http.StatusForbidden},
			},
			warned: []string{"nginx answers GET /health with status 403"}, check: allRight,
		},
		{
			name: "a status page on 127.0.0.1:80", setup: besides("server { listen 127.0.0.1:80; return 404; }") +
				clients(5, 4, ""), undo: notBesides,
			asks: anybody[:2], check: allRight,
		},
		{
			name: "a site that a balancer's protocol comes to on port 80",
			setup: "cat >/etc/nginx/conf.d/00-theirs.conf " +
				"<<<'server { listen 80 proxy_protocol; server_name theirs.example; return 418; }'; reload_nginx\n" +
				`timeout 120 bash -c 'until [[ $(curl -so /dev/null --haproxy-protocol -w "%{http_code}" ` +
				`-H "Host: theirs.example" http://127.0.0.2/) == 418 ]]; do sleep 0.2; done'` + "\n" +
				clients(5, 4, `{"proxied": true}`),
			undo: `rm /etc/nginx/conf.d/00-theirs.conf; reload_nginx; ` +
				`timeout 120 bash -c 'until [[ $(curl -so /dev/null -w "%{http_code}" ` +
				`http://127.0.0.2/) == 200 ]]; do sleep 0.2; done'`,
			asks: []ask{}, warned: []string{"/etc/nginx/conf.d/00-theirs.conf:1 says proxy_protocol for port 80"},
			check: allRight,
		},
		{
			name: "the welcome page of nginx.org's package", bare: true, setup: `rm /etc/nginx/sites-enabled/default
				printf 'server {\n    listen       80;\n    server_name  localhost;\n    location / {\n` +
				`        root   /usr/share/nginx/html;\n        index  index.html;\n    }\n}\n' ` +
				`>/etc/nginx/conf.d/default.conf; reload_nginx`,
			asks: anybody[:2], check: func(w *world.World,
				_ *lab.Result,
			) {
				w.Exec("test -e /etc/nginx/conf.d/default.conf")
			},
		},
		{
			name: "a site that takes IPv4 by a socket of IPv6", bare: true, setup: `rm /etc/nginx/sites-enabled/default
				echo 'server { listen [::]:80 ipv6only=off; server_name theirs.example; return 418; }' ` +
				`>/etc/nginx/conf.d/00-theirs.conf; systemctl restart nginx`,
			asks: append([]ask{{header: map[string]string{"Host": "theirs.example"}, status: http.StatusTeapot}},
				anybody...),
			check: func(w *world.World, _ *lab.Result) { w.Exec("! grep 'listen 80' /etc/nginx/conf.d/shop.conf") },
		},
		{
			name:  "sudo's secure_path has no sbin",
			setup: `sed -i.kept 's,secure_path=.*,secure_path="/usr/bin:/bin",' /etc/sudoers`,
			undo:  "mv /etc/sudoers.kept /etc/sudoers",
		},
		{
			name: "/proc hides the processes of others", setup: "mount -o remount,hidepid=2 /proc",
			undo: "mount -o remount,hidepid=0 /proc",
		},
	})
}
