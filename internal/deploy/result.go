package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// Outcome says in one word how a run ended; it is the action's output of that name.
type Outcome string

// The outcomes.
const (
	Deployed   Outcome = "deployed"
	RolledBack Outcome = "rolled-back" // as it was asked for
	SetUp      Outcome = "set-up"      // the host lacked something, and is ready now; nothing was deployed
	Unchanged  Outcome = "unchanged"   // the active release was this one already, or nothing was to be changed
	Restored   Outcome = "restored"    // failed after the switch; the old version serves again
	Failed     Outcome = "failed"
)

// Result is what a run leaves behind for the steps after it.
type Result struct {
	Outcome   Outcome
	Duration  time.Duration
	Hosts     []HostResult
	Details   string // Markdown
	Operation inputs.Operation
	DryRun    bool
	Server    string // whose links the summary may hold
	begin     time.Time
	timeline  []span
	history   []state.Past // of the first host, newest first
}

// HostResult is one host's part of it, as the output hosts gives it. Durations are milliseconds.
type HostResult struct {
	Host            string     `json:"host"`
	Outcome         Outcome    `json:"outcome"`
	Release         string     `json:"release"`
	Commit          string     `json:"commit"`
	CommitURL       string     `json:"commit-url,omitempty"` // its page
	PreviousRelease string     `json:"previous-release"`
	ActivePort      uint16     `json:"active-port"` // the slot that serves now, 0 when not known or none
	PreviousPort    uint16     `json:"previous-port"`
	SwitchedAt      *time.Time `json:"switched-at,omitempty"`
	Reloaded        bool       `json:"reloaded"` // the switch needed a reload of nginx
	Live            int64      `json:"live-ms"`  // from the run's start to the first answer proved through nginx
	Boot            int64      `json:"boot-ms"`  // the application's own part of that
	Drained         int64      `json:"drained-ms"`
	Cut             int        `json:"connections-cut"` // still open when the drain time-out was over
	serving         string     // what answers now, for people
	retired         string     // the version that was stopped
	wasDrained      bool       // and that its requests were waited for
}

func (d *Deployment) success() Outcome {
	if d.in.Operation == inputs.Status || d.in.Operation == inputs.Check || d.in.DryRun {
		return Unchanged
	}
	for _, h := range d.hosts {
		switch {
		case d.in.Operation == inputs.Setup && h.changed:
			return SetUp
		case d.in.Operation != inputs.Setup && !h.unchanged:
			return d.changed()
		}
	}
	return Unchanged
}

// changed is the outcome of a host that serves something else now.
func (d *Deployment) changed() Outcome {
	if d.in.Operation == inputs.Rollback {
		return RolledBack
	}
	return Deployed
}

func (d *Deployment) result(outcome Outcome) *Result {
	r := &Result{
		Outcome: outcome, Duration: d.now().Sub(d.begin), Details: d.details, Operation: d.in.Operation, DryRun: d.in.DryRun,
		Server: d.in.Run.ServerURL, begin: d.begin, timeline: d.timeline,
	}
	for _, h := range d.hosts {
		r.Hosts = append(r.Hosts, d.hostResult(h, outcome))
		if r.history == nil {
			r.history = h.history
		}
	}
	return r
}

func (d *Deployment) hostResult(h *host, outcome Outcome) HostResult {
	r := HostResult{
		Host: h.target.String(), Outcome: outcome, Release: h.release, Commit: h.commit, Reloaded: h.reloaded,
		Live: h.live.Milliseconds(), Boot: h.boot.Milliseconds(), Drained: h.drained.Milliseconds(), Cut: h.connections, wasDrained: h.wasDrained,
	}
	if len(h.commit) == 40 { // else it is the identity of the files that were sent
		r.CommitURL = d.in.ServerURL + "/" + d.in.Repository + "/commit/" + h.commit
	}
	if h.Active != nil {
		r.serving = serving(h)
		r.ActivePort, r.PreviousPort, r.PreviousRelease = h.Active.Port, h.Active.Port, h.Active.Release
	}
	if r.Release == "" && (d.in.Operation == inputs.Status || d.in.Operation == inputs.Check) {
		r.Release, r.PreviousRelease, r.PreviousPort = r.PreviousRelease, "", 0
		if h.Active != nil {
			r.Commit = h.Active.Commit
		}
	}
	if h.switched {
		at := h.switchedAt.UTC()
		r.ActivePort, r.SwitchedAt = h.Idle.Port, &at
		r.serving = fmt.Sprintf("%s on port %d serves", h.release, h.Idle.Port)
	}
	if h.unsure {
		r.ActivePort, r.serving = 0, "the flag on the host tells what serves"
	}
	if h.retired {
		r.retired = h.Active.Version()
	}
	return r
}

// summaryHistory is how many deployments the summary lists.
const summaryHistory = 6

// recordSuccess writes the history line.
func (d *Deployment) recordSuccess(ctx context.Context, h *host) (string, error) {
	outcome := d.changed()
	if h.unchanged {
		outcome = Unchanged
	}
	if err := d.record(ctx, h, outcome, ""); err != nil {
		return "", err
	}
	return "written to " + d.in.Path + "/deploys.jsonl", nil
}

// maxReason is what the history keeps of an error, in bytes; print_history takes a line of 4096,
// and JSON may need six for one.
const maxReason = 400

// record appends one line to the host's history: who, what, how it ended, how long it took.
func (d *Deployment) record(ctx context.Context, h *host, outcome Outcome, reason string) error {
	line, err := json.Marshal(struct {
		Time  time.Time `json:"time"`
		Run   string    `json:"run"`
		RunID string    `json:"run-id"`
		RunNo string    `json:"run-number"`
		Flow  string    `json:"workflow"`
		Actor string    `json:"actor"`
		SHA   string    `json:"sha"` // of the workflow; with source workspace the commit is the checkout's own identity
		Error string    `json:"error,omitempty"`
		Total int64     `json:"duration-ms"`
		HostResult
	}{
		d.now().UTC().Truncate(time.Millisecond), d.in.Run.URL(), d.in.Run.ID, d.in.Run.Number, d.in.Run.Workflow, d.in.Run.Actor, d.in.Run.SHA,
		state.CutText(reason, maxReason), d.now().Sub(d.begin).Milliseconds(), d.hostResult(h, outcome),
	})
	if err != nil {
		return fmt.Errorf("encode history line: %w", err)
	}
	res, err := d.exec(ctx, h, scripts.Record, scripts.Values{"line": string(line), "history": fmt.Sprint(summaryHistory)})
	if err != nil {
		return err
	}
	lines, err := state.ReadHistory(res)
	for _, line := range lines {
		h.history = append([]state.Past{state.ReadPast(line)}, h.history...)
	}
	return err
}
