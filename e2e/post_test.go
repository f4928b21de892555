package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// post runs the step's post stage, as the runner does whatever became of the job.
func (w *world) post(job lab.Job, main *lab.Result) *lab.Result {
	w.t.Helper()
	job.Stage, job.State = lab.StagePost, main.State
	result := w.run(job)
	if result.ExitCode != 0 {
		w.t.Errorf("the post step failed\n%s", result.Log())
	}
	return result
}

func TestThePostStepTidiesWhatAKilledRunLeft(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	first := w.deploy(w.commit(nil), nil)
	if log := w.post(w.job("main", nil), first).Log(); log != "" {
		t.Errorf("nothing was left to tidy, yet the post step says\n%s", log)
	}
	w.underLoad()
	live, port := first.Outputs["release"], "8080"
	for _, killed := range []struct {
		at      string
		with    map[string]string
		outcome string // as the history has it
	}{
		{"Waiting for the new version's health", nil, "failed"},
		{"Verifying through nginx", map[string]string{"watch-for": "30s"}, "failed"},
		{"Draining the old version", map[string]string{"drain-timeout": "30s"}, "deployed"},
	} {
		t.Run(killed.outcome+" "+killed.at, func(t *testing.T) {
			job := w.job(w.commit(nil), killed.with)
			main := w.killAt(killed.at, job)
			if killed.outcome == "deployed" {
				live, port = main.State["release"], map[string]string{"8080": "8081", "8081": "8080"}[port]
			}
			log := w.post(job, main)
			if !strings.Contains(log.Log(), live+" on port "+port+" serves") || !strings.Contains(log.Summary, "cut off") {
				t.Errorf("log:\n%s\nsummary:\n%s", log.Log(), log.Summary)
			}
			w.serves(live)
			w.oneFlag(port)
			if out := w.exec("systemctl list-units --plain --no-legend 'shop@*' | cut -d' ' -f1"); out != "shop@"+port+".service" {
				t.Errorf("running units: %s", out)
			}
			if out := w.exec("tail -n 1 /home/ubuntu/shop/deploys.jsonl"); !strings.Contains(out, `"outcome":"`+killed.outcome+`"`) || !strings.Contains(out, main.State["release"]) {
				t.Errorf("history: %s", out)
			}
			if again := w.post(job, main); again.ExitCode != 0 {
				t.Errorf("a second time:\n%s", again.Log())
			}
		})
	}
	next := w.deploy(w.commit(nil), nil)
	w.serves(next.Outputs["release"])
}

// A run that got its lock late does not put its commit live over that of a newer run.
func TestAnOlderRunIsRefused(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	old, current := w.commit(nil), w.commit(nil)
	newer := w.job(current, nil)
	newer.GitHub.RunID, newer.GitHub.RunNumber = "4712", "8"
	live := w.run(newer).Outputs
	if live["outcome"] != "deployed" {
		t.Fatalf("outputs %v", live)
	}
	failed(t, w.run(w.job(old, nil)), "failed", "order: a newer run has been here: run 8", live["release"], "site: unchanged", "allow-older")
	w.serves(live["release"])
	w.deploy(old, map[string]string{"allow-older": "true"})
}
