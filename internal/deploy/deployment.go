package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
)

// Deployment is one run of the action. Each of its parts knows those that it uses, and none that uses
// it: what goes on in which order is said here, and by the table of steps.
type Deployment struct {
	*run
	asking      *asking
	assets      *assets
	batches     *batches
	choice      *choice
	healing     *healing
	imaging     *imaging
	inPlace     *inPlace
	launches    *launches
	locking     *locking
	machine     *machine
	maintenance *maintenance
	order       *order
	outcomes    *outcomes
	plan        *plan
	pruning     *pruning
	recipe      *recipe
	removal     *removal
	roster      *roster
	site        *site
	slots       *slots
	source      *source
	traffic     *traffic
	workers     *workers
}

// New prepares a run that began at begin; nothing is dialled yet.
func New(in *inputs.Inputs, rep *report.Report, dial host.Dialer, open Opener, begin time.Time) *Deployment {
	d := assemble(&run{
		engine: engine{
			rep: rep, now: time.Now, notice: newNotice(), patience: reconnectFor, together: operationOf(in).live,
		},
		in: in, op: operationOf(in).operation, begin: begin, account: Account(in, rep), dial: dial,
		token: fmt.Sprintf("%s-%s", in.Run.ID, rand.Text()),
	})
	d.assets.open = open
	if in.Operation == inputs.Tidy {
		d.patience = in.Timeout / 4 // one host that is lost does not take all the time that there is for the others
	}
	if len(in.Instances) == 0 {
		d.takeOn()
	}
	return d
}

// As has the run ask AWS as an account that something else of it asks as, too: its role is taken once.
func (d *Deployment) As(account *cloud.Account) *Deployment {
	d.account = account
	return d
}

// assemble makes the parts of a run. Its order is that in which they use each other.
func assemble(r *run) *Deployment {
	d := &Deployment{run: r}
	work := &work{run: r}
	d.site, d.order, d.batches, d.pruning = &site{run: r}, &order{run: r}, &batches{run: r}, &pruning{run: r}
	d.asking = &asking{run: r, site: d.site, work: work}
	d.maintenance = &maintenance{run: r, site: d.site}
	d.recipe = &recipe{run: r, site: d.site, work: work, openParameters: openParameters}
	d.plan = &plan{run: r, batches: d.batches, recipe: d.recipe, site: d.site, work: work}
	d.outcomes = &outcomes{
		run: r, asking: d.asking, batches: d.batches, pruning: d.pruning, recipe: d.recipe, site: d.site,
	}
	d.assets = &assets{run: r, recipe: d.recipe}
	d.source = newSource(r, d.assets, d.recipe, work)
	d.roster = &roster{run: r, outcomes: d.outcomes, openInstances: openInstances}
	d.launches = &launches{run: r, roster: d.roster, holdEvery: holdEvery}
	d.locking = &locking{run: r, roster: d.roster}
	d.traffic = &traffic{
		run: r, asking: d.asking, roster: d.roster, site: d.site, openBalancers: openBalancers, targetPoll: targetPoll,
	}
	d.choice = &choice{
		run: r, assets: d.assets, recipe: d.recipe, roster: d.roster, site: d.site, source: d.source,
	}
	d.slots = &slots{run: r, order: d.order, recipe: d.recipe, site: d.site, source: d.source}
	d.workers = &workers{run: r, slots: d.slots, work: work}
	d.inPlace = &inPlace{run: r, recipe: d.recipe, site: d.site, slots: d.slots, workers: d.workers}
	d.machine = &machine{
		run: r, choice: d.choice, inPlace: d.inPlace, maintenance: d.maintenance, roster: d.roster, site: d.site,
		work: work, bootPoll: bootPoll,
	}
	d.healing = &healing{run: r, asking: d.asking, inPlace: d.inPlace, machine: d.machine, site: d.site}
	d.removal = &removal{run: r, machine: d.machine, site: d.site, slots: d.slots}
	d.imaging = &imaging{run: r, recipe: d.recipe, openImages: openImages, imagePoll: imagePoll}
	r.same, r.spares, r.goes, r.goesPoll = d.machine.notRestarted, d.roster.sparesLeft, d.roster.goesAway, goesPoll
	return d
}

// Run goes through the list. It returns what happened and, when the release did not make it, a
// *Failure. The hosts' connections are closed when it returns.
func (d *Deployment) Run(ctx context.Context) (*outcome.Result, error) {
	defer d.notice.from(ctx)()
	ctx, stop := context.WithTimeoutCause(ctx, d.in.Timeout, d.timeIsUp())
	defer stop()
	defer d.hangUp()
	if len(d.in.Instances) > 0 {
		if err := d.roster.findHosts(ctx); err != nil {
			return d.roster.notFound(err)
		}
	}
	d.rep.Info(d.plan.intent())
	if d.op.makes || d.op.again {
		d.recipe.warnOfEmpty()
	}
	if d.changes() {
		d.save(StateBegun, "yes")
		defer func() {
			if !d.untidy {
				d.save(StateEnded, "yes")
			}
		}()
	}
	defer d.launches.holdOn(ctx)()
	d.source.readAhead(ctx)
	on := ctx // of the step under way
	steps := d.steps()
	d.number(steps)
	for n, s := range steps {
		d.lookAhead(steps[n+1:])
		if s.phase.proved() {
			d.undos = nil // the commit point: what was verified stays
			if d.proved.IsZero() {
				d.proved = d.now()
			}
		}
		if s.phase == retire && ctx.Err() != nil {
			if s.name == imageStep {
				d.imaging.sayNoImage(context.Cause(ctx))
				continue
			}
			if len(d.toDo(s)) > 0 {
				d.leaveOut(s, context.Cause(ctx))
			}
			continue
		}
		on = ctx
		if s.phase == ending { // which the run's end leaves some time, also one that is to come
			var release context.CancelFunc
			end, _ := ctx.Deadline()
			on, release = d.notice.after(ctx, max(askBy, time.Until(end)), askBy)
			defer release()
		}
		err := context.Cause(on)
		if err == nil {
			err = d.do(on, s)
		}
		switch {
		case err == nil:
		case d.in.Operation == inputs.Tidy && d.dropFailed(err):
		case s.phase.proved() && host.Overtaken(err):
			d.rep.Warn("Overtaken", d.isDone()+"; what was left to do is another deployment's now: "+outcome.Describe(err))
			if len(d.present()) == 0 {
				return d.outcomes.result(d.outcomes.success()), nil
			}
		case s.phase.proved() && errors.Is(err, host.ErrGone):
			d.untidy = true
			d.rep.Warn("Lost: "+namesOf(d.lost(err)), fmt.Sprintf("%s; from %s on, what was left to do there is left to %s: %s",
				d.isDone(), s.name, d.whoTidies(), outcome.Describe(err)))
		case s.phase.proved() && flagged(err):
			d.rep.Warn("Flag changed", "the new version was proved, and somebody has changed the flag since: "+
				outcome.Describe(err))
		case s.phase.proved() && s.name == imageStep:
			d.imaging.sayNoImage(err)
		case s.phase.proved():
			left := s.name + " is left to the next deployment"
			if s.name == "after-switch" {
				left = "the command of after-switch is not run again"
			}
			d.rep.Warn("Could not "+s.name, fmt.Sprintf("%s; %s: %s%s", d.isDone(), left, outcome.Describe(err), said(err)))
		default:
			d.alsoUndo(steps[n:])
			return d.fail(ctx, s, err)
		}
	}
	joined := d.listAgain(ctx)
	d.traffic.tableOfTargets(on)
	d.imaging.launch(ctx)
	result := d.outcomes.result(d.outcomes.success())
	result.Hosts = append(result.Hosts, joined...)
	return result, nil
}

// leaveOut warns of a step for which there is no time any more, and of who does its work in its place.
func (d *Deployment) leaveOut(s step, cause error) {
	title, then := leftToNext, ""
	switch {
	case d.in.Operation == inputs.Tidy:
		d.untidy = true
	case s.name == "drain", s.name == "stop":
		d.untidy, title = true, "Left to the post step"
	case s.name == "after-switch":
		title, then = "Not run", ", and its command is not run any more"
	case s.name == "let in":
		then = ", but on instances that are held: there the hook decides once its time is over"
	}
	d.rep.Warn(title, fmt.Sprintf("%s was not done: %v; %s%s", s.name, cause, d.isDone(), then))
}

// timeIsUp is why a run ends that is not through in time. How long the post step has is not said by an input.
func (d *Deployment) timeIsUp() error {
	if d.in.Operation == inputs.Tidy {
		return fmt.Errorf("%w after %s", errTimeout, d.in.Timeout)
	}
	return fmt.Errorf("%w after %s (input \"timeout\")", errTimeout, d.in.Timeout)
}

// isDone says what nothing takes back any more.
func (d *Deployment) isDone() string {
	switch {
	case d.op.live:
		return "the new version is live"
	case d.in.Operation == inputs.Tidy:
		return "what serves was put right"
	}
	return "what was asked for is done"
}

// whoTidies goes on with what a run can't finish.
func (d *Deployment) whoTidies() string {
	if d.in.Operation == inputs.Tidy {
		return "the next deployment"
	}
	return "the post step, or to the next deployment"
}

// fail takes back what was done, writes it down on the hosts that still answer, and explains. A
// host that another run has taken over is that run's: nothing on it is touched, and the others are
// taken back all the same.
func (d *Deployment) fail(ctx context.Context, s step, cause error) (*outcome.Result, error) {
	undone := d.takeBack(ctx)
	for _, h := range d.present() {
		d.untidy = d.untidy || h.undone != nil
	}
	cancelled := told(ctx)
	ctx, cancel := d.notice.after(ctx, time.Minute, askBy)
	defer cancel()
	end, _ := ctx.Deadline()
	d.asking.askAll(ctx, time.Until(end)/2)
	if !cancelled {
		d.traffic.tableOfTargets(ctx)
	}
	f := d.outcomes.failure(s, cause, undone)
	var newer *newerError // what that run keeps is not this one's to judge
	prunes := !cancelled && !errors.As(cause, &newer)
	var wg sync.WaitGroup
	for _, h := range d.present() {
		if h.Locked() && h.Idle.Port != 0 && !h.atWork {
			wg.Go(func() { d.leaveFailed(ctx, h, f, prunes) })
		}
	}
	wg.Wait()
	return d.outcomes.result(f.Outcome), f
}

// leaveFailed writes down on a host how the run has ended, and gives the lock back.
func (d *Deployment) leaveFailed(ctx context.Context, h *target, f *outcome.Failure, prunes bool) {
	if d.op.history {
		if err := d.outcomes.record(ctx, h, f.Outcome, outcome.Describe(f.Err)); err != nil {
			d.rep.Debug(fmt.Sprintf("record on %s: %v", h.Address, err))
		}
	}
	if prunes && d.op.live { // others need not have the inputs that say what is to be kept
		if _, err := d.pruning.prune(ctx, h); err != nil {
			d.rep.Debug(fmt.Sprintf("prune on %s: %v", h.Address, err))
		}
	}
	if err := h.Unlock(ctx); err != nil {
		d.rep.Debug(fmt.Sprintf("unlock %s: %v", h.Address, err))
	}
}

// lost are the hosts that nobody reaches any more, and of which an error tells that.
func (d *Deployment) lost(err error) []*target {
	return slices.DeleteFunc(slices.Clone(d.hosts), func(h *target) bool { return !h.lost || !failedOn(err, h) })
}

func (d *Deployment) hangUp() {
	defer d.source.packs.close()
	for _, h := range d.hosts {
		h.HangUp()
	}
}
