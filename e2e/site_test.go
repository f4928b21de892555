package e2e

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

var switches = flag.Int("switches", 4, "how often TestWhatIsInHandIsWaitedFor kills the old version right after the "+
	"drain")

// slowUpload is an upload that comes byte by byte until it is ended: nginx gives up on one that
// stands still.
type slowUpload struct {
	w       *world.World
	conn    net.Conn
	end     chan struct{}
	written chan error
}

const uploaded = 100_000 // bytes

func beginUpload(w *world.World) *slowUpload {
	w.T.Helper()
	conn, err := (&net.Dialer{}).DialContext(w.Ctx, "tcp", net.JoinHostPort(w.Host.IP, "80"))
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { _ = conn.Close() })
	half := strings.Repeat("x", uploaded/2)
	if _, err := fmt.Fprintf(conn, "POST /upload HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n%s", uploaded,
		half); err != nil {
		w.T.Fatal(err)
	}
	u := &slowUpload{w, conn, make(chan struct{}), make(chan error, 1)}
	go u.trickle(half)
	return u
}

func (u *slowUpload) trickle(rest string) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-u.end:
			_, err := io.WriteString(u.conn, rest)
			u.written <- err
			return
		case <-second.C:
			if _, err := io.WriteString(u.conn, rest[:1]); err != nil {
				u.written <- err
				return
			}
			rest = rest[1:]
		}
	}
}

// answeredBy ends it, and wants a release to answer.
func (u *slowUpload) answeredBy(release string) {
	u.w.T.Helper()
	close(u.end)
	if err := <-u.written; err != nil {
		u.w.T.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(u.conn), nil)
	if err != nil {
		u.w.T.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(answer.Body)
	if got := answer.Header.Get("X-Release"); answer.StatusCode != http.StatusOK || got != release ||
		!strings.Contains(string(body), fmt.Sprintf(`"size":%d`, uploaded)) {
		u.w.T.Errorf("status %d from release %q, want 200 from %s: %s", answer.StatusCode, got, release, body)
	}
}

// asked makes a request over a connection of its own, and returns the status and who answered.
func asked(w *world.World, method, path string) (status int, release string) {
	w.T.Helper()
	req, err := http.NewRequestWithContext(w.Ctx, method, w.Host.URL()+path,
		strings.NewReader(map[string]string{"POST": "body"}[method]))
	if err != nil {
		w.T.Fatal(err)
	}
	answer, err := alone.Do(req)
	if err != nil {
		w.T.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode, answer.Header.Get("X-Release")
}

// An upload that ends within the drain time-out is the old version's, however long nginx alone has
// it: the drain waits for it.
func TestTheDrainWaitsForAnUploadThatNginxReads(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	first := w.Deploy(w.Commit(nil), nil)
	upload := beginUpload(w)
	running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil), map[string]string{"drain-timeout": "2m"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(w.Ctx, "nginx has requests for it in hand"); err != nil {
		t.Fatal(err)
	}
	upload.answeredBy(first.Outputs["release"])
	result, err := running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if result.Outputs["outcome"] != "deployed" {
		t.Errorf("outputs %v\n%s", result.Outputs, result.Log())
	}
	world.Says(t, result, "no request for port 8080 is left, and no connection to it")
	w.Serves(result.Outputs["release"])
}

// What a worker of nginx that was killed had in hand stays counted: that holds a drain up to its
// time-out, and is said.
func TestACrashedWorkerOfNginxHoldsADrainForItsTimeOut(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.Exec(`old=$(pgrep -d, -P "$(cat /run/nginx.pid)"); nginx -s reload
timeout 60 bash -c 'while ps -p "$1" >/dev/null; do sleep 0.1; done' - "$old"`) // one set of workers
	_ = beginUpload(w)
	w.Exec(`timeout 60 bash -c 'until [[ $(curl -so /dev/null -w "%{http_code}" ` +
		`http://127.0.0.1/.deploy-action/busy/8080) == 409 ]]; do sleep 0.2; done'
pkill -KILL -P "$(cat /run/nginx.pid)"; ` +
		`timeout 60 bash -c 'until curl -fso /dev/null http://127.0.0.1/health; do sleep 0.2; done'`)
	result := w.Deploy(w.Commit(nil), map[string]string{"drain-timeout": "2s"})
	world.Says(t, result, "nginx still counted requests for port 8080 after 2s")
	w.Serves(result.Outputs["release"])
	w.OneFlag("8081")
}

// The old version is killed the moment that the drain is over, under all kinds of load: nothing was
// in its hands any more.
func TestWhatIsInHandIsWaitedFor(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.Exec(`mkdir /etc/systemd/system/shop@.service.d
printf '[Service]\nKillSignal=SIGKILL\n' >/etc/systemd/system/shop@.service.d/kill.conf; systemctl daemon-reload`)
	w.Load = load.Start(context.WithoutCancel(w.Ctx), load.Options{
		URL: w.Host.URL(), Mix: load.Mix{Get: 24, Post: 8, Slow: 4, Upload: 6}, Timeout: time.Minute,
	})
	t.Cleanup(w.EndLoad)
	if err := w.Load.WaitAnswers(w.Ctx, load.KindUpload, 1); err != nil {
		t.Fatal(err)
	}
	for range *switches {
		result := w.Deploy(w.Commit(nil), map[string]string{"drain-timeout": "2m"})
		world.Says(t, result, "is left, and no connection to it")
	}
}

// stranger is somebody else's program on a port.
func stranger(w *world.World, port string) {
	w.T.Helper()
	w.Exec(`cat >/tmp/stranger.py <<'P'
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def answer(h):
        h.rfile.read(int(h.headers.get("Content-Length") or 0)); ` +
		`h.send_response(200); h.send_header("X-Release", "stranger"); h.end_headers()
    do_GET = do_POST = answer
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
P
setsid nohup runuser -u nobody -- python3 /tmp/stranger.py ` + port + ` >/dev/null 2>&1 </dev/null &
timeout 30 bash -c 'until curl -fso /dev/null http://127.0.0.1:` + port + `/; do sleep 0.2; done'`)
}

// nobodyElse wants 502 for as long as the active version is down, and then its answers.
func nobodyElse(w *world.World, release string) {
	w.T.Helper()
	down := 0
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			switch status, by := asked(w, method, "/version"); {
			case by == "stranger":
				w.T.Fatalf("%s: a visitor got the stranger", method)
			case by == release && down > 0:
				return
			case status == http.StatusBadGateway:
				down++
			}
		}
	}
	w.T.Errorf("%s did not come back, or was never down (%d answers 502)", release, down)
}

// Whoever listens on the idle port gets nobody, though the active version be down.
func TestAStrangerOnTheIdlePortGetsNobody(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	second := w.Deploy(w.Commit(nil), nil) // after which the idle port had a version of ours
	w.Exec(`mkdir /etc/systemd/system/shop@.service.d; printf '[Service]\nRestartSec=20\n' ` +
		`>/etc/systemd/system/shop@.service.d/slow.conf
systemctl daemon-reload`)
	stranger(w, "8080")
	w.Exec("kill -KILL $(systemctl show -p MainPID --value shop@8081)")
	nobodyElse(w, second.Outputs["release"])
}

// On probation the version before answers for a new one that is down, for any kind of request; but
// only while it is that very process. One that took its port is a stranger.
func TestTheVersionBeforeStandsInOnProbation(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	first := w.Deploy(w.Commit(nil), nil).Outputs["release"]
	w.Exec(`mkdir /etc/systemd/system/shop@.service.d; printf '[Service]\nRestartSec=600\n' ` +
		`>/etc/systemd/system/shop@.service.d/slow.conf
systemctl daemon-reload`)
	running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil), map[string]string{
		"after-switch": "echo switched; until [ -e /tmp/go ]; do sleep 0.1; done", "drain-timeout": "0s",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(w.Ctx, "│ switched"); err != nil {
		t.Fatal(err)
	}
	// What the kernel still accepts for a process that is being killed is in that one's hands.
	w.Exec(`kill -KILL $(systemctl show -p MainPID --value shop@8081)
timeout 60 bash -c 'while [[ -n $(ss -Hltn "sport = :8081") ]]; do sleep 0.05; done'`)
	for range 20 {
		for method, path := range map[string]string{http.MethodGet: "/version", http.MethodPost: "/upload"} {
			if status, by := asked(w, method, path); status != http.StatusOK || by != first {
				t.Errorf("%s: status %d from %q, want 200 from %s", method, status, by, first)
			}
		}
	}
	w.Exec("systemctl stop shop@8080 shop@8081")
	stranger(w, "8080")
	if status, by := asked(w, http.MethodGet, "/version"); status != http.StatusBadGateway {
		t.Errorf("with both down and a stranger on the port of the version before: status %d from %q, want 502", status,
			by)
	}
	w.Exec("pkill -f /tmp/[s]tranger.py; systemctl start shop@8081; touch /tmp/go")
	result, err := running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	w.Serves(result.Outputs["release"])
	if out := w.Exec("ls -A /var/lib/deploy-action/shop/active"); out != "8081" {
		t.Errorf("flags afterwards: %q", out)
	}
}

// A host with the site of before, in which requests with a body went through nginx twice and each
// group had a backup.
func TestTheSiteOfBeforeIsReplacedUnderLoad(t *testing.T) {
	t.Run("the action's own site", func(t *testing.T) {
		w := world.New(t, lab.HostOptions{})
		w.Deploy(w.Commit(nil), nil)
		siteOfBefore(w, map[string]string{
			"shop.conf": "/etc/nginx/conf.d/shop.conf", "service-url.inc": "/etc/nginx/conf.d/service-url.inc",
		}, "cp /etc/nginx/conf.d/shop.conf /var/lib/deploy-action/shop/site.conf; rmdir /etc/nginx/shop.d")
		replacedUnderLoad(w, "3s")
	})
	t.Run("a server block of the user's", func(t *testing.T) {
		w := world.New(t, lab.HostOptions{})
		w.Deploy(w.Commit(nil), nil)
		if err := w.Host.WriteFile(w.Ctx, "/etc/nginx/conf.d/theirs.conf", 0o644, "root", theirSite); err != nil {
			t.Fatal(err)
		}
		siteOfBefore(w, map[string]string{
			"shop.upstreams.conf":    "/etc/nginx/conf.d/shop.upstreams.conf",
			"theirs.service-url.inc": "/etc/nginx/conf.d/service-url.inc",
		}, "rm /etc/nginx/conf.d/shop.conf; cp /etc/nginx/conf.d/shop.upstreams.conf "+
			"/var/lib/deploy-action/shop/site.conf")
		// No other version stands in where the user's block does not say so: uploads that begin
		// between the reload and the switch are waited for.
		replacedUnderLoad(w, "20s")
	})
}

// siteOfBefore gives the host the texts as an earlier version of this action wrote them.
func siteOfBefore(w *world.World, files map[string]string, then string) {
	w.T.Helper()
	for name, path := range files {
		text, err := os.ReadFile("testdata/site-of-before/" + name)
		if err != nil {
			w.T.Fatal(err)
		}
		if err := w.Host.WriteFile(w.Ctx, path, 0o644, "root", string(text)); err != nil {
			w.T.Fatal(err)
		}
	}
	w.Exec(then + `
old=$(pgrep -P "$(cat /run/nginx.pid)"); nginx -t && nginx -s reload
timeout 60 bash -c 'while kill -0 '"${old//$'\n'/ || kill -0 }"'; do sleep 0.05; done' 2>/dev/null
[[ $(curl -fs http://127.0.0.1/.deploy-action/slot) == "http://shop_8080 "* ]]`)
}

func replacedUnderLoad(w *world.World, drain string) {
	w.T.Helper()
	ended := underReload(w)
	upload := beginUpload(w) // which the workers of before still read when the old version is gone
	second := w.Deploy(w.Commit(nil), map[string]string{"drain-timeout": drain})
	if out := w.Exec("ss -Hltn 'sport = :8080'"); out != "" {
		w.T.Errorf("the old version still listens: %s", out)
	}
	upload.answeredBy(second.Outputs["release"])
	ended(second)
	world.Says(w.T, second, "one reload, for new files")
	if out := w.Exec("grep -rl invalid /etc/nginx/conf.d || true"); out != "" {
		w.T.Errorf("what served the workers of before is still in %s", out)
	}
	w.UnderLoad()
	// this block has no error_page for uploads that outlive a drain
	world.Says(w.T, w.Deploy(w.Commit(nil), patient), "no reload")
}
