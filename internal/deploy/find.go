package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/remote"
)

// roster is who takes part: the hosts that AWS finds, those that are left out, and those that leave.
type roster struct {
	*run
	outcomes      *outcomes
	openInstances func(context.Context, *cloud.Account) (Instances, error)
	private       map[string]string // of found hosts, by their instances' ids: the address in their network
	heldBy        map[string]string // likewise, of those that wait for their launch to be completed: the group
	listed        listing           // of those that are found, when it was last asked for since
	// by what the run before has found its hosts, in the pass for those that came
	foundBy []inputs.Instances
}

// Instances is where AWS knows machines.
type Instances interface {
	Find(ctx context.Context, lines []instances.Wanted) (*instances.Found, error)
	Hooks(ctx context.Context, group string) ([]instances.Hook, error)
	Hold(ctx context.Context, h instances.Hook, id string) error
	LetGo(ctx context.Context, h instances.Hook, id string) error
}

func openInstances(ctx context.Context, account *cloud.Account) (Instances, error) {
	cfg, err := account.Config(ctx)
	if err != nil {
		return nil, err
	}
	return instances.New(cfg), nil
}

// findHosts finds those of the input instances. It is done before any step, since what is done depends
// on which hosts there are.
func (r *roster) findHosts(ctx context.Context) error {
	find := step{name: "find", title: "Finding the hosts", once: r.list, within: brief}
	group, began := r.rep.Step(find.title), r.now()
	line, err := within(ctx, find, remote.Host{}, find.once)
	r.timeline = append(r.timeline, outcome.Span{
		Section: prepare.String(), Name: find.name, Start: began, End: r.now(), Failed: err != nil,
	})
	if err != nil {
		group.Fail(find.name + ": " + outcome.Headline([]error{err}))
		return err
	}
	group.Done(find.name + ": " + line)
	return nil
}

func (r *roster) list(ctx context.Context) (string, error) {
	found, err := r.lookUp(ctx, r.in.Instances)
	if err != nil {
		return "", err
	}
	for _, warning := range found.Warnings {
		r.rep.Warn("Instances", warning)
	}
	var hosts []remote.Host
	var names []string
	var errs []error
	for n, i := range found.Instances {
		r.knows(i)
		host, err := r.hostOf(i)
		errs = append(errs, err)
		hosts = append(hosts, host)
		if n < mostNames || len(found.Instances) == mostNames+1 {
			names = append(names, fmt.Sprintf("%s (%s, %s)", i.ID, host.Name, i.Zone))
		}
	}
	if more := len(hosts) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	if err := r.in.Found(hosts); err != nil {
		return "", fmt.Errorf("%w (instances were found: %s)", err, strings.Join(found.By, ", "))
	}
	r.takeOn()
	if r.changes() {
		r.saveHosts(r.in.Hosts)
	}
	return fmt.Sprintf("%s; %s", strings.Join(found.By, ", "), strings.Join(names, ", ")), nil
}

func (r *roster) saveHosts(hosts []remote.Host) {
	text, _ := json.Marshal(hosts) // it has texts and numbers alone
	r.save(StateHosts, string(text))
}

// knows keeps of an instance what no address of a host has.
func (r *roster) knows(i instances.Instance) {
	if r.private == nil {
		r.private, r.heldBy = map[string]string{}, map[string]string{}
	}
	r.private[i.ID] = i.Private
	if i.HeldBy != "" {
		r.heldBy[i.ID] = i.HeldBy
	}
}

// lookUp asks AWS for what lines of the input instances name.
func (r *roster) lookUp(ctx context.Context, wanted []inputs.Instances) (*instances.Found, error) {
	from, err := r.openInstances(ctx, r.account)
	if err != nil {
		return nil, err
	}
	var lines []instances.Wanted
	for _, i := range wanted {
		lines = append(lines, instances.Wanted{Text: i.Text, ID: i.ID, Group: i.Group, Tags: i.Tags})
	}
	return from.Find(ctx, lines)
}

// hostOf says where an instance is logged in to.
func (r *roster) hostOf(i instances.Instance) (remote.Host, error) {
	ipv6 := ""
	if len(i.IPv6) > 0 {
		ipv6 = i.IPv6[0]
	}
	auto := cmp.Or(i.Public, i.Private, ipv6)
	if r.in.ConnectEndpoint != "" {
		auto = cmp.Or(i.Private, ipv6)
	}
	address := map[inputs.Address]string{
		inputs.AddressAuto: auto, inputs.AddressPublic: i.Public,
		inputs.AddressPrivate: i.Private, inputs.AddressIPv6: ipv6,
	}[r.in.Address]
	if address == "" {
		var has []string
		for _, a := range [][2]string{{"public", i.Public}, {"private", i.Private}, {"ipv6", ipv6}} {
			if a[1] != "" {
				has = append(has, a[0])
			}
		}
		return remote.Host{}, fmt.Errorf("instance %s has no address of the kind %q that the input \"address\" asks for; "+
			"what it has is %s: correct that input, or give it one", i.ID, r.in.Address, cmp.Or(strings.Join(has, ", "), "none"))
	}
	return r.in.FoundHost(i.ID, address), nil
}

// notFound is the end of a run that does not know its hosts.
func (r *roster) notFound(err error) (*outcome.Result, error) {
	f := outcome.Refuse(err)
	f.Step, f.What = "find", outcome.Describe(err)
	if errors.Is(err, context.Canceled) {
		f.Next = "run this workflow again when it suits"
	}
	return r.outcomes.result(f.Outcome), f
}

// Resume puts the hosts that a run has saved in the place of those that it had to find, for the post
// step: what is named alike may be other machines by now.
func Resume(in *inputs.Inputs, saved string) error {
	if len(in.Instances) == 0 {
		return nil
	}
	var hosts []remote.Host
	if err := json.Unmarshal([]byte(saved), &hosts); err != nil {
		return fmt.Errorf("read which hosts the run had: %w", err)
	}
	in.Hosts, in.Instances = nil, nil
	return in.Found(hosts)
}

// isNamed tells a line that finds one instance by its id: no other one can come by it.
func isNamed(line inputs.Instances) bool { return line.ID != "" }

// since are the instances that came after the hosts were found, and the hosts that went, as they are
// found by anything but their own ids.
func since(in *inputs.Inputs, now []instances.Instance) (came []instances.Instance, gone []remote.Host) {
	for _, i := range now {
		if !slices.ContainsFunc(in.Hosts, func(h remote.Host) bool {
			return h.Alias == i.ID || h.Alias == "" && slices.Contains(append([]string{i.Public, i.Private}, i.IPv6...), h.Name)
		}) {
			came = append(came, i)
		}
	}
	for _, h := range in.Hosts {
		byName := h.Alias == "" ||
			slices.ContainsFunc(in.Instances, func(line inputs.Instances) bool { return line.ID == h.Alias })
		if !byName && !slices.ContainsFunc(now, func(i instances.Instance) bool { return i.ID == h.Alias }) {
			gone = append(gone, h)
		}
	}
	return came, gone
}

func namesOfInstances(all []instances.Instance) string {
	var names []string
	for n, i := range all {
		if n == mostNames {
			names = append(names, fmt.Sprintf("%d more", len(all)-mostNames))
			break
		}
		names = append(names, fmt.Sprintf("%s (%s)", i.ID, i.Zone))
	}
	return strings.Join(names, ", ")
}

// isFree tells whether no hook holds a host at its launch.
func (r *roster) isFree(h *target) bool { return r.heldBy[h.Address.Alias] == "" }

func (r *roster) with(ctx context.Context, do func(Instances) error) error {
	from, err := r.openInstances(ctx, r.account)
	if err != nil {
		return err
	}
	return do(from)
}

// listing is what AWS has said of the hosts, and when.
type listing struct {
	mu   sync.Mutex
	at   time.Time
	gone []remote.Host
}
