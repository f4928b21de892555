package e2e

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

var workerDeployments = flag.Int("worker-deployments", 10, "how often TestWorkersLoseNoJob deploys; every fourth "+
	"release or so is bad")

// queueWorker takes a job at a time from a queue, and finishes it when it is told to end. It writes
// down when it comes and goes, and what it has done.
const queueWorker = `import os, redis, signal, sys, time
if os.path.exists("WORKER_BROKEN"):
    print("queue: no such host", file=sys.stderr)
    sys.exit(3)
queue, who, over = redis.Redis(decode_responses=True), os.environ["RELEASE"], False
def end(*_):
    global over
    over = True
signal.signal(signal.SIGTERM, end)
queue.rpush("life", "+ " + who)
while not over:
    job = queue.rpop("jobs")
    if job is None:
        time.sleep(0.05)
        continue
    time.sleep(0.3)
    queue.rpush("done", job)
queue.rpush("life", "- " + who)
`

const twoWorkers = "mailer: /usr/bin/python3 worker.py\nindexer: exec /usr/bin/python3 worker.py"

// jobs puts them into the queue until the file is there that says that it is enough.
const jobs = `cat >/tmp/jobs.sh <<'SH'
n=0
until [ -e /tmp/enough ]; do
  n=$((n + 1))
  redis-cli lpush jobs $n >/dev/null
  sleep 0.25
done
echo $n >/tmp/count
SH
systemctl start redis-server && timeout 60 bash -c 'until redis-cli ping; do sleep 0.1; done'
setsid bash /tmp/jobs.sh >/dev/null 2>&1 </dev/null &`

// Deployments under load, good and bad ones, with workers on a queue: no job is lost, none is done
// twice, and no two versions work at once.
func TestWorkersLoseNoJob(t *testing.T) {
	w := world.New(t, lab.HostOptions{With: "redis"})
	w.Exec(jobs)
	with := map[string]string{"processes": twoWorkers, "stop-timeout": "10s"}
	commit := func(more map[string]string) string {
		files := map[string]string{"worker.py": queueWorker, "Procfile": "web: none\n" + twoWorkers + "\nrelease: exit 1\n"}
		for name, text := range more {
			files[name] = text
		}
		return w.Commit(files)
	}
	live := w.Deploy(commit(nil), with).Outputs["release"]
	w.UnderLoad()
	for n := 1; n < *workerDeployments; n++ {
		if n == *workerDeployments/2 {
			with["processes"] = "# as the repository says\nProcfile"
		}
		switch n % 8 {
		case 3:
			bad := w.Run(w.Job(commit(map[string]string{"WORKER_BROKEN": "yes"}), withMore(with, "watch-for", "20s")))
			// which of the two is seen to have ended is the host's to say
			world.Failed(t, bad, "restored", "workers: the process ", "er, one of those beside the web process, did not "+
				"stay up: it exited with status 3", "| queue: no such host", "site: restored; "+live,
				"the Procfile, and push again")
		case 6:
			bad := w.Run(w.Job(commit(map[string]string{"BROKEN": "exit-at-boot"}), with))
			world.Failed(t, bad, "failed", "health: ", live)
		default:
			live = w.Deploy(commit(nil), with).Outputs["release"]
		}
		if run := workersOf(w); run != live+" indexer "+live+" mailer" {
			t.Errorf("after deployment %d there run %q, and live is %s", n, run, live)
		}
	}
	w.EndLoad()
	w.Exec("touch /tmp/enough; timeout 120 bash -c 'until [ -s /tmp/count ] && [ \"$(redis-cli llen jobs)\" = 0 ] && " +
		"[ \"$(redis-cli llen done)\" -ge \"$(cat /tmp/count)\" ]; do sleep 0.2; done'")
	count := w.Exec("cat /tmp/count")
	if out := w.Exec("redis-cli lrange done 0 -1 | sort | uniq -c | " +
		"awk '{ n++; if ($1 != 1) twice++ } END { print n, twice + 0 }'"); out != count+" 0" {
		t.Errorf("of %s jobs so many were done, and so many twice: %s", count, out)
	}
	up := map[string]int{}
	var lives int
	for line := range strings.Lines(w.Exec("redis-cli lrange life 0 -1")) {
		what, who, _ := strings.Cut(strings.TrimSpace(line), " ")
		if what == "-" {
			if up[who]--; up[who] == 0 {
				delete(up, who)
			}
			continue
		}
		up[who]++
		lives++
		if len(up) > 1 {
			t.Errorf("workers of two versions at once: %v", up)
		}
	}
	if len(up) != 1 || up[live] != 2 || lives < 2**workerDeployments/2 {
		t.Errorf("in the end there are %v of %d in all, and live is %s", up, lives, live)
	}
	t.Logf("%s jobs, %d lives of workers", count, lives)
}

// workersOf returns the release and name of each worker that runs, sorted.
func workersOf(w *world.World) string {
	w.T.Helper()
	var run []string
	for line := range strings.Lines(w.Exec(`for unit in $(systemctl list-units --plain --no-legend ` +
		`--state=running 'shop.process@*' | cut -d ' ' -f 1); do
  name=${unit#*@*-}
  printf '%s %s\n' "$(basename "$(readlink /proc/$(systemctl show -p MainPID --value "$unit")/cwd)")" "${name%.service}"
done`)) {
		run = append(run, strings.TrimSpace(line))
	}
	slices.Sort(run)
	return strings.TrimSpace(strings.Join(run, " "))
}

// enabledWorkers are those that a reboot brings back.
func enabledWorkers(w *world.World) string {
	w.T.Helper()
	return strings.Join(strings.Fields(w.Exec("ls /etc/systemd/system/multi-user.target.wants | "+
		"grep -F shop.process@ || true")), " ")
}

// ticker is a worker that needs nothing.
const ticker = "trap 'exit 0' TERM; echo tick; while :; do sleep 0.1; done\n"

func TestWorkersBelongToTheirRelease(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			commit := func() string { return w.Commit(map[string]string{"ticker.sh": ticker}) }
			two := map[string]string{"processes": "b: bash ticker.sh\na-1: bash ticker.sh"}
			one := map[string]string{"processes": "a-1: bash ticker.sh"}
			first := w.Deploy(commit(), two).Outputs["release"]
			w.UnderLoad()
			sha := commit()
			second := w.Deploy(sha, one).Outputs["release"]
			wants(w, "a deployment", second+" a-1", "shop.process@8081-a-1.service")

			back := w.Run(w.Job(sha, merged(two, map[string]string{"operation": "rollback"})))
			if back.Outputs["release"] != first {
				t.Fatalf("outputs %v\n%s", back.Outputs, back.Log())
			}
			wants(w, "a rollback", first+" a-1 "+first+" b", "shop.process@8080-a-1.service shop.process@8080-b.service")

			w.EndLoad()
			if err := w.Host.Restart(w.Ctx); err != nil {
				t.Fatal(err)
			}
			w.Exec("timeout 60 bash -c 'until curl -fs http://127.0.0.1/health && systemctl is-active shop.process@8080-b; " +
				"do sleep 0.2; done'")
			wants(w, "a reboot", first+" a-1 "+first+" b", "shop.process@8080-a-1.service shop.process@8080-b.service")
			w.UnderLoad()

			// As a run leaves them that was cut off when the old ones had ended.
			w.Exec("systemctl disable --now shop.process@8080-a-1 shop.process@8080-b; rm /home/ubuntu/shop/slots/8080.workers")
			status := w.Run(w.Job(sha, map[string]string{"operation": "setup", "processes": two["processes"]}))
			if status.ExitCode != 0 || !strings.Contains(status.Log(), "✓ settle: a-1 b of "+first) {
				t.Errorf("setup:\n%s", status.Log())
			}
			wants(w, "a cut-off run", first+" a-1 "+first+" b", "shop.process@8080-a-1.service shop.process@8080-b.service")

			status = w.Run(w.Job(sha, map[string]string{"operation": "status"}))
			if status.ExitCode != 0 || !strings.Contains(status.Log(), "worker a-1 of port 8080: running, up for ") {
				t.Errorf("status:\n%s", status.Log())
			}

			logs := w.Run(w.Job(sha, map[string]string{"operation": "logs", "log-of": "worker:a-1"}))
			if logs.ExitCode != 0 || !strings.Contains(logs.Log(), "/logs/8080-a-1.log") ||
				!strings.Contains(logs.Log(), "│ tick\n") {
				t.Errorf("logs:\n%s", logs.Log())
			}

			takeSudo(w, true)
			again := w.Deploy(commit(), two).Outputs["release"]
			wants(w, "a deployment with few rights", again+" a-1 "+again+" b",
				"shop.process@8081-a-1.service shop.process@8081-b.service")
			named := w.Run(w.Job(w.Commit(map[string]string{"ticker.sh": ticker, "Procfile": "c: bash ticker.sh\nb: exit 1"}),
				map[string]string{"processes": two["processes"] + "\nProcfile"}))
			world.Failed(t, named, "failed", "build: ubuntu has the rights for routine deployments only, and none for these "+
				"processes: c; name each in the input processes", "site: unchanged; "+again)
			wants(w, "a refusal", again+" a-1 "+again+" b", "shop.process@8081-a-1.service shop.process@8081-b.service")
			giveSudo(w)

			w.Deploy(commit(), nil)
			wants(w, "a release without workers", "", "")
			if out := w.Exec("ls /home/ubuntu/shop/slots | grep workers || true"); out != "" {
				t.Errorf("left: %s", out)
			}
			w.EndLoad()
		})
	}
}

func wants(w *world.World, after, run, enabled string) {
	w.T.Helper()
	if got := workersOf(w); got != run {
		w.T.Errorf("after %s there run %q, want %q", after, got, run)
	}
	if got := enabledWorkers(w); got != enabled {
		w.T.Errorf("after %s there are enabled %q, want %q", after, got, enabled)
	}
}

// With one version at a time a bad release has the old one started again, on its own port or, where
// visitors wait, on the other one: its workers are there, too.
func TestWorkersWithOneVersionAtATime(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	commit := func(worker string) string { return w.Commit(map[string]string{"ticker.sh": worker}) }
	with := inPlace(map[string]string{"processes": "ticker: bash ticker.sh"})
	w.Deploy(commit(ticker), with)
	w.UnderPatientLoad(lightLoad)
	live := w.Deploy(commit(ticker), with).Outputs["release"]
	wants(w, "a replacement", live+" ticker", "shop.process@8081-ticker.service")
	bad := w.Run(w.Job(commit("echo out of luck; exit 0\n"), withMore(with, "watch-for", "20s")))
	world.Failed(t, bad, "restored", "workers: the process ticker, one of those beside the web process, did not stay "+
		"up: it exited with status 0", "| out of luck", "site: restored; "+live+" on port 8081 serves")
	wants(w, "bad workers", live+" ticker", "shop.process@8081-ticker.service")
	bad = w.Run(w.Job(w.Commit(map[string]string{"ticker.sh": ticker, "BROKEN": "exit-at-boot"}), with))
	world.Failed(t, bad, "restored", "replace: ", "site: restored; "+live+" on port 8080 serves")
	wants(w, "a bad version", live+" ticker", "shop.process@8080-ticker.service")
	live = w.Deploy(commit(ticker), with).Outputs["release"]
	wants(w, "the next one", live+" ticker", "shop.process@8081-ticker.service")
	w.EndLoad()
}

var lightLoad = load.Mix{Get: 16, Post: 4, Slow: 2, Upload: 2}
