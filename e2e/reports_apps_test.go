package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// habitsApp does what applications do: it answers before it has read the body, closes each
// connection, streams, sends trailers.
const habitsApp = `import http.server, json, os, socketserver, time
# What applications do: some answer before they have read the body, some close each connection, some stream.
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    drops = 0
    def text(h, status, text, **more):
        h.send_response(status)
        for k, v in {"Content-Type": "text/plain", "Content-Length": str(len(text)), **more}.items(): ` +
	`h.send_header(k.replace("_", "-"), v)
        h.end_headers()
        h.wfile.write(text)
    def body(h):
        if h.headers.get("Transfer-Encoding", "") != "chunked":
            return h.rfile.read(int(h.headers.get("Content-Length") or 0))
        whole = b""
        while n := int(h.rfile.readline().split(b";")[0], 16):
            whole += h.rfile.read(n)
            h.rfile.readline()
        while h.rfile.readline().strip(): pass
        return whole
    def answer(h):
        path = h.path.partition("?")[0]
        if path == "/drops":
            H.drops += 1
            h.close_connection = True
            if H.drops % 2: return h.connection.shutdown(2)
            return h.text(200, b"at last", Connection="close")
        if path == "/early":
            h.close_connection = True
            h.text(413, b"too much", Connection="close")
            h.wfile.flush()
            h.connection.shutdown(1)
            while h.rfile.read1(65536): pass
            return
        got = h.body()
        if path == "/close":
            h.close_connection = True
            return h.text(200, b"closed", Connection="close")
        if path == "/events":
            h.send_response(200); h.send_header("Content-Type", "text/event-stream"); ` +
	`h.send_header("Transfer-Encoding", "chunked"); h.end_headers()
            for n in range(2):
                event = b"data: %d\n\n" % n
                h.wfile.write(b"%x\r\n%s\r\n" % (len(event), event)); h.wfile.flush()
                time.sleep(1)
            return h.wfile.write(b"0\r\n\r\n")
        if path == "/trailers":
            h.send_response(200); h.send_header("Trailer", "X-Sum"); ` +
	`h.send_header("Transfer-Encoding", "chunked"); h.end_headers()
            return h.wfile.write(b"4\r\nwhat\r\n0\r\nX-Sum: 1\r\n\r\n")
        if path == "/big": return h.text(200, b"x" * (4 << 20))
        h.text(200, ("%s %s %d" % (h.command, path, len(got))).encode())
    do_GET = do_POST = do_PUT = answer
    def log_message(*_): pass
class S(http.server.ThreadingHTTPServer):
    request_queue_size = 128
S(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
`

// habitsPy asks for all of that through nginx, and says of each whether it is right; its argument
// is the application's port.
const habitsPy = `import socket, statistics, sys, threading, time
def talk(parts, port=80, until=None, limit=30):
    s = socket.create_connection(("127.0.0.2" if port == 80 else "127.0.0.1", port), timeout=limit)
    for p in parts:
        s.sendall(p)
    got = b""
    try:
        while until is None or until not in got:
            more = s.recv(65536)
            if not more: break
            got += more
    except TimeoutError: got += b"(nothing more came)"
    s.close()
    return got
def slowly(rate):
    s = socket.create_connection(("127.0.0.2", 80)); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    s.sendall(b"GET /big HTTP/1.1\r\n" + end)
    n, begin = 0, time.monotonic()
    while more := s.recv(8192):
        n += len(more)
        time.sleep(max(0, begin + n / rate - time.monotonic()))
    took = time.monotonic() - begin
    want("4 MB of an answer at %d KB/s, in %d s" % (rate / 1000, took), n > 4 << 20 and took > 60, b"%d bytes" % n)
def want(name, ok, got):
    print(name + ": " + ("right" if ok else "WRONG %r" % got[:300]), flush=True)
end = b"Host: shop.example\r\nConnection: close\r\n\r\n"
slow = threading.Thread(target=slowly, args=(50000,))
slow.start()
g = talk([b"POST /early HTTP/1.1\r\nContent-Length: 300000\r\n" + end + b"x" * 300000])
want("an answer before the body was read", g.startswith(b"HTTP/1.1 413 "), g)
g = talk([b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n" + end], until=b"\r\n\r\n")
want("100-continue", g.startswith(b"HTTP/1.1 100 "), g)
g = talk([b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n" + end + ` +
	`b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"])
want("trailers of a request", g.endswith(b"POST /x 5"), g)
g = talk([b"GET /trailers HTTP/1.1\r\n" + end])
want("trailers of an answer", g.startswith(b"HTTP/1.1 200 ") and b"what" in g, g)
g = talk([b"GET /x HTTP/1.0\r\n\r\n"])
want("HTTP/1.0 without a Host", g.startswith(b"HTTP/1.1 200 ") and g.endswith(b"GET /x 0"), g)
one = b"GET /x HTTP/1.1\r\nHost: shop.example\r\n\r\n"
g = talk([one * 9 + b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n" + end + b"ab"])
want("pipelining", g.count(b"HTTP/1.1 200 ") == 10 and g.endswith(b"POST /x 2"), g)
wrong = [g for _ in range(200) for m in (b"GET", b"POST") ` +
	`if not (g := talk([m + b" /close HTTP/1.1\r\nContent-Length: 0\r\n" + end])).startswith(b"HTTP/1.1 200 ")]
want("an application that closes every connection", not wrong, wrong[0] if wrong else b"")
drops = lambda m: [talk([m + b" /drops HTTP/1.1\r\nContent-Length: 0\r\n" + end])[9:12] for _ in range(6)]
g = drops(b"GET")
want("every second connection ends without an answer", g == [b"200"] * 6, b" ".join(g))
g = drops(b"POST")
want("the same by POST, which goes once only", g == [b"502", b"200"] * 3, b" ".join(g))
def first(port):
    begin = time.monotonic()
    talk([b"GET /events HTTP/1.1\r\n" + end], port, until=b"data: 0")
    return time.monotonic() - begin
direct, through = [], []
for _ in range(11):
    direct.append(first(int(sys.argv[1]))); through.append(first(80))
extra = min(through) - min(direct) # the least, since others are at work on the machine
want("the first event, %.1f ms after the direct one" % (extra * 1000), extra < 0.05, b"")
slow.join()
`

// steadyPy asks by GET and POST in turns over kept connections; its arguments are how many, and for
// how many seconds.
const steadyPy = `import http.client, json, sys, threading, time
# load.py CONNECTIONS SECONDS: GET and POST by turns over kept connections, through nginx.
n, seconds = int(sys.argv[1]), float(sys.argv[2])
right, wrong, lock = {"GET": 0, "POST": 0}, [], threading.Lock()
end = time.monotonic() + seconds
def client(i):
    c = http.client.HTTPConnection("127.0.0.2", 80, timeout=20)
    turn = 0
    while time.monotonic() < end:
        turn += 1
        method, body = ("POST", b"some=text") if turn % 2 else ("GET", None)
        try:
            c.request(method, "/x", body, {"Host": "shop.example"})
            a = c.getresponse()
            text = a.read()
            ok, said = a.status == 200, "%s %d %r" % (method, a.status, text[:80])
        except Exception as e:
            ok, said = False, "%s %r" % (method, e)
            c.close()
        with lock:
            if ok: right[method] += 1
            else: wrong.append(said)
threads = [threading.Thread(target=client, args=(i,)) for i in range(n)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps({**right, "wrong": {m: sum(w.startswith(m) for w in wrong) for m in right}, "first": wrong[:3]}))
`

const wsgiApp = `def app(environ, start):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start("200 OK", [("Content-Type", "text/plain")])
    return [("%s %s %d" % (environ["REQUEST_METHOD"], environ["PATH_INFO"], len(body))).encode()]
`

const asgiApp = `async def app(scope, receive, send):
    if scope["type"] != "http": return
    n, more = 0, True
    while more:
        m = await receive()
        n, more = n + len(m.get("body", b"")), m.get("more_body", False)
    text = ("%s %s %d" % (scope["method"], scope["path"], n)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})
`

const nodeApp = `const server = require("http").createServer((q, a) => { ` +
	`let n = 0; q.on("data", d => n += d.length); q.on("end", () => a.end([q.method, q.url, n].join(" "))) })
server.keepAliveTimeout = 5000
server.listen(process.env.PORT, "127.0.0.1")
`

var nodeAtSocket = strings.Replace(nodeApp, `process.env.PORT, "127.0.0.1"`, "{fd: 3}", 1)

// recycles wants not one answer to be wrong while nothing is deployed: the application ends
// connections, or its workers, as it likes.
func recycles(w *world.World, _ *lab.Result) { recyclesBut(w, 0, 0) }

// recyclesGET allows 1 in 100 POST to fail: a worker of gunicorn's that runs uvicorn closes, at its
// end, connections that it has taken and not read from. Who asks it directly loses as many, and
// what can't be repeated nobody may repeat for him.
func recyclesGET(w *world.World, _ *lab.Result) { recyclesBut(w, 0, 0.01) }

// recyclesBut allows these shares of each method's requests to fail.
func recyclesBut(w *world.World, get, post float64) {
	w.T.Helper()
	out := w.Exec("cat >/tmp/steady.py <<'PY'\n" + steadyPy + "PY\npython3 /tmp/steady.py 8 20")
	var got struct {
		GET, POST int
		Wrong     map[string]int
		First     []string
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		w.T.Fatalf("steady: %v\n%s", err, out)
	}
	w.T.Logf("%d GET and %d POST right, wrong: %v", got.GET, got.POST, got.Wrong)
	lost := func(method string, right int) float64 { return float64(got.Wrong[method]) / float64(right) }
	if got.GET < 500 || got.POST < 500 || lost("GET", got.GET) > get || lost("POST", got.POST) > post {
		w.T.Errorf("%d GET and %d POST are right, wrong: %v %s", got.GET, got.POST, got.Wrong,
			strings.Join(got.First, "\n"))
	}
}

// What applications are like, before, during and after a deployment, and when nothing is deployed.
func TestReportsApps(t *testing.T) {
	answers := []ask{{has: []string{"GET"}}, {body: "some=text", has: []string{"POST"}}}
	gunicorn := func(options string) report {
		return report{
			name: "gunicorn " +
				options, asks: answers, check: recycles,
			files: map[string]string{
				"requirements.txt": "gunicorn\nuvicorn\n", "wsgi.py": wsgiApp, "asgi.py": asgiApp,
			},
			with: map[string]string{
				"build": "",
				"start": "exec gunicorn --bind 127.0.0.1:$PORT --workers 2 --max-requests 300 --max-requests-jitter 50 " + options,
			},
		}
	}
	uvicorns := gunicorn("--worker-class uvicorn.workers.UvicornWorker asgi:app")
	uvicorns.check = recyclesGET
	brief := gunicorn("")
	brief.name, brief.with = "uvicorn --timeout-keep-alive 1", map[string]string{
		"build": "",
		"start": "exec uvicorn --port $PORT --timeout-keep-alive 1 asgi:app",
	}
	tryReports(t, []report{
		gunicorn("--worker-class sync wsgi:app"),
		{
			name: "gunicorn at a socket of systemd's", asks: answers,
			files: map[string]string{"requirements.txt": "gunicorn\n", "wsgi.py": wsgiApp},
			with:  inPlace(map[string]string{"build": "", "start": "exec gunicorn --workers 2 wsgi:app"}),
		},
		{
			name: "uvicorn --limit-max-requests at a socket of systemd's", asks: answers, check: recyclesGET,
			files: map[string]string{"requirements.txt": "uvicorn\n", "asgi.py": asgiApp},
			with: inPlace(map[string]string{"build": "", "start": "exec uvicorn --fd 3 --limit-max-requests 300 " +
				"asgi:app"}),
		},
		gunicorn("--worker-class gthread --threads 4 --keep-alive 5 wsgi:app"),
		uvicorns,
		brief,
		{
			name: "an application with all kinds of habits", files: map[string]string{"app.py": habitsApp},
			asks: answers,
			check: func(w *world.World, _ *lab.Result) {
				out := w.Exec("cat >/tmp/habits.py <<'PY'\n" + habitsPy +
					"PY\ntimeout 170 python3 /tmp/habits.py $(ls /var/lib/deploy-action/shop/active)")
				w.T.Log(out)
				if strings.Count(out, ": right\n")+1 < 11 || strings.Contains(out, "WRONG") {
					w.T.Error("not all is right")
				}
			},
		},
		{
			name: "Node.js, which keeps connections for 5 s", host: lab.HostOptions{With: "node"}, asks: answers,
			check: recycles,
			files: map[string]string{"server.js": nodeApp}, with: map[string]string{"start": "exec node server.js"},
		},
		{
			name: "Node.js at a socket of systemd's", host: lab.HostOptions{With: "node"}, asks: answers,
			files: map[string]string{"server.js": nodeAtSocket},
			with:  inPlace(map[string]string{"start": "exec node server.js"}),
		},
	})
}
