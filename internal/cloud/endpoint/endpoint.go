// Package endpoint reaches instances without a public address, through an EC2 Instance Connect Endpoint
// in their network. It knows nothing of SSH.
//
// What an endpoint wants to hear is written down nowhere: it is what AWS's own command does
// (aws/aws-cli, awscli/customizations/ec2instanceconnect).
//
// Its errors carry their remedy in their own text.
package endpoint

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// An endpoint takes 20 connections at a time, of whoever makes them
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/connect-using-eice.html). A run holds one to each of its
// hosts; what is left is for second ones, for those of a run that is just ending, and for people.
const (
	mostTunnels = 20
	mostHosts   = 16
)

// Tunnels are connections through endpoints.
type Tunnels struct {
	account *cloud.Account
	id      string          // of the endpoint, "" for the one in an instance's network
	all     func() []string // the instances to which there will be tunnels
	client  *http.Client    // nil for the default one

	mu   sync.Mutex
	ways map[string]*endpoint // by the ids of instances
}

// New returns those through the endpoint with an id, or with "" the one in the network of each
// instance; all returns the ids of the instances.
func New(account *cloud.Account, id string, all func() []string) *Tunnels {
	return &Tunnels{account: account, id: id, all: all, ways: map[string]*endpoint{}}
}

// endpoint is one of them.
type endpoint struct {
	ID     string `xml:"instanceConnectEndpointId"`
	State  string `xml:"state"`
	Why    string `xml:"stateMessage"`
	Name   string `xml:"dnsName"`
	VPC    string `xml:"vpcId"`
	Subnet string `xml:"subnetId"`

	turns chan struct{} // that are taken
}

// ready are the states in which one takes connections.
var ready = []string{"create-complete", "update-in-progress", "update-complete", "update-failed"}

func (e *endpoint) isReady() bool { return slices.Contains(ready, e.State) }

// UnreachedError is why there is no tunnel: the endpoint, or what is behind it, does not answer. It may
// later.
type UnreachedError struct {
	Endpoint string // by its id
	Err      error
}

func (e *UnreachedError) Error() string { return e.Err.Error() }

func (e *UnreachedError) Unwrap() error { return e.Err }

// Dial connects to an instance by one of its private addresses. Errors that may pass are
// *[UnreachedError], also those of the connection before anything came from the instance, or
// *[cloud.PassingError] where AWS gave no credentials.
func (t *Tunnels) Dial(ctx context.Context, instance, address string, port uint16) (net.Conn, error) {
	cfg, err := t.account.Config(ctx)
	if err != nil {
		return nil, err
	}
	way, err := t.way(ctx, cfg, instance)
	if err != nil {
		return nil, err
	}
	select {
	case way.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, &UnreachedError{way.ID, fmt.Errorf("all %d connections that the endpoint %s takes are in use by this run",
			mostTunnels, way.ID)}
	}
	conn, err := t.open(ctx, cfg, way, address, port)
	if err != nil {
		<-way.turns
		return nil, err
	}
	return conn, nil
}

// way is the endpoint by which an instance is reached. The first to ask asks for all.
func (t *Tunnels) way(ctx context.Context, cfg aws.Config, instance string) (*endpoint, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if way := t.ways[instance]; way != nil {
		return way, nil
	}
	ids := slices.DeleteFunc(append(t.all(), instance), func(id string) bool { return t.ways[id] != nil })
	slices.Sort(ids)
	them, err := instances.New(cfg).Describe(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(them, func(i instances.Instance) bool { return i.ID == instance }) {
		return nil, fmt.Errorf("there is no instance %s in region %s any more", instance, cfg.Region)
	}
	found, err := t.find(ctx, query.New(cfg), them)
	if err != nil {
		return nil, err
	}
	ways, hosts := maps.Clone(t.ways), map[*endpoint]int{}
	for _, i := range them {
		if ways[i.ID], err = t.choose(found, i, cfg.Region); err != nil {
			return nil, err
		}
	}
	for _, way := range ways {
		if hosts[way]++; hosts[way] > mostHosts {
			return nil, fmt.Errorf("more than %d hosts are behind the endpoint %s, which takes %d connections at a time: name "+
				"fewer hosts, or go through a bastion by the input \"proxy-jump\"", mostHosts, way.ID, mostTunnels)
		}
	}
	t.ways = ways
	return ways[instance], nil
}

// find asks for the endpoints of instances' networks, or for the one that is named.
func (t *Tunnels) find(ctx context.Context, client *query.Client, them []instances.Instance) ([]*endpoint, error) {
	values := url.Values{"Filter.1.Name": {"instance-connect-endpoint-id"}, "Filter.1.Value.1": {t.id}}
	if t.id == "" {
		values = url.Values{"Filter.1.Name": {"vpc-id"}}
		var networks []string
		for _, i := range them {
			networks = append(networks, i.VPC)
		}
		slices.Sort(networks)
		for n, network := range slices.Compact(networks) {
			values.Set(fmt.Sprintf("Filter.1.Value.%d", n+1), network)
		}
	}
	var all []*endpoint
	for {
		var page struct {
			Endpoints []*endpoint `xml:"instanceConnectEndpointSet>item"`
			Next      string      `xml:"nextToken"`
		}
		if err := client.Ask(ctx, query.EC2, "DescribeInstanceConnectEndpoints", values, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Endpoints...)
		if page.Next == "" {
			break
		}
		values.Set("NextToken", page.Next)
	}
	for i, e := range all {
		e.turns = make(chan struct{}, mostTunnels)
		for _, known := range t.ways { // of hosts that came meanwhile: its connections count
			if known.ID == e.ID {
				all[i] = known
			}
		}
	}
	return all, nil
}

// choose returns the endpoint for an instance: one in its own subnet, if there is any, costs no traffic
// between zones.
func (t *Tunnels) choose(all []*endpoint, i instances.Instance, region string) (*endpoint, error) {
	those := slices.DeleteFunc(slices.Clone(all), func(e *endpoint) bool { return t.id == "" && e.VPC != i.VPC })
	slices.SortFunc(those, func(a, b *endpoint) int {
		if near := a.Subnet == i.Subnet; near != (b.Subnet == i.Subnet) {
			return map[bool]int{true: -1, false: 1}[near]
		}
		return cmp.Compare(a.ID, b.ID)
	})
	if n := slices.IndexFunc(those, (*endpoint).isReady); n >= 0 {
		return those[n], nil
	}
	switch {
	case len(those) > 0:
		why := those[0].State
		if those[0].Why != "" {
			why += ": " + those[0].Why
		}
		return nil, fmt.Errorf("the endpoint %s takes no connections (%s): wait until it does, or make another one",
			those[0].ID, strings.TrimSuffix(why, "."))
	case t.id != "":
		return nil, fmt.Errorf("there is no endpoint %s in region %s: correct the input \"connect-endpoint\", "+
			"or \"aws-region\"", t.id, region)
	}
	return nil, fmt.Errorf("there is no Instance Connect Endpoint in %s, where %s is: make one (aws ec2 "+
		"create-instance-connect-endpoint --subnet-id %s), or name another one that leads there in the input "+
		"\"connect-endpoint\"", i.VPC, i.ID, i.Subnet)
}
