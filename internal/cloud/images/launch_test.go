package images

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeAWS has launch templates, whose versions count from 1, and groups that launch them.
type fakeAWS struct {
	versions map[string][]Version // by template
	defaults map[string]int
	groups   map[string]string // XML
	fails    map[string]func() (int, string)
	updated  []url.Values
	tokens   []string
}

func newAWS(versions int) *fakeAWS {
	f := &fakeAWS{versions: map[string][]Version{}, defaults: map[string]int{"lt-1": 1}, groups: map[string]string{}}
	for n := range versions {
		f.versions["lt-1"] = append(f.versions["lt-1"], Version{Number: n + 1, Image: "ami-old"})
	}
	return f
}

func (f *fakeAWS) version(template, name string) Version {
	number, _ := strconv.Atoi(name)
	switch name {
	case Latest:
		number = len(f.versions[template])
	case Default:
		number = f.defaults[template]
	}
	return f.versions[template][number-1]
}

func (f *fakeAWS) answer(action string, form url.Values) (status int, text string) {
	if fail := f.fails[action]; fail != nil {
		return fail()
	}
	template := form.Get("LaunchTemplateId")
	switch action {
	case "DescribeAutoScalingGroups":
		for n := 1; form.Get(fmt.Sprintf("AutoScalingGroupNames.member.%d", n)) != ""; n++ {
			text = f.groups[form.Get(fmt.Sprintf("AutoScalingGroupNames.member.%d", n))] + text // in an order of its own
		}
		return 200, "<R><DescribeAutoScalingGroupsResult><AutoScalingGroups>" + text + "</AutoScalingGroups>" +
			"</DescribeAutoScalingGroupsResult></R>"
	case "DescribeLaunchTemplateVersions":
		v := f.version(template, form.Get("LaunchTemplateVersion.1"))
		return 200, fmt.Sprintf("<R><launchTemplateVersionSet><item><versionNumber>%d</versionNumber><versionDescription>%s"+
			"</versionDescription><launchTemplateData><imageId>%s</imageId></launchTemplateData></item>"+
			"</launchTemplateVersionSet></R>", v.Number, v.Description, v.Image)
	case "CreateLaunchTemplateVersion":
		f.tokens = append(f.tokens, form.Get("ClientToken"))
		number := len(f.versions[template]) + 1
		f.versions[template] = append(f.versions[template], Version{
			number, form.Get("LaunchTemplateData.ImageId"), form.Get("VersionDescription") + " of " + form.Get("SourceVersion"),
		})
		return 200, fmt.Sprintf("<R><launchTemplateVersion><versionNumber>%d</versionNumber>"+
			"</launchTemplateVersion></R>", number)
	case "ModifyLaunchTemplate":
		f.defaults[template], _ = strconv.Atoi(form.Get("SetDefaultVersion"))
	case "UpdateAutoScalingGroup":
		form.Del("Action")
		form.Del("Version")
		f.updated = append(f.updated, form)
	default:
		return no("InvalidAction", action)
	}
	return 200, "<R/>"
}

func (f *fakeAWS) group(name, version string) {
	f.groups[name] = "<member><AutoScalingGroupName>" + name + "</AutoScalingGroupName><LaunchTemplate>" +
		"<LaunchTemplateId>lt-1</LaunchTemplateId><LaunchTemplateName>web</LaunchTemplateName><Version>" + version +
		"</Version></LaunchTemplate></member>"
}

// launch has groups launch an image as a run does.
func (f *fakeAWS) launch(t *testing.T, names ...string) ([]string, error) {
	t.Helper()
	i := open(t, f.answer)
	groups, err := i.Groups(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	return i.Launch(t.Context(), groups, "ami-new", "mine")
}

func TestGroupsLaunchAnImage(t *testing.T) {
	for _, tt := range []struct {
		name     string
		versions int // of the template so far
		groups   map[string]string
		made     []string // descriptions of versions that were made, in their order
		standard int
		updated  []string
		said     []string
	}{
		{
			name: "by the latest version", versions: 3, groups: map[string]string{"web": Latest}, made: []string{"mine of 3"},
			standard: 1, said: []string{"web launches it by version 4 of lt-1"},
		},
		{
			name: "by the default version", versions: 3, groups: map[string]string{"web": Default}, made: []string{"mine of 1"},
			standard: 4, said: []string{"web launches it by version 4 of lt-1"},
		},
		{
			name: "by a version that they do not name", versions: 3, groups: map[string]string{"web": ""},
			made: []string{"mine of 1"}, standard: 4, said: []string{"web launches it by version 4 of lt-1"},
		},
		{
			name: "by a number", versions: 3, groups: map[string]string{"web": "2"}, made: []string{"mine of 2"}, standard: 1,
			updated: []string{"web 4"}, said: []string{"web launches it by version 4 of lt-1"},
		},
		{
			name: "two by one version", versions: 3, groups: map[string]string{"api": "2", "web": "2"},
			made: []string{"mine of 2"}, standard: 1, updated: []string{"api 4", "web 4"},
			said: []string{"api launches it by version 4 of lt-1", "web launches it by version 4 of lt-1"},
		},
		{
			// What is made for the others is the latest one for a moment.
			name: "the latest one of its own kind", versions: 3, groups: map[string]string{"api": Latest, "web": "2"},
			made: []string{"mine of 2", "mine of 3"}, standard: 1, updated: []string{"web 4"},
			said: []string{"web launches it by version 4 of lt-1", "api launches it by version 5 of lt-1"},
		},
		{
			name: "the latest one, which another names by its number", versions: 3,
			groups: map[string]string{"api": Latest, "web": "3"},
			made:   []string{"mine of 3"}, standard: 1, updated: []string{"web 4"},
			said: []string{"web launches it by version 4 of lt-1", "api launches it by version 4 of lt-1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newAWS(tt.versions)
			var names []string
			for name, version := range tt.groups {
				f.group(name, version)
				names = append(names, name)
			}
			slices.Sort(names)
			said, err := f.launch(t, names...)
			var made, updated []string
			for _, v := range f.versions["lt-1"][tt.versions:] {
				made = append(made, v.Description)
				if v.Image != "ami-new" {
					t.Errorf("version %d has %s", v.Number, v.Image)
				}
			}
			for _, form := range f.updated {
				updated = append(updated, form.Get("AutoScalingGroupName")+" "+form.Get("LaunchTemplate.Version"))
				if len(form) != 3 || form.Get("LaunchTemplate.LaunchTemplateId") != "lt-1" {
					t.Errorf("a group was given %v", form)
				}
			}
			got := []any{made, f.defaults["lt-1"], updated, said}
			if diff := cmp.Diff([]any{tt.made, tt.standard, tt.updated, tt.said}, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}

			// Once more there is nothing to do, but for groups that name a version, which they did not get here.
			if tt.updated == nil {
				said, err := f.launch(t, names...)
				if err != nil || said != nil || len(f.versions["lt-1"]) != tt.versions+len(tt.made) {
					t.Errorf("once more: %v, %q", err, said)
				}
			}
		})
	}
}

// The latest one has the image already, and what is made for another group takes its place.
func TestALatestVersionThatIsNotTheLatestAnyMore(t *testing.T) {
	f := newAWS(3)
	f.versions["lt-1"][2].Image = "ami-new"
	f.group("web", Latest)
	f.group("api", "1")
	said, err := f.launch(t, "web", "api")
	if err != nil || len(said) != 2 || f.version("lt-1", Latest).Description != "mine of 3" {
		t.Errorf("%v, %q, %+v", err, said, f.versions["lt-1"])
	}
}

const mixed = `<member><AutoScalingGroupName>web</AutoScalingGroupName><MixedInstancesPolicy>
  <LaunchTemplate>
    <LaunchTemplateSpecification><LaunchTemplateId>lt-1</LaunchTemplateId><LaunchTemplateName>web</LaunchTemplateName>
      <Version>%s</Version></LaunchTemplateSpecification>
    <Overrides>
      <member><InstanceType>t3.small</InstanceType><WeightedCapacity>2</WeightedCapacity></member>
      <member><InstanceRequirements><VCpuCount><Min>2</Min></VCpuCount>
        <CpuManufacturers><member>amd</member><member>intel</member></CpuManufacturers>` +
	`</InstanceRequirements>%s</member>
    </Overrides>
  </LaunchTemplate>
  <InstancesDistribution><OnDemandBaseCapacity>1</OnDemandBaseCapacity><SpotMaxPrice/></InstancesDistribution>
</MixedInstancesPolicy></member>`

func TestAGroupWithInstancesOfSeveralKinds(t *testing.T) {
	f := newAWS(2)
	f.groups["web"] = fmt.Sprintf(mixed, "2", "")
	said, err := f.launch(t, "web")
	p := "MixedInstancesPolicy.LaunchTemplate."
	want := []url.Values{{
		"AutoScalingGroupName": {"web"}, p + "LaunchTemplateSpecification.LaunchTemplateId": {"lt-1"},
		p + "LaunchTemplateSpecification.Version": {"3"}, p + "Overrides.member.1.InstanceType": {"t3.small"},
		p + "Overrides.member.1.WeightedCapacity":                               {"2"},
		p + "Overrides.member.2.InstanceRequirements.VCpuCount.Min":             {"2"},
		p + "Overrides.member.2.InstanceRequirements.CpuManufacturers.member.1": {"amd"},
		p + "Overrides.member.2.InstanceRequirements.CpuManufacturers.member.2": {"intel"},
		"MixedInstancesPolicy.InstancesDistribution.OnDemandBaseCapacity":       {"1"},
	}}
	if diff := cmp.Diff(want, f.updated); err != nil || diff != "" || len(said) != 1 {
		t.Errorf("%v, %q (-want +got):\n%s", err, said, diff)
	}

	f.groups["web"] = fmt.Sprintf(mixed, Latest, "")
	if _, err := f.launch(t, "web"); err != nil || len(f.updated) != 1 {
		t.Errorf("by the latest: %v, %v", err, f.updated)
	}
}

func TestGroupsThatCanNotLaunchAnImage(t *testing.T) {
	f := newAWS(1)
	f.groups["config"] = "<member><AutoScalingGroupName>config</AutoScalingGroupName><LaunchConfigurationName>c" +
		"</LaunchConfigurationName></member>"
	f.groups["web"] = fmt.Sprintf(mixed, "1", "<LaunchTemplateSpecification><LaunchTemplateId>lt-2</LaunchTemplateId>"+
		"</LaunchTemplateSpecification>")
	_, err := open(t, f.answer).Groups(t.Context(), []string{"config", "web", "none"})
	for _, want := range []string{
		`the Auto Scaling group "config" has no launch template`,
		`the Auto Scaling group "web" has a launch template of its own`,
		`there is no Auto Scaling group "none" in region eu-central-1`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestWhatAWSRefusesOfALaunch(t *testing.T) {
	denied := func() (int, string) {
		_, text := no("UnauthorizedOperation", "You are not authorized to perform this operation.")
		return 403, text
	}
	empty := func() (int, string) { return 200, "<R/>" }
	for _, tt := range []struct {
		name, version, action string
		fails                 func() (int, string)
		wrong                 string
	}{
		{"to make a version", Latest, "CreateLaunchTemplateVersion", denied, "allowed ec2:CreateLaunchTemplateVersion: put"},
		{"which has no number", Latest, "CreateLaunchTemplateVersion", empty, "AWS does not number the version"},
		{"to change the default", Default, "ModifyLaunchTemplate", denied, "allowed ec2:ModifyLaunchTemplate: put"},
		{"to change the group", "1", "UpdateAutoScalingGroup", denied, "allowed autoscaling:UpdateAutoScalingGroup: put"},
		{
			"to launch what the group would", "1", "UpdateAutoScalingGroup", func() (int, string) {
				return 403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>You are not authorized to use launch " +
					"template: lt-1</Message></Error></ErrorResponse>"
			},
			"the role must be allowed ec2:RunInstances with what launch template lt-1 names, and iam:PassRole",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newAWS(1)
			f.group("web", tt.version)
			f.group("api", tt.version)
			f.fails = map[string]func() (int, string){tt.action: tt.fails}
			said, err := f.launch(t, "web", "api")
			if err == nil || strings.Count(err.Error(), tt.wrong) != 2 || said != nil {
				t.Errorf("%v, want %q of both; %q", err, tt.wrong, said)
			}
		})
	}
	f := newAWS(1)
	f.group("web", Latest)
	f.fails = map[string]func() (int, string){"DescribeLaunchTemplateVersions": empty}
	if _, err := open(t, f.answer).Groups(t.Context(), []string{"web"}); err == nil ||
		!strings.Contains(err.Error(), "AWS tells of 0 versions where it was asked for $Latest of launch template lt-1") {
		t.Error(err)
	}
	f.fails = map[string]func() (int, string){"DescribeAutoScalingGroups": denied}
	if _, err := open(t, f.answer).Groups(t.Context(), []string{"web"}); err == nil ||
		!strings.Contains(err.Error(), "allowed autoscaling:DescribeAutoScalingGroups: put") {
		t.Error(err)
	}
}

// A question that is asked again, since its answer was lost, makes no second version; another run's does.
func TestAVersionIsMadeOnce(t *testing.T) {
	f := newAWS(2)
	i := open(t, f.answer)
	g := Group{Name: "web", Template: "lt-1", Version: Latest, InUse: f.version("lt-1", Latest)}
	for _, description := range []string{"run 7", "run 7", "run 8"} {
		if _, err := i.Launch(t.Context(), []Group{g}, "ami-new", description); err != nil {
			t.Fatal(err)
		}
	}
	if f.tokens[0] == "" || f.tokens[0] != f.tokens[1] || f.tokens[1] == f.tokens[2] {
		t.Errorf("tokens %q", f.tokens)
	}
}

func TestHowAGroupIsNamed(t *testing.T) {
	g := Group{Name: "web", Template: "lt-1", Version: Latest, InUse: Version{Number: 3}}
	if got := g.String(); got != "web launches version 3 ($Latest) of lt-1" {
		t.Error(got)
	}
	if g.Version = "3"; g.String() != "web launches version 3 of lt-1" {
		t.Error(g)
	}
}
