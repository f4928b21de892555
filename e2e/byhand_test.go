package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

// theirSite is a server block as users write it by hand, with the include that their scripts
// rewrote.
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

// byHand sets a host up as the hand-written scripts did, with a version that runs on the port, and
// returns that version's commit.
func byHand(w *world.World, port int) string {
	w.T.Helper()
	sha := w.Commit(nil)
	origin := strings.Replace(w.Git.URL(), "://", "://x-access-token:"+w.Git.Token()+"@", 1) + "/" + w.Repo.Name() +
		".git"
	_, err := w.Host.ExecUser(w.Ctx, fmt.Sprintf(`set -e
git clone -q '%s' AI-Server && cd AI-Server
mkdir ai_models && head -c 100000 /dev/urandom >ai_models/type_model.h5`, origin))
	if err != nil {
		w.T.Fatal(err)
	}
	w.VenvByHand(clone)
	startByHand(w, "ubuntu", port)
	siteByHand(w, port, theirSite)
	return sha
}

// startByHand starts the version in the clone, as the hand-written script did.
func startByHand(w *world.World, user string, port int, arguments ...string) {
	w.T.Helper()
	w.Exec(fmt.Sprintf(`cd `+clone+` && runuser -u %[1]s -- bash -c '. venv/bin/activate
setsid nohup uvicorn controller.main:app --host 0.0.0.0 --port %[2]d %[3]s >my.log 2>&1 </dev/null &'
timeout 120 bash -c 'until curl -fs http://127.0.0.1:%[2]d/health; do sleep 0.2; done'`,
		user, port, strings.Join(arguments, " ")))
}

func siteByHand(w *world.World, port int, text string) {
	w.T.Helper()
	if err := w.Host.WriteFile(w.Ctx, "/etc/nginx/sites-enabled/ai-server", 0o644, "root", text); err != nil {
		w.T.Fatal(err)
	}
	w.Exec(fmt.Sprintf(`rm -f /etc/nginx/sites-enabled/default
printf '# where requests go\nset $service_url http://127.0.0.1:%d;\n' >/etc/nginx/conf.d/service-url.inc
nginx -t 2>/dev/null && nginx -s reload && `+
		`timeout 120 bash -c 'until curl -fs http://127.0.0.1/health; do sleep 0.2; done'`, port))
}

// snapshot is all that must be as it was: the clone but for what the running version writes, and
// nginx's files.
func snapshot(w *world.World) (inClone, inNginx string) {
	w.T.Helper()
	inClone = w.Exec(`cd ` + clone + ` && runuser -u ubuntu -- git --no-optional-locks status --porcelain
find . -type f -not -path '*/__pycache__/*' -not -name my.log -print0 | sort -z | xargs -0 sha256sum; ` +
		`find . -type d -not -name __pycache__ | sort`)
	return inClone, w.Exec("cd /etc/nginx && find . -type f -o -type l | sort | xargs sha256sum; ls -l sites-enabled")
}

// oldServes wants the version started by hand to answer through nginx.
func oldServes(w *world.World) {
	w.T.Helper()
	out, err := w.Host.Exec(w.Ctx, "curl -fsS -D - -o /dev/null http://127.0.0.1/version")
	if err != nil || !strings.Contains(strings.ToLower(out), "x-release: v1\r") {
		w.T.Errorf("want the version started by hand to answer; got %v\n%s", err, out)
	}
}

// underReload is the load for a run that reloads nginx once. The function that it returns ends it:
// the only requests that may have failed are those which were on their way on a kept connection in
// the moment of the reload.
func underReload(w *world.World) func(result *lab.Result) {
	w.T.Helper()
	users := load.Start(context.WithoutCancel(w.Ctx), load.Options{
		URL: w.Host.URL(), TolerateIdleClose: true, Timeout: 30 * time.Second,
	})
	w.T.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		users.Stop(ctx)
	})
	if err := users.WaitAnswers(w.Ctx, load.KindGet, 50); err != nil {
		w.T.Fatal(err)
	}
	return func(result *lab.Result) {
		w.T.Helper()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Ctx), 30*time.Second)
		defer cancel()
		report := users.Stop(ctx)
		w.T.Logf("%s; %d idle connections closed by the reload; failed: %d\n%s", report, report.IdleCloses,
			report.Failed, report.Details())
		var from, to time.Time
		for _, group := range result.Groups() {
			if group.Title == "Switching" {
				// Its first line may come late, and so may a worker of nginx that closes its connections.
				from, to = group.Start.Add(-5*time.Second), group.End.Add(10*time.Second)
			}
		}
		for _, f := range report.Failures {
			reused := f.Nth > 1 && (f.Cause == load.CauseReset || f.Cause == load.CauseClosed ||
				f.Cause == load.CauseIdle)
			if !reused || f.Time.Before(from) || f.Time.After(to) {
				w.T.Errorf("lost for another reason than the reload (%s to %s): %s", from, to, f)
			}
		}
		if report.Failed > len(report.Failures) || report.Unfinished > 0 {
			w.T.Errorf("%d failed, %d unfinished", report.Failed, report.Unfinished)
		}
	}
}

var patient = map[string]string{"drain-timeout": "20s"}
