package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// phase groups steps by what a failure in them means.
type phase int

const (
	prepare phase = iota // the old version serves and nothing it needs was touched
	commit               // requests may go to the new version; all of it can be taken back
	retire               // the new version is proved; a failure is a warning
	ending               // of retire, and also done when the run was cancelled or its time is over
)

// String is the section of the summary's chart.
func (p phase) String() string {
	return [...]string{"prepare", outcome.SectionCommit, outcome.SectionRetire, outcome.SectionRetire}[p]
}

// proved tells whether the new version has proved itself: nothing is taken back any more.
func (p phase) proved() bool { return p >= retire }

// of puts steps into the phase.
func (p phase) of(steps []step) []step {
	for i := range steps {
		steps[i].phase = p
	}
	return steps
}

// step is one line of the deployment. It runs on all hosts at once, and the next starts when every
// host is through.
type step struct {
	phase phase
	name  string // one word, for outcomes and errors
	title string // a present participle, for the log
	each  func(context.Context, *target) (string, error)
	// undo takes back what each has done: it tolerates that this was nothing, half or all of its
	// work, and being called twice.
	undo   func(context.Context, *target) error
	unless func(*target) bool // there is nothing to do there
	within time.Duration      // that each may take, on each host
}

var errDeadline = errors.New("step time-out")

// do runs a step on the hosts that need it and returns what failed, joined; every host's undo
// stands on the stack before its run begins.
func (d *Deployment) do(ctx context.Context, s step) error {
	var todo []*target
	for _, h := range d.hosts {
		if s.unless == nil || !s.unless(h) {
			todo = append(todo, h)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	if s.undo != nil {
		d.undos = append(d.undos, undo{s, todo})
	}
	d.stepsBegun++
	group, began := d.rep.Step(s.title), d.now()
	lines, errs := make([]string, len(todo)), make([]error, len(todo))
	var wg sync.WaitGroup
	for i, h := range todo {
		wg.Go(func() { lines[i], errs[i] = d.on(ctx, h, s) })
	}
	wg.Wait()
	err := errors.Join(errs...)
	d.timeline = append(d.timeline, outcome.Span{
		Section: s.phase.String(), Name: s.name, Start: began, End: d.now(), Failed: err != nil,
	})
	if err != nil {
		group.Fail(s.name + ": " + outcome.Headline(errs))
		return err
	}
	group.Done(s.name + ": " + strings.Join(lines, "; "))
	return nil
}

// on runs a step on one host. When the connection is lost the step goes on over another one.
func (d *Deployment) on(ctx context.Context, h *target, s step) (line string, err error) {
	for {
		line, err = d.try(ctx, h, s)
		if ctx.Err() != nil || errors.Is(err, errDeadline) || !h.Disconnected(err) {
			return line, err
		}
		still := func(ctx context.Context) error { return d.notRestarted(ctx, h) }
		if err := h.Reconnect(ctx, err, d.patience, still); err != nil {
			return "", &outcome.StepError{Step: s.name, Host: h.Address, Err: err}
		}
	}
}

// try runs a step on one host, within its deadline; a panic is that host's failure, so that the
// others' and its own undo still run.
func (d *Deployment) try(ctx context.Context, h *target, s step) (line string, err error) {
	h.BeginStep(stepName(d.stepsBegun, s.name))
	ctx, cancel := context.WithTimeoutCause(ctx, s.within, fmt.Errorf("%w after %s", errDeadline, s.within))
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
		if err != nil && ctx.Err() != nil {
			err = &cutShort{context.Cause(ctx), err}
		}
		if err != nil {
			err = &outcome.StepError{Step: s.name, Host: h.Address, Err: err}
		} else if len(d.hosts) > 1 {
			line = h.Address.Name + " " + line
		}
	}()
	return s.each(ctx, h)
}

func stepName(n int, name string) string { return fmt.Sprintf("%d-%s", n, name) }

// ahead sends what the next step asks for along with what this one does. With several hosts nothing
// of a step is done before all are through with the one before it.
func (d *Deployment) ahead(h *target, next string, verb scripts.Verb, own scripts.Values) {
	if len(d.hosts) == 1 {
		h.Ahead(stepName(d.stepsBegun+1, next), verb, own)
	}
}

type undo struct {
	step  step
	hosts []*target
}

// takeBack runs the undo stack from the top. It uses a context of its own: the one that failed the
// run may be over.
func (d *Deployment) takeBack(ctx context.Context) error {
	limit := d.takesBack()
	if ctx.Err() != nil {
		limit = cancelBudget
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	for _, h := range d.hosts {
		h.undoing = true
	}
	var errs []error
	for len(d.undos) > 0 {
		u := d.undos[len(d.undos)-1]
		d.undos = d.undos[:len(d.undos)-1]
		d.stepsBegun++
		group, began := d.rep.Step("Taking back "+u.step.name), d.now()
		results := make([]error, len(u.hosts))
		var wg sync.WaitGroup
		for i, h := range u.hosts {
			wg.Go(func() {
				s := u.step
				s.within = limit
				s.each = func(ctx context.Context, h *target) (string, error) { return "", s.undo(ctx, h) }
				_, results[i] = d.on(ctx, h, s)
			})
		}
		wg.Wait()
		err := errors.Join(results...)
		d.timeline = append(d.timeline, outcome.Span{
			Section: "taking back", Name: u.step.name, Start: began, End: d.now(),
			Failed: err != nil,
		})
		if err != nil {
			group.Fail("taking back " + u.step.name + ": " + outcome.Headline(results))
			errs = append(errs, err)
			if host.Overtaken(err) {
				d.undos = nil // see fail
			}
			continue
		}
		group.Done(u.step.name + " taken back")
	}
	return errors.Join(errs...)
}

// takesBack is how long it may take to go back to what served before, by this run's strategy or by
// that of one that was cut off: both slots may have to be drained, and a version that was stopped
// has to boot again.
func (d *Deployment) takesBack() time.Duration {
	return 2*d.in.DrainTimeout + d.in.StopTimeout + d.in.Health.Timeout + time.Minute
}

// cancelBudget is how long undoing may take after a signal: the runner sends SIGINT, SIGTERM 7.5 s
// later, and SIGKILL 2.5 s after that (actions/runner ProcessInvoker.cs).
const cancelBudget = 6 * time.Second
