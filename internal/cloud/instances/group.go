package instances

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// group is one of Auto Scaling.
type group struct {
	Name     string    `xml:"AutoScalingGroupName"`
	Members  []member  `xml:"Instances>member"`
	WarmPool *struct{} `xml:"WarmPoolConfiguration"`
}

type member struct {
	ID    string `xml:"InstanceId"`
	State string `xml:"LifecycleState"`
}

// states are those of the members that are deployed to: the ones that get visitors, and those that
// are about to, which a lifecycle hook holds meanwhile
// (docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html).
var states = []string{"InService", pendingWait}

const pendingWait = "Pending:Wait"

// holds tells whether a hook keeps the group from putting an instance into service.
func (g *group) holds(id string) bool {
	return slices.ContainsFunc(g.Members, func(m member) bool { return m.ID == id && m.State == pendingWait })
}

func (g *group) inService() []string {
	var ids []string
	for _, m := range g.Members {
		if slices.Contains(states, m.State) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// groups asks for those that lines name, by their names.
func (f *Finder) groups(ctx context.Context, lines []Wanted) (map[string]*group, error) {
	var names []string
	for _, line := range lines {
		if line.Group != "" && !slices.Contains(names, line.Group) {
			names = append(names, line.Group)
		}
	}
	found := map[string]*group{}
	for some := range slices.Chunk(names, mostGroups) {
		values := url.Values{}
		for i, name := range some {
			values.Set(fmt.Sprintf("AutoScalingGroupNames.member.%d", i+1), name)
		}
		for {
			var page struct {
				Groups []group `xml:"DescribeAutoScalingGroupsResult>AutoScalingGroups>member"`
				Next   string  `xml:"DescribeAutoScalingGroupsResult>NextToken"`
			}
			if err := f.aws.Ask(ctx, query.AutoScaling, "DescribeAutoScalingGroups", values, &page); err != nil {
				return nil, err
			}
			for _, g := range page.Groups {
				found[g.Name] = &g
			}
			if page.Next == "" {
				break
			}
			values.Set("NextToken", page.Next)
		}
	}
	var errs []error
	for _, name := range names {
		if found[name] == nil {
			errs = append(errs, fmt.Errorf("there is no Auto Scaling group %q in region %s: correct its name, or the input "+
				"\"aws-region\"", name, f.aws.Region()))
		}
	}
	return found, errors.Join(errs...)
}

// mostGroups is as many as one answer has by default.
const mostGroups = 50
