package targets

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// group is AWS's:
// docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroup.html
type group struct {
	ARN       string   `xml:"TargetGroupArn"`
	Name      string   `xml:"TargetGroupName"`
	Balancers []string `xml:"LoadBalancerArns>member"`
	Checks    string   `xml:"HealthCheckEnabled"` // "false" where it does not
	Protocol  string   `xml:"HealthCheckProtocol"`
	Port      string   `xml:"HealthCheckPort"`
	Path      string   `xml:"HealthCheckPath"`
	Seconds   int      `xml:"HealthCheckTimeoutSeconds"`
	Statuses  string   `xml:"Matcher>HttpCode"` // none where the answers are gRPC's
}

// Question is what a load balancer asks a target for its health, by HTTP. It knows no name: the header
// Host has the target's address.
type Question struct {
	Scheme   string // "http" or "https"
	Port     int
	Path     string
	Patience time.Duration // for the answer
	Wanted   string        // statuses, such as "200", "200,302" or "200-399"
}

// question is nil where targets are asked by something else, or not at all.
func (g group) question(t Target) *Question {
	if g.Checks == "false" || g.Protocol != "HTTP" && g.Protocol != "HTTPS" || g.Path == "" || g.Statuses == "" {
		return nil
	}
	port, err := strconv.Atoi(g.Port)
	if err != nil { // "traffic-port"
		port = t.Port
	}
	return &Question{
		strings.ToLower(g.Protocol), port, g.Path, time.Duration(cmp.Or(g.Seconds, 5)) * time.Second, g.Statuses,
	}
}

// Likes tells whether a status is a right answer.
func (q Question) Likes(status int) bool {
	return slices.ContainsFunc(strings.Split(q.Wanted, ","), func(some string) bool {
		from, to, isRange := strings.Cut(strings.TrimSpace(some), "-")
		least, err := strconv.Atoi(from)
		most := least
		if isRange && err == nil {
			most, err = strconv.Atoi(to)
		}
		return err == nil && least <= status && status <= most
	})
}

// Idle is for how long a load balancer bears a connection on which nothing comes.
type Idle struct {
	Balancer string // its name
	After    time.Duration
}

// idleTimeout is the attribute's name:
// docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
const idleTimeout = "idle_timeout.timeout_seconds"

// Idles are the idle time-outs of the load balancers that send visitors to targets. One for whole
// connections, such as a Network Load Balancer, has none.
func (b *Balancers) Idles(ctx context.Context, all []Target) ([]Idle, error) {
	var found []Idle
	var asked []string
	for _, t := range all {
		for _, arn := range t.balancers {
			if slices.Contains(asked, arn) {
				continue
			}
			asked = append(asked, arn)
			var said struct {
				Attributes []struct {
					Key   string
					Value string
				} `xml:"DescribeLoadBalancerAttributesResult>Attributes>member"`
			}
			if err := b.aws.Ask(ctx, query.LoadBalancing, "DescribeLoadBalancerAttributes",
				url.Values{"LoadBalancerArn": {arn}}, &said); err != nil {
				return found, err
			}
			for _, a := range said.Attributes {
				if seconds, err := strconv.Atoi(a.Value); a.Key == idleTimeout && err == nil {
					found = append(found, Idle{nameOf(arn), time.Duration(seconds) * time.Second})
				}
			}
		}
	}
	return found, nil
}

// nameOf takes a load balancer's name out of its ARN, which ends in …:loadbalancer/app/NAME/ID.
func nameOf(arn string) string {
	parts := strings.Split(arn, "/")
	if len(parts) < 2 {
		return arn
	}
	return parts[len(parts)-2]
}
