// Package instances finds machines of EC2 by what they are called, and by the Auto Scaling group that
// they are in. It knows nothing of deployments.
//
// Its errors carry their remedy in their own text.
package instances

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// Wanted says which instances are looked for: all that is given must hold of each.
type Wanted struct {
	Text  string // as people write it
	ID    string
	Group string      // of Auto Scaling
	Tags  [][2]string // key and value
}

// Instance is one that runs.
type Instance struct {
	ID    string `xml:"instanceId"`
	State string `xml:"instanceState>name"`
	Zone  string `xml:"placement>availabilityZone"`

	Public  string   `xml:"ipAddress"` // IPv4, as Private; each may be ""
	Private string   `xml:"privateIpAddress"`
	IPv6    []string `xml:"networkInterfaceSet>item>ipv6AddressesSet>item>ipv6Address"`

	VPC    string `xml:"vpcId"`
	Subnet string `xml:"subnetId"`

	HeldBy string `xml:"-"` // the group that a hook keeps from putting it into service, "" for none
}

// Found are instances, in their order, and what people should know besides.
type Found struct {
	Instances []Instance
	By        []string // for each line, how many it found
	Warnings  []string
}

// Finder asks AWS.
type Finder struct{ aws *query.Client }

// New returns a Finder that asks as cfg says.
func New(cfg aws.Config) *Finder { return &Finder{query.New(cfg)} }

// Find looks for instances, line by line; within a line they are in the order of their zones and ids.
// One that several lines find counts where it was found first.
func (f *Finder) Find(ctx context.Context, lines []Wanted) (*Found, error) {
	found := new(Found)
	groups, err := f.groups(ctx, lines)
	if err != nil {
		return nil, err
	}
	for _, name := range sortedNames(groups) {
		if groups[name].WarmPool != nil {
			found.Warnings = append(found.Warnings, fmt.Sprintf("the group %s has a warm pool: what waits there is not "+
				"deployed to, and carries the release of its image until the next deployment once it is in service", name))
		}
	}
	var errs []error
	known := map[string]bool{}
	for _, line := range lines {
		all, err := f.line(ctx, line, groups)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found.By = append(found.By, fmt.Sprintf("%d by %s", len(all), line.Text))
		if len(all) == 0 {
			found.Warnings = append(found.Warnings, "nothing that runs was found by "+line.Text+" in region "+f.aws.Region())
		}
		for _, i := range all {
			if !known[i.ID] {
				known[i.ID] = true
				found.Instances = append(found.Instances, i)
			}
		}
	}
	return found, errors.Join(errs...)
}

// line finds what one line wants. An instance that is named has to be there.
func (f *Finder) line(ctx context.Context, line Wanted, groups map[string]*group) ([]Instance, error) {
	var filters []filter
	for _, tag := range line.Tags {
		filters = append(filters, filter{"tag:" + tag[0], []string{tag[1]}})
	}
	var members []string
	if line.Group != "" {
		if members = groups[line.Group].inService(); len(members) == 0 && line.ID == "" {
			return nil, nil
		}
	}
	var all []Instance
	switch {
	case line.ID != "":
		only, err := f.describe(ctx, append(filters, filter{"instance-id", []string{line.ID}}))
		if err != nil {
			return nil, err
		}
		if all, err = only, f.named(ctx, line, only, members); err != nil {
			return nil, err
		}
	case line.Group != "":
		for some := range slices.Chunk(members, mostValues) {
			more, err := f.describe(ctx, append(slices.Clone(filters), filter{"instance-id", some}))
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
	default:
		var err error
		if all, err = f.describe(ctx, filters); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(i Instance) bool { return i.State != running })
	for n := range all {
		if line.Group != "" && groups[line.Group].holds(all[n].ID) {
			all[n].HeldBy = line.Group
		}
	}
	slices.SortFunc(all, func(a, b Instance) int {
		return cmp.Or(strings.Compare(a.Zone, b.Zone), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}

// named says what is wrong with an instance that a line names.
func (f *Finder) named(ctx context.Context, line Wanted, only []Instance, members []string) error {
	switch {
	case len(only) == 0 && len(line.Tags) > 0:
		if other, err := f.describe(ctx, []filter{{"instance-id", []string{line.ID}}}); err != nil || len(other) > 0 {
			return cmp.Or(err, fmt.Errorf("instance %s does not have the tags of the line %q", line.ID, line.Text))
		}
		fallthrough
	case len(only) == 0:
		return fmt.Errorf("there is no instance %s in region %s: correct it, or the input \"aws-region\"", line.ID,
			f.aws.Region())
	case only[0].State != running:
		return fmt.Errorf("instance %s is %s: start it, or leave it out", line.ID, only[0].State)
	case line.Group != "" && !slices.Contains(members, line.ID):
		return fmt.Errorf("instance %s is not in service in the group %s", line.ID, line.Group)
	}
	return nil
}

// running is the state of an instance that can be deployed to.
const running = "running"

type filter struct {
	name   string
	values []string
}

// mostValues is how many a filter may have
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html).
const mostValues = 200

// Describe returns the instances with ids, of those that there are.
func (f *Finder) Describe(ctx context.Context, ids []string) ([]Instance, error) {
	var all []Instance
	for some := range slices.Chunk(ids, mostValues) {
		more, err := f.describe(ctx, []filter{{"instance-id", some}})
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// describe asks for all pages.
func (f *Finder) describe(ctx context.Context, filters []filter) ([]Instance, error) {
	values := url.Values{}
	for i, by := range filters {
		prefix := fmt.Sprintf("Filter.%d.", i+1)
		values.Set(prefix+"Name", by.name)
		for j, value := range by.values {
			values.Set(fmt.Sprintf("%sValue.%d", prefix, j+1), value)
		}
	}
	var all []Instance
	for {
		var page struct {
			Instances []Instance `xml:"reservationSet>item>instancesSet>item"`
			Next      string     `xml:"nextToken"`
		}
		if err := f.aws.Ask(ctx, query.EC2, "DescribeInstances", values, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Instances...)
		if page.Next == "" {
			return all, nil
		}
		values.Set("NextToken", page.Next)
	}
}

func sortedNames(groups map[string]*group) []string {
	var names []string
	for name := range groups {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
