package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/clothesme/deploy-action/e2e/aws"
	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// group makes hosts the instances of an Auto Scaling group, and returns their ids in their order: by
// zone and id.
func (w *awsWorld) group(name string, hosts ...*lab.Host) []string {
	w.T.Helper()
	var made []struct{ ID, Public, Private string }
	out := w.boto(fmt.Sprintf(`ec2, asg = client("ec2"), client("autoscaling")
name, size = %q, %d
image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"})
asg.create_auto_scaling_group(AutoScalingGroupName=name, LaunchTemplate={"LaunchTemplateName": name}, MinSize=0,
    MaxSize=9, DesiredCapacity=size, AvailabilityZones=["eu-central-1b", "eu-central-1a"])
group = asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
ids = [i["InstanceId"] for i in group["Instances"]]
all = [i for r in ec2.describe_instances(InstanceIds=ids)["Reservations"] for i in r["Instances"]]
all.sort(key=lambda i: (i["Placement"]["AvailabilityZone"], i["InstanceId"]))
print(json.dumps([{"ID": i["InstanceId"], "Public": i.get("PublicIpAddress", ""), "Private": i["PrivateIpAddress"]}
    for i in all]))`, name, len(hosts)))
	if err := json.Unmarshal([]byte(strings.TrimSpace(out)), &made); err != nil || len(made) != len(hosts) {
		w.T.Fatalf("%v in %q", err, out)
	}
	ids := make([]string, len(made))
	for i, m := range made {
		w.is(m.ID, hosts[i], m.Public, m.Private)
		ids[i] = m.ID
	}
	return ids
}

// is makes a host what an instance really is, by the addresses that moto has made up.
func (w *awsWorld) is(id string, host *lab.Host, addresses ...string) {
	w.members.Store(id, host)
	for _, address := range addresses {
		if address != "" {
			w.bridge.Really(address, host.IP)
		}
	}
}

// byID are the lines of known-hosts for instances, by their ids.
func byID(ids []string, hosts ...*lab.Host) string {
	var lines strings.Builder
	for i, h := range hosts {
		lines.WriteString(strings.ReplaceAll(h.KnownHosts(), h.IP+" ", ids[i]+" "))
	}
	return lines.String()
}

// found runs a step on hosts that AWS knows.
func (w *awsWorld) found(sha string, with map[string]string) lab.Job {
	all := map[string]string{"host": ""}
	for name, value := range with {
		all[name] = value
	}
	job := w.Job(sha, all)
	job.Env = w.env
	return job
}

func TestHostsAreFoundOnAWS(t *testing.T) {
	w := newAWSWorld(t)
	second := world.New(t, lab.HostOptions{})
	w.Warm()
	second.Warm()
	hosts := []*lab.Host{w.Host, second.Host}
	ids := w.group("web", hosts...)
	toList := w.ofPage("", "", "instances")
	w.role(toList)
	with := map[string]string{"instances": "asg=web", "known-hosts": byID(ids, hosts...), "expect-hosts": "2"}
	w.bridge.Fail("DescribeInstances", "RequestLimitExceeded", 503, 2)
	result := w.Run(w.found(w.Commit(nil), with))
	fleet{w.World, second}.ended(result, "deployed")
	world.Says(t, result, "✓ find: 2 by asg=web; "+ids[0]+" ("+hosts[0].IP+", eu-central-1")
	var said []struct {
		Host string
		ID   string `json:"instance-id"`
	}
	if err := json.Unmarshal([]byte(result.Outputs["hosts"]), &said); err != nil || len(said) != 2 ||
		said[0].ID != ids[0] || said[1].ID != ids[1] || said[1].Host != "ubuntu@"+hosts[1].IP {
		t.Errorf("hosts: %s, %v; want %v", result.Outputs["hosts"], err, ids)
	}
	w.UnderLoad()

	const list = `cd /home/ubuntu/shop && find . -printf '%p %T@\n' | grep -v '/logs/\|pyc' | sort`
	before := w.Exec(list)
	for _, tt := range []struct {
		name, policy string
		with         map[string]string
		words        []string
	}{
		{
			"no groups", allows("ec2:DescribeInstances"), nil,
			[]string{"find: the role must be allowed autoscaling:DescribeAutoScalingGroups: put {"},
		},
		{
			"no instances", allows("autoscaling:DescribeAutoScalingGroups"), nil,
			[]string{"find: the role must be allowed ec2:DescribeInstances: put {"},
		},
		{
			"too few", toList,
			map[string]string{"expect-hosts": "3-"},
			[]string{`input "expect-hosts": `, "there are 2", "2 by asg=web"},
		},
		{"no group", toList, map[string]string{"instances": "asg=none"}, []string{`there is no Auto Scaling group "none"`}},
		{
			"none", toList,
			map[string]string{"instances": "asg=web tag:Role=other", "expect-hosts": ""},
			[]string{`input "instances": must find a host`},
		},
		{
			"twice", toList,
			map[string]string{"host": hosts[0].IP},
			[]string{"finds ubuntu@" + hosts[0].IP + " (" + ids[0] + "), which the input \"host\" names already"},
		},
	} {
		w.role(tt.policy)
		all := map[string]string{}
		for _, m := range []map[string]string{with, tt.with} {
			for name, value := range m {
				all[name] = value
			}
		}
		world.Failed(t, w.Run(w.found(w.Commit(nil), all)), "failed",
			append(tt.words, "site: unchanged; no host was dialled")...)
	}
	if after := w.Exec(list); after != before {
		t.Errorf("the host was touched: before\n%s\nafter\n%s", before, after)
	}

	// What is listed once the run is dead is not what it began with.
	w.role(toList)
	job := w.found(w.Commit(nil), with)
	main := killAt(w.World, "Waiting for the new version's health", job)
	w.administers(`client("ec2").stop_instances(InstanceIds=["` + ids[1] + `"])`)
	w.role(toList)
	job.Env = w.env
	log := post(w.World, job, main).Log()
	for _, h := range hosts {
		if !strings.Contains(log, "ubuntu@"+h.IP+": ") {
			t.Errorf("%s was not tidied up:\n%s", h.IP, log)
		}
	}
	for i, host := range []*world.World{w.World, second} {
		if out := host.Exec("systemctl list-units --plain --no-legend 'shop@*' | wc -l"); out != "1" {
			t.Errorf("host %d: %s versions run", i+1, out)
		}
	}
	stopped := w.Run(w.found(w.Commit(nil), map[string]string{"host": ids[1], "known-hosts": with["known-hosts"]}))
	world.Failed(t, stopped, "failed", "find: instance "+ids[1]+" is stopped: start it")
}

// A group ends one of its instances and makes another one while a deployment is under way: the first
// is nobody's to wait for, the other one gets the release before its launch hook lets it into service,
// and visitors notice nothing.
func TestAGroupThatChangesDuringADeployment(t *testing.T) {
	w := newAWSWorld(t)
	ends, comes := world.New(t, lab.HostOptions{}), world.New(t, lab.HostOptions{})
	for _, w := range []*world.World{w.World, ends, comes} {
		w.Warm()
	}
	hosts := []*lab.Host{w.Host, ends.Host}
	ids := w.group("web", hosts...)
	w.boto(`client("autoscaling").put_lifecycle_hook(AutoScalingGroupName="web", LifecycleHookName="deploy-action",
    LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING", DefaultResult="ABANDON", HeartbeatTimeout=30)`)
	hook := w.holds(ids[1])
	with := map[string]string{
		"instances": "asg=web", "watch-for": "5s",
		"known-hosts": byID(append(ids, "i-*"), append(hosts, comes.Host)...), // its id is not known yet
	}
	// The hook holds the first until a role lets it in that may.
	const denied = "the role must be allowed autoscaling:"
	sha := w.Commit(nil)
	w.role(w.ofPage("", "autoscaling:DescribeLifecycleHooks", "instances", "launch-hook"))
	held := w.Run(w.found(sha, with))
	fleet{w.World, ends}.ended(held, "deployed")
	world.Says(t, held, "that of the group web can't be told that a run is at work on "+ids[0], denied+
		"DescribeLifecycleHooks: put {",
		ids[0]+" stays out of service until the hook's time is over")
	w.role(w.ofPage("", "autoscaling:RecordLifecycleActionHeartbeat autoscaling:CompleteLifecycleAction", "instances",
		"launch-hook"))
	held = w.Run(w.found(sha, with))
	fleet{w.World, ends}.ended(held, "unchanged")
	world.Says(t, held,
		"that of the group web can't be told that a run is at work on "+ids[0]+", and decides when its time is over, "+
			"be the run through or not: "+denied+"RecordLifecycleActionHeartbeat: put the statement of docs/iam.md",
		denied+"CompleteLifecycleAction: put the statement of docs/iam.md")
	if heard := hook.heard(); len(heard) > 0 {
		t.Errorf("the launch hook has heard %v of a role that may not tell it anything", heard)
	}
	w.role(w.ofPage("", "", "instances", "launch-hook"))
	w.UnderLoad()

	running, err := w.Runner.Start(w.Ctx, w.found(w.Commit(nil), withMore(with, "watch-for", "30s")))
	if err == nil {
		err = running.WaitLog(w.Ctx, "Verifying through nginx")
	}
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ ID, Public, Private string }
	out := w.administers(fmt.Sprintf(`ec2, asg = client("ec2"), client("autoscaling")
had = %q.split()
asg.terminate_instance_in_auto_scaling_group(InstanceId=had[1], ShouldDecrementDesiredCapacity=False)
group = asg.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])["AutoScalingGroups"][0]
i, = [i["InstanceId"] for i in group["Instances"] if i["InstanceId"] not in had]
i = ec2.describe_instances(InstanceIds=[i])["Reservations"][0]["Instances"][0]
print(json.dumps({"ID": i["InstanceId"], "Public": i.get("PublicIpAddress", ""), "Private": i["PrivateIpAddress"]}))`,
		strings.Join(ids, " ")))
	if err := json.Unmarshal([]byte(strings.TrimSpace(out)), &made); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	w.is(made.ID, comes.Host, made.Public, made.Private)
	if err := ends.Host.PowerOff(w.Ctx); err != nil {
		t.Fatal(err)
	}
	result, err := running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	world.Says(t, result, "Left%3A "+ends.Host.IP+"::"+ids[1]+" is not in service any more and does not answer",
		"found only after this run had its hosts: "+made.ID, "on port 8081 serves since", "✓ let in: it goes into service")
	if heard := hook.heard(); heard["hold"] == 0 || heard["CONTINUE"] != 2 {
		t.Errorf("the launch hook has heard %v", heard)
	}
	type one struct {
		ID      string `json:"instance-id"`
		Outcome string
		Release string
	}
	var said []one
	release := result.Outputs["release"]
	want := []one{{ids[0], "deployed", release}, {made.ID, "deployed", release}, {ids[1], "left", ""}}
	if err := json.Unmarshal([]byte(result.Outputs["hosts"]), &said); err != nil || !slices.Equal(said, want) ||
		result.Outputs["outcome"] != "deployed" || result.ExitCode != 0 {
		t.Errorf("exit code %d, %s, hosts %+v, %v; want %+v\n%s", result.ExitCode, result.Outputs["outcome"], said, err, want,
			result.Log())
	}
	for _, host := range []*world.World{w.World, comes} {
		serves := host.Exec("readlink /home/ubuntu/shop/slots/$(ls /var/lib/deploy-action/shop/active)")
		if serves != "../releases/"+release {
			t.Errorf("%s has %s live, want %s", host.Host.IP, serves, release)
		}
	}

	// A run for a host that joins deploys what is live, and not what the branch has by now.
	w.Commit(nil)
	w.role(w.ofPage("", "", "instances", "launch-hook"))
	with["ref"] = "live"
	live := w.Run(w.found("main", with))
	fleet{w.World, comes}.ended(live, "unchanged")
	world.Says(t, live, "✓ live: commit ", "which 2 of 2 hosts serve")
}

// launchHook is one of Auto Scaling's that holds all but some instances until it is told to let go;
// moto has hooks that do nothing.
type launchHook struct {
	mu    sync.Mutex
	free  []string // by their ids
	words map[string]int
}

func (w *awsWorld) holds(free ...string) *launchHook {
	h := &launchHook{free: free, words: map[string]int{}}
	w.bridge.After("DescribeAutoScalingGroups", func(call *aws.Call) {
		h.mu.Lock()
		defer h.mu.Unlock()
		members := strings.Split(string(call.Answer), "<member>")
		for i, m := range members {
			if !slices.ContainsFunc(h.free, func(id string) bool {
				return strings.Contains(m, "<InstanceId>"+id+"</InstanceId>")
			}) {
				members[i] = strings.Replace(m, ">InService</LifecycleState>", ">Pending:Wait</LifecycleState>", 1)
			}
		}
		call.Answer = []byte(strings.Join(members, "<member>"))
	})
	for _, action := range []string{"RecordLifecycleActionHeartbeat", "CompleteLifecycleAction"} {
		w.bridge.Answer(action, func(call *aws.Call) {
			h.mu.Lock()
			defer h.mu.Unlock()
			word, id := call.Form.Get("LifecycleActionResult"), call.Form.Get("InstanceId")
			if call.Form.Get("LifecycleHookName") != "deploy-action" || slices.Contains(h.free, id) {
				call.Status = http.StatusBadRequest
				call.Answer = []byte("<ErrorResponse><Error><Code>ValidationError</Code><Message>No active Lifecycle Action found" +
					"</Message></Error></ErrorResponse>")
				return
			}
			if word == "CONTINUE" {
				h.free = append(h.free, id)
			}
			h.words[cmp.Or(word, "hold")]++
			call.Answer = []byte("<" + action + "Response/>")
		})
	}
	return h
}

func (h *launchHook) heard() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.words)
}

// administers does as boto, whatever the role of the step may.
func (w *awsWorld) administers(script string) string {
	w.T.Helper()
	w.onAWS("curl -fsS -X POST http://127.0.0.1:5000/moto-api/reset-auth -H 'Content-Type: text/plain' --data-raw 1000000")
	w.env["AWS_ACCESS_KEY_ID"], w.env["AWS_SECRET_ACCESS_KEY"] = "", ""
	return w.boto(script)
}
