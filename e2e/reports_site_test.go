package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// lies is what a visitor says of himself.
var lies = map[string]string{
	"X-Forwarded-For": "9.9.9.9", "X-Real-IP": "9.9.9.9", "X-Forwarded-Proto": "https",
	"X-Forwarded-Host": "bank.example",
	"X-Forwarded-Port": "9999", "Forwarded": "for=9.9.9.9;proto=https",
}

// truth is what the application must get all the same.
var truth = []string{
	`["X-Forwarded-Proto", "http"]`, `["X-Forwarded-Port", "80"]`, `["X-Forwarded-For", "`, `["X-Real-IP", "`,
	`["X-Forwarded-Host", "`,
}

// headers are what a row's application answers with: eight cookies of 4,000 bytes.
const longHeaders = `import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(h):
        h.rfile.read(int(h.headers.get("Content-Length") or 0))
        h.send_response(200)
        for n in range(8): h.send_header("Set-Cookie", f"c{n}=" + "x" * 4000)
        h.send_header("Content-Length", "0")
        h.end_headers()
    do_GET = do_POST = answer
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
`

// What the application receives, and what nginx allows.
func TestReportsSite(t *testing.T) {
	tryReports(t, []report{
		{
			name: "a Java client asks for h2c", asks: []ask{{
				body: "some=text", header: map[string]string{
					"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings",
					"HTTP2-Settings": "AAMAAABk",
				},
				has: []string{`"body": "some=text"`}, lacks: []string{"h2c", `["Upgrade"`},
			}},
		},
		{
			name: "a Host with its port", asks: []ask{
				{
					header: map[string]string{"Host": "shop.example:8443"},
					has:    []string{`["Host", "shop.example:8443"]`, `["X-Forwarded-Host", "shop.example:8443"]`},
				},
				{
					header: map[string]string{"Host": "Shop.Example"}, body: "x",
					has: []string{`["Host", "Shop.Example"]`},
				},
			},
		},
		{
			name: "a visitor who says that he is another", asks: []ask{
				{
					header: lies, has: truth,
					lacks: []string{"9.9.9.9", "bank.example", "9999", `"https"`, `["Forwarded"`},
				},
				{
					header: lies, body: "x", has: truth,
					lacks: []string{"9.9.9.9", "bank.example", "9999", `"https"`, `["Forwarded"`},
				},
			},
		},
		{
			name: "add_header, gzip and real_ip at http level, pages of one's own for errors",
			setup: `printf '%s\n' 'add_header X-Theirs kept always;' 'set_real_ip_from 0.0.0.0/0;' ` +
				`'real_ip_header X-Client;' 'proxy_intercept_errors on;' \
				'error_page 404 502 503 /theirs.html;' >/etc/nginx/conf.d/00-theirs.conf; reload_nginx
				timeout 120 bash -c 'until curl -fsi http://127.0.0.1/ | grep -q X-Theirs; do sleep 0.2; done'`,
			undo: "rm /etc/nginx/conf.d/00-theirs.conf; reload_nginx",
			asks: []ask{
				{
					header: map[string]string{"X-Client": "192.0.2.7"},
					has: []string{
						"X-Theirs: kept", `["X-Real-IP", "192.0.2.7"]`,
						`["X-Forwarded-For", "192.0.2.7"]`,
					},
				},
				{
					header: map[string]string{"X-Client": "192.0.2.7"}, body: "x",
					has: []string{"X-Theirs: kept", `["X-Real-IP", "192.0.2.7"]`},
				},
				{
					header: map[string]string{"X-Client": "127.0.0.1"}, path: "/.deploy-action/slot",
					status: http.StatusNotFound,
				},
			},
		},
		{
			name: "directives of one's own in the application's folder",
			setup: `mkdir -p /var/www/own; echo static >/var/www/own/file.txt; echo sorry >/var/www/own/sorry.html
				printf '%s\n' 'add_header X-Own yes always;' 'location /own/ { alias /var/www/own/; }' ` +
				`'error_page 502 /sorry.html;' \
				'location = /sorry.html { root /var/www/own; internal; }' >/etc/nginx/shop.d/own.conf; reload_nginx
				timeout 120 bash -c 'until curl -fsi http://127.0.0.1/ | grep -q X-Own; do sleep 0.2; done'`,
			undo: "rm /etc/nginx/shop.d/own.conf; reload_nginx",
			asks: append([]ask{
				{path: "/own/file.txt", has: []string{"static"}}, {has: []string{"X-Own: yes", `"method": "GET"`}},
			}, anybody...),
			check: func(w *world.World, result *lab.Result) {
				w.Exec("systemctl stop shop@" + result.Outputs["active-port"])
				if out := w.Exec("curl -s -w '%{http_code}' http://127.0.0.1/"); out != "sorry\n502" {
					w.T.Errorf("while the application is down: %q", out)
				}
				w.Exec("systemctl start shop@" + result.Outputs["active-port"] +
					`; timeout 120 bash -c 'until curl -fso /dev/null http://127.0.0.1/; do sleep 0.2; done'`)
			},
		},
		{
			name: "a balancer that is trusted", with: map[string]string{"trusted-proxies": "0.0.0.0/1, 128.0.0.0/1"},
			check: func(w *world.World, _ *lab.Result) {
				v := &visitor{w, []ask{
					{header: lies, body: "x", has: []string{
						`["X-Forwarded-For", "9.9.9.9"]`, `["X-Real-IP", "9.9.9.9"]`, `["X-Forwarded-Proto", "https"]`,
						`["X-Forwarded-Host", "bank.example"]`,
						`["X-Forwarded-Port", "9999"]`, `["Forwarded", "for=9.9.9.9;proto=https"]`,
					}},
					{
						header: map[string]string{"X-Forwarded-Proto": "https"},
						has:    []string{`["X-Forwarded-Proto", "https"]`, `["X-Forwarded-Port", "443"]`},
					},
					{
						header: map[string]string{"X-Forwarded-Proto": "gopher"},
						has:    []string{`["X-Forwarded-Proto", "http"]`, `["X-Forwarded-Port", "80"]`},
					},
				}}
				v.asks("through a balancer")
			},
		},
		{
			name: "a small max-body-size and response-timeout", with: map[string]string{
				"max-body-size":    "1k",
				"response-timeout": "1s",
			},
			files: map[string]string{
				"app.py": strings.Replace(echoApp, "        body =",
					"        if h.path == '/slow': import time; time.sleep(5)\n        body =", 1),
			},
			check: func(w *world.World, _ *lab.Result) {
				v := &visitor{w, []ask{
					{body: strings.Repeat("x", 2000), status: http.StatusRequestEntityTooLarge},
					{body: strings.Repeat("x", 1000)},
					{path: "/slow", status: http.StatusGatewayTimeout},
				}}
				v.asks("with them")
			},
		},
		{
			name: "HTTP/1.0, without a Host and several at once", asks: []ask{},
			check: func(w *world.World, _ *lab.Result) {
				out := w.Exec(`exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET /old HTTP/1.0\r\n\r\n' >&3; timeout 5 cat <&3`)
				if !strings.Contains(out, `["Host", "127.0.0.1"]`) || !strings.Contains(out, "200 OK") {
					w.T.Errorf("HTTP/1.0:\n%s", out)
				}
				out = w.Exec(`exec 3<>/dev/tcp/127.0.0.1/80; printf '%s\r\n' 'POST /a HTTP/1.1' 'Host: a' 'Content-Length: 1' '' >&3
					printf 'xGET /b HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n' >&3; timeout 5 cat <&3`)
				if strings.Count(out, "200 OK") != 2 || !strings.Contains(out, `"path": "/a"`) ||
					!strings.Contains(out, `"path": "/b"`) {
					w.T.Errorf("two at once:\n%s", out)
				}
			},
		},
		{
			name: "headers of 32 KB in the answer", asks: []ask{}, files: map[string]string{"app.py": longHeaders},
			check: func(w *world.World, _ *lab.Result) {
				for _, method := range []string{"GET", "POST"} {
					out := w.Exec("curl -sS -o /dev/null -w '%{http_code} %{size_header}' -X " + method +
						" http://127.0.0.1/")
					var status, size int
					if _, err := fmt.Sscan(out, &status, &size); err != nil || status != 200 || size < 32_000 {
						w.T.Errorf("%s: %s", method, out)
					}
				}
			},
		},
	})
}
