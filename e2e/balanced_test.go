package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
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

// A group of three behind a balancer: no key is stored, the port is open while a run logs in, and
// visitors, who come through the balancer, notice neither deployments nor runners that die.
func TestAGroupBehindALoadBalancer(t *testing.T) {
	w := newAWSWorld(t)
	fl := fleet{w.World, world.New(t, lab.HostOptions{}), world.New(t, lab.HostOptions{})}
	var hosts []*lab.Host
	for _, w := range fl {
		w.Warm()
		hosts = append(hosts, w.Host)
	}
	ids := w.group("web", hosts...)
	group := strings.TrimSpace(w.boto(`print(client("ec2").create_security_group(GroupName="ssh", Description="ssh")["GroupId"])`))
	w.instanceConnect(ids, hosts...)
	balancer := w.balance("web", ids, hosts)
	w.haproxy(hosts)
	w.role(w.ofPage(group, "", "instances", "access", "host-keys", "security-group", "target-group"))
	with := map[string]string{
		"instances": "asg=web", "expect-hosts": "3", "key": "", "known-hosts": "", "access": "instance-connect",
		"host-keys": "ssm:/host-keys/{instance-id}", "security-group": group, "runner-cidr": "198.51.100.7",
		"connect-timeout": "10s", "target-group": "web", "batch": "1, 100%", "trusted-proxies": w.aws.IP + "/32",
	}
	fl.ended(w.Run(w.found(w.Commit(nil), with)), "deployed")
	balancer.become(w, "healthy")
	w.UnderLoadAt("http://" + w.aws.IP)

	opened := w.bridge.Calls("AuthorizeSecurityGroupIngress")
	for range *groupDeployments {
		result := w.Run(w.found(w.Commit(nil), with))
		fl.ended(result, "deployed")
		world.Says(t, result, "is let in, by rule", "is shut out again after", "✓ targets: 3 targets are healthy", "✓ gate: healthy in web")
		if rules := w.rules(group); len(rules) > 0 {
			t.Fatalf("rules left: %q", rules)
		}
	}
	if n := w.bridge.Calls("AuthorizeSecurityGroupIngress") - opened; n != *groupDeployments {
		t.Errorf("the port was opened %d times in %d runs", n, *groupDeployments)
	}

	left := 0
	for _, place := range groupPlaces[:*groupKills] {
		killAt(w.World, place, w.found(w.Commit(nil), with))
		rules := w.rules(group)
		left += len(rules)
		w.untilOver(rules)
		next := w.Run(w.found(w.Commit(nil), with))
		if fl.ended(next, "deployed"); len(rules) > 0 {
			world.Says(t, next, "is taken away, which run ")
		}
		if after := w.rules(group); len(after) > 0 {
			t.Fatalf("killed at %q: rules left after the next run: %q", place, after)
		}
	}
	if *groupKills > 0 && left == 0 {
		t.Error("no runner was killed while the port was open")
	}
	requests := w.Load.Report().Requests
	w.EndLoad()
	if *groupReport && !t.Failed() {
		text := fmt.Sprintf(groupTable, *groupDeployments, *groupKills, requests, left, world.ActionBuild(t))
		if err := os.WriteFile(filepath.Join(world.Shared.Root, "docs/proof/group.md"), []byte(text), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
}

const groupTable = `<!-- Written by make group, not by hand. -->
# A group behind a load balancer

Three hosts in an Auto Scaling group of a stand-in for AWS, found by ` + "`asg=`" + ` and logged in to by EC2 Instance Connect, whose
port is opened for each run and closed again, in two batches with a target group. Their visitors came through HAProxy,
with GET and POST on connections that are kept, slow answers, uploads and a WebSocket.

| | |
|---|--:|
| deployments in a row | %d |
| runners killed after that, each followed by a deployment | %d |
| requests | %d |
| lost | 0 |
| rules of killed runs that were there when they were dead | %d |
| rules left after a deployment | 0 |
| build | %s |
`

// rules are those that let runners in, with their descriptions.
func (w *awsWorld) rules(group string) []string {
	w.T.Helper()
	out := strings.TrimSpace(w.boto(fmt.Sprintf(`print(*(r["Description"] for r in client("ec2").describe_security_group_rules(
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
func (w *awsWorld) haproxy(hosts []*lab.Host) {
	w.T.Helper()
	var servers strings.Builder
	for i, h := range hosts {
		_, _ = fmt.Fprintf(&servers, "  server web-%d %s:80 check inter 1s pool-purge-delay 60s\n", i+1, h.IP)
	}
	w.onAWS(`cat >/etc/haproxy/haproxy.cfg <<'X'
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
