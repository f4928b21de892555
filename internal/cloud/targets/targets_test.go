package targets

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// open asks a server that answers as Elastic Load Balancing would; moto stands in for it in e2e.
func open(t *testing.T, answer http.HandlerFunc) *Balancers {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "")
	return New(aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
}

const groups = `<DescribeTargetGroupsResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">
<DescribeTargetGroupsResult><TargetGroups>%s</TargetGroups></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>`

const health = `<DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">
<DescribeTargetHealthResult><TargetHealthDescriptions>%s</TargetHealthDescriptions></DescribeTargetHealthResult>
</DescribeTargetHealthResponse>`

func member(id, state, reason, description string) string {
	return fmt.Sprintf("<member><HealthCheckPort>80</HealthCheckPort><Target><Id>%s</Id><Port>80</Port></Target><TargetHealth>"+
		"<State>%s</State><Reason>%s</Reason><Description>%s</Description></TargetHealth></member>", id, state, reason, description)
}

const bad = "Health checks failed with these codes: [500]"

func TestTargetsOfGroups(t *testing.T) {
	b := open(t, func(w http.ResponseWriter, r *http.Request) {
		group := r.FormValue("TargetGroupArn")
		switch {
		case r.FormValue("Action") == "DescribeTargetGroups":
			name := r.FormValue("Names.member.1")
			if arn := r.FormValue("TargetGroupArns.member.1"); arn != "" {
				name = strings.TrimPrefix(arn, "arn:")
			}
			_, _ = fmt.Fprintf(w, groups, "<member><TargetGroupArn>arn:"+name+"</TargetGroupArn><TargetGroupName>"+name+
				"</TargetGroupName></member>")
		case group == "arn:web" && r.FormValue("Targets.member.1.Id") == "":
			_, _ = fmt.Fprintf(w, health, member("i-1", "healthy", "", "")+member("i-2", "unhealthy", "Target.ResponseCodeMismatch", bad))
		case group == "arn:api":
			_, _ = fmt.Fprintf(w, health, member("10.0.0.1", "unused", "Target.NotInUse", ""))
		case r.FormValue("Targets.member.1.Id") == "i-2" && r.FormValue("Targets.member.1.Port") == "80":
			_, _ = fmt.Fprintf(w, health, member("i-2", "healthy", "", ""))
		default:
			t.Errorf("asked %v", r.Form)
		}
	})
	found, err := b.Of(t.Context(), []string{"web", "arn:api"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Target{
		{Group: "web", ID: "i-1", Port: 80, State: Healthy},
		{Group: "web", ID: "i-2", Port: 80, State: "unhealthy", Why: "Target.ResponseCodeMismatch: " + bad},
		{Group: "api", ID: "10.0.0.1", Port: 80, State: Unused, Why: "Target.NotInUse"},
	}
	if diff := cmp.Diff(want, found, cmpopts.IgnoreUnexported(Target{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if now, err := b.Again(t.Context(), found[1]); err != nil || now.State != Healthy || now.Why != "" {
		t.Errorf("%v, %v", now, err)
	}
	if got := found[1].String(); got != "i-2:80 of target group web" {
		t.Error(got)
	}
}

func TestGroupsThatAreNotToBeHad(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		status     int
		want       string
	}{
		{"none", "TargetGroupNotFound", 400, `there is no target group web in region eu-central-1: correct the input "target-group"`},
		{"no ARN of one", "ValidationError", 400, "there is no target group web"},
		{"denied", "AccessDenied", 403, "the role must be allowed elasticloadbalancing:DescribeTargetGroups: put"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, "<ErrorResponse><Error><Code>"+tt.code+"</Code><Message>x</Message></Error></ErrorResponse>")
			})
			if _, err := b.Of(t.Context(), []string{"web"}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
	b := open(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, groups, "") })
	if _, err := b.Of(t.Context(), []string{"web"}); err == nil || !strings.Contains(err.Error(), "there is no target group web") {
		t.Errorf("an empty answer: %v", err)
	}
	b = open(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, health, "") })
	if _, err := b.Again(t.Context(), Target{Group: "web", ID: "i-1", Port: 80}); err == nil ||
		!strings.Contains(err.Error(), "AWS tells of 0 targets where it was asked for i-1:80 of target group web") {
		t.Errorf("an empty answer: %v", err)
	}
}
