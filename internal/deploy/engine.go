package deploy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/remote"
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
	no    int    // in the run's list: by it and the name the host knows what was done
	name  string // one word, for outcomes and errors
	title string // a present participle, for the log
	each  func(context.Context, *target) (string, error)
	once  func(context.Context) (string, error) // in place of each: what no host is asked for
	// undo takes back what each has done: it tolerates that this was nothing, half or all of its
	// work, and being called twice.
	undo       func(context.Context, *target) error
	undoAtOnce bool               // on the hosts of all batches
	named      bool               // the log's title names the hosts
	unless     func(*target) bool // there is nothing to do there
	final      bool               // it is not begun a second time when the connection is lost
	again      bool               // it is the one of its name before it once more, for hosts where that came to nothing
	// asks tells what each asks the host for, where that is known before it begins; nil where it is not.
	// before is how the host keeps the results of what is asked right before it.
	asks   func(h *target, before string) *upcoming
	within time.Duration // that each may take, on each host
}

// engine takes hosts through steps, in their order, and takes back what was done. It knows nothing
// of what they do.
type engine struct {
	hosts    []*target
	rep      *report.Report
	now      func() time.Time
	undos    []undo
	timeline []outcome.Span // what ran when, for the summary
	last     int            // the highest number of a step or an undo
	first    *target        // of those that the step under way is for
	toUndo   time.Duration  // that taking everything back may take
	notice   *notice        // that the run is to end
	patience time.Duration  // to make a lost connection anew
	together bool           // hosts stand or fall together
	rest     []step         // after the one under way
	coming   []step         // those of them that are needed
	leaving  []*target      // in the step under way
	// same fails where a host that answers again is not as it was.
	same func(context.Context, *target) error
	// goes tells of a host that does not answer whether it is on its way out; nil where nobody knows.
	goes func(context.Context, *target) bool
	// spares returns why a step can't do without a host that goes, and nil where it can.
	spares   func(step, *target) error
	goesPoll time.Duration // between two questions
}

// each runs a step on hosts at once. Where a release goes live they stand or fall together: before
// the commit point the first that fails ends it on the others, since what they would come to does
// not matter any more.
func (e *engine) each(ctx context.Context, s step, todo []*target, lines []string, errs []error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex // one host leaves at a time
	for i, h := range todo {
		wg.Go(func() {
			lines[i], errs[i] = e.on(ctx, h, s)
			if errors.Is(errs[i], errLeft) {
				mu.Lock()
				errs[i] = e.letGo(s, h, errs[i])
				mu.Unlock()
				lines[i] = "left"
			}
			if errs[i] != nil && e.together && !s.phase.proved() {
				cancel(&otherFailed{h.Address})
			}
		})
	}
	wg.Wait()
	e.settleLeft()
	for i, h := range todo {
		h.taken = host.Overtaken(errs[i])
		h.lost = s.phase.proved() && errors.Is(errs[i], host.ErrGone)
	}
	var other *otherFailed
	if !errors.As(context.Cause(ctx), &other) {
		return
	}
	for i, h := range todo {
		var also *otherFailed
		if h.Address != other.host && errors.As(errs[i], &also) {
			errs[i] = nil // not of its own
		}
	}
}

// otherFailed is why a step was ended on a host.
type otherFailed struct{ host remote.Host }

func (e *otherFailed) Error() string { return e.host.String() + " failed first" }

// letGo has a host leave the run that is on its way out, where the step can do without it. The others
// read who has left, so that it is not written down before all are through: see settleLeft.
func (e *engine) letGo(s step, h *target, cause error) error {
	if err := e.spares(s, h); err != nil {
		return &outcome.StepError{Step: s.name, Host: h.Address, Err: fmt.Errorf("%w: %w", cause, err)}
	}
	e.leaving = append(e.leaving, h)
	return nil
}

func (e *engine) settleLeft() {
	for _, h := range e.leaving {
		h.left = true
	}
	e.leaving = nil
}

// present are the hosts that are still this run's. One that another run has taken over is that
// run's: nothing on it is touched any more. One that is lost was waited for long enough, and one that
// has left is nobody's any more.
func (e *engine) present() []*target {
	return slices.DeleteFunc(slices.Clone(e.hosts), func(h *target) bool { return h.taken || h.lost || h.left })
}

// toDo are the hosts that need a step.
func (e *engine) toDo(s step) []*target {
	return slices.DeleteFunc(e.present(), func(h *target) bool { return s.unless != nil && s.unless(h) })
}

var errDeadline = errors.New("step time-out")

// do runs a step on the hosts that need it and returns what failed, joined; every host's undo
// stands on the stack before its run begins.
func (e *engine) do(ctx context.Context, s step) error {
	todo := e.toDo(s)
	if len(todo) == 0 {
		return nil
	}
	if s.undo != nil {
		e.push(undo{s, todo})
	}
	e.first = todo[0]
	title := s.title
	if s.named {
		title += " on " + namesOf(todo)
	}
	group, began := e.rep.Step(title), e.now()
	lines, errs := make([]string, len(todo)), make([]error, len(todo))
	if s.once != nil {
		lines, errs = lines[:1], errs[:1]
		lines[0], errs[0] = within(ctx, s, remote.Host{}, s.once)
	} else {
		e.each(ctx, s, todo, lines, errs)
	}
	err := errors.Join(errs...)
	e.timeline = append(e.timeline, outcome.Span{
		Section: s.phase.String(), Name: s.name, Start: began, End: e.now(), Failed: err != nil,
	})
	if err != nil {
		group.Fail(s.name + ": " + outcome.Headline(errs))
		return err
	}
	group.Done(s.name + ": " + sayOf(todo, lines))
	return nil
}

// number gives steps their numbers.
func (e *engine) number(steps []step) {
	for i := range steps {
		e.last++
		steps[i].no = e.last
	}
}

// lookAhead sets what comes after a step: the rest, and of that, up to the commit point, what some
// host needs by what is known now.
func (e *engine) lookAhead(rest []step) {
	e.rest, e.coming = rest, nil
	for _, s := range rest {
		if s.phase != prepare {
			break
		}
		if !s.again && len(e.toDo(s)) > 0 {
			e.coming = append(e.coming, s)
		}
	}
}

// push puts an undo on the stack, or its hosts to those of the same one.
func (e *engine) push(u undo) {
	if top := len(e.undos) - 1; u.step.undoAtOnce && top >= 0 && e.undos[top].step.name == u.step.name {
		e.undos[top].hosts = append(e.undos[top].hosts, u.hosts...)
		return
	}
	e.undos = append(e.undos, u)
}

// sayOf puts together what hosts have to say: what several say alike once.
func sayOf(hosts []*target, lines []string) string {
	if len(lines) == 1 {
		return lines[0]
	}
	var said []string
	by := map[string][]*target{}
	for i, line := range lines {
		if by[line] == nil {
			said = append(said, line)
		}
		by[line] = append(by[line], hosts[i])
	}
	if len(said) == 1 {
		return said[0]
	}
	if len(hosts) > fewHosts {
		return fewOf(said, by)
	}
	for i, line := range said {
		said[i] = namesOf(by[line]) + ": " + line
	}
	return strings.Join(said, "; ")
}

// fewHosts are as many as are told of one by one.
const fewHosts = 4

// fewOf is sayOf for many hosts: what most say stands first, and what differs from it in nothing but
// numbers is not said again.
func fewOf(said []string, by map[string][]*target) string {
	var kinds []string // by what they say apart from numbers
	first, how := map[string]string{}, map[string]int{}
	hosts := 0
	for _, line := range said {
		kind := numbers.ReplaceAllString(line, "0")
		if how[kind] == 0 {
			kinds, first[kind] = append(kinds, kind), line
		}
		how[kind] += len(by[line])
		hosts += len(by[line])
	}
	slices.SortStableFunc(kinds, func(a, b string) int { return how[b] - how[a] })
	var lines []string
	for _, kind := range kinds[:min(len(kinds), mostKinds)] {
		line := first[kind]
		who := namesOf(by[line])
		if n := how[kind] - len(by[line]); n > 0 {
			who += fmt.Sprintf(" (and %d more, but for numbers)", n)
		}
		hosts -= how[kind]
		lines = append(lines, who+": "+state.CutText(line, maxSaid))
	}
	if hosts > 0 {
		lines = append(lines, fmt.Sprintf("and of %d more hosts each something else", hosts))
	}
	return strings.Join(lines, "; ")
}

// What a line tells of many hosts: so many kinds of words, and so many bytes of each.
const (
	mostKinds = 3
	maxSaid   = 150
)

var numbers = regexp.MustCompile(`[0-9]+([.][0-9]+)?`)

// namesOf names hosts, the first ones where they are many.
func namesOf(hosts []*target) string {
	var names []string
	for i, h := range hosts {
		if i == mostNames {
			names = append(names, fmt.Sprintf("%d more", len(hosts)-mostNames))
			break
		}
		names = append(names, h.Address.Name)
	}
	return strings.Join(names, ", ")
}

// mostNames are as many hosts as a line names for one thing.
const mostNames = 5

// on runs a step on one host. When the connection is lost the step goes on over another one.
func (e *engine) on(ctx context.Context, h *target, s step) (line string, err error) {
	for {
		line, err = e.try(ctx, h, s)
		h.atWork = h.atWork || host.AtWork(err)
		if ctx.Err() != nil || s.final || errors.Is(err, errDeadline) || !h.Disconnected(err) {
			return line, err
		}
		err := e.reconnect(ctx, h, err, e.patienceFor(h, s.phase))
		h.waitedFor = errors.Is(err, host.ErrGone)
		if err != nil {
			return "", &outcome.StepError{Step: s.name, Host: h.Address, Err: err}
		}
	}
}

// reconnect makes a lost connection anew. Nobody waits for a host that is on its way out.
func (e *engine) reconnect(ctx context.Context, h *target, cause error, patience time.Duration) error {
	still := func(ctx context.Context) error { return e.same(ctx, h) }
	if e.goes == nil {
		return h.Reconnect(ctx, cause, patience, still)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		for ctx.Err() == nil {
			if e.goes(ctx, h) {
				cancel(errLeft)
			}
			_ = wait(ctx, e.goesPoll)
		}
	})
	return h.Reconnect(ctx, cause, patience, still)
}

// errLeft is a host that can't be reached since it is on its way out.
var errLeft = errors.New("it is not in service any more")

// patienceFor is how long a lost connection is made anew: while requests go to the new version on some
// hosts, and maybe not on one, as long as a reboot takes and no longer. It was long enough for a host
// that did not come back in it.
func (e *engine) patienceFor(h *target, p phase) time.Duration {
	if h.waitedFor {
		return min(e.patience, time.Second)
	}
	if p == commit && len(e.hosts) > 1 {
		return min(e.patience, mixedFor)
	}
	return e.patience
}

const mixedFor = 90 * time.Second

// try runs a step on one host.
func (e *engine) try(ctx context.Context, h *target, s step) (string, error) {
	h.BeginStep(s.numbered())
	return within(ctx, s, h.Address, func(ctx context.Context) (string, error) { return s.each(ctx, h) })
}

// within does a step's work in the time that it has; a panic is that host's failure, so that the
// others' and its own undo still run.
func within(
	ctx context.Context, s step, host remote.Host, work func(context.Context) (string, error),
) (line string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.within, fmt.Errorf("%w after %s", errDeadline, s.within))
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
		if err != nil && ctx.Err() != nil {
			err = &cutShort{context.Cause(ctx), err}
		}
		var named *outcome.StepError // by what it did on hosts
		if err != nil && !errors.As(err, &named) {
			err = &outcome.StepError{Step: s.name, Host: host, Err: err}
		}
	}()
	return work(ctx)
}

func (s step) numbered() string { return fmt.Sprintf("%d-%s", s.no, s.name) }

// ahead sends what the next steps ask for along with what this one does, each if the one before it
// ends well. With several hosts nothing of a step is done before all are through with the one before
// it, but for what is as good on a host whose own part of that is done.
func (e *engine) ahead(h *target, next ...upcoming) {
	for _, u := range next {
		at := slices.IndexFunc(e.rest, func(s step) bool { return s.name == u.step })
		if len(e.hosts) > 1 && !u.early || at < 0 {
			return
		}
		h.Ahead(e.rest[at].numbered(), u.verb, u.own)
	}
}

// upcoming is what a step to come asks for.
type upcoming struct {
	step string
	verb scripts.Verb
	own  scripts.Values
	// early: it changes nothing, or nothing but what a host has for itself until the release is started
	early bool
}

// goOn sends what the next steps ask for along with what this one does, as far as it is known.
func (e *engine) goOn(h *target) {
	if h.SentAhead() { // it goes on already
		return
	}
	var next []upcoming
	before := h.NextID()
	for _, s := range e.coming {
		if s.asks == nil || s.unless != nil && s.unless(h) {
			break
		}
		u := s.asks(h, before)
		if u == nil {
			break
		}
		u.step = s.name
		next, before = append(next, *u), host.AheadID(s.numbered())
	}
	e.ahead(h, next...)
}

// alsoUndo puts the undos of steps on the stack that have not begun, and for which something was sent
// ahead that may have.
func (e *engine) alsoUndo(rest []step) {
	hosts := e.present()
	begun := make([][]string, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { begun[i] = h.DropAhead() })
	}
	wg.Wait()
	for _, s := range rest {
		known := func(u undo) bool { return u.step.name == s.name }
		if s.undo == nil || slices.ContainsFunc(e.undos, known) {
			continue
		}
		for i, h := range hosts {
			if slices.Contains(begun[i], s.numbered()) {
				e.push(undo{s, []*target{h}})
			}
		}
	}
}

type undo struct {
	step  step
	hosts []*target
}

// takeBack runs the undo stack from the top. It uses a context of its own: the one that failed the
// run may be over. Only who was told to end has little time.
func (e *engine) takeBack(ctx context.Context) error {
	ctx, cancel := e.notice.after(ctx, e.toUndo, undoBy)
	defer cancel()
	for _, h := range e.hosts {
		h.undoing = true
	}
	var errs []error
	for len(e.undos) > 0 {
		u := e.undos[len(e.undos)-1]
		e.undos = e.undos[:len(e.undos)-1]
		u.hosts = slices.DeleteFunc(u.hosts, func(h *target) bool { return h.taken || h.left || h.atWork })
		if len(u.hosts) == 0 {
			continue
		}
		e.last++
		u.step.no = e.last // what was done by its own number is not what is done now
		group, began := e.rep.Step("Taking back "+u.step.name), e.now()
		results := make([]error, len(u.hosts))
		ctx, cancel := context.WithCancelCause(ctx)
		if len(u.hosts) > 1 && len(e.undos) > 0 { // one that hangs leaves the others time for what is below
			e.notice.halve(ctx, cancel)
		}
		var wg sync.WaitGroup
		for i, h := range u.hosts {
			wg.Go(func() {
				s := u.step
				s.within = e.toUndo
				s.each = func(ctx context.Context, h *target) (string, error) { return "", s.undo(ctx, h) }
				_, results[i] = e.on(ctx, h, s)
				if results[i] != nil && !errors.Is(results[i], errLeft) {
					h.undone = errors.Join(h.undone, results[i])
					h.taken = host.Overtaken(results[i])
				}
			})
		}
		wg.Wait()
		cancel(nil)
		for i, h := range u.hosts {
			if errors.Is(results[i], errLeft) { // what it serves is nobody's concern
				h.left, results[i] = true, nil
			}
		}
		err := errors.Join(results...)
		e.timeline = append(e.timeline, outcome.Span{
			Section: "taking back", Name: u.step.name, Start: began, End: e.now(),
			Failed: err != nil,
		})
		if err != nil {
			group.Fail("taking back " + u.step.name + ": " + outcome.Headline(results))
			errs = append(errs, err)
			continue
		}
		group.Done(u.step.name + " taken back")
	}
	return errors.Join(errs...)
}

// cutShort is a step whose context ended: the cause is what people need, how the step then ended is
// not.
type cutShort struct{ cause, outcome error }

func (e *cutShort) Error() string {
	if errors.Is(e.cause, context.Canceled) {
		return "cancelled: " + e.cause.Error()
	}
	return e.cause.Error()
}

func (e *cutShort) Unwrap() []error { return []error{e.cause, e.outcome} }

var errTimeout = errors.New("time-out")

func wait(ctx context.Context, pause time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pause):
		return nil
	}
}

// brief is what a step may take that waits for nothing of the user's.
const brief = time.Minute
