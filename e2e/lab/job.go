package lab

import (
	"cmp"
	"path"
	"strings"
)

// Stage is the part of an action that a container runs.
type Stage string

// The stages of a container action.
const (
	StageMain Stage = "main"
	StagePost Stage = "post"
)

// Job is one step `uses: clothesme/deploy-action` with all that GitHub puts around it.
type Job struct {
	With       map[string]string // inputs
	Env        map[string]string // the step's env, and what earlier steps put into GITHUB_ENV
	GitHub     GitHub
	Stage      Stage             // empty: main
	State      map[string]string // what main saved, for post: Result.State
	Entrypoint string            // empty: action.yml's for the stage
	// empty: the lab's, so that hosts are reached by address; a job without services has "bridge"
	Network string
	Debug   bool       // "Enable debug logging"
	OnLine  func(Line) // called for every line of the log as it comes, one at a time
}

// GitHub is the part of the github context that an action sees; empty fields get what GitHub would
// plausibly say.
type GitHub struct {
	Repository, SHA, Ref, ServerURL, Token      string
	RunID, RunNumber, RunAttempt                string
	Actor, TriggeringActor, Workflow, EventName string
	Event                                       string // the payload, JSON; empty: {}
}

func (g GitHub) withDefaults() GitHub {
	return GitHub{
		Repository:      cmp.Or(g.Repository, "clothesme/ai-server"),
		SHA:             cmp.Or(g.SHA, "1111111111111111111111111111111111111111"),
		Ref:             cmp.Or(g.Ref, "refs/heads/main"),
		ServerURL:       cmp.Or(g.ServerURL, "https://github.com"),
		Token:           cmp.Or(g.Token, "ghs_labToken"),
		RunID:           cmp.Or(g.RunID, "4242"),
		RunNumber:       cmp.Or(g.RunNumber, "42"),
		RunAttempt:      cmp.Or(g.RunAttempt, "1"),
		Actor:           cmp.Or(g.Actor, "octocat"),
		TriggeringActor: cmp.Or(g.TriggeringActor, g.Actor, "octocat"),
		Workflow:        cmp.Or(g.Workflow, "deploy"),
		EventName:       cmp.Or(g.EventName, "push"),
		Event:           cmp.Or(g.Event, "{}"),
	}
}

// env is the part of the context that the runner hands to actions (GitHubContext.cs: the token is
// not in it).
func (g GitHub) env() map[string]string {
	owner, _, _ := strings.Cut(g.Repository, "/")
	refType := "branch"
	if strings.HasPrefix(g.Ref, "refs/tags/") {
		refType = "tag"
	}
	api := g.ServerURL + "/api/v3" // GitHub Enterprise Server, which a git server in the lab is most like
	if g.ServerURL == "https://github.com" {
		api = "https://api.github.com"
	}
	return map[string]string{
		"GITHUB_ACTION":            "deploy",
		"GITHUB_ACTOR":             g.Actor,
		"GITHUB_API_URL":           api,
		"GITHUB_EVENT_NAME":        g.EventName,
		"GITHUB_JOB":               "deploy",
		"GITHUB_REF":               g.Ref,
		"GITHUB_REF_NAME":          g.refName(),
		"GITHUB_REF_TYPE":          refType,
		"GITHUB_REPOSITORY":        g.Repository,
		"GITHUB_REPOSITORY_OWNER":  owner,
		"GITHUB_RUN_ATTEMPT":       g.RunAttempt,
		"GITHUB_RUN_ID":            g.RunID,
		"GITHUB_RUN_NUMBER":        g.RunNumber,
		"GITHUB_SERVER_URL":        g.ServerURL,
		"GITHUB_SHA":               g.SHA,
		"GITHUB_TRIGGERING_ACTOR":  g.TriggeringActor,
		"GITHUB_WORKFLOW":          g.Workflow,
		"GITHUB_RETENTION_DAYS":    "90",
		"RUNNER_ENVIRONMENT":       "github-hosted",
		"RUNNER_NAME":              "lab",
		"RUNNER_OS":                "Linux",
		"RUNNER_TOOL_CACHE":        "/opt/hostedtoolcache",
		"ACTIONS_ORCHESTRATION_ID": g.RunID + ".deploy",
	}
}

func (g GitHub) refName() string {
	for _, kind := range []string{"refs/heads/", "refs/tags/", "refs/pull/"} {
		if name, ok := strings.CutPrefix(g.Ref, kind); ok {
			return name
		}
	}
	return g.Ref
}

// context is what ${{ github.… }} in a default may ask for.
func (g GitHub) context() map[string]string {
	return map[string]string{
		"github.actor":                 g.Actor,
		"github.event_name":            g.EventName,
		"github.ref":                   g.Ref,
		"github.ref_name":              g.refName(),
		"github.repository":            g.Repository,
		"github.event.repository.name": path.Base(g.Repository),
		"github.run_attempt":           g.RunAttempt,
		"github.run_id":                g.RunID,
		"github.run_number":            g.RunNumber,
		"github.server_url":            g.ServerURL,
		"github.sha":                   g.SHA,
		"github.token":                 g.Token,
		"github.triggering_actor":      g.TriggeringActor,
		"github.workflow":              g.Workflow,
		"github.workspace":             "/github/workspace",
	}
}
