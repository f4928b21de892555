// Package group opens a port to an address in a security group of EC2's, and closes it again. It
// knows nothing of deployments.
//
// Its errors carry their remedy in their own text.
package group

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// Rule lets an address in on a port.
type Rule struct {
	ID          string
	Port        uint16
	From        netip.Prefix
	Description string
}

func (r Rule) String() string { return fmt.Sprintf("tcp/%d from %s", r.Port, r.From) }

// Group is one security group.
type Group struct {
	id  string
	ask *query.Client
}

// Open finds how AWS is asked; the group itself is not looked for.
func Open(ctx context.Context, account *cloud.Account, id string) (*Group, error) {
	cfg, err := account.Config(ctx)
	if err != nil {
		return nil, err
	}
	return &Group{id, query.New(cfg)}, nil
}

// ErrThere is a rule for the same port and address that somebody else has made, which comes with it: AWS has
// one of each, whatever their descriptions say.
var ErrThere = errors.New("such a rule is there already")

// Allow makes a rule, and returns it with its id. It is for a description that nobody else uses: one
// with it is this call's, even if AWS's answer to a first try was lost.
func (g *Group) Allow(ctx context.Context, r Rule) (Rule, error) {
	family, cidr := "IpRanges", "CidrIp"
	if r.From.Addr().Is6() {
		family, cidr = "Ipv6Ranges", "CidrIpv6"
	}
	port := strconv.Itoa(int(r.Port))
	values := url.Values{
		"GroupId": {g.id}, "IpPermissions.1.IpProtocol": {"tcp"}, "IpPermissions.1.FromPort": {port},
		"IpPermissions.1.ToPort":                       {port},
		"IpPermissions.1." + family + ".1." + cidr:     {r.From.String()},
		"IpPermissions.1." + family + ".1.Description": {r.Description},
	}
	var made struct {
		IDs []string `xml:"securityGroupRuleSet>item>securityGroupRuleId"`
	}
	err := g.ask.Ask(ctx, query.EC2, "AuthorizeSecurityGroupIngress", values, &made)
	if is(err, "InvalidPermission.Duplicate") {
		return g.twin(ctx, r)
	}
	if err != nil {
		return r, g.explain(err)
	}
	if len(made.IDs) != 1 {
		return r, fmt.Errorf("security group %s: AWS names %d rules for the one that was made", g.id, len(made.IDs))
	}
	r.ID = made.IDs[0]
	return r, nil
}

// twin finds out whose the rule is that is there.
func (g *Group) twin(ctx context.Context, r Rule) (Rule, error) {
	all, err := g.Rules(ctx)
	if err != nil {
		return r, err
	}
	for _, other := range all {
		if other.Port != r.Port || other.From != r.From {
			continue
		}
		if other.Description == r.Description {
			return other, nil
		}
		return other, ErrThere
	}
	return r, ErrThere
}

// Rules returns those that let one network in on one port by TCP.
func (g *Group) Rules(ctx context.Context) ([]Rule, error) {
	var rules []Rule
	values := url.Values{"Filter.1.Name": {"group-id"}, "Filter.1.Value.1": {g.id}, "MaxResults": {"1000"}}
	for {
		var page struct {
			Rules []struct {
				ID          string `xml:"securityGroupRuleId"`
				Egress      bool   `xml:"isEgress"`
				Protocol    string `xml:"ipProtocol"`
				From        int    `xml:"fromPort"`
				To          int    `xml:"toPort"`
				IPv4        string `xml:"cidrIpv4"`
				IPv6        string `xml:"cidrIpv6"`
				Description string `xml:"description"`
			} `xml:"securityGroupRuleSet>item"`
			Next string `xml:"nextToken"`
		}
		if err := g.ask.Ask(ctx, query.EC2, "DescribeSecurityGroupRules", values, &page); err != nil {
			return nil, g.explain(err)
		}
		for _, r := range page.Rules {
			from, err := netip.ParsePrefix(r.IPv4 + r.IPv6) // one of them, or none
			if err == nil && !r.Egress && r.Protocol == "tcp" && r.From == r.To && r.From > 0 && r.From < 1<<16 {
				rules = append(rules, Rule{r.ID, uint16(r.From), from, r.Description})
			}
		}
		if page.Next == "" {
			return rules, nil
		}
		values.Set("NextToken", page.Next)
	}
}

// Revoke takes a rule away. One that is gone already is as good.
func (g *Group) Revoke(ctx context.Context, id string) error {
	err := g.ask.Ask(ctx, query.EC2, "RevokeSecurityGroupIngress", url.Values{
		"GroupId": {g.id}, "SecurityGroupRuleId.1": {id},
	}, nil)
	if is(err, "InvalidPermission.NotFound", "InvalidSecurityGroupRuleId.NotFound") {
		return nil
	}
	return g.explain(err)
}

// Refused tells whether AWS has said no, so that nothing was done.
func Refused(err error) bool {
	var no *query.Error
	return errors.As(err, &no) && no.Code != "" && no.Status < 500
}

func is(err error, codes ...string) bool {
	var no *query.Error
	return errors.As(err, &no) && slices.Contains(codes, no.Code)
}

// explain says what to do about what AWS refuses of a group:
// docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
func (g *Group) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case is(err, "InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidSecurityGroupID.NotFound"):
		return fmt.Errorf("there is no security group %s in this region: correct the input \"security-group\", or "+
			"\"aws-region\" (%w)", g.id, err)
	case is(err, "RulesPerSecurityGroupLimitExceeded"):
		return fmt.Errorf("security group %s has as many rules as it may have: take away what nobody needs, or name "+
			"another group of the hosts in the input \"security-group\" (%w)", g.id, err)
	}
	return fmt.Errorf("security group %s: %w", g.id, err)
}
