package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// theirSite is a server block as users write it by hand, with the include that their scripts rewrote.
const theirSite = `map $http_upgrade $connection_upgrade { default upgrade; '' close; }
server {
    listen 80 default_server;
    server_name _;
    include /etc/nginx/conf.d/service-url.inc;
    add_header X-Theirs kept;
    location / {
        proxy_pass $service_url;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
    }
}
`

const clone = "/home/ubuntu/AI-Server"

// byHand sets a host up as the hand-written scripts did, with a version that runs on the port, and returns that version's commit.
func (w *world) byHand(port int) string {
	w.t.Helper()
	sha := w.commit(nil)
	origin := strings.Replace(shared.git.URL(), "://", "://x-access-token:"+shared.git.Token()+"@", 1) + "/" + w.repo.Name() + ".git"
	_, err := w.host.ExecUser(w.ctx, fmt.Sprintf(`set -e
git clone -q '%s' AI-Server && cd AI-Server
python3 -m venv venv && venv/bin/pip -q install -r requirements.txt
mkdir ai_models && head -c 100000 /dev/urandom >ai_models/type_model.h5`, origin))
	if err != nil {
		w.t.Fatal(err)
	}
	w.start("ubuntu", port)
	w.site(port, theirSite)
	return sha
}

// start starts the version in the clone, as the hand-written script did.
func (w *world) start(user string, port int, arguments ...string) {
	w.t.Helper()
	w.exec(fmt.Sprintf(`cd `+clone+` && runuser -u %[1]s -- bash -c '. venv/bin/activate
setsid nohup uvicorn controller.main:app --host 0.0.0.0 --port %[2]d %[3]s >my.log 2>&1 </dev/null &'
timeout 30 bash -c 'until curl -fs http://127.0.0.1:%[2]d/health; do sleep 0.05; done'`, user, port, strings.Join(arguments, " ")))
}

func (w *world) site(port int, text string) {
	w.t.Helper()
	if err := w.host.WriteFile(w.ctx, "/etc/nginx/sites-enabled/ai-server", 0o644, "root", text); err != nil {
		w.t.Fatal(err)
	}
	w.exec(fmt.Sprintf(`rm -f /etc/nginx/sites-enabled/default
printf '# where requests go\nset $service_url http://127.0.0.1:%d;\n' >/etc/nginx/conf.d/service-url.inc
nginx -t 2>/dev/null && nginx -s reload && timeout 10 bash -c 'until curl -fs http://127.0.0.1/health; do sleep 0.05; done'`, port))
}

// snapshot is all that must be as it was: the clone but for what the running version writes, and nginx's files.
func (w *world) snapshot() (inClone, inNginx string) {
	w.t.Helper()
	inClone = w.exec(`cd ` + clone + ` && runuser -u ubuntu -- git --no-optional-locks status --porcelain
find . -type f -not -path '*/__pycache__/*' -not -name my.log -print0 | sort -z | xargs -0 sha256sum; find . -type d -not -name __pycache__ | sort`)
	return inClone, w.exec("cd /etc/nginx && find . -type f -o -type l | sort | xargs sha256sum; ls -l sites-enabled")
}

// oldServes wants the version started by hand to answer through nginx.
func (w *world) oldServes() {
	w.t.Helper()
	out, err := w.host.Exec(w.ctx, "curl -fsS -D - -o /dev/null http://127.0.0.1/version")
	if err != nil || !strings.Contains(strings.ToLower(out), "x-release: v1\r") {
		w.t.Errorf("want the version started by hand to answer; got %v\n%s", err, out)
	}
}

// underReload is the load for a run that reloads nginx once. The function that it returns ends it: the only requests that may have failed are those
// which were on their way on a kept connection in the moment of the reload.
func (w *world) underReload() func(result *lab.Result) {
	w.t.Helper()
	load := lab.StartLoad(context.WithoutCancel(w.ctx), lab.LoadOptions{URL: w.host.URL(), TolerateIdleClose: true})
	w.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		load.Stop(ctx)
	})
	if err := load.WaitAnswers(w.ctx, lab.KindGet, 50); err != nil {
		w.t.Fatal(err)
	}
	return func(result *lab.Result) {
		w.t.Helper()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), 30*time.Second)
		defer cancel()
		report := load.Stop(ctx)
		w.t.Logf("%s; %d idle connections closed by the reload; failed: %d\n%s", report, report.IdleCloses, report.Failed, report.Details())
		var from, to time.Time
		for _, group := range result.Groups() {
			if group.Title == "Switching" {
				from, to = group.Start, group.End.Add(time.Second)
			}
		}
		for _, f := range report.Failures {
			reused := f.Nth > 1 && (f.Cause == lab.CauseReset || f.Cause == lab.CauseClosed || f.Cause == lab.CauseIdle)
			if !reused || f.Time.Before(from) || f.Time.After(to) {
				w.t.Errorf("lost for another reason than the reload (%s to %s): %s", from, to, f)
			}
		}
		if report.Failed > len(report.Failures) || report.Unfinished > 0 {
			w.t.Errorf("%d failed, %d unfinished", report.Failed, report.Unfinished)
		}
	}
}

var patient = map[string]string{"drain-timeout": "20s"}
