package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

func TestTakeoverUnderLoad(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			old := byHand(w, 8080)
			before, _ := snapshot(w)
			end := underReload(w)
			first := w.Deploy(w.Commit(nil), patient)
			end(first)
			by := fmt.Sprintf("the version started by hand (pid %s, "+clone+" at %.7s)",
				strings.TrimSpace(w.Exec("sed -n 's/.*pid \\([0-9]*\\)$/\\1/p' "+clone+"/my.log | head -1")), old)
			bak := "/etc/nginx/conf.d/service-url.inc." + first.Outputs["release"] + ".bak"
			world.Says(t, first, "port 8080 is active with "+by, "one reload, for new files", by+" on port 8080 is stopped",
				"as it was, it is kept in "+bak)
			if !measured(t, first).Reloaded || first.Outputs["active-port"] != "8081" ||
				first.Outputs["previous-port"] != "8080" {
				t.Errorf("outputs %v", first.Outputs)
			}
			if strings.Contains(first.Log(), "x-access-token") {
				t.Error("the log shows the remote's URL")
			}
			w.Serves(first.Outputs["release"])
			w.OneFlag("8081")
			w.Exec(`grep -q 'set $service_url http://127.0.0.1:8080;' ` + bak +
				` && curl -fsI http://127.0.0.1/version -X GET | grep -q 'X-Theirs: kept' && test ! -e /etc/nginx/conf.d/shop.conf`)
			if out := w.Exec("ss -Hltn 'sport = :8080'; ls /home/ubuntu/shop/slots"); strings.TrimSpace(out) != "8081" {
				t.Errorf("of the old version there is still: %s", out)
			}
			if after, _ := snapshot(w); after != before {
				t.Errorf("the clone has changed; before:\n%s\nafter:\n%s", before, after)
			}
			if site := w.Exec("cat /etc/nginx/sites-enabled/ai-server"); site != strings.TrimSpace(theirSite) {
				t.Errorf("the user's own file is now:\n%s", site)
			}

			back := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "rollback"}))
			world.Failed(t, back, "failed",
				"choose: no release older than "+first.Outputs["release"]+" has served before")

			w.UnderLoad()
			sha := w.Commit(nil)
			second := w.Deploy(sha, patient) // their block has no error_page for uploads that outlive a drain
			if measured(t, second).Reloaded {
				t.Error("the second deployment reloaded nginx")
			}
			w.Serves(second.Outputs["release"])
			w.OneFlag("8080")
			if again := w.Run(w.Job(sha, patient)); again.Outputs["outcome"] != "unchanged" {
				t.Errorf("the same commit again: outputs %v\n%s", again.Outputs, again.Log())
			}
			third := w.Run(w.Job("", merged(patient, map[string]string{"operation": "rollback"})))
			if third.Outputs["outcome"] != "rolled-back" || third.Outputs["release"] != first.Outputs["release"] {
				t.Errorf("outputs %v\n%s", third.Outputs, third.Log())
			}
			w.Serves(first.Outputs["release"])
		})
	}
}

func TestTakeoverFromTheSecondPort(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	byHand(w, 8081)
	sha := w.Commit(nil)
	for _, with := range []map[string]string{{"dry-run": "true"}, {"operation": "status"}, {"operation": "check"}} {
		result := w.Run(w.Job(sha, with))
		if result.ExitCode != 0 {
			t.Errorf("%v: %s", with, result.Log())
		}
		world.Says(t, result, "port 8081 is active with the version started by hand (pid ")
	}
	first := w.Deploy(sha, patient)
	w.Serves(first.Outputs["release"])
	w.OneFlag("8080")
	w.Exec("test -z \"$(ss -Hltn 'sport = :8081')\"")
}

// Without systemd, and with workers that root has started in the user's clone.
func TestTakeoverOfWorkersOfRoot(t *testing.T) {
	w := world.New(t, lab.HostOptions{NoSystemd: true})
	byHand(w, 8081)
	w.Exec("pkill -u ubuntu uvicorn; timeout 120 bash -c 'while pgrep -u ubuntu uvicorn; do sleep 0.05; done'")
	startByHand(w, "root", 8081, "--workers", "2")
	first := w.Deploy(w.Commit(nil), patient)
	w.Serves(first.Outputs["release"])
	w.OneFlag("8080")
	if out := w.Exec("ps -u root -o args | grep -c '[A]I-Server/venv' || true"); out != "0" {
		t.Errorf("%s processes of the old version are left", out)
	}
}

// certbot makes port 80 redirect, and who scans addresses gets nothing over TLS.
func TestTakeoverBehindTLS(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	byHand(w, 8080)
	certificate(w)
	block := strings.Replace(theirSite, "listen 80 default_server;\n    server_name _;",
		"listen 443 ssl;\n    server_name shop.example;\n    ssl_certificate cert.pem;\n    ssl_certificate_key "+
			"key.pem;", 1)
	siteByHand(w, 8080, block+"server { listen 80; server_name shop.example; return 301 https://$host$request_uri; "+
		"}\nserver { listen 80 default_server; return 200 up; }\n"+
		"server { listen 443 ssl default_server; ssl_reject_handshake on; }\n")
	with := map[string]string{"server-name": "shop.example", "drain-timeout": "20s"}
	first := w.Deploy(w.Commit(nil), with)
	second := w.Deploy(w.Commit(nil), with)
	if !measured(t, first).Reloaded || measured(t, second).Reloaded {
		t.Error("want one reload, the first time")
	}
	if out := w.Exec("curl -fsk -o /dev/null -D - --connect-to ::127.0.0.1:443 https://shop.example/version | grep " +
		"-i x-release"); !strings.Contains(strings.ToLower(out), strings.ToLower(second.Outputs["release"])) {
		t.Errorf("%s answers", out)
	}
}

// The recipe for HTTPS, on a host where nothing was deployed yet, and on one that has the managed
// site.
func TestHTTPSByHandAsTheDocsShow(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../docs/https.md")
	if err != nil {
		t.Fatal(err)
	}
	var block string
	for _, found := range regexp.MustCompile("(?s)```nginx\n(.*?)```").FindAllSubmatch(readme, -1) {
		if bytes.Contains(found[1], []byte("server_name www.example.com;")) {
			block = strings.ReplaceAll(string(found[1]), "www.example.com", "shop.example")
		}
	}
	if block == "" {
		t.Fatal("docs/https.md has no server block for www.example.com")
	}
	for _, tt := range []struct {
		name   string
		before int // deployments
	}{{"a fresh host", 0}, {"a host with the managed site", 2}} {
		t.Run(tt.name, func(t *testing.T) {
			w := world.New(t, lab.HostOptions{})
			serves := "8080"
			for range tt.before {
				serves = w.Deploy(w.Commit(nil), nil).Outputs["active-port"]
			}
			certificate(w)
			w.Exec("rm -f /etc/nginx/conf.d/shop.conf; echo 'set $service_url http://127.0.0.1:" + serves +
				";' >/etc/nginx/conf.d/service-url.inc")
			site := asCertbot(t, block)
			if err := w.Host.WriteFile(w.Ctx, "/etc/nginx/conf.d/shop.example.conf", 0o644, "root", site); err != nil {
				t.Fatal(err)
			}
			w.Exec("nginx -t && nginx -s reload")
			with := map[string]string{"server-name": "shop.example", "drain-timeout": "10s"}
			if first := w.Deploy(w.Commit(nil), with); !measured(t, first).Reloaded {
				t.Error("the first deployment did not reload nginx")
			}
			w.Load = load.Start(context.WithoutCancel(w.Ctx), load.Options{
				URL: overTLS(w), Host: "shop.example", Timeout: 30 * time.Second,
			})
			w.T.Cleanup(w.EndLoad)
			if err := w.Load.WaitAnswers(w.Ctx, load.KindGet, 50); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				result := w.Deploy(w.Commit(nil), with)
				if measured(t, result).Reloaded {
					t.Error("nginx was reloaded once more")
				}
				if first, _ := w.Load.Seen(result.Outputs["release"]); first.IsZero() {
					t.Errorf("%s has answered nobody", result.Outputs["release"])
				}
				w.OneFlag(result.Outputs["active-port"])
			}
			w.EndLoad()
			if now := w.Exec("cat /etc/nginx/conf.d/shop.example.conf"); now != strings.TrimSpace(site) {
				t.Errorf("the user's own file is now:\n%s", now)
			}
			w.Exec("test ! -e /etc/nginx/conf.d/shop.conf")
		})
	}
}

// asCertbot changes a server block as `certbot --nginx` does.
func asCertbot(t *testing.T, block string) string {
	t.Helper()
	const listen = "    listen 80;\n    listen [::]:80;\n"
	before, after, found := strings.Cut(strings.TrimSuffix(block, "}\n"), listen)
	if !found {
		t.Fatalf("the server block does not listen on port 80:\n%s", block)
	}
	return before + after + `
    listen [::]:443 ssl ipv6only=on; # managed by Certbot
    listen 443 ssl; # managed by Certbot
    ssl_certificate /etc/nginx/cert.pem; # managed by Certbot
    ssl_certificate_key /etc/nginx/key.pem; # managed by Certbot
}
server {
    if ($host = shop.example) {
        return 301 https://$host$request_uri;
    } # managed by Certbot

` + listen + `    server_name shop.example;
    return 404; # managed by Certbot
}
`
}

// certificate makes the host one for shop.example.
func certificate(w *world.World) {
	w.T.Helper()
	w.Exec("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=shop.example -days 2 -keyout /etc/nginx/key.pem " +
		"-out /etc/nginx/cert.pem 2>/dev/null")
}

// overTLS is where the load, which does not speak TLS, reaches the host's port 443: each of its
// connections is one there.
func overTLS(w *world.World) (url string) {
	w.T.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(w.Ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { _ = listener.Close() })
	dialer := tls.Dialer{Config: &tls.Config{ServerName: "shop.example", InsecureSkipVerify: true}}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = near.Close() }()
				far, err := dialer.DialContext(w.Ctx, "tcp", net.JoinHostPort(w.Host.IP, "443"))
				if err != nil {
					return
				}
				go func() {
					defer func() { _ = far.Close() }()
					_, _ = io.Copy(far, near)
				}()
				_, _ = io.Copy(near, far)
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// What can't be told from somebody else's process, or would come back, is named and left alone.
func TestWhatIsNotProvedIsNotTakenOver(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	byHand(w, 8080)
	sha := w.Commit(nil)
	_, nginx := snapshot(w)
	for _, tt := range []struct {
		name, begin, end string
		with             map[string]string
		words            []string
	}{
		{
			name: "an older version on the idle port", begin: "cd " + clone +
				" && runuser -u ubuntu -- setsid venv/bin/uvicorn controller.main:app --port 8081 >/dev/null 2>&1 " +
				"</dev/null &",
			words: []string{
				"detect: port 8081 is held by a version from " + clone + " that this action did not start",
				"user ubuntu, program uvicorn", "with `kill ",
			},
		},
		{
			name:  "somebody else on the idle port",
			begin: "useradd bob; runuser -u bob -- setsid python3 -m http.server 8081 >/dev/null 2>&1 </dev/null &",
			words: []string{
				"detect: port 8081 is held by a process that is not this action's (pid ", "user bob, program python3",
			},
		},
		{
			name: "another repository", with: map[string]string{"repository": "acme/other"},
			words: []string{
				"is not taken over: it works in " + clone + ", which is in no clone of acme/other",
				`"8082,8083"`, "user ubuntu, program uvicorn",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.In(t)
			if tt.begin != "" {
				w.Exec(tt.begin + " timeout 120 bash -c 'until curl -s http://127.0.0.1:8081/ >/dev/null; do sleep 0.2; done'")
			}
			world.Failed(t, w.Run(w.Job(sha, tt.with)), "failed", append(tt.words, "site: unchanged")...)
			if tt.begin != "" {
				w.Exec("curl -s http://127.0.0.1:8081/ >/dev/null && kill $(lsof -ti tcp:8081 -s tcp:listen) && " +
					"timeout 120 bash -c 'while lsof -i tcp:8081 -s tcp:listen; do sleep 0.2; done'")
			}
			oldServes(w)
		})
	}
	w.Exec("kill $(lsof -ti tcp:8080 -s tcp:listen); " +
		"timeout 120 bash -c 'while lsof -i tcp:8080 -s tcp:listen; do sleep 0.05; done'; " +
		"cp -r " + clone + " /srv/copy && rm -rf /srv/copy/.git && chown -R ubuntu: /srv/copy")
	unit := "[Service]\nUser=ubuntu\nWorkingDirectory=%s\nExecStart=" + clone +
		"/venv/bin/uvicorn controller.main:app --port 8080\nRestart=always\n"
	for _, tt := range []struct{ name, folder, want string }{
		{"works elsewhere", "/srv/copy", "it works in /srv/copy, which is in no clone of"},
		{"run by a service", clone, "ai.service runs it, and would start it again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.In(t)
			w.Exec(fmt.Sprintf("printf '"+strings.ReplaceAll(unit, "\n", "\\n")+"' >/etc/systemd/system/ai.service; "+
				"systemctl daemon-reload; systemctl restart ai; "+
				"timeout 120 bash -c 'until curl -fs http://127.0.0.1/health; do sleep 0.2; done'", tt.folder))
			world.Failed(t, w.Run(w.Job(sha, nil)), "failed", "detect: ", "is not taken over: "+tt.want, "site: unchanged")
			oldServes(w)
		})
	}
	if _, after := snapshot(w); after != nginx {
		t.Errorf("nginx's files before:\n%s\nafter:\n%s", nginx, after)
	}
	w.Exec("test -z \"$(ls /home/ubuntu/shop/releases /var/lib/deploy-action/shop/active 2>/dev/null)\"")

	// The way out that the message names.
	other := map[string]string{"ports": "8082,8083"}
	maps.Copy(other, patient)
	first := w.Deploy(sha, other)
	world.Says(t, first, "port 8080, to which /etc/nginx/conf.d/service-url.inc sends requests, is not one of the pair",
		"end it then by what runs it, ai.service")
	w.Serves(first.Outputs["release"])
	w.OneFlag("8082")
	w.Exec("curl -fs http://127.0.0.1:8080/health")
}

func TestABadReleaseAtTheTakeoverChangesNothing(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	byHand(w, 8080)
	inClone, inNginx := snapshot(w)
	for _, tt := range []struct {
		broken, outcome, site string
		with                  map[string]string
	}{
		{"bad-after=1", "restored", "site: restored", map[string]string{"watch-for": "20s", "ports": "8082,8083"}},
		{"exit-at-boot", "failed", "site: unchanged", nil},
		{"bad-after=1", "restored", "site: restored", map[string]string{"watch-for": "20s"}},
	} {
		result := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": tt.broken}), tt.with))
		serving := "the version started by hand (pid "
		if tt.with["ports"] != "" {
			serving = "the version that was there (pid "
		}
		world.Failed(t, result, tt.outcome, tt.site+"; "+serving)
		oldServes(w)
		if c, n := snapshot(w); c != inClone || n != inNginx {
			t.Errorf("%s: before:\n%s\n%s\nafter:\n%s\n%s", tt.broken, inClone, inNginx, c, n)
		}
	}
	first := w.Deploy(w.Commit(nil), patient)
	w.Serves(first.Outputs["release"])
	w.OneFlag("8081")
	w.Exec("test -z \"$(ss -Hltn 'sport = :8080')\"")
}

func TestATakeoverThatWasKilledIsFinishedByTheNextRun(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	byHand(w, 8080)
	for _, word := range []string{"Fetching the release", "Verifying through nginx"} {
		killAt(w, word, w.Job(w.Commit(nil), map[string]string{"watch-for": "60s"}))
		bad := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "exit-at-boot"}), nil))
		world.Failed(t, bad, "failed", "health: ", "site: unchanged; the version started by hand (pid ")
		oldServes(w)
		w.OneFlag("8080")
	}
	killAt(w, "Draining the old version", w.Job(w.Commit(nil), patient))
	w.OneFlag("8081")
	next := w.Deploy(w.Commit(nil), nil)
	w.Serves(next.Outputs["release"])
	w.OneFlag("8080")
	w.Exec("test -z \"$(ss -Hltn 'sport = :8081')\" && ! pgrep -f [A]I-Server/venv")
}

// stubborn ignores SIGTERM, lets others listen on its port, and stops to listen on SIGUSR1.
const stubborn = `import http.server, signal, socket, threading
class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
server = Server(("127.0.0.1", 8080), Handler)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, lambda *_: server.socket.close())
threading.Thread(target=server.serve_forever, daemon=True).start()
while True: signal.pause()
`

func TestOnlyWhatIsStillTheOldVersionIsStopped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, meanwhile, want string }{
		{
			"it stopped to listen", "kill -USR1 $(cat /tmp/pid)",
			"no longer listens on port 8080 from " + clone + "; it is left alone",
		},
		{
			"another one listens too",
			"cd " + clone + " && setsid python3 stubborn.py >/dev/null 2>&1 </dev/null &",
			"stop is left to the next deployment: stop: the version started by hand is stopped, " +
				"and something listens on port 8080 again (pid ",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := world.New(t, lab.HostOptions{})
			byHand(w, 8080)
			w.Exec("pkill -u ubuntu uvicorn; timeout 120 bash -c 'while pgrep -u ubuntu uvicorn; do sleep 0.05; done'")
			if err := w.Host.WriteFile(w.Ctx, clone+"/stubborn.py", 0o644, "ubuntu:", stubborn); err != nil {
				t.Fatal(err)
			}
			w.Exec("cd " + clone + " && (runuser -u ubuntu -- setsid python3 stubborn.py >/dev/null 2>&1 </dev/null &); " +
				"timeout 120 bash -c 'until curl -fs http://127.0.0.1/health; do sleep 0.2; done'; " +
				"ss -Hltnp 'sport = :8080' | grep -oP 'pid=\\K[0-9]+' >/tmp/pid")
			result := w.Deploy(w.Commit(nil), map[string]string{"before-start": tt.meanwhile, "stop-timeout": "1s"})
			world.Says(t, result, tt.want)
			w.Serves(result.Outputs["release"])
			w.Exec("pgrep -f [s]tubborn.py && test ! -e /home/ubuntu/shop/slots/8080.adopted")
			if strings.HasPrefix(tt.meanwhile, "kill") {
				w.Exec("kill -0 $(cat /tmp/pid)")
				return
			}
			w.Exec("test ! -e /proc/$(cat /tmp/pid)")
			world.Failed(t, w.Run(w.Job(w.Commit(nil), nil)), "failed",
				"detect: port 8080 is held by a version from "+clone+" that this action did not start",
				"with `kill "+strings.TrimSpace(w.Exec("pgrep -f [s]tubborn.py"))+"`", "put right what is named above")
		})
	}
}

func TestAnIncludeInsideALocationIsRefused(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	byHand(w, 8080)
	inside := strings.Replace(theirSite, "    include /etc/nginx/conf.d/service-url.inc;\n", "", 1)
	siteByHand(w, 8080,
		strings.Replace(inside, "location / {\n", "location / {\n        include /etc/nginx/conf.d/service-url.inc;\n", 1))
	_, before := snapshot(w)
	result := w.Run(w.Job(w.Commit(nil), nil))
	world.Failed(t, result, "failed", "check: ",
		" includes /etc/nginx/conf.d/service-url.inc inside location: it must be included at server level",
		"site: unchanged")
	if _, after := snapshot(w); after != before {
		t.Errorf("nginx's files before:\n%s\nafter:\n%s", before, after)
	}
	oldServes(w)
}

// The model and the folders that the version started by hand has are used; none of them is changed.
func TestModelAndSharedFoldersComeFromTheClone(t *testing.T) {
	w := newModelWorld(t, 9*megabyte, lab.HostOptions{})
	byHand(w.World, 8080)
	parts := bytes.Repeat([]byte("parts of 5 MiB "), megabyte)
	other := bytes.Repeat([]byte("new"), megabyte)
	if err := w.s3.PutParts(w.Ctx, bucket, "v7/parts", parts, 5*megabyte); err != nil {
		t.Fatal(err)
	}
	if err := w.s3.Put(w.Ctx, bucket, "v7/other", other, nil); err != nil {
		t.Fatal(err)
	}
	// The third one has the right size only.
	for name, data := range map[string][]byte{
		modelPath:            w.model,
		"ai_models/parts.h5": parts,
		"ai_models/other.h5": bytes.Repeat([]byte("old"), megabyte),
	} {
		if err := w.Host.WriteFile(w.Ctx, clone+"/"+name, 0o644, "ubuntu:", string(data)); err != nil {
			t.Fatal(err)
		}
	}
	w.Exec("cd " + clone + " && runuser -u ubuntu -- bash -c 'mkdir -p uploads/a && echo kept >uploads/a/file && " +
		"ln -s a uploads/link && echo SECRET=1 >.env && chmod 600 .env'")
	before, _ := snapshot(w.World)
	with := map[string]string{
		"assets": modelLine + "\ns3://my-models/v7/parts -> ai_models/parts.h5\n" +
			"s3://my-models/v7/other -> ai_models/other.h5",
		"shared": "uploads,.env,absent", "drain-timeout": "20s",
	}
	first := w.Deploy(w.Commit(nil), with)
	world.Says(
		t, first, modelPath+" is taken from "+clone+", nothing fetched, proved by its ETag, an MD5",
		"ai_models/parts.h5 is taken from "+clone+", nothing fetched, proved by its ETag, the MD5 of its parts' MD5s",
		"ai_models/other.h5, 3.1 MB of 3.1 MB fetched",
		"ai_models/other.h5 in "+clone+" is of the same size, and not proved to be the same",
		"shared: uploads was copied from "+clone, "shared: .env was copied from "+clone,
	)
	if gets := w.s3.Gets(); len(gets) != 1 || gets[0].Bytes != int64(len(other)) {
		t.Errorf("GETs %+v, want the one of the other model", gets)
	}
	w.has("8081", w.model)
	w.Exec("cd -P /home/ubuntu/shop/slots/8081 && grep -q kept uploads/link/file && test $(stat -Lc %a .env) = 600 && " +
		"cmp ai_models/parts.h5 " + clone + "/ai_models/parts.h5 && test -d absent/")
	if after, _ := snapshot(w.World); after != before {
		t.Errorf("the clone has changed; before:\n%s\nafter:\n%s", before, after)
	}
	// Once: what the clone has later is nobody's business any more.
	w.Exec("echo later >" + clone + "/uploads/later")
	w.Deploy(w.Commit(nil), with)
	w.Exec("cd -P /home/ubuntu/shop/slots/8080 && test ! -e uploads/later")
	if gets := w.s3.Gets(); len(gets) != 0 {
		t.Errorf("GETs %+v", gets)
	}
}

// Somebody goes back to the scripts as docs/migrating.md shows, and later deploys again.
func TestDeployingAgainAfterTheWayBack(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	byHand(w, 8080)
	w.Deploy(w.Commit(nil), patient)
	startByHand(w, "ubuntu", 8090)
	text, err := os.ReadFile("../docs/migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("The way back to the scripts"))
	block := regexp.MustCompile("(?s)\n```\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/migrating.md does not show the way back")
	}
	w.Exec("runuser -u ubuntu -- bash -ec " + quoted(string(block[1])))
	w.Exec("timeout 60 bash -c 'until curl -fsS -D - -o /dev/null http://127.0.0.1/version | " +
		"grep -i \"x-release: v1\"; do sleep 0.2; done'")
	sha := w.Commit(nil)
	refused := w.Run(w.Job(sha, patient))
	world.Failed(t, refused, "failed",
		"detect: requests go to port 8090, by a line that somebody has put into /etc/nginx/conf.d/service-url.inc, "+
			"and not to ", "site: unchanged")
	commands := regexp.MustCompile(`sudo systemctl disable --now \S+; sudo rm [^;]+`).FindString(
		refused.Annotations()[0].Message)
	w.Exec("runuser -u ubuntu -- bash -ec " + quoted(commands))
	again := w.Deploy(sha, patient)
	world.Says(t, again, "port 8090, to which /etc/nginx/conf.d/service-url.inc sends requests, is not one of the pair")
	w.Serves(again.Outputs["release"])
}
