package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// host is one server and what the run has learnt about it. Only its own step at a time writes to it.
type host struct {
	target remote.Host
	link
	app       scripts.App
	systemd   bool
	recipeKey string // by which this host tells recipes; empty before its first deployment
	memoryMB  int    // free; 0 where nobody has asked
	warned    []string
	coming    string        // packages that are missing, and that a deployment would install
	seen      [2]state.Slot // as detection found them
	answer    *answer       // of the site, the last time that it was asked
	state.Position

	commit, release string
	assets          []asset
	unchanged       bool
	served          bool   // the release that a rollback has chosen was live before
	ailing          bool   // the active release is the one that was asked for, and not healthy
	pid, starttime  string // of the new process
	logOffset       string

	open        bool   // others on the host may read the deploy root
	changed     bool   // something was installed or written in setting up
	reloaded    bool   // this deployment made nginx reload
	undoing     bool   // what was done is being taken back
	routed      bool   // requests may have gone to the new slot
	unsure      bool   // nor is it known whether they still do
	switched    bool   // requests go to the new slot
	tried       uint16 // the port of a replacement; it is the active one when the old version was started again there
	resumed     bool   // a replacement was taken back: the release of before was started again
	restored    bool   // they went there, and go to the old one again
	switchedAt  time.Time
	live        time.Duration // from the run's start to the first proved answer through nginx
	boot        time.Duration // the application's own share of it
	wasDrained  bool          // the old version, and how that went:
	drained     time.Duration
	connections int // open ones that the drain time-out ended
	retired     bool
	history     []state.Past // newest first, this run's own line among them
}

func (h *host) activePort() string {
	if h.Active == nil {
		return ""
	}
	return fmt.Sprint(h.Active.Port)
}

func (h *host) idlePort() string { return fmt.Sprint(h.Idle.Port) }

// exec runs a verb with the values that all verbs take, streams its words, and turns the host's no into a HostError that carries them.
func (d *Deployment) exec(ctx context.Context, h *host, verb scripts.Verb, values scripts.Values) (*scripts.Results, error) {
	var results scripts.Results
	return &results, d.execInto(ctx, h, &results, verb, values)
}

// execInto is exec for who has to see results as they come.
func (d *Deployment) execInto(ctx context.Context, h *host, results *scripts.Results, verb scripts.Verb, values scripts.Values) error {
	words := d.rep.Remote(h.target.Name)
	var last tail
	began := d.now()
	err := h.shell.Run(ctx, verb, d.values(h, values), results, io.MultiWriter(words, &last))
	_ = words.Close()
	// What went to the host may be secret, and is not said.
	d.rep.Debug(fmt.Sprintf("%s: %s.sh took %s, said %s", h.target, verb, d.now().Sub(began).Round(time.Millisecond), cmp.Or(results.String(), "nothing")))
	if err == nil {
		err = results.Err()
	}
	return last.explain(verb, err)
}

func (d *Deployment) values(h *host, own scripts.Values) scripts.Values {
	all := scripts.Values{
		"app": d.in.App, "path": d.in.Path, "lock_token": fmt.Sprintf("%s-%d", d.token, h.dials), "step_id": h.stepID(),
		"undo":          scripts.Yes(h.undoing),
		"ports":         fmt.Sprintf("%d %d", d.in.Ports[0], d.in.Ports[1]),
		"keep_releases": strconv.Itoa(d.in.KeepReleases), "keep": h.keep(),
		"any_host":    d.anyHost(),
		"health_path": d.in.Health.Path, "health_status": strconv.Itoa(d.in.Health.Status), "health_body": d.in.Health.Body,
	}
	for key, value := range own {
		all[key] = value
	}
	return all
}

// keep names the releases that stay on the host in any case.
func (h *host) keep() string {
	keep := h.release
	if h.Active != nil {
		keep += " " + h.Active.Release
	}
	return keep
}

// tail keeps the end of what a script said, for its error.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailBytes; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

// explain gives an exit status the script's own last line as its reason and the lines before it as evidence.
func (t *tail) explain(verb scripts.Verb, err error) error {
	var exit *remote.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(t.text), "\r", "\n")), "\n")
	if len(lines) > evidenceLines {
		lines = lines[len(lines)-evidenceLines:]
	}
	reason := lines[len(lines)-1]
	if reason == "" {
		reason = exit.Error()
	}
	return &HostError{Verb: verb, Code: exit.Code, Reason: reason, Evidence: lines[:len(lines)-1], err: err}
}

// evidenceLines is as much as a person reads before opening the log.
const evidenceLines = 30
