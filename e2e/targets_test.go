package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/aws"
	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// balancer is in the place of a load balancer of AWS's: it asks hosts for their health by their
// addresses, as one does, and has moto's bridge say what came of that.
type balancer struct {
	mu    sync.Mutex
	state map[string]string // by the instance's id
	stops map[string]func() // ends the questions to one, and waits for that
	arn   string            // of the target group
}

// A load balancer asks every five seconds at most; here it is the thresholds that matter.
const (
	balancerAsks      = 200 * time.Millisecond
	balancerThreshold = 2 // answers in a row
)

// balance puts hosts into a target group of a load balancer, by their instances' ids.
func (w *awsWorld) balance(group string, ids []string, hosts []*lab.Host) *balancer {
	w.T.Helper()
	arn := w.boto(fmt.Sprintf(`elb = client("elbv2")
vpc = client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
arn = elb.create_target_group(Name=%q, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance",
    HealthCheckPath="/health")["TargetGroups"][0]["TargetGroupArn"]
elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": i} for i in "%s".split()])
subnets = [s["SubnetId"] for s in client("ec2").describe_subnets()["Subnets"]][:2]
front = elb.create_load_balancer(Name="front", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
elb.create_listener(LoadBalancerArn=front, Protocol="HTTP", Port=80,
    DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}])
print(arn)`, group, strings.Join(ids, " ")))
	w.bridge.After("DescribeLoadBalancerAttributes", func(call *aws.Call) { // moto leaves out what is AWS's default
		call.Answer = []byte(strings.Replace(string(call.Answer), "</Attributes>", "<member>"+
			"<Key>idle_timeout.timeout_seconds</Key><Value>60</Value></member></Attributes>", 1))
	})
	b := &balancer{state: map[string]string{}, stops: map[string]func(){}, arn: strings.TrimSpace(arn)}
	for i, id := range ids {
		b.asks(w, id, hosts[i])
	}
	w.T.Cleanup(func() {
		for _, stop := range b.stops {
			stop()
		}
	})
	w.bridge.After("DescribeTargetHealth", func(call *aws.Call) {
		b.mu.Lock()
		defer b.mu.Unlock()
		members := strings.Split(string(call.Answer), "<member>")
		for i, member := range members {
			for id, state := range b.state {
				if state != "healthy" && strings.Contains(member, "<Id>"+id+"</Id>") {
					members[i] = strings.Replace(member, "<State>healthy</State>", "<State>"+state+"</State>"+
						"<Reason>Target.ResponseCodeMismatch</Reason><Description>Health checks failed</Description>", 1)
				}
			}
		}
		call.Answer = []byte(strings.Join(members, "<member>"))
	})
	return b
}

// asks has it ask one more host.
func (b *balancer) asks(w *awsWorld, id string, host *lab.Host) {
	b.mu.Lock()
	b.state[id] = "initial"
	b.mu.Unlock()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.watch(ctx, id, host.IP)
	}()
	b.stops[id] = func() { cancel(); <-ended }
}

// forgets has it ask a host no more.
func (b *balancer) forgets(id string) {
	b.stops[id]()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.state, id)
}

func (b *balancer) watch(ctx context.Context, id, address string) {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	last, row := false, 0
	for ctx.Err() == nil {
		good := false
		if request, err := http.NewRequestWithContext(ctx, http.MethodGet,
			"http://"+address+"/health", http.NoBody); err == nil {
			if answer, err := client.Do(request); err == nil {
				good = answer.StatusCode == http.StatusOK
				_ = answer.Body.Close()
			}
		}
		if row++; good != last {
			last, row = good, 1
		}
		if row >= balancerThreshold {
			b.mu.Lock()
			b.state[id] = map[bool]string{true: "healthy", false: "unhealthy"}[good]
			b.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(balancerAsks):
		}
	}
}

// become waits until all targets are seen so.
func (b *balancer) become(w *awsWorld, state string) {
	w.T.Helper()
	b.becomes(w, "", state)
}

// becomes waits until a target is seen so; "" is for all.
func (b *balancer) becomes(w *awsWorld, id, state string) {
	w.T.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		b.mu.Lock()
		others := 0
		for of, s := range b.state {
			if s != state && (id == "" || id == of) {
				others++
			}
		}
		b.mu.Unlock()
		if others == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.T.Fatalf("%d targets do not become %s", others, state)
		}
	}
}

// A release may be healthy for whoever deploys it, and not for the load balancer, which asks for
// something else: it goes back on all hosts, and no visitor meets a host that is out of service.
func TestAReleaseThatTheLoadBalancerDoesNotLike(t *testing.T) {
	w := newAWSWorld(t)
	second := world.New(t, lab.HostOptions{})
	w.Warm()
	second.Warm()
	hosts, both := []*lab.Host{w.Host, second.Host}, fleet{w.World, second}
	ids := w.group("web", hosts...)
	balancer := w.balance("web", ids, hosts)
	w.role(w.ofPage("", "", "instances", "target-group"))
	with := map[string]string{
		"instances": "asg=web", "known-hosts": byID(ids, hosts...), "batch": "1, 100%", "target-group": "web",
		"target-timeout": "1m",
	}
	balancer.become(w, "unhealthy") // nothing is there yet
	first := w.Run(w.found(w.Commit(nil), with))
	both.ended(first, "deployed")
	world.Says(t, first, "Not waited for", ids[0]+":80 of target group web is unhealthy (Target.ResponseCodeMismatch",
		"::notice title=Idle time-out::", "(front after 1m0s; its attribute idle_timeout.timeout_seconds)")
	balancer.become(w, "healthy")

	w.UnderLoad()
	good := w.Run(w.found(w.Commit(nil), with))
	both.ended(good, "deployed")
	world.Says(t, good, "✓ targets: 2 targets are healthy", "✓ balancer: GET /health for web: 200 OK",
		"✓ gate: healthy in web")
	if row := hosts[1].IP + " | " + ids[1] + ":80 | web | healthy | healthy |"; !strings.Contains(good.Summary, row) {
		t.Errorf("the summary lacks %q:\n%s", row, good.Summary)
	}
	serves := both.live(good, "8081")

	with["health-path"], with["target-timeout"] = "/healthz", "5s"
	bad := w.Run(w.found(w.Commit(map[string]string{"BROKEN": "wrong-path"}), with))
	world.Failed(t, bad, "restored", "gate: "+ids[0]+":80 of target group web is unhealthy",
		"5s after the release went live")
	if live := both.live(good, "8081"); live != serves || strings.Contains(bad.Log(), "Switching on "+hosts[1].IP) {
		t.Errorf("%s serves, want %s; the second batch got it, too:\n%s", live, serves, bad.Log())
	}
	balancer.become(w, "healthy")

	delete(with, "health-path")
	for _, action := range []string{
		"elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth",
	} {
		w.role(w.ofPage("", action, "instances", "target-group"))
		denied := w.Run(w.found(w.Commit(nil), with))
		world.Failed(t, denied, "failed", "targets: the role must be allowed "+action+": put {")
	}

	// Another site has the host's address for a name: nobody gets that but who asks as the load balancer
	// does. What needs not be known does not have to be allowed.
	w.EndLoad()
	w.Exec("printf 'server { listen 80; server_name " + hosts[0].IP + "; return 404; }\n' " +
		">/etc/nginx/conf.d/other.conf; nginx -t && systemctl reload nginx")
	balancer.becomes(w, ids[0], "unhealthy")
	const idle = "elasticloadbalancing:DescribeLoadBalancerAttributes"
	w.role(w.ofPage("", idle, "instances", "target-group"))
	with["operation"] = "check"
	checked := w.Run(w.found("main", with))
	both.ended(checked, "unchanged")
	world.Says(t, checked, "target group web asks "+hosts[0].IP+" for GET /health at port 80",
		"what it gets is 404 Not Found", "it is 200 OK, so another server block of nginx answers",
		"the idle time-outs of the load balancers are not known", "the role must be allowed "+idle+": put {")
	if strings.Contains(checked.Log(), "target group web asks "+hosts[1].IP) {
		t.Errorf("the second host is warned of, too:\n%s", checked.Log())
	}
	if row := hosts[0].IP + " | " + ids[0] + ":80 | web | unhealthy |"; !strings.Contains(checked.Summary, row) {
		t.Errorf("the summary lacks %q:\n%s", row, checked.Summary)
	}
}
