package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
)

// past is a deployment as the host tells it: in a line of its history, and in the mark of a release that was put live.
type past struct {
	Time     time.Time `json:"time"`
	Outcome  string    `json:"outcome,omitempty"`
	Release  string    `json:"release"`
	Actor    string    `json:"actor"`
	Run      string    `json:"run"`
	RunID    string    `json:"run-id"`
	RunNo    string    `json:"run-number"`
	Workflow string    `json:"workflow"`
	Millis   int64     `json:"duration-ms,omitempty"`
}

// by is this run, for the mark of the release that it puts live.
func (d *Deployment) by(h *host) string {
	run := d.in.Run
	line, err := json.Marshal(past{
		Time: d.now().UTC().Truncate(time.Second), Release: h.release, Actor: run.Actor, Run: run.URL(), RunID: run.ID, RunNo: run.Number, Workflow: run.Workflow,
	})
	if err != nil {
		panic(err) // a struct of strings and a time always encodes
	}
	return string(line)
}

// readPast returns nothing of a line that is not ours to read, and no more of a field than a person
// would.
func readPast(line string) past {
	var p past
	if json.Unmarshal([]byte(line), &p) != nil {
		return past{}
	}
	for _, field := range []*string{&p.Outcome, &p.Release, &p.Actor, &p.Run, &p.RunID, &p.RunNo, &p.Workflow} {
		*field = cutText(*field, maxPast)
	}
	return p
}

// maxPast is what is kept of a field of the history, in bytes; the longest is the address of a run.
const maxPast = 300

// cutText cuts a text to so many bytes.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// inOrder refuses to put an older commit live over a newer one: runs that wait for the lock get it in no order, and one whose runner hung
// may come late. GitHub gives runs ids that only grow, and numbers those of a workflow.
func (d *Deployment) inOrder(_ context.Context, h *host) (string, error) {
	if h.Active == nil {
		return "nothing was deployed before", nil
	}
	if newer(h.Active.By, d.in.Run) {
		return "", &OrderError{h.Active.By}
	}
	return fmt.Sprintf("%s was put live by run %s", cmp.Or(h.Active.Release, noRelease), cmp.Or(h.Active.By.RunNo, "-")), nil
}

// anyOrder: who starts a run by hand, or an old one again, means just that commit.
func (d *Deployment) anyOrder(*host) bool {
	run := d.in.Run
	return d.in.AllowOlder || d.in.Operation != inputs.Deploy || run.Event == "workflow_dispatch" || run.Attempt != "" && run.Attempt != "1"
}

// newer: by the id and, within one workflow, by the number too, which begins anew when its file gets another name.
func newer(p past, run inputs.Run) bool {
	return greater(p.RunID, run.ID) && (p.Workflow != run.Workflow || greater(p.RunNo, run.Number))
}

func greater(a, b string) bool {
	m, err := strconv.ParseUint(a, 10, 64)
	n, err2 := strconv.ParseUint(b, 10, 64)
	return err == nil && err2 == nil && m > n
}

// OrderError is a newer run's deployment that an older run would undo.
type OrderError struct{ last past }

func (e *OrderError) Error() string {
	return fmt.Sprintf("a newer run has been here: run %s of %q by %s put %s live at %s (%s)",
		e.last.RunNo, e.last.Workflow, e.last.Actor, e.last.Release, e.last.Time.UTC().Format(time.DateTime), e.last.Run)
}
