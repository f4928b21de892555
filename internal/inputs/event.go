package inputs

import (
	"encoding/json"
	"os"
	"strings"
)

// commitOf returns the commit that a run is for: GITHUB_SHA, which is the pushed one, the one that
// a tag points to, the merge of a pull request, or the head of the branch that a run was started
// for by hand.
//
// Of workflow_run it is none of these but the head of the default branch as it is by now, while
// people mean the commit that the other workflow has just been through. That one is taken when that
// run was for this branch of this repository. The run of a pull request may be for anybody's
// commit, which a run with secrets must not deploy. GitHub tells the name of the branch and not
// whether it is one: it may be that of a tag, so that the host has to find the commit on branch.
func commitOf(run Run, ref, eventFile string) (commit, branch string) {
	if run.Event != "workflow_run" {
		return run.SHA, ""
	}
	var event struct {
		Run struct {
			SHA        string `json:"head_sha"`
			Branch     string `json:"head_branch"`
			Event      string `json:"event"`
			Repository struct {
				Name string `json:"full_name"`
			} `json:"head_repository"`
		} `json:"workflow_run"`
	}
	text, err := os.ReadFile(eventFile)
	if err != nil || json.Unmarshal(text, &event) != nil {
		return run.SHA, ""
	}
	other := event.Run
	if strings.HasPrefix(other.Event, "pull_request") || !strings.EqualFold(other.Repository.Name, run.Repository) ||
		"refs/heads/"+other.Branch != ref || !objectID.MatchString(other.SHA) {
		return run.SHA, ""
	}
	return strings.ToLower(other.SHA), other.Branch
}

// subjectOf returns the first line of the commit's message, where the event's payload has it: that of
// a push, of a run after one, and of a pull request, whose merge nobody has written a message for.
func subjectOf(run Run, eventFile string) string {
	type message struct{ ID, Message string }
	var event struct {
		Head message `json:"head_commit"`
		Run  struct {
			Head message `json:"head_commit"`
		} `json:"workflow_run"`
		PullRequest struct {
			Title string `json:"title"`
		} `json:"pull_request"`
	}
	text, err := os.ReadFile(eventFile)
	if err != nil || json.Unmarshal(text, &event) != nil {
		return ""
	}
	said := ""
	switch {
	case run.Commit == "":
	case event.Head.ID == run.Commit:
		said = event.Head.Message
	case event.Run.Head.ID == run.Commit:
		said = event.Run.Head.Message
	case run.Event == "pull_request": // else GITHUB_SHA is another one than its merge
		said = event.PullRequest.Title
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	return strings.TrimSpace(line)
}
