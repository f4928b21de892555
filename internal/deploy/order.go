package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
)

// order is this run's place among all runs.
type order struct{ *run }

// by is this run, for the mark of the release that it puts live. One that is started again stays
// where it is in the order of runs: a push that waits may still come after it.
func (o *order) by(h *target) string {
	if o.op.again {
		return ""
	}
	run := o.in.Run
	past := state.Past{
		Time: o.now().UTC().Truncate(time.Second), Release: h.release, Actor: run.Actor, Run: run.URL(), RunID: run.ID,
		RunNo: run.Number, Workflow: run.Workflow,
	}
	if o.in.Operation == inputs.Rollback {
		past.Back = run.Attempt
	}
	line, err := json.Marshal(past)
	if err != nil {
		panic(err) // a struct of strings and a time always encodes
	}
	return string(line)
}

// inOrder refuses to put an older commit live over a newer one: runs that wait for the lock get it
// in no order, and one whose runner hung may come late. GitHub gives runs ids that only grow, and
// numbers those of a workflow.
func (o *order) inOrder(_ context.Context, h *target) (string, error) {
	if h.Active == nil {
		return "nothing was deployed before", nil
	}
	if h.Active.By.NewerThan(o.in.Run) {
		return "", &state.OrderError{Last: h.Active.By}
	}
	if h.Active.By.RunNo == "" {
		return "no run of GitHub's put " + h.Active.Version() + " live, so any may follow", nil
	}
	return fmt.Sprintf("%s was put live by run %s", h.Active.Version(), h.Active.By.RunNo), nil
}

// anyOrder: who starts a run by hand, or an old one again, means just that commit.
func (o *order) anyOrder(*target) bool {
	run := o.in.Run
	return o.in.AllowOlder || o.in.RefLive || !o.op.makes ||
		run.Event == "workflow_dispatch" || run.Attempt != "" && run.Attempt != "1"
}
