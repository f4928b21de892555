package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

var (
	rounds = flag.Int("rounds", 3, "how often BenchmarkSiteThroughput measures each site")
	steady = flag.Duration("steady", 15*time.Second, "how long BenchmarkSteadyState asks each site")
	others = flag.String("kamal-proxy", "", "the path of a kamal-proxy that BenchmarkSteadyState asks too")
)

// byHandBeside adds two sites that people write by hand to the host's nginx: on port 81 the one
// that passes on nothing but the Host, on port 82 one that tells the application of its visitors
// what the managed site does, and lets WebSockets through, the way that uvicorn's documentation has
// it (Deployment, "Running behind Nginx"). The workers of before close what they have accepted, and
// must be gone before anything is measured.
func byHandBeside(b *testing.B, w *world.World, port string) {
	b.Helper()
	_, err := w.Host.Exec(b.Context(), `cat >/etc/nginx/conf.d/service-url-hand.inc <<'X'
set $service_url http://127.0.0.1:`+port+`;
X
cat >/etc/nginx/conf.d/hand.conf <<'X'
server { listen 81; include /etc/nginx/conf.d/service-url-hand.inc; `+
		`location / { proxy_pass $service_url; proxy_set_header Host $host; } }
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
server {
    listen 82;
    include /etc/nginx/conf.d/service-url-hand.inc;
    location / {
        proxy_pass $service_url;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Forwarded-Port $server_port;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
    }
}
X
old=$(pgrep -P "$(cat /run/nginx.pid)")
nginx -t && nginx -s reload && timeout 30 bash -c 'while kill -0 '"${old//$'\n'/ || kill -0 }"' || `+
		`! curl -fs http://127.0.0.1:81/health; do sleep 0.2; done'`)
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSiteThroughput compares the managed site with the include that people write by hand, in
// one nginx, before one application, in alternating rounds. The application is as fast as can be,
// so that the difference is nginx's; `make bench` runs it.
func BenchmarkSiteThroughput(b *testing.B) {
	w, result, _ := benchHost(b)
	byHandBeside(b, w, result.Outputs["active-port"])
	for b.Loop() {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			var managed, hand, told []float64
			for range *rounds {
				managed = append(managed, wrk(b, method, w.Host.URL()+"/health"))
				hand = append(hand, wrk(b, method, w.Host.URL()+":81/health"))
				told = append(told, wrk(b, method, w.Host.URL()+":82/health"))
			}
			b.ReportMetric(median(managed), method+"-managed-req/s")
			b.ReportMetric(median(hand), method+"-by-hand-req/s")
			b.ReportMetric(median(managed)/median(hand), method+"-ratio")
			b.ReportMetric(median(managed)/median(told), method+"-ratio-same-headers")
		}
	}
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

var (
	requestsPerSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	requestsIn        = regexp.MustCompile(`([0-9]+) requests in`)
	requestsLost      = regexp.MustCompile(`Non-2xx or 3xx responses: ([0-9]+)|` +
		`Socket errors: connect ([0-9]+), read ([0-9]+), write ([0-9]+), timeout ([0-9]+)`)
)

// wrk asks for five seconds over 32 connections, and returns the requests a second; none may have
// failed.
func wrk(b *testing.B, method, url string) float64 {
	b.Helper()
	out := wrkFor(b, 5*time.Second, 32, method, url)
	if _, lost := counted(out); lost > 0 {
		b.Fatalf("wrk on %s:\n%s", url, out)
	}
	rate, err := strconv.ParseFloat(requestsPerSecond.FindStringSubmatch(out)[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

func wrkFor(b *testing.B, took time.Duration, connections int, method, url string) string {
	b.Helper()
	script := filepath.Join(b.TempDir(), "method.lua")
	text := fmt.Sprintf("wrk.method = %q\n", method)
	if method == http.MethodPost {
		text += "wrk.body = \"some=text\"\n"
	}
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	out, err := exec.CommandContext(b.Context(), "wrk", "-t1", fmt.Sprintf("-c%d", connections),
		fmt.Sprintf("-d%ds", int(took.Seconds())), "-s", script, url).CombinedOutput()
	if err != nil || !requestsPerSecond.Match(out) {
		b.Fatalf("wrk on %s: %v\n%s", url, err, out)
	}
	return string(out)
}

// counted returns how many requests wrk has made, and how many of them were not answered right.
func counted(out string) (all, lost int) {
	all, _ = strconv.Atoi(requestsIn.FindStringSubmatch(out)[1])
	for _, line := range requestsLost.FindAllStringSubmatch(out, -1) {
		for _, number := range line[1:] {
			n, _ := strconv.Atoi(number)
			lost += n
		}
	}
	return all, lost
}

// BenchmarkSlowPostsAtOnce has one worker of nginx with Debian's 768 connections, and requests with
// a body that take 2 s: the managed site answers as many at once as the one that people write by
// hand.
func BenchmarkSlowPostsAtOnce(b *testing.B) {
	w, result, _ := benchHost(b)
	if _, err := w.Host.Exec(b.Context(), `sed -i 's/^worker_processes .*/worker_processes 1;/' /etc/nginx/nginx.conf
grep -q 'worker_connections 768' /etc/nginx/nginx.conf`); err != nil {
		b.Fatal(err)
	}
	byHandBeside(b, w, result.Outputs["active-port"])
	for b.Loop() {
		b.ReportMetric(float64(slowPosts(b, w.Host.URL()+"/slow")), "managed-of-350")
		b.ReportMetric(float64(slowPosts(b, w.Host.URL()+":81/slow")), "by-hand-of-350")
	}
}

// slowPosts makes 350 requests at once, and returns how many were answered right.
func slowPosts(b *testing.B, url string) int64 {
	b.Helper()
	var right atomic.Int64
	var all sync.WaitGroup
	for range 350 {
		all.Go(func() {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader("some=text"))
			if err != nil {
				b.Error(err)
				return
			}
			answer, err := alone.Do(req)
			if err != nil {
				return // not answered
			}
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				right.Add(1)
			}
		})
	}
	all.Wait()
	return right.Load()
}

const wsgi = `def app(environ, start_response):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]
`

// BenchmarkSteadyState asks an application that ends its workers, and with them their kept
// connections, every 300 requests, with no deployment in sight: through the managed site, through
// the one that people write by hand and, where it is given, through kamal-proxy.
func BenchmarkSteadyState(b *testing.B) {
	w := world.New(b, lab.HostOptions{})
	result := w.Deploy(w.Commit(map[string]string{"requirements.txt": "gunicorn\n", "app.py": wsgi}), map[string]string{
		"start": `exec gunicorn app:app -k gthread --threads 4 -w 2 --keep-alive 5 ` +
			`--max-requests 300 --max-requests-jitter 50 -b "127.0.0.1:$PORT"`,
	})
	port := result.Outputs["active-port"]
	byHandBeside(b, w, port)
	sites := []struct{ name, url string }{{"managed", w.Host.URL()}, {"by-hand", w.Host.URL() + ":81"}}
	if *others != "" {
		sites = append(sites, struct{ name, url string }{"kamal-proxy", kamalProxy(b, w, port)})
	}
	again := "systemctl restart shop@" + port + "; timeout 30 bash -c 'until curl -fso /dev/null http://127.0.0.1:" +
		port + "/health; do sleep 0.1; done'"
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		b.Run(method, func(b *testing.B) {
			for b.Loop() {
				for _, site := range sites {
					w.Exec(again) // what another one keeps open takes a thread of gunicorn's each
					all, lost := counted(wrkFor(b, *steady, 8, method, site.url+"/health"))
					b.Logf("%s through %s: %d of %d lost", method, site.name, lost, all)
					b.ReportMetric(float64(all), site.name+"-requests")
					b.ReportMetric(float64(lost), site.name+"-lost")
					if site.name == "managed" && lost > 0 {
						b.Errorf("%s: %d of %d lost", method, lost, all)
					}
				}
			}
		})
	}
}

// kamalProxy starts one in front of the application, and returns where.
func kamalProxy(b *testing.B, w *world.World, port string) string {
	b.Helper()
	program, err := os.ReadFile(*others)
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Host.WriteFile(b.Context(), "/usr/local/bin/kamal-proxy", 0o755, "root", string(program)); err != nil {
		b.Fatal(err)
	}
	if _, err := w.Host.Exec(b.Context(),
		`cd /root; setsid nohup kamal-proxy run --http-port 82 --https-port 8443 >/tmp/kamal.log 2>&1 </dev/null &
timeout 30 bash -c 'until kamal-proxy deploy app --target 127.0.0.1:`+port+` --health-check-path /health; `+
			`do sleep 0.2; done'`); err != nil {
		b.Fatal(err)
	}
	return w.Host.URL() + ":82"
}
