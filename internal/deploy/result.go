package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) success() outcome.Outcome {
	if d.in.DryRun {
		return outcome.Unchanged
	}
	for _, h := range d.staying() {
		if h.changed && d.op.success == outcome.SetUp || !h.unchanged && d.op.success != outcome.SetUp {
			return d.op.success
		}
	}
	return outcome.Unchanged
}

func (d *Deployment) result(how outcome.Outcome) *outcome.Result {
	r := &outcome.Result{
		Outcome: how, Duration: d.now().Sub(d.begin), Details: d.details, Operation: d.in.Operation,
		DryRun: d.in.DryRun,
		Server: d.in.Run.ServerURL, Begin: d.begin, Timeline: d.timeline,
		URL: siteURL(d.in, d.overTLS()), Actor: d.in.Run.Actor,
	}
	for _, h := range d.staying() {
		if h.gone {
			r.URL = ""
		}
		r.Hosts = append(r.Hosts, d.hostResult(h, how))
		if r.History == nil {
			r.History = h.history
		}
	}
	for _, h := range d.hosts {
		if h.left {
			r.Left = append(r.Left, outcome.HostResult{
				Host: h.Address.String(), InstanceID: h.Address.Alias, Outcome: outcome.Left,
			})
		}
	}
	for _, h := range d.skipped {
		r.Skipped = append(r.Skipped, h.Address.String())
	}
	return r
}

func (d *Deployment) hostResult(h *target, how outcome.Outcome) outcome.HostResult {
	if h.unchanged && d.op.live && !h.failed { // whatever became of the others
		how = outcome.Unchanged
	}
	r := outcome.HostResult{
		Host: h.Address.String(), InstanceID: h.Address.Alias, Outcome: how,
		Release: h.release, Commit: h.commit, Subject: h.subject, Reloaded: h.reloaded,
		Live: h.live.Milliseconds(), Boot: h.boot.Milliseconds(), Drained: h.drained.Milliseconds(),
		Cut: h.connections, WasDrained: h.wasDrained,
	}
	if len(h.commit) == 40 { // else it is the identity of the files that were sent
		r.CommitURL = d.in.ServerURL + "/" + d.in.Repository + "/commit/" + h.commit
	}
	if h.Active != nil {
		r.Serving = serving(h)
		r.ActivePort, r.PreviousPort, r.PreviousRelease = h.Active.Port, h.Active.Port, h.Active.Release
	}
	if r.Release == "" && (d.op.asks || d.op.success == outcome.Maintenance) {
		r.Release, r.PreviousRelease, r.PreviousPort = r.PreviousRelease, "", 0
		if h.Active != nil {
			r.Commit = h.Active.Commit
		}
	}
	if h.routed && len(d.hosts) > 1 && len(d.in.Batches) > 1 {
		r.Batch = d.batchOf(h) + 1
	}
	unsure := how == outcome.Failed && (h.taken || h.route == routeNew && h.undone != nil) || h.route == routeMaybe
	switch {
	case unsure:
		r.ActivePort, r.Serving = 0, servesOf(h, outcome.SiteUnknown)
	case h.route == routeNew:
		at := h.switchedAt.UTC()
		r.ActivePort, r.SwitchedAt = h.Idle.Port, &at
		r.Serving = fmt.Sprintf("%s on port %d serves", h.release, h.Idle.Port)
	case how == outcome.Failed && h.restored(): // and another one did not go back
		r.Outcome = outcome.Restored
	}
	if h.retired {
		r.Retired = h.Active.Version()
	}
	if h.gone {
		r.ActivePort, r.Serving = 0, ""
		return r
	}
	r.Maintenance = !h.closedSince.IsZero()
	if h.turning {
		r.Maintenance, r.Serving = false, pageUnknown
	}
	return r
}

// summaryHistory is how many deployments the summary lists.
const summaryHistory = 6

// recordSuccess writes the history line.
func (d *Deployment) recordSuccess(ctx context.Context, h *target) (string, error) {
	if err := d.record(ctx, h, d.op.success, ""); err != nil {
		return "", err
	}
	return "written to " + d.in.Path + "/deploys.jsonl", nil
}

// maxReason is what the history keeps of an error, in bytes; print_history takes a line of 4096,
// and JSON may need six for one.
const maxReason = 400

// record appends one line to the host's history: who, what, how it ended, how long it took.
func (d *Deployment) record(ctx context.Context, h *target, how outcome.Outcome, reason string) error {
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
		outcome.HostResult
	}{
		d.now().UTC().Truncate(time.Millisecond), d.in.Run.URL(), d.in.Run.ID, d.in.Run.Number, d.in.Run.Workflow,
		d.in.Run.Actor, d.in.Run.SHA,
		state.CutText(reason, maxReason), d.now().Sub(d.begin).Milliseconds(), d.hostResult(h, how),
	})
	if err != nil {
		return fmt.Errorf("encode history line: %w", err)
	}
	res, err := h.Exec(ctx, scripts.Record, scripts.Values{
		"line": string(line), "history": fmt.Sprint(summaryHistory), "gone_from": d.goneFrom(h),
	})
	if err != nil {
		return err
	}
	lines, err := state.ReadHistory(res)
	for _, line := range lines {
		h.history = append([]state.Past{state.ReadPast(line)}, h.history...)
	}
	return err
}
