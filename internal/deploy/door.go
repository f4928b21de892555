package deploy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/group"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
)

// Group is the security group of the hosts, as far as a run has to do with it.
type Group interface {
	Allow(ctx context.Context, rule group.Rule) (group.Rule, error)
	Rules(ctx context.Context) ([]group.Rule, error)
	Revoke(ctx context.Context, id string) error
}

// door lets this runner in on the hosts' port while it logs in, and no longer: what is connected by
// then stays so, since a security group keeps track of its connections
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html).
type door struct {
	in      *inputs.Inputs
	rep     *report.Report
	now     func() time.Time
	group   func(context.Context) (Group, error)
	address func(context.Context) (netip.Addr, error)
	id      string // is in the rules of this run, and in nobody else's

	mu      sync.Mutex
	opened  Group        // nil before the first time
	from    netip.Prefix // from where this runner comes
	logins  int          // under way
	rules   []group.Rule // of this run's, that are there
	since   time.Time
	saved   string   // for the post step
	unclear bool     // a rule of this run's may be there that it does not know
	others  []uint16 // ports that are open by a rule of another run's
	leave   func()   // ends follow
}

// NewDoor returns what has to be open while somebody logs in to the hosts, nil for nothing.
func NewDoor(in *inputs.Inputs, rep *report.Report, account *cloud.Account) host.Door {
	if in.SecurityGroup == "" {
		return nil
	}
	return newDoor(in, rep, account)
}

func portOf(h remote.Host) uint16 { return cmp.Or(h.Port, 22) }

func newDoor(in *inputs.Inputs, rep *report.Report, account *cloud.Account) *door {
	return &door{
		in: in, rep: rep, now: time.Now, address: cloud.PublicAddress, id: rand.Text(),
		group: func(ctx context.Context) (Group, error) { return group.Open(ctx, account, in.SecurityGroup) },
	}
}

// Open lets this runner in until shut is called, or the last one of several.
func (d *door) Open(ctx context.Context) (shut func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.logins == 0 {
		if err := d.open(ctx); err != nil {
			d.shut(ctx) // what there is of it
			return nil, err
		}
	}
	d.logins++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.logins--; d.logins == 0 {
			d.shut(ctx)
		}
	}, nil
}

func (d *door) open(ctx context.Context) error {
	if d.opened == nil {
		if err := d.prepare(ctx); err != nil {
			return err
		}
	}
	d.since = d.now()
	mark := d.mark(d.since.Add(d.lasts()))
	d.retry(ctx)
	d.others = nil
	for _, port := range d.ports() {
		if i := slices.IndexFunc(d.rules, func(r group.Rule) bool { return r.Port == port }); i >= 0 {
			d.rep.Info(fmt.Sprintf("%s: %s is let in still, by rule %s", d.in.SecurityGroup, d.rules[i], d.rules[i].ID))
			continue
		}
		another, err := d.allow(ctx, port, mark)
		if err != nil {
			return err
		}
		if another {
			d.others = append(d.others, port)
		}
	}
	if len(d.others) > 0 {
		ctx, d.leave = context.WithCancel(context.WithoutCancel(ctx))
		go d.follow(ctx, mark)
	}
	return nil
}

// allow makes a rule of this run's, or tells that another run's does as well, for as long as it is there.
func (d *door) allow(ctx context.Context, port uint16, mark string) (another bool, err error) {
	d.save(d.id) // before there is something to shut
	d.unclear = true
	rule, err := d.opened.Allow(ctx, group.Rule{Port: port, From: d.from, Description: mark})
	switch {
	case errors.Is(err, group.ErrThere):
		d.unclear = false
		run, _, _, another := readMark(rule.Description)
		text := "by a rule that is not this run's: it stays as it is"
		if another {
			text = fmt.Sprintf("by a rule of run %s; this run makes its own as soon as that is gone", run)
		}
		d.rep.Info(fmt.Sprintf("%s: %s is let in already, %s", d.in.SecurityGroup, rule, text))
		return another, nil
	case err != nil:
		d.unclear = !group.Refused(err)
		return false, err
	}
	d.unclear = false
	d.rules = append(d.rules, rule)
	d.rep.Info(fmt.Sprintf("%s: %s is let in, by rule %s", d.in.SecurityGroup, rule, rule.ID))
	return false, nil
}

// follow makes rules of this run's where those of another one go while somebody logs in here: two runs behind
// one address need the same, and AWS has it only once. What the kernel sends anew after a second or three gets
// through then.
func (d *door) follow(ctx context.Context, mark string) {
	for more := true; more && wait(ctx, time.Second) == nil; {
		rules, err := d.opened.Rules(ctx)
		if err != nil {
			d.rep.Debug(fmt.Sprintf("rules of %s: %v", d.in.SecurityGroup, err))
			continue
		}
		more = d.replace(ctx, rules, mark)
	}
}

// replace tells whether there are others still.
func (d *door) replace(ctx context.Context, rules []group.Rule, mark string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	d.others = slices.DeleteFunc(d.others, func(port uint16) bool {
		if slices.ContainsFunc(rules, func(r group.Rule) bool { return r.Port == port && r.From == d.from }) {
			return false
		}
		another, err := d.allow(ctx, port, mark)
		if err != nil {
			d.rep.Debug(fmt.Sprintf("allow %d: %v", port, err))
		}
		return err == nil && !another
	})
	return len(d.others) > 0
}

// retry takes away rules of this run's that could not be taken away when they were done with, so that none is
// used that other runs take to be over.
func (d *door) retry(ctx context.Context) {
	d.rules = slices.DeleteFunc(d.rules, func(rule group.Rule) bool {
		err := d.opened.Revoke(ctx, rule.ID)
		if err != nil {
			d.rep.Debug(fmt.Sprintf("revoke %s: %v", rule.ID, err))
		}
		return err == nil
	})
}

// prepare finds out where this runner is, and takes away what runs that died have left.
func (d *door) prepare(ctx context.Context) error {
	opened, err := d.group(ctx)
	if err != nil {
		return err
	}
	if d.in.RunnerCIDR != "" {
		if d.from, err = netip.ParsePrefix(d.in.RunnerCIDR); err != nil {
			return fmt.Errorf("input \"runner-cidr\": %w", err)
		}
	} else {
		address, err := d.address(ctx)
		if err != nil {
			return err
		}
		d.from = netip.PrefixFrom(address, address.BitLen())
	}
	all, err := opened.Rules(ctx)
	if err != nil {
		return err
	}
	for _, rule := range all {
		run, _, until, ours := readMark(rule.Description)
		if !ours || d.now().Before(until) {
			continue
		}
		if err := opened.Revoke(ctx, rule.ID); err != nil {
			d.rep.Warn("Left open", fmt.Sprintf("%s: rule %s (%s) of run %s, which is over, can't be taken away: %v",
				d.in.SecurityGroup, rule.ID, rule, run, err))
			continue
		}
		d.rep.Info(fmt.Sprintf("%s: rule %s (%s) is taken away, which run %s had no time to",
			d.in.SecurityGroup, rule.ID, rule, run))
	}
	d.opened = opened
	return nil
}

// shut takes away what this run has opened. What it can't is the post step's, and then the next run's.
func (d *door) shut(ctx context.Context) {
	if d.leave != nil {
		d.leave()
		d.leave = nil
	}
	if len(d.rules) == 0 && !d.unclear {
		d.save("")
		return
	}
	limit := shutFor
	if ctx.Err() != nil {
		limit = hangUpBy - undoBy
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if d.unclear { // the answer never came
		found, err := ofRun(ctx, d.opened, d.id)
		if err != nil {
			d.rep.Warn("Left open", fmt.Sprintf("%s may have a rule for %s with %q in its description: %v", d.in.SecurityGroup,
				d.from, d.id, err))
			return
		}
		d.rules, d.unclear = found, false
	}
	open := d.now().Sub(d.since).Round(100 * time.Millisecond)
	d.rules = slices.DeleteFunc(d.rules, func(rule group.Rule) bool {
		if err := d.opened.Revoke(ctx, rule.ID); err != nil {
			d.rep.Warn("Left open", fmt.Sprintf("%s: rule %s (%s) can't be taken away: %v; the post step tries again, and the "+
				"first run after %s", d.in.SecurityGroup, rule.ID, rule, err, d.since.Add(d.lasts()).UTC().Format("15:04:05 UTC")))
			return false
		}
		d.rep.Info(fmt.Sprintf("%s: %s is shut out again after %s", d.in.SecurityGroup, rule, open))
		return true
	})
	if len(d.rules) == 0 {
		d.save("")
	}
}

const shutFor = 20 * time.Second

// lasts is how long a rule is left alone by other runs: as all logins may take, twice over.
func (d *door) lasts() time.Duration {
	return 2*loginsTake(d.in) + 30*time.Second
}

// ports are those that this runner itself connects to.
func (d *door) ports() []uint16 {
	if len(d.in.Jumps) > 0 {
		return []uint16{portOf(d.in.Jumps[0].Host)}
	}
	var ports []uint16
	for _, h := range d.in.Hosts {
		ports = append(ports, portOf(h))
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func (d *door) save(id string) {
	if d.saved == id {
		return
	}
	d.saved = id
	if err := d.rep.State(StateOpened, id); err != nil {
		d.rep.Debug(err.Error()) // the next run takes it away, too
	}
}

// StateOpened is what the rules of a run have in their descriptions that may be there still, or
// nothing.
const StateOpened = "opened"

// mark is the description of a rule: whose it is, and until when it is left alone.
func (d *door) mark(until time.Time) string {
	run := d.in.Run.ID
	if run == "" {
		run = "0"
	}
	return fmt.Sprintf("deploy-action run=%s exp=%d id=%s", run, until.Unix(), d.id)
}

var markForm = regexp.MustCompile(`^deploy-action run=([0-9]+) exp=([0-9]{1,12}) id=([A-Z2-7]+)$`)

func readMark(description string) (run, id string, until time.Time, ours bool) {
	parts := markForm.FindStringSubmatch(description)
	if parts == nil {
		return "", "", time.Time{}, false
	}
	seconds, err := strconv.ParseInt(parts[2], 10, 64)
	return parts[1], parts[3], time.Unix(seconds, 0), err == nil
}

// ofRun are the rules with an id.
func ofRun(ctx context.Context, g Group, id string) ([]group.Rule, error) {
	all, err := g.Rules(ctx)
	return slices.DeleteFunc(all, func(rule group.Rule) bool {
		_, whose, _, ours := readMark(rule.Description)
		return !ours || whose != id
	}), err
}

// Shut takes away the rules that a run has left which was killed, by what it had saved.
func Shut(ctx context.Context, in *inputs.Inputs, rep *report.Report, account *cloud.Account, id string) error {
	if in.SecurityGroup == "" {
		return nil
	}
	return newDoor(in, rep, account).shutOf(ctx, id)
}

func (d *door) shutOf(ctx context.Context, id string) error {
	opened, err := d.group(ctx)
	if err != nil {
		return err
	}
	found, err := ofRun(ctx, opened, id)
	if err != nil {
		return err
	}
	var errs []error
	for _, rule := range found {
		if err := opened.Revoke(ctx, rule.ID); err != nil {
			errs = append(errs, err)
			continue
		}
		d.rep.Info(fmt.Sprintf("%s: %s is shut out, which the run had no time to", d.in.SecurityGroup, rule))
	}
	return errors.Join(errs...)
}
