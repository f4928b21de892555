package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// Whatever starts the workflow, the commit that people mean by it goes live. The server is none of
// GitHub's own, as with Enterprise Server.
func TestEventsDeployTheirCommit(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Warm()
	git := func(args ...string) string {
		t.Helper()
		out, err := w.Repo.Git(w.Ctx, "", args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	tagged := w.Commit(nil)
	git("tag", "-a", "-m", "a release", "v1.2.3", tagged)
	merge := w.Commit(nil) // on no branch, as GitHub keeps it
	git("update-ref", "refs/pull/7/merge", merge)
	git("update-ref", "refs/heads/main", tagged)
	chosen := w.Commit(nil)
	git("update-ref", "refs/heads/feature/x", chosen)
	tested, head := w.Commit(nil), w.Commit(nil)
	event := fmt.Sprintf(`{"workflow_run": {"head_sha": %q, "head_branch": "main", "event": "push", `+
		`"head_repository": {"full_name": %q}}}`, tested, w.Repo.Name())
	for _, tt := range []struct {
		name   string
		github lab.GitHub
		with   map[string]string
		want   string
	}{
		{"tag", lab.GitHub{EventName: "push", Ref: "refs/tags/v1.2.3", SHA: tagged}, nil, tagged},
		{"pull request", lab.GitHub{EventName: "pull_request", Ref: "refs/pull/7/merge", SHA: merge}, nil, merge},
		{
			"by hand",
			lab.GitHub{EventName: "workflow_dispatch", Ref: "refs/heads/main", SHA: head},
			map[string]string{"ref": "feature/x"},
			chosen,
		},
		{
			"after another workflow",
			lab.GitHub{EventName: "workflow_run", Ref: "refs/heads/main", SHA: head, Event: event},
			nil, tested,
		},
		{"push", lab.GitHub{EventName: "push", Ref: "refs/heads/main", SHA: head}, nil, head},
	} {
		t.Run(tt.name, func(t *testing.T) {
			job := w.Job("", tt.with)
			g := job.GitHub
			g.EventName, g.Ref, g.SHA, g.Event = tt.github.EventName, tt.github.Ref, tt.github.SHA, tt.github.Event
			job.GitHub = g
			result := w.Run(job)
			var hosts []struct {
				Commit string `json:"commit"`
				URL    string `json:"commit-url"`
			}
			if err := json.Unmarshal([]byte(result.Outputs["hosts"]), &hosts); err != nil || len(hosts) != 1 ||
				result.Failed() {
				t.Fatalf("outputs %v: %v\n%s", result.Outputs, err, result.Log())
			}
			if hosts[0].Commit != tt.want || hosts[0].URL != w.Git.URL()+"/"+w.Repo.Name()+"/commit/"+tt.want {
				t.Errorf("deployed %+v, want %s", hosts[0], tt.want)
			}
			// in the history, which the first one does not show
			run := "(" + w.Git.URL() + "/" + w.Repo.Name() + "/actions/runs/4711)"
			if !strings.Contains(result.Summary, "("+hosts[0].URL+")") || tt.name != "tag" &&
				!strings.Contains(result.Summary, run) {
				t.Errorf("summary:\n%s", result.Summary)
			}
			w.Serves(result.Outputs["release"])
		})
	}
}

// "Enable debug logging" shows what each script said and how long it took. It must not show more of
// what is secret.
func TestDebugLogging(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Warm()
	job := w.Job(w.Commit(map[string]string{"BROKEN": "exit-at-boot"}),
		map[string]string{"env": "PASSWORD=correct horse battery\nPORT_HINT=1"})
	job.Debug = true
	result := w.Run(job)
	world.Failed(t, result, "failed", "exited with status 3")
	if first := result.Outside(); len(first) == 0 || !strings.HasPrefix(first[0], "deploy-action ") {
		t.Errorf("the log does not begin with the version: %.80q", first)
	}
	said := map[string]bool{}
	for _, c := range result.Commands("debug") {
		for _, script := range []string{"check", "port", "fetch", "build", "start", "health", "stop"} {
			if strings.Contains(c.Data, ": "+script+".sh took ") {
				said[script] = true
			}
		}
	}
	if len(said) != 7 {
		t.Errorf("debug messages tell of %v", said)
	}
	for _, line := range result.Lines {
		if line.Command != nil && line.Command.Name == "add-mask" {
			continue
		}
		for _, secret := range append(strings.Split(strings.TrimSpace(world.Shared.Key.Private), "\n")[1:2],
			w.Git.Token(), "correct horse battery") {
			if strings.Contains(line.Text, secret) {
				t.Errorf("the log has %q: %s", secret, line.Text)
			}
		}
	}
}
