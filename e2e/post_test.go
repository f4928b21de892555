package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// post runs the step's post stage, as the runner does whatever became of the job.
func post(w *world.World, job lab.Job, main *lab.Result) *lab.Result {
	w.T.Helper()
	job.Stage, job.State = lab.StagePost, main.State
	result := w.Run(job)
	if result.ExitCode != 0 {
		w.T.Errorf("the post step failed\n%s", result.Log())
	}
	return result
}

func TestThePostStepTidiesWhatAKilledRunLeft(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	first := w.Deploy(w.Commit(nil), nil)
	if log := post(w, w.Job("main", nil), first).Log(); log != "" {
		t.Errorf("nothing was left to tidy, yet the post step says\n%s", log)
	}
	w.UnderLoad()
	live, port := first.Outputs["release"], "8080"
	for _, killed := range []struct {
		at      string
		with    map[string]string
		outcome string // as the history has it
	}{
		{"Waiting for the new version's health", map[string]string{"start": "sleep 1000"}, "failed"},
		{"Verifying through nginx", map[string]string{"watch-for": "2m"}, "failed"},
		// A WebSocket lasts for all of it.
		{"Draining the old version", map[string]string{"drain-timeout": "30s"}, "deployed"},
	} {
		t.Run(killed.outcome+" "+killed.at, func(t *testing.T) {
			job := w.Job(w.Commit(nil), killed.with)
			main := killAt(w, killed.at, job)
			if killed.outcome == "deployed" {
				live, port = main.State["release"], map[string]string{"8080": "8081", "8081": "8080"}[port]
			}
			log := post(w, job, main)
			if !strings.Contains(log.Log(), live+" on port "+port+" serves") ||
				!strings.Contains(log.Summary, "cut off") {
				t.Errorf("log:\n%s\nsummary:\n%s", log.Log(), log.Summary)
			}
			w.Serves(live)
			w.OneFlag(port)
			if out := w.Exec("systemctl list-units --plain --no-legend 'shop@*' | " +
				"cut -d' ' -f1"); out != "shop@"+port+".service" {
				t.Errorf("running units: %s", out)
			}
			if out := w.Exec("tail -n 1 /home/ubuntu/shop/deploys.jsonl"); !strings.Contains(out,
				`"outcome":"`+killed.outcome+`"`) || !strings.Contains(out, main.State["release"]) {
				t.Errorf("history: %s", out)
			}
			if again := post(w, job, main); again.ExitCode != 0 {
				t.Errorf("a second time:\n%s", again.Log())
			}
		})
	}
	next := w.Deploy(w.Commit(nil), nil)
	w.Serves(next.Outputs["release"])
}

// Limits that a deployment writes into the site go with its release, when the run is killed before
// that has proved itself: at once by the post step, or else by the next run. Nobody loads the site
// meanwhile: each change of it is a reload, with which nginx ends connections that nobody uses.
func TestTheSiteOfAKilledRunGoesWithItsRelease(t *testing.T) {
	for _, strategy := range []struct {
		name string
		with map[string]string
	}{{"blue-green", nil}, {"in-place", inPlace(nil)}} {
		t.Run(strategy.name, func(t *testing.T) {
			w := world.New(t, lab.HostOptions{})
			good := w.Deploy(w.Commit(nil), strategy.with).Outputs["release"]
			first := good
			const files = "cat /etc/nginx/conf.d/shop.conf /var/lib/deploy-action/shop/site.conf; " +
				"grep -v '^set ' /etc/nginx/conf.d/service-url.inc"
			before := w.Exec(files)
			asBefore := func(when string) {
				t.Helper()
				if after := w.Exec(files); after != before {
					t.Errorf("%s: the site is\n%s\nwant\n%s", when, after, before)
				}
				// 2 MB are more than it would take now, whatever the application says to them
				w.Exec("head -c 2000000 /dev/zero | timeout 20 bash -c 'while [ $(curl -so /dev/null -w %{http_code} " +
					"--data-binary @- http://127.0.0.1/health) = 413 ]; do exit 1; done'")
				w.Exec("test ! -e /home/ubuntu/shop/slots/site.trial; test -z \"$(ls /var/lib/deploy-action/shop/nginx | " +
					"grep -v '" + first + "')\"")
				w.Serves(good)
			}
			small := merged(strategy.with, map[string]string{"max-body-size": "1m", "watch-for": "2m"})
			const back = "the nginx site of before is back"

			job := w.Job(w.Commit(nil), small)
			world.Says(t, post(w, job, killAt(w, "Verifying through nginx", job)), back)
			asBefore("after the post step")

			// The next run finds the site in its way, and has one to go back to all the same.
			killAt(w, "Verifying through nginx", job)
			bad := merged(small, map[string]string{"watch-for": "20s"})
			broken := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "bad-after=1"}), bad))
			world.Failed(t, broken, "restored", "site: restored", good)
			world.Says(t, broken, back)
			asBefore("after a run that failed")

			if strategy.with == nil {
				w.Must(w.Host.MakePlaces(w.Ctx))
				w.Must(w.Host.Arm(w.Ctx, lab.Place{Verb: "switch"}))
				running, err := w.Runner.Start(w.Ctx, job)
				w.Must(err)
				w.Must(w.Host.WaitHeld(w.Ctx))
				w.Must(running.Kill(w.Ctx))
				main, err := running.Wait()
				w.Must(err)
				w.Must(w.Host.Release(w.Ctx))
				world.Says(t, post(w, job, main), back)
				asBefore("after a run that had not switched")
			}

			killAt(w, "Verifying through nginx", job)
			next := w.Deploy(w.Commit(nil), strategy.with)
			good = next.Outputs["release"]
			world.Says(t, next, back)
			asBefore("after the next deployment")

			// What has proved itself keeps its site, whatever becomes of the run.
			proved := w.Job(w.Commit(nil), merged(small, map[string]string{
				"watch-for": "1s", "after-switch": "echo reached; sleep infinity",
			}))
			main := killAt(w, "│ reached", proved)
			if log := post(w, proved, main).Log(); strings.Contains(log, back) {
				t.Errorf("the site of a proved release was taken back:\n%s", log)
			}
			w.Serves(main.State["release"])
			w.Exec("grep -q 'client_max_body_size 1m' /etc/nginx/conf.d/shop.conf")
		})
	}
}

// A run that got its lock late does not put its commit live over that of a newer run.
func TestAnOlderRunIsRefused(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Warm()
	old, current := w.Commit(nil), w.Commit(nil)
	newer := w.Job(current, nil)
	newer.GitHub.RunID, newer.GitHub.RunNumber = "4712", "8"
	live := w.Run(newer).Outputs
	if live["outcome"] != "deployed" {
		t.Fatalf("outputs %v", live)
	}
	world.Failed(t, w.Run(w.Job(old, nil)), "failed", "order: a newer run has been here: run 8", live["release"],
		"site: unchanged", "allow-older")
	w.Serves(live["release"])
	w.Deploy(old, map[string]string{"allow-older": "true"})
}
