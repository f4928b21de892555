package images

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// Group is an Auto Scaling group, and what it launches.
type Group struct {
	Name     string
	Template string // the id of a launch template
	Version  string // of it, as the group has it: Latest, Default or a number
	InUse    Version

	policy url.Values // of a group with instances of several kinds, as AWS takes it back
}

// The versions of a launch template that have a name.
const (
	Latest  = "$Latest"
	Default = "$Default"
)

// Version is one of a launch template.
type Version struct {
	Number      int    `xml:"versionNumber"`
	Image       string `xml:"launchTemplateData>imageId"`
	Description string `xml:"versionDescription"`
}

func (g Group) String() string {
	if number := fmt.Sprint(g.InUse.Number); number != g.Version {
		return fmt.Sprintf("%s launches version %s (%s) of %s", g.Name, number, g.Version, g.Template)
	}
	return fmt.Sprintf("%s launches version %s of %s", g.Name, g.Version, g.Template)
}

// Groups are those of the names, in their order, with what they launch now.
func (i *Images) Groups(ctx context.Context, names []string) ([]Group, error) {
	var groups []Group
	var errs []error
	for some := range slices.Chunk(names, mostGroups) {
		found, err := i.groups(ctx, some)
		if err != nil {
			return nil, err
		}
		for _, name := range some {
			its, there := found[name]
			if !there {
				errs = append(errs, fmt.Errorf("there is no Auto Scaling group %q in region %s: correct its name, or the "+
					"input \"aws-region\"", name, i.aws.Region()))
				continue
			}
			g, err := groupOf(its)
			if err == nil {
				g.InUse, err = i.inUse(ctx, g)
			}
			groups, errs = append(groups, g), append(errs, err)
		}
	}
	return groups, errors.Join(errs...)
}

// mostGroups is as many as one answer has by default.
const mostGroups = 50

// described is a group as AWS tells of it.
type described struct {
	Name     string `xml:"AutoScalingGroupName"`
	Template struct {
		ID      string `xml:"LaunchTemplateId"`
		Version string `xml:"Version"`
	} `xml:"LaunchTemplate"`
	Policy *node `xml:"MixedInstancesPolicy"`
}

func (i *Images) groups(ctx context.Context, names []string) (map[string]described, error) {
	values := url.Values{}
	for n, name := range names {
		values.Set(fmt.Sprintf("AutoScalingGroupNames.member.%d", n+1), name)
	}
	var said struct {
		Groups []described `xml:"DescribeAutoScalingGroupsResult>AutoScalingGroups>member"`
	}
	if err := i.aws.Ask(ctx, query.AutoScaling, "DescribeAutoScalingGroups", values, &said); err != nil {
		return nil, err
	}
	found := map[string]described{}
	for _, d := range said.Groups {
		found[d.Name] = d
	}
	return found, nil
}

// policyTemplate is where a policy for several kinds of instances names its launch template.
const policyTemplate = "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification."

// groupOf reads how a group names what it launches. A version that it does not name is the default one.
func groupOf(d described) (Group, error) {
	g := Group{Name: d.Name, Template: d.Template.ID, Version: cmp.Or(d.Template.Version, Default)}
	if d.Policy != nil {
		g.policy = url.Values{}
		d.Policy.put(g.policy, "MixedInstancesPolicy")
		g.Template = g.policy.Get(policyTemplate + "LaunchTemplateId")
		g.Version = cmp.Or(g.policy.Get(policyTemplate+"Version"), Default)
		g.policy.Del(policyTemplate + "LaunchTemplateName") // it takes one of the two
		for field := range g.policy {
			if strings.Contains(field, ".Overrides.") && strings.Contains(field, ".LaunchTemplateSpecification.") {
				return g, fmt.Errorf("the Auto Scaling group %q has a launch template of its own for some types of instances, "+
					"and one image is not for all of them: take it out of the group's overrides, or leave out the input "+
					"\"launch-image\"", d.Name)
			}
		}
	}
	if g.Template == "" {
		return g, fmt.Errorf("the Auto Scaling group %q has no launch template into which an image could be put: give it "+
			"one in the place of its launch configuration, or leave out the input \"launch-image\"", d.Name)
	}
	return g, nil
}

func (i *Images) inUse(ctx context.Context, g Group) (Version, error) {
	var said struct {
		Versions []Version `xml:"launchTemplateVersionSet>item"`
	}
	err := i.aws.Ask(ctx, query.EC2, "DescribeLaunchTemplateVersions", url.Values{
		"LaunchTemplateId": {g.Template}, "LaunchTemplateVersion.1": {g.Version},
	}, &said)
	if err == nil && len(said.Versions) != 1 {
		err = fmt.Errorf("AWS tells of %d versions where it was asked for %s of launch template %s", len(said.Versions),
			g.Version, g.Template)
	}
	if err != nil {
		return Version{}, err
	}
	return said.Versions[0], nil
}

// node is XML of which nothing is lost: what a group has besides its launch template is given back to it
// as it was.
type node struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
	Nodes   []node `xml:",any"`
}

// put writes it as the fields of a question.
func (n *node) put(values url.Values, path string) {
	if text := strings.TrimSpace(n.Text); len(n.Nodes) == 0 && text != "" {
		values.Set(path, text)
	}
	for number, child := range n.Nodes {
		name := child.XMLName.Local
		if name == "member" || name == "item" { // of a list
			name += fmt.Sprintf(".%d", number+1)
		}
		child.put(values, path+"."+name)
	}
}
