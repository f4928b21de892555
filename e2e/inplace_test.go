package e2e

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

var replacements = flag.Int("replacements", 3, "how often TestOneVersionAtATimeLosesNothing deploys; every fifth "+
	"release is bad")

// inPlace are inputs with which one version runs at a time.
func inPlace(more map[string]string) map[string]string {
	return merged(map[string]string{"strategy": "in-place", "drain-timeout": "10s", "health-timeout": "1m"}, more)
}

// watchVersions counts, until mostVersions is run, how many versions of the application run at
// once: by the service that a process of that name belongs to.
const watchVersions = `cat >/tmp/watch.sh <<'SH'
most=0
until [ -e /tmp/watched ]; do
  n=$(for pid in $(pgrep -x %s); do grep -o 'shop@[0-9]*' /proc/$pid/cgroup 2>/dev/null; done | sort -u | wc -l)
  if [ "$n" -gt "$most" ]; then most=$n; fi
  sleep 0.2
done
echo "$most" >/tmp/most
SH
setsid bash /tmp/watch.sh >/dev/null 2>&1 </dev/null &`

const mostVersions = `touch /tmp/watched; ` +
	`timeout 120 bash -c 'until [ -s /tmp/most ]; do sleep 0.05; done'; cat /tmp/most`

// nodeService does what e2e/application does, but for WebSockets, at a socket that systemd holds.
const nodeService = `const http = require("http"), crypto = require("crypto"), fs = require("fs"), ` +
	`path = require("path")
const release = path.basename(process.cwd()), ` +
	`broken = fs.existsSync("BROKEN") ? fs.readFileSync("BROKEN", "utf8").trim() : ""
if (broken === "exit-at-boot") { console.error("no model"); process.exit(3) }
const server = http.createServer((q, a) => {
  const url = new URL(q.url, "http://localhost"), parts = []
  const says = (body, type = "application/json") => { ` +
	`a.writeHead(200, {"X-Release": release, "Content-Type": type}); a.end(body) }
  q.on("data", part => parts.push(part))
  q.on("end", () => {
    const body = Buffer.concat(parts), own = more => JSON.stringify({release, ...more})
    switch (url.pathname) {
      case "/slow": return setTimeout(() => says(own()), 1000 * url.searchParams.get("seconds"))
      case "/echo": return says(body, q.headers["content-type"])
      case "/upload": return says(own({size: body.length, ` +
	`sha256: crypto.createHash("sha256").update(body).digest("hex")}))
    }
    says(own({health: "ok"}))
  })
})
setTimeout(() => server.listen({fd: 3}), broken.startsWith("slow-boot=") ? 1000 * broken.slice(10) : 0)
process.on("SIGTERM", () => server.close(() => process.exit(0)))
`

func TestOneVersionAtATimeLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		name, process string
		host          lab.HostOptions
		files, with   map[string]string
		mix           load.Mix
		bad           string // what is said of a bad release
	}{
		{name: "uvicorn", process: "uvicorn", mix: load.DefaultMix, bad: "exited with status 3 before it was healthy"},
		{
			name: "gunicorn", process: "gunicorn", mix: load.DefaultMix,
			files: map[string]string{"requirements.txt": "fastapi\nuvicorn\nwebsockets\ngunicorn\n"},
			bad:   "replace: ", // gunicorn 20.1 may hang where two workers end at the same moment
			with: map[string]string{
				"start": "exec gunicorn --worker-class uvicorn.workers.UvicornWorker --workers 2 controller.main:app",
			},
		},
		{
			name: "Node.js", process: "node", bad: "exited with status 3 before it was healthy",
			host: lab.HostOptions{With: "node"}, mix: load.Mix{Get: 32, Post: 4, Slow: 4, Upload: 3},
			files: map[string]string{"server.js": nodeService}, with: map[string]string{
				"build": "true",
				"start": "exec node server.js",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := world.New(t, tt.host)
			with := inPlace(tt.with)
			good := w.Deploy(w.Commit(tt.files), with).Outputs["release"]
			w.UnderPatientLoad(tt.mix)
			w.Exec(fmt.Sprintf(watchVersions, tt.process))
			for n := 1; n <= *replacements; n++ {
				if n%5 == 3 {
					bad := w.Run(w.Job(w.Commit(merged(tt.files, map[string]string{"BROKEN": "exit-at-boot"})), with))
					world.Failed(t, bad, "restored", tt.bad, "site: restored; "+good+" on port 808", "serves")
					w.Serves(good)
					continue
				}
				good = w.Deploy(w.Commit(merged(tt.files, map[string]string{"BROKEN": "slow-boot=3"})),
					with).Outputs["release"]
				w.Serves(good)
			}
			if most := strings.TrimSpace(w.Exec(mostVersions)); most != "1" {
				t.Errorf("%s versions ran at once", most)
			}
			report := w.Load.Report()
			t.Logf("%d replacements; the longest that a GET or POST waited for its answer: %s; the longest without "+
				"any answer: %s",
				*replacements, report.Latency.Max.Round(time.Millisecond), report.MaxGap.Round(time.Millisecond))
			w.EndLoad()
			w.Exec("nginx -t -q && [ $(ls /var/lib/deploy-action/shop/active | wc -l) = 1 ]")
		})
	}
}

// A version that has ended does not leave the site down: requests wait for it at its socket. That is said
// where it does not begin again by itself.
func TestADeploymentBetweenTwoLivesOfAVersion(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	port := "8080"
	w.Deploy(w.Commit(nil), inPlace(nil))
	for _, tt := range []struct{ end, says string }{
		{"kill -s KILL", ""},
		{"stop", "no version answers PLACE: requests wait at its socket, which systemd holds"},
	} {
		w.Exec(fmt.Sprintf("systemctl %s shop@%s.service", tt.end, port))
		result := w.Run(w.Job(w.Commit(nil), inPlace(nil)))
		log, place := result.Log(), "on the active port "+port
		if result.Outputs["outcome"] != "deployed" || strings.Contains(log, place) != (tt.says != "") ||
			!strings.Contains(log, strings.ReplaceAll(tt.says, "PLACE", place)) {
			t.Errorf("after %s: %s\n%s", tt.end, result.Outputs["outcome"], log)
		}
		t.Logf("after %s the first look found nobody there: %t", tt.end, strings.Contains(log, "listen_"+port+"=held"))
		w.Serves(result.Outputs["release"])
		port = "8081"
	}
}

// From two versions at once to one, and back; and a bad release in between whose predecessor takes
// no socket.
func TestFromOneStrategyToTheOther(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	first := w.Deploy(w.Commit(nil), nil).Outputs["release"]
	w.UnderPatientLoad(load.DefaultMix)
	bad := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "health-500"}),
		inPlace(map[string]string{"health-timeout": "30s"})))
	world.Failed(t, bad, "restored", "answered 500", "site: restored; "+first+" on port 8080 serves")
	w.Serves(first)
	w.Serves(w.Deploy(w.Commit(nil), inPlace(nil)).Outputs["release"])
	second := w.Deploy(w.Commit(nil), map[string]string{"drain-timeout": "15s"}).Outputs["release"]
	w.Serves(second)
	refused := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "rollback"}))
	world.Failed(t, refused, "failed",
		`was deployed with the strategy "in-place", and a release is started as it was deployed`,
		"site: unchanged", `set the input strategy to "in-place"`)
	w.Serves(w.Deploy(w.Commit(nil), inPlace(nil)).Outputs["release"])
	refused = w.Run(w.Job(w.Commit(nil), inPlace(map[string]string{"operation": "rollback"})))
	world.Failed(t, refused, "failed", `was deployed with the strategy "blue-green"`, "site: unchanged",
		`set the input strategy to "blue-green"`)
	w.EndLoad()
	if out := w.Exec("systemctl list-units --plain --no-legend 'shop@*' | " +
		"cut -d' ' -f1 | sort"); out != "shop@8081.service\nshop@8081.socket" {
		t.Errorf("units:\n%s", out)
	}
}

// What follows is as with two versions: rollback, a reboot, a crash, least privilege, an unchanged
// commit.
func TestOneVersionAtATimeIsAsGood(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	first := w.Deploy(w.Commit(nil), inPlace(nil)).Outputs["release"]
	sha := w.Commit(nil)
	second := w.Deploy(sha, inPlace(nil)).Outputs["release"]
	w.Exec("rm /etc/sudoers.d/90-cloud-init-users")
	w.UnderPatientLoad(load.DefaultMix)
	if again := w.Run(w.Job(sha, inPlace(nil))); again.Outputs["outcome"] != "unchanged" ||
		again.Outputs["release"] != second {
		t.Errorf("outputs %v\n%s", again.Outputs, again.Log())
	}
	back := w.Run(w.Job(sha, inPlace(map[string]string{"operation": "rollback"})))
	if back.Outputs["outcome"] != "rolled-back" || back.Outputs["release"] != first {
		t.Errorf("outputs %v\n%s", back.Outputs, back.Log())
	}
	w.Serves(first)
	crashes := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "bad-after=1"}),
		inPlace(map[string]string{"watch-for": "20s"})))
	world.Failed(t, crashes, "restored", "verify: ", "site: restored; "+first)
	w.Serves(first)
	w.EndLoad()
	w.Exec("systemctl kill -s KILL 'shop@*.service'; timeout 120 bash -c 'until curl -fs http://127.0.0.1/health; " +
		"do sleep 0.1; done'")
	w.Serves(first)
	if err := w.Host.Restart(w.Ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.Host.WaitReady(w.Ctx); err != nil {
		t.Fatal(err)
	}
	w.Exec("timeout 120 bash -c 'until curl -fs http://127.0.0.1/health; do sleep 0.2; done'")
	w.Serves(first)
	w.Serves(w.Deploy(w.Commit(nil), inPlace(nil)).Outputs["release"])
}

// Where the old version is not healthy any more either, as when what both need is down, it does not keep
// out what may be the remedy.
func TestTheRemedyIsNotKeptOut(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	with := inPlace(map[string]string{"health-timeout": "30s"})
	good := w.Deploy(w.Commit(map[string]string{"BROKEN": "bad-when=/home/ubuntu/bad"}), with).Outputs["release"]
	w.Exec("touch /home/ubuntu/bad")
	for range 2 {
		bad := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "exit-at-boot"}), with))
		world.Failed(t, bad, "failed", "replace: the application exited with status 3 before it was healthy")
	}
	next := w.Deploy(w.Commit(nil), with)
	world.Says(t, next, good+" was started again, on port 808", "the run goes on")
	w.Serves(next.Outputs["release"])
	if out := w.Exec("systemctl list-units --plain --no-legend 'shop@*.service' | wc -l"); strings.TrimSpace(out) != "1" {
		t.Errorf("%s versions run", out)
	}
}

// The runner dies while visitors wait: the host ends what was begun, and the next run goes on from
// there.
func TestARunnerThatDiesDuringAReplacement(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	good := w.Deploy(w.Commit(nil), inPlace(nil)).Outputs["release"]
	w.UnderPatientLoad(load.DefaultMix)
	for _, release := range []string{"slow-boot=3", "exit-at-boot", "health-500"} {
		running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(map[string]string{"BROKEN": release}),
			inPlace(map[string]string{"health-timeout": "8s"})))
		if err != nil {
			t.Fatal(err)
		}
		w.Exec("active=$(ls /var/lib/deploy-action/shop/active); timeout 120 bash -c \"while [ -e " +
			"/var/lib/deploy-action/shop/active/$active ]; do sleep 0.02; done\"")
		if err := running.Kill(w.Ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := running.Wait(); err != nil {
			t.Fatal(err)
		}
		w.Exec("timeout 120 bash -c 'until curl -fs -m 5 http://127.0.0.1/health; do sleep 0.2; done'")
		if release != "slow-boot=3" {
			w.Serves(good)
		}
		good = w.Deploy(w.Commit(nil), inPlace(nil)).Outputs["release"]
		w.Serves(good)
	}
	w.EndLoad()
}

// A job is cancelled while a replacement is on probation, and the version before takes longer to boot
// than a cancelled run has: it is there again without another run, and nobody has waited in vain.
func TestACancelledReplacementGoesBack(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	good := w.Deploy(w.Commit(map[string]string{"BROKEN": "slow-boot=12"}), inPlace(nil)).Outputs["release"]
	w.UnderPatientLoad(load.DefaultMix)
	running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil), inPlace(map[string]string{"watch-for": "2m"})))
	if err != nil {
		t.Fatal(err)
	}
	w.Exec("timeout 120 bash -c 'until new=$(curl -fs -m 30 -D - -o /dev/null http://127.0.0.1/version) " +
		"&& [[ $new != *" + good + "* ]]; do sleep 0.1; done'")
	if err := running.Cancel(); err != nil {
		t.Fatal(err)
	}
	run, err := running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	world.Failed(t, run, "failed",
		"taking it back failed too: replace: it did not end in the time that a cancelled run has")
	w.Exec("timeout 60 curl -fs http://127.0.0.1/health")
	w.Serves(good)
	w.EndLoad()
}

// The runner dies at any moment of a replacement, the next run takes it back, and uploads outlive
// the time for draining: some come when a version has been told to end, and takes nothing any more.
// What the runner has begun on the host goes on until the next run is there, so that each state
// lasts for as long as that may take: by uploads, by a version that ends when it is told to, and by
// what comes after the switch.
func TestAReplacementThatWasCutOffIsTakenBack(t *testing.T) {
	const app = `import asyncio, os
from controller.main import app

@app.on_event("shutdown")
async def shutdown():
    await asyncio.sleep(5)
    while not os.path.exists("/home/ubuntu/may-end"):
        await asyncio.sleep(0.1)
`
	// states of the old version's service and the new one's, and what the next run says
	for _, tt := range []struct {
		name, reached string
		upload        time.Duration
		with, cutOff  map[string]string // inputs of all runs, and of that one
		says          string
	}{
		{
			name: "visitors wait", reached: `[ ! -e /var/lib/deploy-action/shop/active/8080 ]`, upload: time.Minute,
			cutOff: map[string]string{"drain-timeout": "3m"}, says: "serves again, on port 8080",
		},
		{
			name: "the old version is ending", reached: `systemctl is-active shop@8080 | grep -q deactivating`,
			with: map[string]string{"stop-timeout": "2m"}, says: "again, at the socket where visitors wait",
		},
		{
			name:    "the new version answers",
			reached: `curl -fs -m 5 http://127.0.0.1/health && [ ! -e /home/ubuntu/shop/slots/8081.gate ]`,
			cutOff:  map[string]string{"watch-for": "2m"}, says: "again, once what is in hand is answered",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := world.New(t, lab.HostOptions{})
			with := merged(inPlace(map[string]string{"drain-timeout": "1s", "start": "exec uvicorn slow:app --fd 3"}), tt.with)
			files := map[string]string{"slow.py": app}
			good := w.Deploy(w.Commit(files), with).Outputs["release"]
			if tt.with == nil {
				w.Exec("touch /home/ubuntu/may-end")
			}
			w.Load = load.Start(context.WithoutCancel(w.Ctx), load.Options{
				URL: w.Host.URL(), Mix: load.Mix{Get: 8, Post: 4, Upload: 8}, Think: 500 * time.Millisecond,
				UploadFor: cmp.Or(tt.upload, 5*time.Second), Timeout: time.Minute,
			})
			t.Cleanup(w.EndLoad)
			if err := w.Load.WaitAnswers(w.Ctx, load.KindUpload, 8); err != nil {
				t.Fatal(err)
			}
			w.Exec(fmt.Sprintf(watchVersions, "uvicorn"))
			commit := w.Commit(merged(files, map[string]string{"BROKEN": "slow-boot=2"}))
			running, err := w.Runner.Start(w.Ctx, w.Job(commit, merged(with, tt.cutOff)))
			if err != nil {
				t.Fatal(err)
			}
			w.Exec("timeout 120 bash -c 'until [ ! -e /var/lib/deploy-action/shop/active/8080 ] && { " + tt.reached +
				"; }; do sleep 0.05; done'")
			if err := running.Kill(w.Ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := running.Wait(); err != nil {
				t.Fatal(err)
			}
			healing, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(files), with))
			if err != nil {
				t.Fatal(err)
			}
			if err := healing.WaitLog(w.Ctx, "Putting the flag and the site right"); err != nil {
				t.Fatal(err)
			}
			w.Exec("touch /home/ubuntu/may-end")
			next, err := healing.Wait()
			if err != nil {
				t.Fatal(err)
			}
			world.Says(t, next, good+" serves again", tt.says)
			w.Serves(next.Outputs["release"])
			if most := strings.TrimSpace(w.Exec(mostVersions)); most != "1" {
				t.Errorf("%s versions ran at once", most)
			}
			w.EndLoad()
		})
	}
}

// A command that does not take the socket, which nobody can tell before it is started: the old
// version answers who has waited.
func TestACommandThatTakesNoSocket(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	good := w.Deploy(w.Commit(map[string]string{"app.py": printer}),
		map[string]string{"build": "true", "start": "python3 app.py"}).Outputs["release"]
	w.Exec("curl -fs http://127.0.0.1/")
	refused := w.Run(w.Job(w.Commit(map[string]string{"app.py": printer}),
		inPlace(map[string]string{"build": "true", "start": "python3 app.py"})))
	world.Failed(t, refused, "restored", "the command of the input start must have it take the socket",
		"site: restored; "+good)
	w.Exec("curl -fs http://127.0.0.1/")
}

// On a host with a server block and a version of their own, and with somebody else at the idle
// port.
func TestOneVersionAtATimeOnTheirHost(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	byHand(w, 8080)
	with := inPlace(patient)
	refused := w.Run(w.Job(w.Commit(nil), with))
	world.Failed(t, refused, "failed", "detect: the version that runs was started by hand",
		`deploy once with the strategy "blue-green"`, "site: unchanged")
	end := underReload(w)
	first := w.Deploy(w.Commit(nil), patient)
	end(first)
	w.Serves(first.Outputs["release"])
	w.OneFlag("8081")
	w.Exec("test -z \"$(ss -Hltn 'sport = :8080')\" && curl -fsI http://127.0.0.1/version -X GET | grep -q " +
		"'X-Theirs: kept'")

	w.UnderPatientLoad(load.DefaultMix) // their block has no error_page for uploads that outlive a drain
	squatter := strings.TrimSpace(w.Exec("useradd bob; setsid runuser -u bob -- python3 -m http.server --bind " +
		"127.0.0.1 8080 >/dev/null 2>&1 </dev/null & timeout 60 bash -c 'until ss -Hltn \"sport = :8080\" | grep -q " +
		".; do sleep 0.05; done'; pgrep -u bob python3"))
	refused = w.Run(w.Job(w.Commit(nil), with))
	world.Failed(t, refused, "failed", "detect: port 8080 is held by a process that is not this action's",
		"user bob, program python3", "site: unchanged")
	w.Serves(first.Outputs["release"])
	w.Exec("kill " + squatter + "; timeout 60 bash -c 'while ss -Hltn \"sport = :8080\" | grep -q .; do sleep 0.05; " +
		"done'")

	second := w.Deploy(w.Commit(nil), with).Outputs["release"]
	w.Serves(second)
	bad := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "health-500"}),
		merged(with, map[string]string{"health-timeout": "30s"})))
	world.Failed(t, bad, "restored", "answered 500", "site: restored; "+second+" on port 808")
	w.Serves(second)
	w.EndLoad()
}
