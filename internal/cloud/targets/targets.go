// Package targets asks AWS's load balancers how they see the hosts behind them. It knows nothing of
// deployments, and changes nothing.
//
// Its errors carry their remedy in their own text.
package targets

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// Target is a host and port in a group, as the load balancer sees it.
type Target struct {
	Group string // its name
	ID    string // of an instance, or an address
	Port  int
	State State
	Why   string    // AWS's words; empty of one that is healthy
	Asked *Question // nil of a group that asks nothing by HTTP

	group     string   // its ARN
	balancers []string // the ARNs of those that have the group
}

func (t Target) String() string {
	return fmt.Sprintf("%s:%d of target group %s", t.ID, t.Port, t.Group)
}

// State is AWS's:
// docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
type State string

// The states that matter here. Others, such as "initial", get no visitors either.
const (
	Healthy     State = "healthy"
	Unused      State = "unused"      // no listener uses the group, or the target is not in it
	Unavailable State = "unavailable" // the group checks nothing
	Draining    State = "draining"    // it is being taken out
)

// Balancers asks AWS.
type Balancers struct{ aws *query.Client }

// New returns Balancers that ask as cfg says.
func New(cfg aws.Config) *Balancers { return &Balancers{query.New(cfg)} }

// Of returns the targets of groups, which are given by name or ARN, in the order of the groups.
func (b *Balancers) Of(ctx context.Context, groups []string) ([]Target, error) {
	var all []Target
	var errs []error
	for _, given := range groups {
		found, err := b.ofGroup(ctx, given)
		all, errs = append(all, found...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

func (b *Balancers) ofGroup(ctx context.Context, given string) ([]Target, error) {
	name := "Names.member.1"
	if strings.HasPrefix(given, "arn:") {
		name = "TargetGroupArns.member.1"
	}
	var found struct {
		Groups []group `xml:"DescribeTargetGroupsResult>TargetGroups>member"`
	}
	err := b.aws.Ask(ctx, query.LoadBalancing, "DescribeTargetGroups", url.Values{name: {given}}, &found)
	var no *query.Error
	if errors.As(err, &no) && slices.Contains([]string{"TargetGroupNotFound", "ValidationError"}, no.Code) ||
		err == nil && len(found.Groups) != 1 {
		return nil, fmt.Errorf("there is no target group %s in region %s: correct the input \"target-group\", or "+
			"\"aws-region\"", given, b.aws.Region())
	}
	if err != nil {
		return nil, err
	}
	g := found.Groups[0]
	all, err := b.health(ctx, g.ARN, g.Name, url.Values{})
	for i := range all {
		all[i].balancers, all[i].Asked = g.Balancers, g.question(all[i])
	}
	return all, err
}

// Again returns how a target is seen now. One that is not in its group any more is Unused.
func (b *Balancers) Again(ctx context.Context, t Target) (Target, error) {
	now, err := b.health(ctx, t.group, t.Group, url.Values{
		"Targets.member.1.Id": {t.ID}, "Targets.member.1.Port": {strconv.Itoa(t.Port)},
	})
	if err == nil && len(now) != 1 {
		err = fmt.Errorf("AWS tells of %d targets where it was asked for %s", len(now), t)
	}
	if err != nil {
		return t, err
	}
	return now[0], nil
}

func (b *Balancers) health(ctx context.Context, arn, name string, values url.Values) ([]Target, error) {
	var said struct {
		Targets []struct {
			ID    string `xml:"Target>Id"`
			Port  int    `xml:"Target>Port"`
			State State  `xml:"TargetHealth>State"`
			Code  string `xml:"TargetHealth>Reason"`
			Text  string `xml:"TargetHealth>Description"`
		} `xml:"DescribeTargetHealthResult>TargetHealthDescriptions>member"`
	}
	values.Set("TargetGroupArn", arn)
	if err := b.aws.Ask(ctx, query.LoadBalancing, "DescribeTargetHealth", values, &said); err != nil {
		return nil, err
	}
	var all []Target
	for _, t := range said.Targets {
		why := strings.TrimPrefix(t.Code+": "+t.Text, ": ")
		all = append(all, Target{
			Group: name, ID: t.ID, Port: t.Port, State: t.State, Why: strings.TrimSuffix(why, ": "), group: arn,
		})
	}
	return all, nil
}
