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

// outcomes says what a run has come to, to people and to the hosts' history.
type outcomes struct {
	*run
	asking  *asking
	batches *batches
	pruning *pruning
	recipe  *recipe
	site    *site
}

func (o *outcomes) success() outcome.Outcome {
	if o.in.DryRun {
		return outcome.Unchanged
	}
	for _, h := range o.staying() {
		if h.changed && o.op.success == outcome.SetUp || !h.unchanged && o.op.success != outcome.SetUp {
			return o.op.success
		}
	}
	return outcome.Unchanged
}

func (o *outcomes) result(how outcome.Outcome) *outcome.Result {
	r := &outcome.Result{
		Outcome: how, Duration: o.now().Sub(o.begin), Details: o.details, Operation: o.in.Operation,
		DryRun: o.in.DryRun,
		Server: o.in.Run.ServerURL, Begin: o.begin, Timeline: o.timeline,
		URL: siteURL(o.in, o.site.overTLS()), Actor: o.in.Run.Actor,
	}
	for _, h := range o.staying() {
		if h.gone {
			r.URL = ""
		}
		r.Hosts = append(r.Hosts, o.hostResult(h, how))
		if r.History == nil {
			r.History = h.history
		}
	}
	for _, h := range o.hosts {
		if h.left {
			r.Left = append(r.Left, outcome.HostResult{
				Host: h.Address.String(), InstanceID: h.Address.Alias, Outcome: outcome.Left,
			})
		}
	}
	for _, h := range o.skipped {
		r.Skipped = append(r.Skipped, h.Address.String())
	}
	return r
}

func (o *outcomes) hostResult(h *target, how outcome.Outcome) outcome.HostResult {
	if h.unchanged && o.op.live && !h.failed { // whatever became of the others
		how = outcome.Unchanged
	}
	r := outcome.HostResult{
		Host: h.Address.String(), InstanceID: h.Address.Alias, Outcome: how,
		Release: h.release, Commit: h.commit, Subject: h.subject, Reloaded: h.reloaded,
		Live: h.live.Milliseconds(), Boot: h.boot.Milliseconds(), Drained: h.drained.Milliseconds(),
		Cut: h.connections, WasDrained: h.wasDrained,
	}
	if len(h.commit) == 40 { // else it is the identity of the files that were sent
		r.CommitURL = o.in.ServerURL + "/" + o.in.Repository + "/commit/" + h.commit
	}
	if h.Active != nil {
		r.Serving = serving(h)
		r.ActivePort, r.PreviousPort, r.PreviousRelease = h.Active.Port, h.Active.Port, h.Active.Release
	}
	if r.Release == "" && (o.op.asks || o.op.success == outcome.Maintenance) {
		r.Release, r.PreviousRelease, r.PreviousPort = r.PreviousRelease, "", 0
		if h.Active != nil {
			r.Commit = h.Active.Commit
		}
	}
	if h.routed && len(o.hosts) > 1 && len(o.in.Batches) > 1 {
		r.Batch = o.batches.batchOf(h) + 1
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
func (o *outcomes) recordSuccess(ctx context.Context, h *target) (string, error) {
	if err := o.record(ctx, h, o.op.success, ""); err != nil {
		return "", err
	}
	return "written to " + o.in.Path + "/deploys.jsonl", nil
}

// maxReason is what the history keeps of an error, in bytes; print_history takes a line of 4096,
// and JSON may need six for one.
const maxReason = 400

// record appends one line to the host's history: who, what, how it ended, how long it took.
func (o *outcomes) record(ctx context.Context, h *target, how outcome.Outcome, reason string) error {
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
		o.now().UTC().Truncate(time.Millisecond), o.in.Run.URL(), o.in.Run.ID, o.in.Run.Number, o.in.Run.Workflow,
		o.in.Run.Actor, o.in.Run.SHA,
		state.CutText(reason, maxReason), o.now().Sub(o.begin).Milliseconds(), o.hostResult(h, how),
	})
	if err != nil {
		return fmt.Errorf("encode history line: %w", err)
	}
	res, err := h.Exec(ctx, scripts.Record, scripts.Values{
		"line": string(line), "history": fmt.Sprint(summaryHistory), "gone_from": o.pruning.goneFrom(h),
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

// pageUnknown is said of a host that did not say what came of being asked for the page, or for its end.
const pageUnknown = "whether visitors get the maintenance page is not known"

// servesOf says what a host serves.
func servesOf(h *target, site outcome.Site) string {
	switch {
	case h.taken:
		return "it is in the hands of the other deployment"
	case h.left:
		return "it is not in service any more"
	case h.gone:
		return "visitors do not get it any more, and not all of it is deleted"
	case h.leaving:
		return "whether visitors still get it is not known"
	case h.turning:
		return pageUnknown
	case site == outcome.SiteUnknown || site == outcome.SiteSwitched:
		return "the flag on the host tells"
	}
	said := serving(h)
	if !h.closedSince.IsZero() {
		said += outcome.InMaintenance
	}
	if h.Active != nil && h.answer == nil {
		said += ", as far as is known: it could not be asked"
	}
	return said
}

func serving(h *target) string {
	if h.Active == nil {
		if h.Outside != nil {
			return "the version that was there (" + h.Outside.Who + ") serves"
		}
		if h.Idle.Port == 0 {
			return "nothing was touched"
		}
		return "there is no earlier release to serve"
	}
	if h.answer != nil {
		return h.answer.serving(h)
	}
	if h.Active.Listen != state.Ours {
		return fmt.Sprintf("nothing listened on its port %d when this run began, so it is down as it was",
			h.Active.Port)
	}
	if h.ailing {
		return fmt.Sprintf("%s on port %d serves; it did not answer the health check when this run began either",
			h.Active.Version(), h.Active.Port)
	}
	return fmt.Sprintf("%s on port %d serves", h.Active.Version(), h.Active.Port)
}
