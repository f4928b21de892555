package state

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
)

// Past is a deployment as the host tells it: in a line of its history, and in the mark of a release
// that was put live.
type Past struct {
	Time     time.Time `json:"time"`
	Outcome  string    `json:"outcome,omitempty"`
	Release  string    `json:"release"`
	Actor    string    `json:"actor"`
	Run      string    `json:"run"`
	RunID    string    `json:"run-id"`
	RunNo    string    `json:"run-number"`
	Workflow string    `json:"workflow"`
	Back     string    `json:"rollback-attempt,omitempty"` // of the run, where that is a rollback
	Millis   int64     `json:"duration-ms,omitempty"`
}

// ReadPast returns nothing of a line that is not ours to read, and no more of a field than a person
// would.
func ReadPast(line string) Past {
	var p Past
	if json.Unmarshal([]byte(line), &p) != nil {
		return Past{}
	}
	for _, field := range []*string{&p.Outcome, &p.Release, &p.Actor, &p.Run, &p.RunID, &p.RunNo, &p.Workflow, &p.Back} {
		*field = CutText(*field, maxPast)
	}
	return p
}

// maxPast is what is kept of a field of the history, in bytes; the longest is the address of a run.
const maxPast = 300

// CutText cuts a text to so many bytes, before a word where there are several: in a part of one nobody
// would know a part of a secret. What is cut shows as an ellipsis besides.
func CutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = text[:most]
	if at := strings.LastIndexAny(text, " \t\n\"<>"); at > 0 {
		text = text[:at]
	}
	return strings.ToValidUTF8(text, "") + "…"
}

// NewerThan reports whether a deployment's run was begun after another: by the id and, within one
// workflow, by the number too, which begins anew when its file gets another name.
func (p Past) NewerThan(run inputs.Run) bool {
	return greater(p.RunID, run.ID) && (p.Workflow != run.Workflow || greater(p.RunNo, run.Number))
}

// WentBack reports whether it is the rollback of an earlier attempt of the run.
func (p Past) WentBack(run inputs.Run) bool { return p.RunID == run.ID && greater(run.Attempt, p.Back) }

func greater(a, b string) bool {
	m, err := strconv.ParseUint(a, 10, 64)
	n, err2 := strconv.ParseUint(b, 10, 64)
	return err == nil && err2 == nil && m > n
}

// OrderError is a newer run's deployment that an older run would undo.
type OrderError struct{ Last Past }

func (e *OrderError) Error() string {
	return fmt.Sprintf("a newer run has been here: run %s of %q by %s put %s live at %s (%s)",
		e.Last.RunNo, e.Last.Workflow, e.Last.Actor, e.Last.Release,
		e.Last.Time.UTC().Format(time.DateTime), e.Last.Run)
}
