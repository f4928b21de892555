package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/world"
)

// The port is open to a run while it logs in, and to nobody after it, however it ends.
func TestThePortIsOpenWhileARunLogsIn(t *testing.T) {
	w := newAWSWorld(t)
	group := strings.TrimSpace(w.boto(`import time
ec2 = client("ec2")
id = ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
for address, description in (
    ("192.0.2.1/32", "office"), ("192.0.2.2/32", "deploy-action run=1 exp=%d id=LIVING" % (time.time() + 3600)),
    ("192.0.2.3/32", "deploy-action run=2 exp=%d id=DEAD" % (time.time() - 1))):
    ec2.authorize_security_group_ingress(GroupId=id, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
        "IpRanges": [{"CidrIp": address, "Description": description}]}])
print(id)`))
	w.role(w.ofPage(group, "", "security-group"))
	rules := func() string {
		return strings.TrimSpace(w.boto(fmt.Sprintf(
			`print(*sorted(r["CidrIpv4"] for r in client("ec2").describe_security_group_rules(
    Filters=[{"Name": "group-id", "Values": [%q]}])["SecurityGroupRules"] if not r["IsEgress"]))`, group)))
	}
	const others = "192.0.2.1/32 192.0.2.2/32"
	job := w.Job("main", map[string]string{
		"operation": "status", "allow-down": "true", "security-group": group, "runner-cidr": "198.51.100.7",
	})
	job.Env = w.env

	result := w.Run(job)
	world.Says(t, result, "tcp/22 from 198.51.100.7/32 is let in, by rule sgr-",
		"tcp/22 from 198.51.100.7/32 is shut out again after",
		"(tcp/22 from 192.0.2.3/32) is taken away, which run 2 had no time to")
	if got := rules(); result.ExitCode != 0 || got != others {
		t.Errorf("rules left: %s\n%s", got, result.Log())
	}

	// A run that is ended while nobody answers it.
	w.Exec("systemctl kill --kill-whom=main --signal=STOP ssh")
	killed := killAt(w.World, "is let in, by rule", job)
	if got := rules(); got != others+" 198.51.100.7/32" {
		t.Errorf("rules while it logs in: %s", got)
	}
	world.Says(t, post(w.World, job, killed), "tcp/22 from 198.51.100.7/32 is shut out, which the run had no time to")
	if got := rules(); got != others {
		t.Errorf("rules after the post step of a killed run: %s", got)
	}
	running, err := w.Runner.Start(w.Ctx, job)
	if err == nil {
		err = running.WaitLog(w.Ctx, "is let in, by rule")
	}
	if err == nil {
		err = running.Cancel()
	}
	if err != nil {
		t.Fatal(err)
	}
	if cancelled, err := running.Wait(); err != nil || cancelled.State["opened"] != "" {
		t.Errorf("a cancelled run leaves %q to the post step, %v", cancelled.State["opened"], err)
	}
	if got := rules(); got != others {
		t.Errorf("rules after a cancelled run: %s", got)
	}

	w.role(allows("ec2:DescribeSecurityGroupRules", "ec2:RevokeSecurityGroupIngress"))
	world.Failed(t, w.Run(job), "failed", "connect: open the port to this runner: security group "+group,
		"the role must be allowed ec2:AuthorizeSecurityGroupIngress", "site: ")
}
