package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/aws"
	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// For the proof: so many instances are started of the same image, and so many of images that somebody else
// made in the middle of a deployment.
var (
	launches    = flag.Int("launches", 1, "how many instances of an image TestAGroupLaunchesAnImageOfTheRelease starts")
	midways     = flag.Int("midways", 0, "at how many of midPlaces it has somebody make an image")
	imageReport = flag.Bool("image-report", false, "write docs/proof/launch-image.md")
)

// midPlaces are where a deployment is then.
var midPlaces = []lab.Place{
	{Verb: "switch", Inside: true},
	{Verb: "verify", Inside: true},
	{Verb: "mark"},
	{Verb: "drain"},
	{Verb: "stop"},
	{Verb: "lock", Inside: true},
	{Verb: "check", Inside: true},
	{Verb: "port", Inside: true},
	{Verb: "setup"},
	{Verb: "fetch"},
	{Verb: "fetch", Inside: true},
	{Verb: "build"},
	{Verb: "build", Inside: true},
	{Verb: "start"},
	{Verb: "health"},
	{Verb: "switch"},
	{Verb: "verify"},
	{Verb: "mark", Inside: true},
	{Verb: "prune"},
	{Verb: "record"},
}

// album has what AWS's images really are: saved hosts, by the images' ids.
type album struct {
	mu      sync.Mutex
	saved   map[string]string
	pending int // so many more questions for an image have that answer
	wrong   error

	took []time.Duration // until instances of an image served its release
}

// album has the bridge save the host for each image that is made of its instance.
func (w *awsWorld) album(host *lab.Host) *album {
	w.T.Helper()
	a := &album{saved: map[string]string{}}
	id := regexp.MustCompile(`<imageId>(ami-[0-9a-f]+)</imageId>`)
	w.bridge.After("CreateImage", func(call *aws.Call) {
		saved, err := host.Save(w.Ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.wrong == nil {
			a.wrong = err
		}
		if made := id.FindSubmatch(call.Answer); made != nil {
			a.saved[string(made[1])], a.pending = saved, 2
		}
	})
	w.bridge.After("DescribeImages", func(call *aws.Call) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.pending > 0 && call.Form.Get("ImageId.1") != "" {
			a.pending--
			call.Answer = []byte(strings.ReplaceAll(string(call.Answer), "<imageState>available<", "<imageState>pending<"))
		}
	})
	w.T.Cleanup(func() {
		if a.wrong != nil {
			w.T.Error(a.wrong)
		}
	})
	return a
}

// of is the saved host that an image is.
func (a *album) of(image string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.saved[image]
}

// inUse are the images that groups launch, as AWS has it.
func (w *awsWorld) inUse() map[string]string {
	w.T.Helper()
	var images map[string]string
	out := w.administers(`asg, ec2 = client("autoscaling"), client("ec2")
images = {}
for g in asg.describe_auto_scaling_groups()["AutoScalingGroups"]:
    mixed = g.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    of = g.get("LaunchTemplate") or mixed["LaunchTemplateSpecification"]
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=of["LaunchTemplateId"],
        Versions=[of.get("Version", "$Default")])["LaunchTemplateVersions"]
    data = versions[0]["LaunchTemplateData"]
    kinds = [data["InstanceType"]] + [o["InstanceType"] for o in mixed.get("Overrides", [])]
    images[g["AutoScalingGroupName"]] = " ".join([data["ImageId"]] + kinds)
print(json.dumps(images))`)
	if err := json.Unmarshal([]byte(out), &images); err != nil {
		w.T.Fatalf("%v in %q", err, out)
	}
	return images
}

// starts has a group start one more instance, and returns its id and its host, which boots from what the
// instance's image really is, or from a host that was saved otherwise.
func (w *awsWorld) starts(group string, a *album, saved string) (id string, on *world.World) {
	w.T.Helper()
	var made struct{ ID, Image, Public, Private string }
	out := w.administers(fmt.Sprintf(`ec2, asg, name = client("ec2"), client("autoscaling"), %q
def members():
    group = asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    return {i["InstanceId"] for i in group["Instances"]}
before = members()
asg.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=len(before) + 1)
i = ec2.describe_instances(InstanceIds=list(members() - before))["Reservations"][0]["Instances"][0]
print(json.dumps({"ID": i["InstanceId"], "Image": i["ImageId"], "Public": i.get("PublicIpAddress", ""),
    "Private": i["PrivateIpAddress"]}))`, group))
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		w.T.Fatalf("%v in %q", err, out)
	}
	if saved == "" {
		if saved = a.of(made.Image); saved == "" {
			w.T.Fatalf("%s launches %s, of which nobody knows what it is", group, made.Image)
		}
	}
	host, err := world.Shared.Lab.Host(w.Ctx, lab.HostOptions{Image: saved})
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() {
		if w.T.Failed() {
			w.T.Log(host.Logs(context.Background()))
		}
		if err := host.Remove(context.Background()); err != nil {
			w.T.Error(err)
		}
	})
	w.is(made.ID, host, made.Public, made.Private)
	in := *w.World
	in.Host = host
	in.Exec("systemd-id128 new >/etc/machine-id") // instances differ by the kernel's boot, which containers share
	return made.ID, &in
}

// serves waits until a host that was just started answers with a release, and returns how long that took.
func serves(w *world.World, release string, since time.Time) time.Duration {
	w.T.Helper()
	said := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if said = releaseOf(w); strings.EqualFold(said, release) {
			return time.Since(since)
		}
	}
	w.T.Fatalf("the instance says %q a minute after its start; want %s", said, release)
	return 0
}

// releaseOf is the release that a host answers a visitor with, or why it does not.
func releaseOf(w *world.World) string {
	w.T.Helper()
	request, err := http.NewRequestWithContext(w.Ctx, http.MethodGet, w.Host.URL()+"/version", http.NoBody)
	if err != nil {
		w.T.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.Header.Get("X-Release")
}

// The group starts an instance when it wants to, and that has the release by itself: an image of a host is
// made under its lock, and what the groups launch is that. Whatever AWS refuses of it, the release is live,
// and the next run makes what is missing.
func TestAGroupLaunchesAnImageOfTheRelease(t *testing.T) {
	w := newAWSWorld(t)
	w.Warm()
	ids := w.group("web", w.Host)
	w.template = strings.TrimSpace(w.boto(`asg, ec2 = client("autoscaling"), client("ec2")
asg.update_auto_scaling_group(AutoScalingGroupName="web", MixedInstancesPolicy={"LaunchTemplate": {
    "LaunchTemplateSpecification": {"LaunchTemplateName": "web", "Version": "1"}, ` +
		`"Overrides": [{"InstanceType": "t3.small"}]}})
for name, version in (("latest", "$Latest"), ("default", "$Default")):
    asg.create_auto_scaling_group(AutoScalingGroupName=name, ` +
		`LaunchTemplate={"LaunchTemplateName": "web", "Version": version},
        MinSize=0, MaxSize=99, DesiredCapacity=0, AvailabilityZones=["eu-central-1a"])
print(ec2.describe_launch_templates()["LaunchTemplates"][0]["LaunchTemplateId"])`))
	all := w.album(w.Host)
	with := map[string]string{
		"instances": "asg=web\nasg=latest\nasg=default", "known-hosts": byID(ids, w.Host), "launch-image": "true",
		"keep-images": "2",
	}
	sha := w.Commit(nil)
	run := func(without, outcome string, says ...string) *lab.Result {
		t.Helper()
		w.role(w.ofPage("", without, "instances", "launch-image"))
		result := w.Run(w.found(sha, with))
		fleet{w.World}.ended(result, outcome)
		world.Says(t, result, says...)
		return result
	}
	const live = "the new version is live; what the groups launch has the release of before"
	release := run("ec2:CreateImage", "deployed", live,
		"the role must be allowed ec2:CreateImage: put ").Outputs["release"]
	w.UnderLoad()
	for _, refused := range []string{"ec2:DescribeImages", "ec2:DescribeLaunchTemplateVersions"} {
		w.role(w.ofPage("", refused, "instances", "launch-image"))
		world.Failed(t, w.Run(w.found(sha, with)), "failed", "templates: the role must be allowed "+refused+": put ",
			"site: unchanged")
	}
	run("ec2:CreateTags", "unchanged", live, "the role must be allowed ec2:CreateTags: put ")
	run("ec2:CreateLaunchTemplateVersion", "unchanged", live,
		"the role must be allowed ec2:CreateLaunchTemplateVersion: put ")
	run("ec2:ModifyLaunchTemplate autoscaling:UpdateAutoScalingGroup", "unchanged", live, " has "+release+" already",
		"the role must be allowed ec2:ModifyLaunchTemplate: put ",
		"the role must be allowed autoscaling:UpdateAutoScalingGroup: put ", "latest launches it by version 2")
	for _, refused := range []string{"ec2:RunInstances", "iam:PassRole"} {
		run(refused, "unchanged", live, "the role must be allowed ec2:RunInstances with what launch template "+w.template)
	}
	run("", "unchanged", "✓ image: web launches it by version")
	if made := w.bridge.Calls("CreateImage"); made != 3 { // of which two were refused
		t.Errorf("%d images were asked for", made)
	}
	first := w.allLaunch(all)
	world.Says(t, run("", "unchanged"), first+" is what is launched already")

	since := time.Now()
	id, second := w.starts("latest", all, "")
	took := serves(second, release, since)
	t.Logf("an instance of the image served the release after %s", took.Round(10*time.Millisecond))
	all.took = append(all.took, took)
	w.restarts(all, all.of(first), release)

	// An image that somebody else makes in the middle of a deployment has both versions, of which one has
	// not proved itself.
	both := fleet{w.World, second}
	with["known-hosts"], with["expect-hosts"] = byID([]string{ids[0], id}, w.Host, second.Host), "2"
	if err := w.Host.MakePlaces(w.Ctx); err != nil {
		t.Fatal(err)
	}
	w.role(w.ofPage("", "", "instances", "launch-image"))
	midway, result := w.midway(lab.Place{Verb: "verify", Inside: true}, with)
	both.ended(result, "deployed")
	next := result.Outputs["release"]
	if launched := w.allLaunch(all); launched == first {
		t.Errorf("the groups launch the image of before\n%s", result.Log())
	}
	third, in := w.starts("latest", all, midway)
	in.Exec("timeout 60 bash -c 'until [ $(systemctl list-units --plain --no-legend --state=running \"shop@*\" | " +
		"wc -l) = 2 ]; do sleep 0.1; done'")

	// The next run puts it right, and deletes what nobody needs any more.
	with["known-hosts"], with["expect-hosts"] = byID([]string{ids[0], id, third}, w.Host, second.Host, in.Host), "3"
	sha = w.Commit(nil)
	last := run("ec2:DeregisterImage", "deployed", "✓ image: ",
		"image: the groups launch the new one, and old ones stay, "+
			"and are paid for: the role must be allowed ec2:DeregisterImage: put ").Outputs["release"]
	for n, host := range []*world.World{w.World, second, in} {
		host.Serves(last)
		if out := host.Exec("systemctl list-units --plain --no-legend 'shop@*' | wc -l"); out != "1" {
			t.Errorf("host %d: %s versions run", n+1, out)
		}
	}
	run("ec2:DeleteSnapshot", "unchanged", "the image "+first+" is gone, and its snapshot snap-",
		"the role must be allowed ec2:DeleteSnapshot: put ")

	// What the groups launch goes back with the hosts.
	with["operation"] = "rollback"
	if back := run("", "rolled-back", " has "+next+" already").Outputs["release"]; back != next {
		t.Errorf("back to %s, want %s", back, next)
	}
	w.allLaunch(all)
	left := w.administers(`print(len(client("ec2").describe_images(Owners=["self"])["Images"]))`)
	if strings.TrimSpace(left) != "2" {
		t.Errorf("%s images are left", left)
	}

	delete(with, "operation")
	delete(with, "launch-image")
	w.leave(second, id)
	w.leave(in, third)
	var rows []string
	for _, place := range midPlaces[:*midways] {
		rows = append(rows, w.healed(all, place, ids[0], with))
	}
	requests := w.Load.Report().Requests
	w.EndLoad()
	if *imageReport && !t.Failed() {
		slices.Sort(all.took)
		text := fmt.Sprintf(imageTable, len(all.took), all.took[0].Seconds(), all.took[len(all.took)/2].Seconds(),
			all.took[len(all.took)-1].Seconds(), len(rows), world.Thousands(requests),
			world.ActionBuild(t), strings.Join(rows, "\n"))
		world.Prove(t, "launch-image.md", text)
	}
}

const imageTable = `<!-- Written by make group, not by hand. -->
# Instances that start from an image

The hosts are containers, and an image of an instance is one of its container. AWS boots a machine besides.

| | |
|---|--:|
| instances of an image by ` + "`launch-image`" + `, each of which served the release by itself | %d |
| after their start, the first | %.1f s |
| half of them | %.1f s |
| the last | %.1f s |
| instances of images that somebody else made in the middle of a deployment, each healed by the next run | %d |
| requests to the host of which the images were made | %s |
| lost | 0 |
| build | %s |

## Images made in the middle

What such an instance answers by itself, until a run finds it, by where the deployment was when the image was made. The
next run has it serve that run's release, with one version up.

| the image was made | the first answer | it is of | a second later |
|---|--:|---|---|
%s
`

// midway holds a deployment at a place of the first host, makes an image there, and returns it when the run
// has ended.
func (w *awsWorld) midway(place lab.Place, with map[string]string) (saved string, result *lab.Result) {
	w.T.Helper()
	if err := w.Host.Arm(w.Ctx, place); err != nil {
		w.T.Fatal(err)
	}
	running, err := w.Runner.Start(w.Ctx, w.found(w.Commit(nil), with))
	if err != nil {
		w.T.Fatal(err)
	}
	held := make(chan error, 1)
	go func() { held <- w.Host.WaitHeld(w.Ctx) }()
	select {
	case err = <-held:
	case <-running.Done():
		err = errors.New("the run has ended")
	}
	if err != nil {
		w.T.Fatalf("nobody is held at %+v: %v\n%s", place, err, running.Log())
	}
	saved, err = w.Host.Save(w.Ctx)
	if err := errors.Join(err, w.Host.Release(w.Ctx)); err != nil {
		w.T.Fatal(err)
	}
	if result, err = running.Wait(); err != nil {
		w.T.Fatal(err)
	}
	return saved, result
}

// healed starts an instance of an image that was made in the middle of a deployment, sees what it says, and
// has the next run put it right. It returns the table's row.
func (w *awsWorld) healed(a *album, place lab.Place, first string, with map[string]string) string {
	w.T.Helper()
	with["known-hosts"], with["expect-hosts"] = byID([]string{first}, w.Host), "1"
	w.role(w.ofPage("", "", "instances", "launch-image"))
	before := releaseOf(w.World)
	saved, result := w.midway(place, with)
	fleet{w.World}.ended(result, "deployed")
	names := map[string]string{
		strings.ToLower(before): "the one before", strings.ToLower(result.Outputs["release"]): "the new one",
	}
	said := func(w *world.World) string { return names[strings.ToLower(releaseOf(w))] }

	since := time.Now()
	id, in := w.starts("latest", a, saved)
	answer := ""
	for deadline := since.Add(time.Minute); answer == ""; time.Sleep(50 * time.Millisecond) {
		if answer = said(in); time.Now().After(deadline) {
			w.T.Fatalf("an instance of an image made at %+v says nothing for a minute", place)
		}
	}
	took := time.Since(since)
	later := map[string]bool{}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if time.Until(end) < time.Second {
			later[said(in)] = true
		}
	}

	both := fleet{w.World, in}
	with["known-hosts"], with["expect-hosts"] = byID([]string{first, id}, w.Host, in.Host), "2"
	w.role(w.ofPage("", "", "instances", "launch-image"))
	next := w.Run(w.found(w.Commit(nil), with))
	both.ended(next, "deployed")
	in.Serves(next.Outputs["release"])
	if out := in.Exec("systemctl list-units --plain --no-legend 'shop@*' | wc -l"); out != "1" {
		w.T.Errorf("image at %+v: %s versions run", place, out)
	}
	w.leave(in, id)
	when := map[bool]string{true: "once the work of `%s` was done", false: "before `%s`"}[place.Inside]
	return fmt.Sprintf("| "+when+" | %.1f s | %s | %s |", place.Verb, took.Seconds(), answer,
		strings.Join(slices.Sorted(maps.Keys(later)), ", "))
}

// leave ends an instance, and does not have its group launch another one.
func (w *awsWorld) leave(in *world.World, id string) {
	w.T.Helper()
	w.administers(fmt.Sprintf(`client("autoscaling").terminate_instance_in_auto_scaling_group(InstanceId=%q,
    ShouldDecrementDesiredCapacity=True)`, id))
	if err := in.Host.PowerOff(w.Ctx); err != nil {
		w.T.Fatal(err)
	}
}

// allLaunch wants all groups to launch one image of this application's, with the rest of their template as
// it was, and returns it.
func (w *awsWorld) allLaunch(a *album) string {
	w.T.Helper()
	one := ""
	for group, launched := range w.inUse() {
		image, kinds, _ := strings.Cut(launched, " ")
		if one == "" {
			one = image
		}
		want := map[bool]string{true: "t3.micro t3.small", false: "t3.micro"}[group == "web"]
		if a.of(image) == "" || image != one || kinds != want {
			w.T.Errorf("%s launches %q, and others %s", group, launched, one)
		}
	}
	return one
}

// restarts starts more instances of an image, one after the other, for the proof.
func (w *awsWorld) restarts(a *album, saved, release string) {
	w.T.Helper()
	for n := 1; n < *launches; n++ {
		since := time.Now()
		host, err := world.Shared.Lab.Host(w.Ctx, lab.HostOptions{Image: saved})
		if err != nil {
			w.T.Fatal(err)
		}
		in := *w.World
		in.Host = host
		a.took = append(a.took, serves(&in, release, since))
		if err := host.Remove(w.Ctx); err != nil {
			w.T.Error(err)
		}
	}
}
