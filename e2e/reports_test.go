package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// report is what somebody may report of the action, as a row: what the host or the input was, and
// the right value of what visitors see and the run says. Rows of one area stand in
// reports_<area>_test.go, whose test hands them to tryReports.
//
// A row costs seconds, since rows whose hosts are alike share one, one row after the other: echoApp
// was deployed to it. So a row has to put back what it did (undo); only a row that is bare, or that
// failed, takes its host with it.
//
// In a row's run: setup; each of asks; a deployment, with each of asks again and again meanwhile;
// each of asks; undo. An answer that is not the right one fails the row, and says when it came.
type report struct {
	name string          // what the host or the input was
	host lab.HostOptions // rows with the same ones share a host
	// nothing was deployed yet, and the host is this row's alone: asks come after the deployment
	// only
	bare  bool
	setup string // a script, as root on the host; it may use hostTools
	undo  string // another, that puts the host back; it runs whatever became of the row
	with  map[string]string
	files map[string]string // of the release: instead of, or beside, echoApp's
	asks  []ask             // nil: GET and POST from outside, and from the host itself

	// the run must fail with these words in its annotation, with the site and root's files as they
	// were
	refused []string
	failed  []string // the run must fail with these words in its annotation, after it has begun; the site is as it was
	// a run that succeeds must have these words in its warnings, each in one; none at all when it
	// is nil
	warned []string
	check  func(w *world.World, result *lab.Result)
}

// ask is what a visitor asks for, and the right value of the answer.
type ask struct {
	method string            // empty: GET, or POST where there is a body
	path   string            // empty: /
	body   string            // of the request
	header map[string]string // "Host" too
	from   string            // empty: from outside; else from the host itself, from that loopback address: "127.0.0.2"
	status int               // 0: 200
	// what the answer's head and body must have; of echoApp's that is what reached the application
	has   []string
	lacks []string
}

// anybody is what a row asks that says nothing else.
var anybody = []ask{
	{has: []string{`"method": "GET"`}},
	{body: "some=text", has: []string{`"method": "POST"`, `"body": "some=text"`}},
	{from: "127.0.0.2", has: []string{`"method": "GET"`}},
	{from: "127.0.0.2", body: "some=text", has: []string{`"method": "POST"`, `"body": "some=text"`}},
}

// echoApp answers every request with what it received, as JSON, on connections that it keeps.
const echoApp = `import http.server, json, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(h):
        body = h.rfile.read(int(h.headers.get("Content-Length") or 0)).decode("latin-1")
        text = json.dumps({"method": h.command, "path": h.path, "headers": h.headers.items(), ` +
	`"body": body, "port": os.environ["PORT"]}).encode()
        h.send_response(200)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(text)))
        h.end_headers()
        if h.command != "HEAD": h.wfile.write(text)
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer
    def log_message(*_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
`

// echoing are the inputs that deploy echoApp, in a second or two.
var echoing = map[string]string{
	"build": "true", "start": "exec python3 app.py", "watch-for": "0s",
	"drain-timeout": "1s",
}

// hostTools are for setup and undo. After reload_nginx no worker of before takes a connection.
const hostTools = `reload_nginx() {
	local old
	old=$(pgrep -d, -P "$(</run/nginx.pid)" -f 'worker process$')
	nginx -q -t && nginx -s reload 2>/dev/null && ` +
	`timeout 120 bash -c "while ps -o args= -p $old | grep -q 'worker process\$'; do sleep 0.05; done"
}
`

// tryReports tries every row, on hosts side by side.
func tryReports(t *testing.T, rows []report) {
	t.Helper()
	t.Parallel()
	var hosts [][]report
	shared := map[string]int{}
	for _, r := range rows {
		alike := fmt.Sprint(r.host)
		at, found := shared[alike]
		switch {
		case !r.bare && found:
			hosts[at] = append(hosts[at], r)
			continue
		case !r.bare:
			shared[alike] = len(hosts)
		}
		hosts = append(hosts, []report{r})
	}
	for n, rows := range hosts {
		t.Run(fmt.Sprintf("host %d", n+1), func(t *testing.T) {
			var w *world.World
			for _, r := range rows {
				if w == nil {
					w = reportedHost(t, r)
				}
				if !t.Run(r.name, func(t *testing.T) { r.try(t, w.In(t)) }) {
					w = nil // what a row broke is not the next one's fault
				}
			}
		})
	}
}

func reportedHost(t *testing.T, r report) *world.World {
	t.Helper()
	w := world.New(t, r.host)
	if !r.bare {
		w.Deploy(w.Commit(map[string]string{"app.py": echoApp}), echoing)
	}
	return w
}

// try is one row.
func (r report) try(t *testing.T, w *world.World) {
	t.Helper()
	if r.undo != "" {
		t.Cleanup(func() {
			if _, err := w.Host.Exec(context.Background(), hostTools+r.undo); err != nil {
				t.Errorf("undo: %v", err)
			}
		})
	}
	if r.setup != "" {
		w.Exec(hostTools + r.setup)
	}
	asks := r.asks
	if asks == nil {
		asks = anybody
	}
	v := &visitor{w, asks}
	var ended func()
	if !r.bare {
		v.asks("before the run")
		ended = v.keepAsking()
	}
	before := w.Exec(rootsFiles)
	result := w.Run(w.Job(w.Commit(merged(map[string]string{"app.py": echoApp}, r.files)), merged(echoing, r.with)))
	if ended != nil {
		ended()
	}
	switch {
	case r.failed != nil:
		world.Failed(t, result, "failed", append([]string{"site: unchanged"}, r.failed...)...)
	case r.refused != nil:
		world.Failed(t, result, "failed", append([]string{"site: unchanged"}, r.refused...)...)
		if after := w.Exec(rootsFiles); after != before {
			t.Errorf("a run that was refused has changed something:\n%s\nwas\n%s", after, before)
		}
	default:
		r.succeeded(t, result)
	}
	if !r.bare || r.refused == nil && r.failed == nil {
		v.asks("after the run")
	}
	if r.check != nil {
		r.check(w, result)
	}
}

// succeeded wants a run that deployed and warned of what it had to.
func (r report) succeeded(t *testing.T, result *lab.Result) {
	t.Helper()
	if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		t.Errorf("exit code %d, outcome %q\n%s", result.ExitCode, result.Outputs["outcome"], result.Log())
	}
	var warnings strings.Builder
	for _, a := range result.Annotations() {
		if a.Level == "warning" {
			fmt.Fprintln(&warnings, a.Message)
		}
	}
	for _, word := range r.warned {
		if !strings.Contains(warnings.String(), word) {
			t.Errorf("no warning has %q:\n%s", word, warnings.String())
		}
	}
	if r.warned == nil && warnings.Len() > 0 {
		t.Errorf("a warning:\n%s", warnings.String())
	}
}

// rootsFiles prints what a run that is refused before anything is touched leaves as it was.
const rootsFiles = `cd / && find etc/nginx etc/systemd/system etc/sudoers.d var/lib/deploy-action ` +
	`home/ubuntu/shop/releases home/ubuntu/shop/slots \
	-printf '%p %m %u %l ' \( -type f -size -1M -exec sha1sum {} \; -o -printf '\n' \) 2>/dev/null | LC_ALL=C sort`

// What holds of hosts and inputs that belong to no area.
func TestReports(t *testing.T) {
	tryReports(t, []report{
		{
			name: "the login shell greets, and prints what looks like a verb's answer",
			setup: `cp /home/ubuntu/.bashrc /tmp/rc
				printf 'echo Welcome to $(hostname)\necho port=1\n' | cat - /tmp/rc >/home/ubuntu/.bashrc`,
			undo: "cp /tmp/rc /home/ubuntu/.bashrc",
		},
		{
			name: "another site, by name, in the same nginx",
			setup: `printf 'server { listen 80; server_name other.example; return 418; }\n' >/etc/nginx/conf.d/other.conf
				reload_nginx`,
			undo: "rm /etc/nginx/conf.d/other.conf; reload_nginx",
			asks: append([]ask{{header: map[string]string{"Host": "other.example"}, status: http.StatusTeapot}},
				anybody...),
		},
		{
			name: "nginx's configuration is broken by somebody else", setup: "echo 'no such directive;' " +
				">/etc/nginx/conf.d/theirs.conf",
			undo: "rm /etc/nginx/conf.d/theirs.conf", refused: []string{
				"check: ", "nginx refuses",
				"/etc/nginx/conf.d/theirs.conf",
			},
		},
		{
			name: "health-path without its slash", with: map[string]string{"health-path": "healthz"},
			refused: []string{`input "health-path": must start with "/" (got "healthz")`},
		},
		{
			name: "the first deployment, over nginx's welcome page", bare: true,
			check: func(w *world.World, _ *lab.Result) { w.OneFlag("8080") },
		},
	})
}
