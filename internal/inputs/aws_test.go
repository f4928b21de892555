package inputs

import (
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestTheRoleToAssume(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:role/ci/deploy"
	for name, tt := range map[string]struct{ value, url, bearer, wrong string }{
		"a role":   {arn, "https://token.example.com/?api-version=2.0", "bearer-of-the-job", ""},
		"of China": {strings.Replace(arn, "aws", "aws-cn", 1), "https://token.example.com/", "bearer-of-the-job", ""},
		"a name":   {"deploy", "https://token.example.com/", "bearer-of-the-job", `must be the ARN of a role`},
		"a user": {
			strings.Replace(arn, "role", "user", 1), "https://t/", "bearer-of-the-job", `must be the ARN of a role`,
		},
		"no permission":   {arn, "", "", "id-token: write"},
		"half of a token": {arn, "https://token.example.com/", "", "id-token: write"},
	} {
		t.Run(name, func(t *testing.T) {
			key, _ := newKey(t, "")
			env := runner(key)
			env["ACTIONS_ID_TOKEN_REQUEST_URL"], env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = tt.url, tt.bearer
			in, err := Parse(with(env, map[string]string{"role-to-assume": tt.value}))
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), `input "role-to-assume": `) ||
					!strings.Contains(err.Error(), tt.wrong) {
					t.Fatalf("err = %v, want %q", err, tt.wrong)
				}
				return
			}
			if err != nil || in.Role != tt.value || in.Identity.URL != tt.url || in.Identity.Bearer.Reveal() != tt.bearer {
				t.Errorf("role %q by %+v, %v", in.Role, in.Identity, err)
			}
			if !strings.Contains(strings.Join(in.Secrets(), "\n"), tt.bearer) {
				t.Error("what opens the job's identity is not masked")
			}
		})
	}
}

func TestWhereTheRunnerComesFrom(t *testing.T) {
	for value, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32", "203.0.113.0/28": "203.0.113.0/28", "2001:db8::1": "2001:db8::1/128", "": "",
		"203.0.113.7/28": "must be the address or the network", "web": "must be the address or the network",
		"fe80::1%eth0": "must be the address or the network", "::ffff:203.0.113.7": "must be the address or the network",
		"0.0.0.0/0": "must be a network of your own, of at least /16", "2001::/16": "of at least /32",
	} {
		key, _ := newKey(t, "")
		in, err := Parse(with(runner(key), map[string]string{
			"security-group": "sg-0123456789abcdef0", "runner-cidr": value,
		}))
		_, parsed := netip.ParsePrefix(want)
		switch {
		case want != "" && parsed != nil:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", value, err, want)
			}
		case err != nil || in.RunnerCIDR != want || in.SecurityGroup != "sg-0123456789abcdef0":
			t.Errorf("%q: %q, %v", value, in.RunnerCIDR, err)
		}
	}
}

func TestAKeyForEachLogin(t *testing.T) {
	key, _ := newKey(t, "")
	all := map[string]string{"host": "", "key": "", "instances": "i-0123456789abcdef0", "access": "instance-connect"}
	in, err := Parse(with(runner(""), all))
	if err != nil || in.Access != InstanceConnect || in.Signer != nil {
		t.Errorf("access %q, %v", in.Access, err)
	}
	for _, tt := range []struct{ input, value, want string }{
		{"passphrase", "x", `input "passphrase": is for the input "key" only`},
		{"certificate", "x", `input "certificate": is for the input "key" only`},
		{"proxy-jump", "bastion.example.com", `input "access": needs the input "proxy-jump-key"`},
	} {
		more := map[string]string{tt.input: tt.value}
		for name, value := range all {
			more[name] = value
		}
		if _, err := Parse(with(runner(""), more)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.input, err, tt.want)
		}
	}
	single := map[string]string{
		"host": "i-0123456789abcdef0", "access": "instance-connect", "host-keys": "ssm:/keys/{instance-id}",
	}
	if in, err := Parse(with(runner(""), single)); err != nil || in.Access != InstanceConnect ||
		len(in.HostKeySources) != 1 {
		t.Errorf("an instance by its id: %+v, %v", in, err)
	}
	single["host"] += ",web.example.com"
	if _, err := Parse(with(runner(""), single)); err == nil ||
		!strings.Contains(err.Error(), `input "access": must be "key"`) {
		t.Errorf("an instance and a name: %v", err)
	}
	all["proxy-jump"], all["proxy-jump-key"] = "bastion.example.com", key
	in, err = Parse(with(runner(""), all))
	if err != nil || len(in.Jumps) != 1 || in.Jumps[0].Signer == nil {
		t.Errorf("through a bastion: %+v, %v", in.Jumps, err)
	}
}

func TestTheWayByAnEndpoint(t *testing.T) {
	const id = "i-0123456789abcdef0"
	for name, tt := range map[string]struct {
		with  map[string]string
		wrong string
	}{
		"of its network": {map[string]string{"connect-endpoint": "auto"}, ""},
		"by its id": {
			map[string]string{"connect-endpoint": "eice-0123456789abcdef0", "host": "", "instances": "asg=web"}, "",
		},
		"by IPv6":           {map[string]string{"connect-endpoint": "auto", "address": "ipv6"}, ""},
		"a bastion besides": {map[string]string{"proxy-jump": "bastion"}, "is another way to the hosts"},
		"a group besides": {
			map[string]string{"security-group": "sg-0123456789abcdef0"}, "needs no input \"security-group\"",
		},
		"a public address": {map[string]string{"address": "public"}, "leads to private addresses"},
		"another port":     {map[string]string{"host": id + ":2222"}, "leads to port 22 alone"},
		"another port for all": {
			map[string]string{"host": "", "instances": "asg=web", "port": "2222"}, "leads to port 22 alone",
		},
		"a name besides": {map[string]string{"host": id + ",web.example.com"}, "leads to instances"},
	} {
		t.Run(name, func(t *testing.T) {
			key, _ := newKey(t, "")
			all := map[string]string{"host": id, "connect-endpoint": "auto"}
			maps.Copy(all, tt.with)
			in, err := Parse(with(runner(key), all))
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), `input "connect-endpoint": `+tt.wrong) {
					t.Errorf("err = %v, want %q", err, tt.wrong)
				}
				return
			}
			if err != nil || in.ConnectEndpoint != all["connect-endpoint"] {
				t.Errorf("by %q, %v", in.ConnectEndpoint, err)
			}
		})
	}
}

func TestTargetGroups(t *testing.T) {
	const arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/6d0ecf831eec9f09"
	for value, tt := range map[string]struct {
		want  string
		wrong string
	}{
		"web":              {want: "web"},
		"web, api\n" + arn: {want: "web api " + arn},
		"":                 {},
		"web web":          {wrong: `such as "web"`},
		"web,web":          {wrong: "must not have a target group twice"},
		"-web":             {wrong: `such as "web"`},
		"arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/web/1": {wrong: `such as "web"`},
	} {
		key, _ := newKey(t, "")
		in, err := Parse(with(runner(key), map[string]string{"target-group": value, "target-timeout": "90s"}))
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), `input "target-group": `) ||
				!strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%q: %v, want %q", value, err, tt.wrong)
			}
			continue
		}
		if err != nil || strings.Join(in.TargetGroups, " ") != tt.want || in.TargetTimeout != 90*time.Second {
			t.Errorf("%q: %q for %s, %v", value, in.TargetGroups, in.TargetTimeout, err)
		}
	}
}

func TestAnImageForTheGroups(t *testing.T) {
	for _, tt := range []struct {
		value, instances, shared string
		want                     bool
		wrong                    string
	}{
		{value: "", instances: "asg=web"},
		{value: "false", instances: "tag:Role=web", shared: "uploads"},
		{value: "true", instances: "i-0123456789abcdef0\nasg=web tag:Role=web", want: true},
		{value: "with-shared", instances: "asg=web", want: true},
		{value: "with-shared", instances: "asg=web", shared: "uploads", want: true},
		{
			value: "true", instances: "asg=web", shared: "uploads",
			wrong: `must be "with-shared" where the input "shared" names paths`,
		},
		{value: "true", instances: "tag:Role=web", wrong: `name one in the input "instances", such as "asg=web"`},
		{value: "with-shared", instances: "tag:Role=web", shared: "uploads", wrong: "is for Auto Scaling groups"},
		{value: "always", instances: "asg=web", wrong: `must be "true", "false" or "with-shared" (got "always")`},
	} {
		key, _ := newKey(t, "")
		in, err := Parse(with(runner(key), map[string]string{
			"launch-image": tt.value, "instances": tt.instances, "shared": tt.shared, "keep-images": "7",
		}))
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), `input "launch-image": `) ||
				!strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%+v: %v", tt, err)
			}
			continue
		}
		if err != nil || in.LaunchImage != tt.want || in.KeepImages != 7 {
			t.Errorf("%+v: %t, %d, %v", tt, in.LaunchImage, in.KeepImages, err)
		}
	}
}
