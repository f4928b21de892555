package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

var (
	groupDeployments = flag.Int("group-deployments", 2, "how often TestAGroupBehindALoadBalancer deploys")
	groupKills       = flag.Int("group-kills", 1, "at how many places it kills the runner, of those in groupPlaces")
	groupChanges     = flag.Int("group-changes", 0, "in how many deployments an instance goes and another one comes")
	groupRefusals    = flag.Bool("group-refusals", false, "have AWS say of each action that it was asked too often")
	groupReport      = flag.Bool("group-report", false, "write docs/proof/group.md")
)

// groupPlaces are where a runner is killed: what its log says last. The first two are while the port
// is open to it.
var groupPlaces = []string{
	"is let in, by rule", "Connecting", "Fetching the release", "Verifying through nginx", "Finding the hosts",
	"Taking the deploy locks", "Checking the host", "Detecting the active slot", "Asking the load balancer for the hosts",
	"Building the release", "Starting the new version", "Waiting for the new version's health", "Switching",
	"Waiting for the load balancer", "Draining the old version",
}

// balancedGroup is a group of three behind a load balancer, as it is by now.
type balancedGroup struct {
	*awsWorld
	door     string // the security group
	ids      []string
	hosts    fleet // in the order of ids
	balancer *balancer
	hook     *launchHook
	with     map[string]string
	servers  map[string]string // HAProxy's names, by the instances' ids
	came     int               // instances, so far

	left int      // rules of runners that were killed
	rows []string // of the table of refusals
}

// A group of three behind a balancer: no key is stored, the port is open while a run logs in, and
// visitors, who come through the balancer, notice neither deployments nor runners that die, nor
// instances that come and go, nor AWS that is asked too often.
func TestAGroupBehindALoadBalancer(t *testing.T) {
	g := newBalancedGroup(t)
	g.hosts.ended(g.deploys(), "deployed")
	g.balancer.become(g.awsWorld, "healthy")
	g.UnderLoadAt("http://" + g.aws.IP)

	opened := g.bridge.Calls("AuthorizeSecurityGroupIngress")
	for range *groupDeployments {
		result := g.deploys()
		g.hosts.ended(result, "deployed")
		world.Says(t, result, "is let in, by rule", "is shut out again after",
			"✓ targets: 3 targets are healthy", "✓ gate: healthy in web")
		g.noRules()
	}
	if n := g.bridge.Calls("AuthorizeSecurityGroupIngress") - opened; n != *groupDeployments {
		t.Errorf("the port was opened %d times in %d runs", n, *groupDeployments)
	}

	// Every action is asked for once too often in this run.
	g.bridge.Throttle()
	g.hosts.ended(g.deploys(), "deployed")
	if often := g.bridge.Throttled(); len(often) < 10 {
		t.Errorf("only %q were asked for too often", often)
	}
	g.noRules()

	for _, place := range groupPlaces[:*groupKills] {
		g.killedAt(place)
	}
	if *groupKills > 0 && g.left == 0 {
		t.Error("no runner was killed while the port was open")
	}
	for n := range *groupChanges {
		g.changes(n)
	}
	if *groupRefusals {
		g.refusals()
	}
	requests := g.Load.Report().Requests
	g.EndLoad()
	if *groupReport && !t.Failed() {
		text := fmt.Sprintf(groupTable, *groupDeployments, *groupKills, *groupChanges, world.Thousands(requests), g.left,
			world.ActionBuild(t))
		if *groupRefusals {
			text += "\n" + fmt.Sprintf(refusalsTable, strings.Join(g.rows, "\n"))
		}
		world.Prove(t, "group.md", text)
	}
}

const groupTable = `<!-- Written by make group, not by hand. -->
# A group behind a load balancer

Three hosts in an Auto Scaling group of a stand-in for AWS, found by ` + "`asg=`" +
	` and logged in to by EC2 Instance Connect, whose
port is opened for each run and closed again, in two batches with a target group. Their visitors came through HAProxy,
with GET and POST on connections that are kept, slow answers, uploads and a WebSocket.

| | |
|---|--:|
| deployments in a row | %d |
| runners killed after that, each followed by a deployment | %d |
| deployments in which an instance of the group ended, and another one came | %d |
| requests | %s |
| lost | 0 |
| rules of killed runs that were there when they were dead | %d |
| rules left after a deployment | 0 |
| build | %s |
`

const refusalsTable = `## AWS is asked too often

Where AWS says that of each action once, a deployment goes on. Where it goes on saying it of one of them:

| the action | the run | the rules it leaves |
|---|---|--:|
%s

Each row was followed by a deployment that went live and left no rule.
`

func newBalancedGroup(t *testing.T) *balancedGroup {
	t.Helper()
	g := &balancedGroup{awsWorld: newAWSWorld(t)}
	g.hosts = fleet{g.World, world.New(t, lab.HostOptions{}), world.New(t, lab.HostOptions{})}
	var hosts []*lab.Host
	for _, w := range g.hosts {
		w.Warm()
		hosts = append(hosts, w.Host)
	}
	g.ids = g.group("web", hosts...)
	g.door = strings.TrimSpace(g.boto(`client("autoscaling").put_lifecycle_hook(AutoScalingGroupName="web",
    LifecycleHookName="deploy-action", LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING", ` +
		`DefaultResult="ABANDON",
    HeartbeatTimeout=3600)
print(client("ec2").create_security_group(GroupName="ssh", Description="ssh")["GroupId"])`))
	g.hook = g.holds(g.ids...)
	g.instanceConnect(g.ids...)
	g.balancer = g.balance("web", g.ids, hosts)
	g.haproxy(hosts)
	g.mayDeploy()
	g.with = map[string]string{
		"instances": "asg=web", "expect-hosts": "3", "key": "", "known-hosts": "", "access": "instance-connect",
		"host-keys": "ssm:/host-keys/{instance-id}", "security-group": g.door, "runner-cidr": "198.51.100.7",
		"connect-timeout": "10s", "target-group": "web", "batch": "1, 100%", "trusted-proxies": g.aws.IP + "/32",
	}
	return g
}

// mayDeploy gives the step its role, which what the administrator does takes away.
func (g *balancedGroup) mayDeploy() {
	g.T.Helper()
	g.role(g.ofPage(g.door, "", "instances", "launch-hook", "access", "host-keys", "security-group", "target-group"))
}

func (g *balancedGroup) deploys() *lab.Result {
	g.T.Helper()
	return g.Run(g.found(g.Commit(nil), g.with))
}

func (g *balancedGroup) noRules() {
	g.T.Helper()
	if rules := g.rules(g.door); len(rules) > 0 {
		g.T.Fatalf("rules left: %q", rules)
	}
}

// killedAt kills a runner, and has the next run put right what is left.
func (g *balancedGroup) killedAt(place string) {
	g.T.Helper()
	killAt(g.World, place, g.found(g.Commit(nil), g.with))
	rules := g.rules(g.door)
	g.left += len(rules)
	g.untilOver(rules)
	next := g.deploys()
	if g.hosts.ended(next, "deployed"); len(rules) > 0 {
		world.Says(g.T, next, "is taken away, which run ")
	}
	if after := g.rules(g.door); len(after) > 0 {
		g.T.Fatalf("killed at %q: rules left after the next run: %q", place, after)
	}
}

// changes has the group end one of its instances in the middle of a deployment, before it is switched
// or while it is watched, and launch another one, which a hook holds.
func (g *balancedGroup) changes(n int) {
	g.T.Helper()
	with := maps.Clone(g.with)
	with["expect-hosts"], with["watch-for"] = "2-", "15s"
	place, goes := "Verifying through nginx", (n/2)%3 // the first of all, too
	if n%2 == 0 {
		place, goes = "│ holding", 2 // the command is the first one's
		with["before-start"] = "echo holding; until [ ! -e /tmp/hold ]; do sleep 0.1; done"
		for _, w := range g.hosts {
			w.Exec("touch /tmp/hold")
		}
	}
	comes := world.New(g.T, lab.HostOptions{})
	comes.Warm()
	g.bridge.Throttle()
	running, err := g.Runner.Start(g.Ctx, g.found(g.Commit(nil), with))
	if err == nil {
		err = running.WaitLog(g.Ctx, place)
	}
	if err != nil {
		g.T.Fatal(err)
	}
	leaver := g.ids[goes]
	g.replaces(leaver, comes)
	g.balances("set server web/" + g.servers[leaver] + " state drain")
	g.drained(g.servers[leaver])
	if err := g.hosts[goes].Host.PowerOff(g.Ctx); err != nil {
		g.T.Fatal(err)
	}
	g.balancer.forgets(leaver)
	came := g.ids[len(g.ids)-1]
	g.ids, g.hosts = slices.Delete(g.ids, goes, goes+1), slices.Delete(g.hosts, goes, goes+1)
	for _, w := range g.hosts {
		w.Exec("rm -f /tmp/hold")
	}
	result, err := running.Wait()
	if err != nil {
		g.T.Fatal(err)
	}
	g.hosts.ended(result, "deployed")
	g.wantOutcomes(result, leaver)
	often := g.bridge.Throttled()
	if n := g.hook.heard()["CONTINUE"]; n != g.came || len(often) < 12 {
		g.T.Fatalf("%d instances were let in, of %d; asked for too often: %q\n%s", n, g.came, often, result.Log())
	}

	// Auto Scaling has the load balancer take it, and the next deployment finds three.
	g.balances("set server web/" + g.servers[came] + " state ready")
	g.balancer.asks(g.awsWorld, came, comes.Host)
	g.balancer.become(g.awsWorld, "healthy")
	next := g.deploys()
	g.hosts.ended(next, "deployed")
	g.noRules()
	g.sort(next)
}

// replaces has the group end an instance and launch another one, which a host really is.
func (g *balancedGroup) replaces(leaver string, comes *world.World) {
	g.T.Helper()
	var made struct{ ID, Public, Private string }
	out := g.administers(fmt.Sprintf(`ec2, asg, elb = client("ec2"), client("autoscaling"), client("elbv2")
arn, leaver = %q, %q
def members():
    group = asg.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])["AutoScalingGroups"][0]
    return {i["InstanceId"] for i in group["Instances"]}
before = members()
asg.terminate_instance_in_auto_scaling_group(InstanceId=leaver, ShouldDecrementDesiredCapacity=False)
i, = members() - before
elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": leaver}])
elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": i}])
i = ec2.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]
print(json.dumps({"ID": i["InstanceId"], "Public": i.get("PublicIpAddress", ""), "Private": i["PrivateIpAddress"]}))`,
		g.balancer.arn, leaver))
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		g.T.Fatalf("%v in %q", err, out)
	}
	g.is(made.ID, comes.Host, made.Public, made.Private)
	g.takesKeys(made.ID)
	g.came++
	g.servers[made.ID] = fmt.Sprintf("spare-%d", g.came)
	g.balances("set server web/" + g.servers[made.ID] + " addr " + comes.Host.IP + " port 80")
	g.ids, g.hosts = append(g.ids, made.ID), append(g.hosts, comes)
	g.mayDeploy()
}

type ofHost struct {
	ID      string `json:"instance-id"`
	Outcome string
	Release string
}

func (g *balancedGroup) said(result *lab.Result) []ofHost {
	g.T.Helper()
	var all []ofHost
	if err := json.Unmarshal([]byte(result.Outputs["hosts"]), &all); err != nil {
		g.T.Fatalf("%v\n%s", err, result.Log())
	}
	return all
}

// wantOutcomes wants all to have the release but who left.
func (g *balancedGroup) wantOutcomes(result *lab.Result, leaver string) {
	g.T.Helper()
	want := map[string]ofHost{leaver: {leaver, "left", ""}}
	for i, id := range g.ids {
		want[id] = ofHost{id, "deployed", result.Outputs["release"]}
		serves := g.hosts[i].Exec("readlink /home/ubuntu/shop/slots/$(ls /var/lib/deploy-action/shop/active)")
		if serves != "../releases/"+result.Outputs["release"] {
			g.T.Errorf("%s has %s live, want %s", id, serves, result.Outputs["release"])
		}
	}
	got := map[string]ofHost{}
	for _, one := range g.said(result) {
		got[one.ID] = one
	}
	if !maps.Equal(got, want) {
		g.T.Fatalf("the run says %+v, want %+v\n%s", got, want, result.Log())
	}
}

// sort has hosts in the order that a run found them in.
func (g *balancedGroup) sort(result *lab.Result) {
	g.T.Helper()
	var ids []string
	var hosts fleet
	for _, one := range g.said(result) {
		i := slices.Index(g.ids, one.ID)
		if i < 0 {
			g.T.Fatalf("%s is none of %q", one.ID, g.ids)
		}
		ids, hosts = append(ids, one.ID), append(hosts, g.hosts[i])
	}
	g.ids, g.hosts = ids, hosts
}

// refusals has AWS say of one action after the other that it was asked too often, for as long as the
// run asks.
func (g *balancedGroup) refusals() {
	g.T.Helper()
	const open = "ec2:RevokeSecurityGroupIngress"
	const idle = "elasticloadbalancing:DescribeLoadBalancerAttributes"
	for _, tt := range []struct {
		action string
		at     string // what the log says when it begins; "": at once
		want   string
		ends   string // in words
	}{
		{"autoscaling:DescribeAutoScalingGroups", "", "failed", "fails before anything is touched"},
		{"ec2:DescribeInstances", "", "failed", "fails before anything is touched"},
		{"ec2:DescribeSecurityGroupRules", "", "failed", "fails before anything is touched"},
		{"ec2:AuthorizeSecurityGroupIngress", "", "failed", "fails before anything is touched"},
		{"ssm:GetParameter", "", "failed", "fails before anything is touched"},
		{"ec2-instance-connect:SendSSHPublicKey", "", "failed", "fails before anything is touched"},
		{"elasticloadbalancing:DescribeTargetGroups", "", "failed", "fails before anything is touched"},
		{"elasticloadbalancing:DescribeTargetHealth", "", "failed", "fails before anything is touched"},
		{"elasticloadbalancing:DescribeTargetHealth", "Verifying through nginx", "restored", "goes back on all hosts"},
		{idle, "", "deployed", "goes live, with a warning"},
		{open, "", "deployed", "goes live, with a warning"},
	} {
		with := maps.Clone(g.with)
		with["target-timeout"] = "10s"
		running, err := g.Runner.Start(g.Ctx, g.found(g.Commit(nil), with))
		if err == nil && tt.at != "" {
			err = running.WaitLog(g.Ctx, tt.at)
		}
		if err != nil {
			g.T.Fatal(err)
		}
		_, action, _ := strings.Cut(tt.action, ":")
		g.bridge.Fail(action, "", 0, math.MaxInt)
		result, err := running.Wait()
		if err != nil {
			g.T.Fatal(err)
		}
		g.bridge.Fail(action, "", 0, 0)
		world.Says(g.T, result, tt.action+" in region eu-central-1: AWS was asked too often")
		switch tt.want {
		case "deployed":
			g.hosts.ended(result, tt.want)
		case "failed":
			world.Failed(g.T, result, tt.want, tt.action, "site: unchanged")
		default:
			world.Failed(g.T, result, tt.want, tt.action)
		}
		rules := g.rules(g.door)
		if want := map[bool]int{true: 1}[tt.action == open]; len(rules) != want {
			g.T.Errorf("%s: rules left: %q", tt.action, rules)
		}
		g.untilOver(rules)
		g.hosts.ended(g.deploys(), "deployed")
		g.noRules()
		g.rows = append(g.rows, fmt.Sprintf("| `%s`%s | %s | %d |", tt.action,
			map[bool]string{true: " once the release is live on the first host"}[tt.at != ""], tt.ends, len(rules)))
	}
}

// rules are those that let runners in, with their descriptions.
func (w *awsWorld) rules(group string) []string {
	w.T.Helper()
	out := strings.TrimSpace(w.boto(fmt.Sprintf(
		`print(*(r["Description"] for r in client("ec2").describe_security_group_rules(
    Filters=[{"Name": "group-id", "Values": [%q]}])["SecurityGroupRules"] if not r["IsEgress"]), sep="\n")`, group)))
	return slices.DeleteFunc(strings.Split(out, "\n"), func(line string) bool { return line == "" })
}

var ruleEnds = regexp.MustCompile(` exp=([0-9]+) `)

// untilOver waits until other runs may take rules away.
func (w *awsWorld) untilOver(rules []string) {
	w.T.Helper()
	for _, rule := range rules {
		found := ruleEnds.FindStringSubmatch(rule)
		if found == nil {
			w.T.Fatalf("the rule %q does not say how long it is left alone", rule)
		}
		end, _ := strconv.ParseInt(found[1], 10, 64)
		time.Sleep(time.Until(time.Unix(end+1, 0)))
	}
}

// haproxy has the host of AWS's stand-in balance between hosts, over connections that it keeps as long
// as an Application Load Balancer does by default, and without trying anything twice.
func (g *balancedGroup) haproxy(hosts []*lab.Host) {
	g.T.Helper()
	g.servers = map[string]string{}
	var servers strings.Builder
	const kept = " check inter 1s pool-purge-delay 60s"
	for i, h := range hosts {
		g.servers[g.ids[i]] = fmt.Sprintf("web-%d", i+1)
		_, _ = fmt.Fprintf(&servers, "  server web-%d %s:80%s\n", i+1, h.IP, kept)
	}
	_, _ = fmt.Fprintf(&servers, "  server-template spare- 1-%d 0.0.0.0:80%s disabled\n", max(1, *groupChanges), kept)
	g.onAWS(`cat >/etc/haproxy/haproxy.cfg <<'X'
global
  stats socket /run/haproxy/admin.sock mode 600 level admin
defaults
  mode http
  option forwardfor
  option httpchk GET /health
  http-reuse always
  retries 0
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend visitors
  bind *:80
  default_backend web
backend web
` + servers.String() + `X
systemctl stop nginx
systemctl restart haproxy`)
}

// balances tells HAProxy something while it runs, and returns what it says.
func (g *balancedGroup) balances(command string) string {
	g.T.Helper()
	return g.onAWS(`python3 - '` + command + `' <<'X'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/run/haproxy/admin.sock")
s.sendall(sys.argv[1].encode() + b"\n")
print(s.makefile().read().strip())
X`)
}

// deregistrationDelay is how long a load balancer leaves the connections of a target that goes; those of
// WebSockets last for all of it. AWS's is five minutes by default.
const deregistrationDelay = 10 * time.Second

// drained waits until a server is asked nothing any more, and has HAProxy end what is left.
func (g *balancedGroup) drained(server string) {
	g.T.Helper()
	for deadline := time.Now().Add(deregistrationDelay); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		_, row, _ := strings.Cut(g.balances("show stat"), "\nweb,"+server+",")
		fields := strings.Split(row, ",") // after the two names: what waits, at most, now
		if len(fields) < 3 {
			g.T.Fatalf("HAProxy does not know %s", server)
		}
		if fields[2] == "0" {
			return
		}
	}
	g.balances("shutdown sessions server web/" + server)
}
