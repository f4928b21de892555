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
