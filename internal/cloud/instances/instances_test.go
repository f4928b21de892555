package instances

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud"
)

// fakeAWS answers as AWS does, with a group web and some instances; what real signatures and policies do
// is proved in e2e.
type fakeAWS struct {
	asked []url.Values
	group string            // of the members, XML
	hooks string            // of the group, XML
	pages map[string]string // what DescribeInstances says, by the token of the page
}

func (a *fakeAWS) finder(t *testing.T) *Finder {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		a.asked = append(a.asked, r.Form)
		if !strings.Contains(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256") {
			t.Error("nobody has signed")
		}
		if r.Form.Get("Action") == "DescribeAutoScalingGroups" {
			_, _ = io.WriteString(w, "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups>"+
				a.group+"</AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>")
			return
		}
		if r.Form.Get("Action") == "DescribeLifecycleHooks" {
			_, _ = io.WriteString(w, "<DescribeLifecycleHooksResponse><DescribeLifecycleHooksResult><LifecycleHooks>"+
				a.hooks+"</LifecycleHooks></DescribeLifecycleHooksResult></DescribeLifecycleHooksResponse>")
			return
		}
		_, _ = io.WriteString(w, "<DescribeInstancesResponse>"+a.pages[r.Form.Get("NextToken")]+
			"</DescribeInstancesResponse>")
	}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"HOME": t.TempDir(), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": "",
		"AWS_SHARED_CREDENTIALS_FILE": "", "AWS_ENDPOINT_URL": server.URL, "AWS_ENDPOINT_URL_EC2": "",
	} {
		t.Setenv(name, value)
	}
	account := cloud.Account{Region: "eu-central-1"}
	cfg, err := account.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return New(cfg)
}

func instance(id, zone, state string) string {
	return fmt.Sprintf("<item><instanceId>%s</instanceId><instanceState><name>%s</name></instanceState><placement>"+
		"<availabilityZone>%s</availabilityZone></placement><privateIpAddress>10.0.0.7</privateIpAddress>"+
		"<ipAddress>192.0.2.7</ipAddress><networkInterfaceSet><item><ipv6AddressesSet><item>"+
		"<ipv6Address>2001:db8::7</ipv6Address></item></ipv6AddressesSet></item></networkInterfaceSet></item>",
		id, state, zone)
}

// reservations is a page of instances.
func reservations(next string, instances ...string) string {
	text := "<reservationSet>"
	for _, i := range instances {
		text += "<item><instancesSet>" + i + "</instancesSet></item>"
	}
	return text + "</reservationSet><nextToken>" + next + "</nextToken>"
}

func members(states ...string) string {
	text := "<member><AutoScalingGroupName>web</AutoScalingGroupName><Instances>"
	for i, state := range states {
		text += fmt.Sprintf("<member><InstanceId>i-%d</InstanceId><LifecycleState>%s</LifecycleState></member>", i, state)
	}
	return text + "</Instances>%s</member>"
}

func TestInstancesOfAllPagesInOrder(t *testing.T) {
	a := &fakeAWS{
		group: fmt.Sprintf(members(
			"InService", "Standby", "Pending:Wait", "Terminating:Wait", "Warmed:Stopped", "Pending",
		), ""),
		pages: map[string]string{
			"":  reservations("2", instance("i-2", "b", "running"), instance("i-0", "b", "running")),
			"2": reservations("", instance("i-9", "a", "running"), instance("i-8", "a", "shutting-down")),
		},
	}
	found, err := a.finder(t).Find(t.Context(), []Wanted{
		{Text: "asg=web tag:Role=front", Group: "web", Tags: [][2]string{{"Role", "front"}}},
		{Text: "tag:Name=x", Tags: [][2]string{{"Name", "x"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, i := range found.Instances {
		ids = append(ids, i.ID)
		if i.Public != "192.0.2.7" || i.Private != "10.0.0.7" || i.IPv6[0] != "2001:db8::7" {
			t.Errorf("addresses of %+v", i)
		}
		if held := i.ID == "i-2"; held != (i.HeldBy == "web") {
			t.Errorf("%s is held by %q", i.ID, i.HeldBy)
		}
	}
	if diff := cmp.Diff([]string{"i-9", "i-0", "i-2"}, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := map[string]string{
		"Filter.1.Name": "tag:Role", "Filter.1.Value.1": "front", "Filter.2.Name": "instance-id",
		"Filter.2.Value.1": "i-0", "Filter.2.Value.2": "i-2", "Filter.2.Value.3": "",
	}
	for name, value := range want {
		if got := a.asked[1].Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if len(found.Warnings) > 0 || strings.Join(found.By, "; ") != "3 by asg=web tag:Role=front; 3 by tag:Name=x" {
		t.Errorf("%q, %q", found.By, found.Warnings)
	}
}

func TestWhatPeopleAreToldOfInstances(t *testing.T) {
	named := []Wanted{{Text: "i-0", ID: "i-0"}}
	for _, tt := range []struct {
		name        string
		lines       []Wanted
		group, page string
		warning     string
		wrong       string
	}{
		{
			name: "a warm pool", lines: []Wanted{{Text: "asg=web", Group: "web"}},
			group:   fmt.Sprintf(members("InService"), "<WarmPoolConfiguration><MinSize>1</MinSize></WarmPoolConfiguration>"),
			page:    reservations("", instance("i-0", "a", "running")),
			warning: "the group web has a warm pool",
		},
		{
			name: "a group of none", lines: []Wanted{{Text: "asg=web", Group: "web"}}, group: fmt.Sprintf(members(), ""),
			warning: "nothing that runs was found by asg=web in region eu-central-1",
		},
		{
			name: "no such group", lines: []Wanted{{Text: "asg=web", Group: "web"}},
			wrong: `there is no Auto Scaling group "web" in region eu-central-1: correct its name`,
		},
		{
			name: "no such instance", lines: named, page: reservations(""),
			wrong: "there is no instance i-0 in region eu-central-1",
		},
		{
			name: "a stopped one", lines: named, page: reservations("", instance("i-0", "a", "stopped")),
			wrong: "instance i-0 is stopped: start it, or leave it out",
		},
		{
			name: "one that is not in service", lines: []Wanted{{Text: "asg=web i-0", Group: "web", ID: "i-0"}},
			group: fmt.Sprintf(members("Standby"), ""), page: reservations("", instance("i-0", "a", "running")),
			wrong: "instance i-0 is not in service in the group web",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &fakeAWS{group: tt.group, pages: map[string]string{"": tt.page}}
			found, err := a.finder(t).Find(t.Context(), tt.lines)
			switch {
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("err = %v, want %q", err, tt.wrong)
			case tt.wrong == "" && (err != nil || len(found.Warnings) != 1 || !strings.Contains(found.Warnings[0], tt.warning)):
				t.Errorf("%+v, %v, want %q", found, err, tt.warning)
			}
		})
	}
}

// A tag that is not there, of an instance that is.
func TestANamedInstanceWithoutTheTag(t *testing.T) {
	a := &fakeAWS{pages: map[string]string{"": reservations("")}}
	f := a.finder(t)
	line := Wanted{Text: "i-0 tag:A=b", ID: "i-0", Tags: [][2]string{{"A", "b"}}}
	if _, err := f.Find(t.Context(), []Wanted{line}); err == nil ||
		!strings.Contains(err.Error(), "there is no instance i-0") {
		t.Errorf("err = %v", err)
	}
	if len(a.asked) != 2 || a.asked[1].Get("Filter.2.Name") != "" {
		t.Errorf("asked %v", a.asked)
	}
}
