package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/remote"
)

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
func (d *Deployment) findHosts(ctx context.Context) error {
	find := step{name: "find", title: "Finding the hosts", once: d.list, within: brief}
	group, began := d.rep.Step(find.title), d.now()
	line, err := within(ctx, find, remote.Host{}, find.once)
	d.timeline = append(d.timeline, outcome.Span{
		Section: prepare.String(), Name: find.name, Start: began, End: d.now(), Failed: err != nil,
	})
	if err != nil {
		group.Fail(find.name + ": " + outcome.Headline([]error{err}))
		return err
	}
	group.Done(find.name + ": " + line)
	return nil
}

func (d *Deployment) list(ctx context.Context) (string, error) {
	found, err := d.lookUp(ctx, d.in.Instances)
	if err != nil {
		return "", err
	}
	for _, warning := range found.Warnings {
		d.rep.Warn("Instances", warning)
	}
	var hosts []remote.Host
	var names []string
	var errs []error
	for n, i := range found.Instances {
		d.knows(i)
		host, err := d.hostOf(i)
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
	if err := d.in.Found(hosts); err != nil {
		return "", fmt.Errorf("%w (instances were found: %s)", err, strings.Join(found.By, ", "))
	}
	d.takeOn()
	if d.changes() {
		d.saveHosts(d.in.Hosts)
	}
	return fmt.Sprintf("%s; %s", strings.Join(found.By, ", "), strings.Join(names, ", ")), nil
}

func (d *Deployment) saveHosts(hosts []remote.Host) {
	text, _ := json.Marshal(hosts) // it has texts and numbers alone
	d.save(StateHosts, string(text))
}

// knows keeps of an instance what no address of a host has.
func (d *Deployment) knows(i instances.Instance) {
	if d.private == nil {
		d.private, d.heldBy = map[string]string{}, map[string]string{}
	}
	d.private[i.ID] = i.Private
	if i.HeldBy != "" {
		d.heldBy[i.ID] = i.HeldBy
	}
}

// lookUp asks AWS for what lines of the input instances name.
func (d *Deployment) lookUp(ctx context.Context, wanted []inputs.Instances) (*instances.Found, error) {
	from, err := d.openInstances(ctx, d.account)
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
func (d *Deployment) hostOf(i instances.Instance) (remote.Host, error) {
	ipv6 := ""
	if len(i.IPv6) > 0 {
		ipv6 = i.IPv6[0]
	}
	auto := cmp.Or(i.Public, i.Private, ipv6)
	if d.in.ConnectEndpoint != "" {
		auto = cmp.Or(i.Private, ipv6)
	}
	address := map[inputs.Address]string{
		inputs.AddressAuto: auto, inputs.AddressPublic: i.Public,
		inputs.AddressPrivate: i.Private, inputs.AddressIPv6: ipv6,
	}[d.in.Address]
	if address == "" {
		var has []string
		for _, a := range [][2]string{{"public", i.Public}, {"private", i.Private}, {"ipv6", ipv6}} {
			if a[1] != "" {
				has = append(has, a[0])
			}
		}
		return remote.Host{}, fmt.Errorf("instance %s has no address of the kind %q that the input \"address\" asks for; "+
			"what it has is %s: correct that input, or give it one", i.ID, d.in.Address, cmp.Or(strings.Join(has, ", "), "none"))
	}
	return d.in.FoundHost(i.ID, address), nil
}

// notFound is the end of a run that does not know its hosts.
func (d *Deployment) notFound(err error) (*outcome.Result, error) {
	f := outcome.Refuse(err)
	f.Step, f.What = "find", outcome.Describe(err)
	if errors.Is(err, context.Canceled) {
		f.Next = "run this workflow again when it suits"
	}
	return d.result(f.Outcome), f
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
