package inputs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// Every event that starts workflows deploys the commit that people mean by it.
func TestTheCommitOfAnEvent(t *testing.T) {
	const head, tested = "2222222222222222222222222222222222222222", "1111111111111111111111111111111111111111"
	payload := func(event, branch, repository, sha string) string {
		return fmt.Sprintf(`{"action": "completed", "workflow_run": {"head_sha": %q, "head_branch": %q, "event": %q, `+
			`"conclusion": "success",
			"head_repository": {"full_name": %q}}}`, sha, branch, event, repository)
	}
	tests := []struct{ name, event, ref, payload, want string }{
		{"push", "push", "refs/heads/main", `{"after": "3333333333333333333333333333333333333333"}`, head},
		// an annotated tag's own id
		{"tag", "push", "refs/tags/v1.2.3", `{"after": "4444444444444444444444444444444444444444"}`, head},
		{
			"pull request", "pull_request", "refs/pull/7/merge",
			`{"pull_request": {"head": {"sha": "5555555555555555555555555555555555555555"}}}`, head,
		},
		{"by hand", "workflow_dispatch", "refs/heads/feature", `{"inputs": {"ref": "x"}}`, head},
		{"after a push", "workflow_run", "refs/heads/main", payload("push", "main", "o/r", tested), tested},
		{
			"after a run by hand", "workflow_run", "refs/heads/main",
			payload("workflow_dispatch", "main", "O/R", tested), tested,
		},
		{
			"after a pull request", "workflow_run", "refs/heads/main", payload("pull_request", "main", "o/r", tested),
			head,
		},
		{
			"after a fork's pull request, with the secrets of this one", "workflow_run", "refs/heads/main",
			payload("pull_request_target", "main", "o/r", tested), head,
		},
		{"after a run of a fork", "workflow_run", "refs/heads/main", payload("push", "main", "evil/r", tested), head},
		{
			"after a push to another branch", "workflow_run", "refs/heads/main",
			payload("push", "feature", "o/r", tested), head,
		},
		{"no commit", "workflow_run", "refs/heads/main", payload("push", "main", "o/r", "--upload-pack=x"), head},
		{"no payload", "workflow_run", "refs/heads/main", "", head},
		{"not JSON", "workflow_run", "refs/heads/main", "{", head},
	}
	key, _ := newKey(t, "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "event.json")
			if tt.payload != "" {
				if err := os.WriteFile(file, []byte(tt.payload), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			env := runner(key)
			maps.Copy(env, map[string]string{
				"GITHUB_EVENT_NAME": tt.event, "GITHUB_REF": tt.ref, "GITHUB_SHA": head, "GITHUB_REPOSITORY": "o/r",
				"GITHUB_EVENT_PATH": file,
			})
			inputs := map[string]string{"insecure-skip-host-key-check": "true"}
			in, err := Parse(with(env, inputs))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, in.Ref, tt.want)
			branch := "" // only the name of the branch is known where the commit is another run's
			if tt.want == tested {
				branch = "main"
			}
			equal(t, in.Run.Branch, branch)
			inputs["ref"] = head
			named, err := Parse(with(env, inputs))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, named.Ref, head) // who names a commit gets it
		})
	}
}

func TestTheSubjectOfAnEvent(t *testing.T) {
	const head, other = "2222222222222222222222222222222222222222", "1111111111111111111111111111111111111111"
	key, _ := newKey(t, "")
	for _, tt := range []struct{ name, event, payload, want string }{
		{
			"push", "push", `{"head_commit": {"id": "` + head + `", "message": "Fix the basket\n\nIt was empty."}}`,
			"Fix the basket",
		},
		{"push of another commit", "push", `{"head_commit": {"id": "` + other + `", "message": "x"}}`, ""},
		{"deleted branch", "push", `{"head_commit": null}`, ""},
		{"pull request", "pull_request", `{"pull_request": {"title": " Add a basket "}}`, "Add a basket"},
		{"its target, whose commit is another", "pull_request_target", `{"pull_request": {"title": "x"}}`, ""},
		{"by hand", "workflow_dispatch", `{"inputs": {}}`, ""},
		{
			"after a push", "workflow_run",
			`{"workflow_run": {"head_sha": "` + other + `", "head_branch": "main", "event": "push",
				"head_repository": {"full_name": "o/r"}, "head_commit": {"id": "` + other + `", "message": "Tested"}}}`, "Tested",
		},
		{"not JSON", "push", `{`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "event.json")
			if err := os.WriteFile(file, []byte(tt.payload), 0o600); err != nil {
				t.Fatal(err)
			}
			env := runner(key)
			maps.Copy(env, map[string]string{
				"GITHUB_EVENT_NAME": tt.event, "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": head,
				"GITHUB_REPOSITORY": "o/r", "GITHUB_EVENT_PATH": file,
			})
			in, err := Parse(with(env, map[string]string{"insecure-skip-host-key-check": "true"}))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, in.Run.Subject, tt.want)
		})
	}
}
