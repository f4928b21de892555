package group

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud"
)

// open opens a group at a server that answers as EC2 would; moto stands in for it in e2e.
func open(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *Group {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"HOME": t.TempDir(), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "",
		"AWS_PROFILE": "", "AWS_MAX_ATTEMPTS": "2", "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": "",
		"AWS_ENDPOINT_URL": server.URL, "AWS_ENDPOINT_URL_EC2": "",
	} {
		t.Setenv(name, value)
	}
	g, err := Open(t.Context(), &cloud.Account{}, "sg-1")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// no is an error of EC2's.
func no(w http.ResponseWriter, code, message string) {
	w.WriteHeader(http.StatusBadRequest)
	_, _ = fmt.Fprintf(w, "<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors></Response>",
		code, message)
}

const described = `<DescribeSecurityGroupRulesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">` +
	`<securityGroupRuleSet>%s
</securityGroupRuleSet>%s</DescribeSecurityGroupRulesResponse>`

func item(id, protocol string, from, to int, cidr, description string) string {
	return fmt.Sprintf(`<item><securityGroupRuleId>%s</securityGroupRuleId><groupId>sg-1</groupId>`+
		`<isEgress>false</isEgress>
<ipProtocol>%s</ipProtocol><fromPort>%d</fromPort><toPort>%d</toPort>%s<description>%s</description></item>`,
		id, protocol, from, to, cidr, description)
}

func TestRulesOfAllPages(t *testing.T) {
	g := open(t, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("Action") != "DescribeSecurityGroupRules" || r.FormValue("Filter.1.Value.1") != "sg-1" {
			t.Errorf("asked %v", r.Form)
		}
		if r.FormValue("NextToken") == "" {
			_, _ = fmt.Fprintf(w, described, item("sgr-1", "tcp", 22, 22, "<cidrIpv4>203.0.113.7/32</cidrIpv4>", "one")+
				item("sgr-2", "-1", -1, -1, "<cidrIpv4>0.0.0.0/0</cidrIpv4>", "all")+
				item("sgr-3", "tcp", 1, 65535, "<cidrIpv4>10.0.0.0/8</cidrIpv4>", "many")+
				item("sgr-4", "tcp", 22, 22, "<referencedGroupInfo><groupId>sg-2</groupId></referencedGroupInfo>", "group"),
				"<nextToken>2</nextToken>")
			return
		}
		_, _ = fmt.Fprintf(w, described, item("sgr-5", "tcp", 2222, 2222, "<cidrIpv6>2001:db8::/64</cidrIpv6>", "two"), "")
	})
	got, err := g.Rules(t.Context())
	want := []Rule{
		{"sgr-1", 22, netip.MustParsePrefix("203.0.113.7/32"), "one"},
		{"sgr-5", 2222, netip.MustParsePrefix("2001:db8::/64"), "two"},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil ||
		diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestARuleIsMade(t *testing.T) {
	for name, tt := range map[string]struct{ from, family, field string }{
		"IPv4": {"203.0.113.7/32", "IpRanges", "CidrIp"}, "IPv6": {"2001:db8::1/128", "Ipv6Ranges", "CidrIpv6"},
	} {
		t.Run(name, func(t *testing.T) {
			g := open(t, func(w http.ResponseWriter, r *http.Request) {
				p := "IpPermissions.1."
				if r.FormValue("Action") != "AuthorizeSecurityGroupIngress" || r.FormValue("GroupId") != "sg-1" ||
					r.FormValue(p+"IpProtocol") != "tcp" || r.FormValue(p+"FromPort") != "22" || r.FormValue(p+"ToPort") != "22" ||
					r.FormValue(p+tt.family+".1."+tt.field) != tt.from || r.FormValue(p+tt.family+".1.Description") != "mine" {
					t.Errorf("asked %v", r.Form)
				}
				_, _ = io.WriteString(w, "<R><return>true</return><securityGroupRuleSet><item><securityGroupRuleId>sgr-9"+
					"</securityGroupRuleId></item></securityGroupRuleSet></R>")
			})
			rule, err := g.Allow(t.Context(), Rule{Port: 22, From: netip.MustParsePrefix(tt.from), Description: "mine"})
			if err != nil || rule.ID != "sgr-9" {
				t.Errorf("%+v, %v", rule, err)
			}
		})
	}
}

// AWS has one rule for a port and an address. Whose it is tells what becomes of it.
func TestARuleThatIsThereAlready(t *testing.T) {
	for name, description := range map[string]string{
		"of somebody else": "of another run", "of this call, whose first answer was lost": "mine",
	} {
		t.Run(name, func(t *testing.T) {
			g := open(t, func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("Action") == "AuthorizeSecurityGroupIngress" {
					no(w, "InvalidPermission.Duplicate", "the specified rule already exists")
					return
				}
				_, _ = fmt.Fprintf(w, described,
					item("sgr-1", "tcp", 22, 22, "<cidrIpv4>203.0.113.7/32</cidrIpv4>", description), "")
			})
			rule, err := g.Allow(t.Context(), Rule{Port: 22, From: netip.MustParsePrefix("203.0.113.7/32"), Description: "mine"})
			if rule.ID != "sgr-1" || rule.Description != description || (err == nil) != (description == "mine") ||
				err != nil && !errors.Is(err, ErrThere) {
				t.Errorf("%+v, %v", rule, err)
			}
		})
	}
}

func TestRevokingWhatIsGoneIsDone(t *testing.T) {
	for _, code := range []string{"InvalidPermission.NotFound", "InvalidSecurityGroupRuleId.NotFound", ""} {
		g := open(t, func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("SecurityGroupRuleId.1") != "sgr-1" {
				t.Errorf("asked %v", r.Form)
			}
			if code != "" {
				no(w, code, "does not exist")
			}
		})
		if err := g.Revoke(t.Context(), "sgr-1"); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestRefusalsNameWhatToDo(t *testing.T) {
	for _, tt := range []struct{ code, message, want string }{
		{
			"InvalidGroup.NotFound", "The security group 'sg-1' does not exist",
			"there is no security group sg-1 in this region",
		},
		{"RulesPerSecurityGroupLimitExceeded", "The maximum number of rules", "has as many rules as it may have"},
		{
			"UnauthorizedOperation",
			"You are not authorized to perform this operation. User: arn:aws:sts::1:assumed-role/x is not " +
				"authorized to perform: ec2:AuthorizeSecurityGroupIngress on resource: arn:aws:ec2:x because no " +
				"policy allows it.",
			"the role must be allowed ec2:AuthorizeSecurityGroupIngress",
		},
	} {
		g := open(t, func(w http.ResponseWriter, _ *http.Request) { no(w, tt.code, tt.message) })
		_, err := g.Allow(t.Context(), Rule{Port: 22, From: netip.MustParsePrefix("203.0.113.7/32")})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !Refused(err) {
			t.Errorf("err = %v, want %q", err, tt.want)
		}
	}
	g := open(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if err := g.Revoke(t.Context(), "sgr-1"); err == nil || Refused(err) {
		t.Errorf("a bad gateway: %v", err)
	}
}
