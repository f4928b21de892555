package e2e

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/aws"
	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// instanceConnect has hosts let in nobody but by keys that EC2 Instance Connect pushes.
func (w *awsWorld) instanceConnect(ids ...string) {
	w.T.Helper()
	for _, id := range ids {
		w.takesKeys(id)
	}
	w.bridge.After("SendSSHPublicKey", func(c *aws.Call) {
		var key struct{ InstanceID, InstanceOSUser, SSHPublicKey string }
		err := json.Unmarshal(c.Body, &key)
		host, known := w.members.Load(key.InstanceID)
		if err != nil || !known || !strings.HasPrefix(key.SSHPublicKey, "ssh-ed25519 ") {
			c.Status, c.Answer = http.StatusBadRequest, []byte(`{"__type": "InvalidArgsException"}`)
			return
		}
		_, _ = host.(*lab.Host).Exec(w.Ctx, //nolint:forcetypeassert // is put it there
			"echo '"+key.SSHPublicKey+"' >/run/instance-connect-"+key.InstanceOSUser)
	})
}

// takesKeys has an instance take pushed keys, as Instance Connect's package does it, and puts the host's
// own keys where the instance itself would.
func (w *awsWorld) takesKeys(id string) {
	w.T.Helper()
	member, _ := w.members.Load(id)
	host := member.(*lab.Host) //nolint:forcetypeassert // is put it there
	_, key, _ := strings.Cut(strings.Split(host.KnownHosts(), "\n")[0], " ")
	w.boto(`client("ssm").put_parameter(Name="/host-keys/` + id + `", Type="String", Value="` + key + `")`)
	if _, err := host.Exec(w.Ctx, `rm /home/ubuntu/.ssh/authorized_keys
install -m 0755 /dev/stdin /usr/local/bin/instance-connect <<'X'
#!/bin/sh
cat "/run/instance-connect-$1"
X
printf 'AuthorizedKeysCommand /usr/local/bin/instance-connect %%u\nAuthorizedKeysCommandUser nobody\n' \
  >/etc/ssh/sshd_config.d/instance-connect.conf
systemctl reload ssh`); err != nil {
		w.T.Fatal(err)
	}
}

// A repository without any secret deploys: found, the port opened, logged in to with a key that lives
// for one login.
func TestNoKeyIsStored(t *testing.T) {
	w := newAWSWorld(t)
	ids := w.group("web", w.Host)
	group, other, _ := strings.Cut(strings.TrimSpace(w.boto(`print(*(client("ec2").create_security_group(
    GroupName=name, Description=name)["GroupId"] for name in ("ssh", "other")))`)), " ")
	w.instanceConnect(ids...)
	network := strings.TrimSpace(w.boto(`print(client("ec2").describe_instances(InstanceIds=["` + ids[0] +
		`"])["Reservations"][0]["Instances"][0]["VpcId"])`))
	needs := []string{"instances", "access", "host-keys", "security-group"}
	w.role(w.ofPage(group, "", needs...))
	with := map[string]string{
		"instances": "asg=web", "key": "", "access": "instance-connect", "known-hosts": "",
		"host-keys":      "console, ssm:/host-keys/{instance-id}",
		"security-group": group, "runner-cidr": "198.51.100.7",
	}
	result := w.Run(w.found(w.Commit(nil), with))
	if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" || w.bridge.Calls("SendSSHPublicKey") != 1 ||
		w.bridge.Calls("RevokeSecurityGroupIngress") != 1 {
		t.Fatalf("%d keys, %d rules revoked, outputs %v\n%s", w.bridge.Calls("SendSSHPublicKey"),
			w.bridge.Calls("RevokeSecurityGroupIngress"), result.Outputs, result.Log())
	}
	w.Serves(result.Outputs["release"])

	with["operation"] = "status"
	w.Exec("mv /usr/local/bin/instance-connect /root/")
	world.Failed(t, w.Run(w.found("main", with)), "failed", "connect: log in to ubuntu@",
		"EC2 Instance Connect has let this key in",
		"the package ec2-instance-connect is not installed")
	if calls := w.bridge.Calls("SendSSHPublicKey"); calls != 3 {
		t.Errorf("%d keys", calls)
	}

	// Each action of docs/iam.md is needed, and named where it lacks. It is for this user and group alone.
	for _, action := range []string{
		"ec2:DescribeInstances", "autoscaling:DescribeAutoScalingGroups", "ec2-instance-connect:SendSSHPublicKey",
		"ec2:GetConsoleOutput", "ssm:GetParameter", "ec2:DescribeSecurityGroupRules", "ec2:AuthorizeSecurityGroupIngress",
	} {
		with["host-keys"] = "ssm:/host-keys/{instance-id}"
		if action == "ec2:GetConsoleOutput" {
			with["host-keys"] = "console"
		}
		w.role(w.ofPage(group, action, needs...))
		world.Failed(t, w.Run(w.found("main", with)), "failed", "the role must be allowed "+action)
	}
	with["username"], with["host-keys"] = "root", "ssm:/host-keys/{instance-id}"
	w.role(w.ofPage(group, "", needs...))
	world.Failed(t, w.Run(w.found("main", with)), "failed", "connect: log in to root@",
		`the role must be allowed ec2-instance-connect:SendSSHPublicKey on the instance, for the user "root"`)
	with["security-group"] = other
	world.Failed(t, w.Run(w.found("main", with)), "failed", "the role must be allowed ec2:AuthorizeSecurityGroupIngress")
	with["security-group"], with["username"] = group, "ubuntu"
	if out := strings.TrimSpace(w.boto(`print(len([r for r in client("ec2").describe_security_group_rules(
    Filters=[{"Name": "group-id", "Values": ["` + group + `"]}])["SecurityGroupRules"] ` +
		`if not r["IsEgress"]]))`)); out != "0" {
		t.Errorf("%s rules are left", out)
	}

	w.Exec("mv /root/instance-connect /usr/local/bin/")
	w.role(w.ofPage(group, "ec2:RevokeSecurityGroupIngress", needs...))
	with["instances"], with["host"] = "", "ubuntu@"+ids[0]
	result = w.Run(w.found("main", with))
	world.Says(t, result, "✓ find: 1 by "+ids[0], "the role must be allowed ec2:RevokeSecurityGroupIngress", "✓ connect: ")

	maps.DeleteFunc(with, func(name, _ string) bool {
		return name == "operation" || name == "security-group" || name == "runner-cidr"
	})
	w.goesThroughAnEndpoint(network, with)
}

// goesThroughAnEndpoint deploys where nothing but an endpoint leads to the host: no address of it is
// right.
func (w *awsWorld) goesThroughAnEndpoint(network string, with map[string]string) {
	w.T.Helper()
	const hidden = "10.255.0.7"
	listens := true
	endpoint := &aws.Endpoint{
		ID: "eice-0123456789abcdef0", VPC: network,
		To: func(private string) string {
			if private != hidden || !listens {
				return "127.0.0.1:1"
			}
			return w.Host.Addr()
		},
		Secret: func(string) string { return w.env["AWS_SECRET_ACCESS_KEY"] },
	}
	if err := endpoint.Serve(w.Ctx, net.JoinHostPort(world.Shared.Lab.Gateway(), "0")); err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { _ = endpoint.Close() })
	w.bridge.Has(endpoint)
	w.bridge.After("DescribeInstances", func(c *aws.Call) {
		c.Answer = []byte(strings.ReplaceAll(string(c.Answer), ">"+w.Host.IP+"<", ">"+hidden+"<"))
	})
	w.env["SSL_CERT_FILE"] = filepath.Join(w.Runner.Workspace, "endpoint.pem")
	if err := os.WriteFile(w.env["SSL_CERT_FILE"], endpoint.CA(), 0o644); err != nil {
		w.T.Fatal(err)
	}
	with["connect-endpoint"] = "auto"
	needs := []string{"instances", "access", "host-keys", "connect-endpoint"}
	w.role(w.ofPage("", "", needs...))

	// A connection that the endpoint ends is made anew, in the middle of a deployment.
	w.Exec("touch /tmp/hold")
	with["before-start"] = "echo holding; until [ ! -e /tmp/hold ]; do sleep 0.1; done"
	running, err := w.Runner.Start(w.Ctx, w.found(w.Commit(nil), with))
	if err == nil {
		err = running.WaitLog(w.Ctx, "│ holding")
	}
	if err == nil {
		endpoint.End("The tunnel is too old")
		err = running.WaitLog(w.Ctx, "connected again")
	}
	if err != nil {
		w.T.Fatal(err)
	}
	w.Exec("rm /tmp/hold")
	result, err := running.Wait()
	if err != nil || result.Outputs["outcome"] != "deployed" || endpoint.Opened() != 2 {
		w.T.Fatalf("%v: %d tunnels, outputs %v\n%s", err, endpoint.Opened(), result.Outputs, result.Log())
	}
	world.Says(w.T, result, "ubuntu@"+hidden+", through the Instance Connect Endpoint of its network",
		"the endpoint eice-0123456789abcdef0 has ended the connection: The tunnel is too old")
	w.Serves(result.Outputs["release"])

	with["operation"], with["before-start"] = "status", ""
	for _, action := range []string{"ec2:DescribeInstanceConnectEndpoints", "ec2-instance-connect:OpenTunnel"} {
		w.role(w.ofPage("", action, needs...))
		world.Failed(w.T, w.Run(w.found("main", with)), "failed", "connect: ", "the role must be allowed "+action)
	}
	w.role(w.ofPage("", "", needs...))
	listens, with["connect-timeout"] = false, "10s"
	world.Failed(w.T, w.Run(w.found("main", with)), "failed",
		"does not get through to "+hidden+":22 (Unable to connect to target)")
}
