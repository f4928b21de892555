package targets

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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
	return fmt.Sprintf("<member><HealthCheckPort>80</HealthCheckPort><Target><Id>%s</Id><Port>80</Port></Target>"+
		"<TargetHealth><State>%s</State><Reason>%s</Reason><Description>%s</Description></TargetHealth></member>",
		id, state, reason, description)
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
			_, _ = fmt.Fprintf(w, health, member("i-1", "healthy", "", "")+
				member("i-2", "unhealthy", "Target.ResponseCodeMismatch", bad))
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
	if idles, err := b.Idles(t.Context(), found); err != nil || len(idles) != 0 {
		t.Errorf("idle time-outs of groups that no load balancer has: %v, %v", idles, err)
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
		{
			"none", "TargetGroupNotFound", 400,
			`there is no target group web in region eu-central-1: correct the input "target-group"`,
		},
		{"no ARN of one", "ValidationError", 400, "there is no target group web"},
		{"denied", "AccessDenied", 403, "the role must be allowed elasticloadbalancing:DescribeTargetGroups: put"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, "<ErrorResponse><Error><Code>"+tt.code+
					"</Code><Message>x</Message></Error></ErrorResponse>")
			})
			if _, err := b.Of(t.Context(), []string{"web"}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
	b := open(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, groups, "") })
	if _, err := b.Of(t.Context(), []string{"web"}); err == nil ||
		!strings.Contains(err.Error(), "there is no target group web") {
		t.Errorf("an empty answer: %v", err)
	}
	b = open(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, health, "") })
	if _, err := b.Again(t.Context(), Target{Group: "web", ID: "i-1", Port: 80}); err == nil ||
		!strings.Contains(err.Error(), "AWS tells of 0 targets where it was asked for i-1:80 of target group web") {
		t.Errorf("an empty answer: %v", err)
	}
}

func TestWhatTargetsAreAsked(t *testing.T) {
	check := func(protocol, port, more string) string {
		return "<HealthCheckProtocol>" + protocol + "</HealthCheckProtocol>" +
			"<HealthCheckPort>" + port + "</HealthCheckPort>" + more
	}
	const path = "<HealthCheckPath>/health?deep=1</HealthCheckPath>"
	const ok = "<Matcher><HttpCode>200,301-304</HttpCode></Matcher>"
	for _, tt := range []struct {
		name, group string
		want        *Question
	}{
		{
			"its own port", check("HTTP", "traffic-port", path+ok),
			&Question{"http", 80, "/health?deep=1", 5 * time.Second, "200,301-304"},
		},
		{
			"another port, over TLS", check("HTTPS", "8443", path+ok+"<HealthCheckTimeoutSeconds>20</HealthCheckTimeoutSeconds>"+
				"<HealthCheckEnabled>true</HealthCheckEnabled>"),
			&Question{"https", 8443, "/health?deep=1", 20 * time.Second, "200,301-304"},
		},
		{"whether it can be connected to", check("TCP", "traffic-port", ""), nil},
		{"by gRPC", check("HTTP", "traffic-port", path+"<Matcher><GrpcCode>12</GrpcCode></Matcher>"), nil},
		{"nothing", check("HTTP", "traffic-port", path+ok+"<HealthCheckEnabled>false</HealthCheckEnabled>"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("Action") == "DescribeTargetGroups" {
					_, _ = fmt.Fprintf(w, groups, "<member><TargetGroupArn>arn:web</TargetGroupArn>"+
						"<TargetGroupName>web</TargetGroupName>"+tt.group+"</member>")
					return
				}
				_, _ = fmt.Fprintf(w, health, member("i-1", "healthy", "", ""))
			})
			found, err := b.Of(t.Context(), []string{"web"})
			if err != nil || len(found) != 1 {
				t.Fatalf("%v, %v", found, err)
			}
			if diff := cmp.Diff(tt.want, found[0].Asked); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatusesThatAreWanted(t *testing.T) {
	for wanted, statuses := range map[string]map[int]bool{
		"200":          {200: true, 201: false, 0: false},
		"200,302":      {200: true, 302: true, 301: false},
		"200-299, 401": {200: true, 250: true, 299: true, 300: false, 401: true, 199: false},
		"2xx":          {200: false},
	} {
		for status, want := range statuses {
			if got := (Question{Wanted: wanted}).Likes(status); got != want {
				t.Errorf("%d for %q: %t", status, wanted, got)
			}
		}
	}
}

func TestIdleTimeouts(t *testing.T) {
	const attributes = `<DescribeLoadBalancerAttributesResponse ` +
		`xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">
<DescribeLoadBalancerAttributesResult><Attributes><member><Key>deletion_protection.enabled</Key>` +
		`<Value>false</Value></member>%s
</Attributes></DescribeLoadBalancerAttributesResult></DescribeLoadBalancerAttributesResponse>`
	asked := 0
	b := open(t, func(w http.ResponseWriter, r *http.Request) {
		switch arn := r.FormValue("LoadBalancerArn"); {
		case r.FormValue("Action") == "DescribeTargetGroups":
			_, _ = fmt.Fprintf(w, groups, "<member><TargetGroupArn>arn:web</TargetGroupArn>"+
				"<TargetGroupName>web</TargetGroupName><LoadBalancerArns><member>arn:loadbalancer/app/front/1a</member>"+
				"<member>arn:loadbalancer/net/inner/2b</member></LoadBalancerArns></member>")
		case r.FormValue("Action") == "DescribeTargetHealth":
			_, _ = fmt.Fprintf(w, health, member("i-1", "healthy", "", "")+member("i-2", "healthy", "", ""))
		case arn == "arn:loadbalancer/app/front/1a":
			asked++
			_, _ = fmt.Fprintf(w, attributes, "<member><Key>idle_timeout.timeout_seconds</Key><Value>60</Value></member>")
		case arn == "arn:loadbalancer/net/inner/2b":
			asked++
			_, _ = fmt.Fprintf(w, attributes, "")
		default:
			t.Errorf("asked %v", r.Form)
		}
	})
	found, err := b.Of(t.Context(), []string{"web"})
	if err != nil {
		t.Fatal(err)
	}
	idles, err := b.Idles(t.Context(), found)
	if diff := cmp.Diff([]Idle{{"front", time.Minute}}, idles); err != nil || diff != "" || asked != 2 {
		t.Errorf("%v, asked %d times; (-want +got):\n%s", err, asked, diff)
	}
	b = open(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>x</Message></Error>"+
			"</ErrorResponse>")
	})
	if idles, err := b.Idles(t.Context(), found); err == nil || len(idles) != 0 ||
		!strings.Contains(err.Error(), "elasticloadbalancing:DescribeLoadBalancerAttributes") {
		t.Errorf("denied: %v, %v", idles, err)
	}
}
