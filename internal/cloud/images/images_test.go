package images

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
)

// open asks a server that answers as AWS would; moto stands in for it in e2e.
func open(t *testing.T, answer func(action string, form url.Values) (status int, text string)) *Images {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		status, text := answer(r.Form.Get("Action"), r.Form)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_EC2", "")
	t.Setenv("AWS_ENDPOINT_URL_AUTO_SCALING", "")
	return New(aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
}

// no is an error of EC2's.
func no(code, message string) (status int, text string) {
	return 400, "<Response><Errors><Error><Code>" + code + "</Code><Message>" + message +
		"</Message></Error></Errors></Response>"
}

func listed(next string, items ...string) string {
	return "<DescribeImagesResponse><imagesSet>" + strings.Join(items, "") + "</imagesSet>" + next +
		"</DescribeImagesResponse>"
}

func item(id, state, made, disks string) string {
	return fmt.Sprintf(`<item><imageId>%s</imageId><imageState>%s</imageState><creationDate>%s</creationDate><tagSet><item>
<key>app</key><value>shop</value></item></tagSet><blockDeviceMapping>%s</blockDeviceMapping></item>`,
		id, state, made, disks)
}

func disk(snapshot string, encrypted bool) string {
	return fmt.Sprintf("<item><ebs><snapshotId>%s</snapshotId><encrypted>%t</encrypted></ebs></item>", snapshot, encrypted)
}

func TestImagesWithATag(t *testing.T) {
	const inMemory = "<item><virtualName>ephemeral0</virtualName></item>"
	i := open(t, func(_ string, form url.Values) (int, string) {
		if form.Get("Owner.1") != "self" || form.Get("Filter.1.Name") != "tag:app" || form.Get("Filter.1.Value.1") != "shop" {
			t.Errorf("asked %v", form)
		}
		if form.Get("NextToken") == "" {
			return 200, listed("<nextToken>2</nextToken>",
				item("ami-1", "available", "2026-11-27T03:00:00.000Z", disk("snap-1", true)+disk("snap-2", false)))
		}
		return 200, listed("", item("ami-2", "pending", "2026-11-28T03:00:00.000Z", disk("snap-3", true)+inMemory))
	})
	got, err := i.Tagged(t.Context(), "app", "shop")
	tags := map[string]string{"app": "shop"}
	want := []Image{
		{ID: "ami-2", State: Pending, Made: "2026-11-28T03:00:00.000Z", Tags: tags, Snapshots: []string{"snap-3"}},
		{
			ID: "ami-1", State: Available, Made: "2026-11-27T03:00:00.000Z", Tags: tags,
			Snapshots: []string{"snap-1", "snap-2"}, Open: true,
		},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestHowAnImageIsNow(t *testing.T) {
	for _, tt := range []struct {
		name, code, text string
		want             Image
		wrong            string
	}{
		{
			name: "failed", want: Image{ID: "ami-1", State: "failed", Why: "no room", Tags: map[string]string{}},
			text: listed("", "<item><imageId>ami-1</imageId><imageState>failed</imageState><stateReason><message>no room"+
				"</message></stateReason></item>"),
		},
		{name: "not known yet", code: "InvalidAMIID.NotFound", want: Image{ID: "ami-1"}},
		{name: "not known any more", code: "InvalidAMIID.Unavailable", want: Image{ID: "ami-1"}},
		{name: "nobody says", text: listed(""), want: Image{ID: "ami-1"}},
		{
			name: "denied", code: "UnauthorizedOperation", want: Image{ID: "ami-1"},
			wrong: "must be allowed ec2:DescribeImages",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := open(t, func(_ string, form url.Values) (int, string) {
				if form.Get("ImageId.1") != "ami-1" {
					t.Errorf("asked %v", form)
				}
				if tt.code != "" {
					return no(tt.code, "x")
				}
				return 200, tt.text
			})
			got, err := i.Of(t.Context(), "ami-1")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%v, want %q", err, tt.wrong)
			}
		})
	}
}

func TestAnImageIsMade(t *testing.T) {
	const named = "<CreateImageResponse><imageId>ami-1</imageId></CreateImageResponse>"
	for _, tt := range []struct {
		name  string
		first func() (int, string)
		found string
		wrong string
	}{
		{name: "at once", first: func() (int, string) { return 200, named }},
		{
			name: "and the first answer was lost", found: listed("", item("ami-1", "pending", "", "")),
			first: func() (int, string) { return no("InvalidAMIName.Duplicate", "in use") },
		},
		{
			name: "and the name is taken by nothing of ours", found: listed(""), wrong: "AWS does not name the image",
			first: func() (int, string) { return no("InvalidAMIName.Duplicate", "in use") },
		},
		{name: "not", first: func() (int, string) {
			return no("UnauthorizedOperation", "User: x is not authorized to perform: ec2:CreateTags")
		}, wrong: "must be allowed ec2:CreateTags"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := open(t, func(action string, form url.Values) (int, string) {
				if action == "DescribeImages" {
					if form.Get("Filter.1.Name")+form.Get("Filter.1.Value.1") != "nameshop-1" || form.Get("Owner.1") != "self" {
						t.Errorf("asked %v", form)
					}
					return 200, tt.found
				}
				want := url.Values{
					"Action": {"CreateImage"}, "Version": {"2016-11-15"}, "InstanceId": {"i-1"}, "Name": {"shop-1"},
					"NoReboot":                        {"true"},
					"TagSpecification.1.ResourceType": {"image"}, "TagSpecification.1.Tag.1.Key": {"app"},
					"TagSpecification.1.Tag.1.Value": {"shop"}, "TagSpecification.1.Tag.2.Key": {"run"},
					"TagSpecification.1.Tag.2.Value":  {"7"},
					"TagSpecification.2.ResourceType": {"snapshot"}, "TagSpecification.2.Tag.1.Key": {"app"},
					"TagSpecification.2.Tag.1.Value": {"shop"}, "TagSpecification.2.Tag.2.Key": {"run"},
					"TagSpecification.2.Tag.2.Value": {"7"},
				}
				if diff := cmp.Diff(want, form); diff != "" {
					t.Errorf("(-want +asked):\n%s", diff)
				}
				return tt.first()
			})
			id, err := i.Make(t.Context(), "i-1", "shop-1", map[string]string{"run": "7", "app": "shop"})
			if (err == nil) != (tt.wrong == "") || err == nil && id != "ami-1" ||
				err != nil && !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%q, %v, want %q", id, err, tt.wrong)
			}
		})
	}
}

func TestAnImageIsRemoved(t *testing.T) {
	for _, tt := range []struct {
		name, image, snapshot string // the codes of errors
		asked                 string
		wrong                 string
	}{
		{name: "with its snapshots", asked: "ami-1 snap-1 snap-2"},
		{
			name: "which was gone", image: "InvalidAMIID.Unavailable", snapshot: "InvalidSnapshot.NotFound",
			asked: "ami-1 snap-1 snap-2",
		},
		{
			name: "not", image: "UnauthorizedOperation", asked: "ami-1", wrong: "the role must be allowed ec2:DeregisterImage",
		},
		{
			name: "and its snapshots stay", snapshot: "UnauthorizedOperation", asked: "ami-1 snap-1 snap-2",
			wrong: "the image ami-1 is gone, and its snapshot snap-2 stays, and is paid for, until somebody deletes it: the " +
				"role must be allowed ec2:DeleteSnapshot",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			i := open(t, func(action string, form url.Values) (int, string) {
				asked = append(asked, form.Get("ImageId")+form.Get("SnapshotId"))
				if together := form.Get("DeleteAssociatedSnapshots"); action == "DeregisterImage" && together != "true" {
					t.Errorf("DeleteAssociatedSnapshots is %q", together)
				}
				if code := map[string]string{"DeregisterImage": tt.image, "DeleteSnapshot": tt.snapshot}[action]; code != "" {
					return no(code, "x")
				}
				return 200, "<R><return>true</return></R>"
			})
			err := i.Remove(t.Context(), Image{ID: "ami-1", Snapshots: []string{"snap-1", "snap-2"}})
			if got := strings.Join(asked, " "); got != tt.asked || (err == nil) != (tt.wrong == "") ||
				err != nil && !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("asked %s, want %s; %v, want %q", got, tt.asked, err, tt.wrong)
			}
		})
	}
}
