package inputs

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

const (
	defaultServerURL = "https://github.com"
	theCommit        = "the workflow's commit" // no expression of GitHub's
)

// Run is the workflow run that deploys, as the runner describes it in GITHUB_* variables. It is
// what a host's history says of a deployment, so nothing in it holds control characters.
type Run struct {
	ID         string
	Number     string
	Attempt    string
	Actor      string // who started this attempt
	Event      string // such as push, workflow_dispatch
	Workflow   string
	ServerURL  string // without a slash at the end
	Repository string // owner/name
	SHA        string
	Commit     string // what it is for, which is not always SHA: see commitOf
	Subject    string // the first line of its message, as far as the event tells it; of anybody's writing
	Branch     string // on which Commit must be, where only its name was said; empty otherwise
}

// parseRun reads the variables; the error is about the server's URL, which a host is going to fetch
// from.
func parseRun(getenv func(string) string) (Run, error) {
	value := func(name string) string {
		return strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return -1
			}
			return r
		}, strings.ToValidUTF8(getenv("GITHUB_"+name), "\ufffd")))
	}
	run := Run{
		ID:         value("RUN_ID"),
		Number:     value("RUN_NUMBER"),
		Attempt:    value("RUN_ATTEMPT"),
		Actor:      value("TRIGGERING_ACTOR"), // on a re-run somebody else than ACTOR
		Event:      value("EVENT_NAME"),
		Workflow:   value("WORKFLOW"),
		ServerURL:  strings.TrimRight(value("SERVER_URL"), "/"),
		Repository: value("REPOSITORY"),
		SHA:        value("SHA"),
	}
	run.Commit, run.Branch = commitOf(run, value("REF"), getenv("GITHUB_EVENT_PATH"))
	run.Subject = subjectOf(run, getenv("GITHUB_EVENT_PATH"))
	if run.Actor == "" {
		run.Actor = value("ACTOR")
	}
	if run.ServerURL == "" {
		run.ServerURL = defaultServerURL
	}
	u, err := url.Parse(run.ServerURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "" {
		return run, fmt.Errorf("environment variable GITHUB_SERVER_URL: must be a URL such as %q %s", defaultServerURL,
			got(run.ServerURL))
	}
	return run, nil
}

// URL returns the page of the run and attempt, "" outside of a workflow.
func (r Run) URL() string {
	if r.ID == "" || r.Repository == "" {
		return ""
	}
	page := r.ServerURL + "/" + r.Repository + "/actions/runs/" + r.ID
	if r.Attempt != "" && r.Attempt != "1" {
		page += "/attempts/" + r.Attempt
	}
	return page
}

// context returns the value of an expression that action.yml has for a default, or that stands in
// for one. The runner fills the former in; this is for whoever empties the input or runs the action
// without a runner.
func (r Run) context(expression string) string {
	switch expression {
	case "github.repository":
		return r.Repository
	case theCommit:
		return r.Commit
	default: // github.token is in no variable
		return ""
	}
}
