package inputs

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/internal/exclude"
	"github.com/clothesme/deploy-action/remote"
)

// newKey makes an OpenSSH key, encrypted when a passphrase is given, and its public half.
func newKey(tb testing.TB, passphrase string) (text string, public ssh.PublicKey) {
	tb.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		tb.Fatal(err)
	}
	if public, err = ssh.NewPublicKey(pub); err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), public
}

const sha = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"

// runner is the environment of a run with nothing but the required inputs, as the runner sets it
// up.
func runner(key string) map[string]string {
	return map[string]string{
		"GITHUB_SERVER_URL":  "https://github.com",
		"GITHUB_REPOSITORY":  "clothesme/AI_Server",
		"GITHUB_SHA":         sha,
		"GITHUB_RUN_ID":      "4711",
		"GITHUB_RUN_NUMBER":  "12",
		"GITHUB_RUN_ATTEMPT": "1",
		"GITHUB_ACTOR":       "somebody",
		"GITHUB_WORKFLOW":    "deploy",
		"INPUT_HOST":         "web.example.com",
		"INPUT_KEY":          key,
	}
}

// with returns the environment with inputs added.
func with(env, inputs map[string]string) func(string) string {
	env = maps.Clone(env)
	for name, value := range inputs {
		env["INPUT_"+strings.ToUpper(name)] = value
	}
	return func(name string) string { return env[name] }
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// facts is what can be compared of Inputs.
func facts(in *Inputs) Inputs {
	f := *in
	f.Signer, f.HostKeys, f.Key = nil, nil, ""
	return f
}

func defaults() Inputs {
	return Inputs{
		Hosts:   []remote.Host{{User: "ubuntu", Name: "web.example.com", Port: 22}},
		Address: AddressAuto,
		Expect:  Expected{Text: "1-", Least: 1, Most: maxHosts},
		Access:  WithKey, Username: "ubuntu",
		Port:           22,
		ConnectTimeout: 30 * time.Second,
		Timeout:        30 * time.Minute,
		LockTimeout:    10 * time.Minute,
		TargetTimeout:  2 * time.Minute,
		KeepImages:     3,
		App:            "ai-server",
		Path:           "/home/ubuntu/ai-server",
		Operation:      "deploy",
		Setup:          "auto",
		Source:         "git",
		WorkspacePath:  ".",
		Exclude:        exclude.Patterns{".git"},
		Repository:     "clothesme/AI_Server",
		Ref:            sha,
		ServerURL:      "https://github.com",
		Start:          "uvicorn controller.main:app --host 127.0.0.1 --port $PORT",
		Strategy:       "blue-green", BeforeStartOn: OnFirst, AfterSwitchOn: OnAll,
		Batches:      []Share{whole},
		Ports:        [2]uint16{8080, 8081},
		Health:       Health{Path: "/health", Status: 200, Timeout: 100 * time.Second, Host: "localhost"},
		WatchFor:     5 * time.Second,
		DrainTimeout: 30 * time.Second,
		StopTimeout:  10 * time.Second,
		ServerName:   "_",
		NginxInclude: "/etc/nginx/conf.d/service-url.inc",
		HTTPS:        HTTPS{Server: "https://acme-v02.api.letsencrypt.org/directory"},
		MaxBodySize:  "100m",

		ResponseTimeout: 5 * time.Minute,

		KeepReleases: 5, Logs: LogsOf{Of: []string{"app"}, Lines: 200},
		Run: Run{
			ID: "4711", Number: "12", Attempt: "1", Actor: "somebody", Workflow: "deploy",
			ServerURL: "https://github.com", Repository: "clothesme/AI_Server", SHA: sha, Commit: sha,
		},
	}
}

func TestParseFillsInTheDefaults(t *testing.T) {
	key, public := newKey(t, "")
	in, err := Parse(with(runner(key), nil))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, facts(in), defaults())
	equal(t, in.Signer.PublicKey().Marshal(), public.Marshal())
	if in.HostKeys == nil {
		t.Error("no HostKeys: the dial could not tell which line to pin")
	}
}

func TestParseTakes(t *testing.T) {
	key, public := newKey(t, "")
	fingerprint := ssh.FingerprintSHA256(public)
	knownHosts := "web.example.com " + string(ssh.MarshalAuthorizedKey(public))
	tests := []struct {
		name   string
		inputs map[string]string
		want   func(*Inputs)
	}{
		{
			"blanks around values",
			map[string]string{"health-path": "  /live\n", "ports": " 9000 , 9001 "},
			func(in *Inputs) { in.Health.Path = "/live"; in.Ports = [2]uint16{9000, 9001} },
		},
		{"a host that says all", map[string]string{"host": "deploy@10.0.0.7:2222"}, func(in *Inputs) {
			in.Hosts = []remote.Host{{User: "deploy", Name: "10.0.0.7", Port: 2222}}
			in.Path = "/home/deploy/ai-server"
		}},
		{
			"instances",
			map[string]string{
				"host": "", "instances": "asg=web tag:Name=\"web server\"\n\ti-0123456789abcdef0\n", "address": "private",
				"expect-hosts": "2-6", "username": "admin",
			},
			func(in *Inputs) {
				in.Hosts, in.Batches, in.Username, in.Path = nil, nil, "admin", "/home/admin/ai-server"
				in.Address, in.Expect = AddressPrivate, Expected{"2-6", 2, 6}
				in.Instances = []Instances{
					{Text: `asg=web tag:Name="web server"`, Group: "web", Tags: [][2]string{{"Name", "web server"}}},
					{Text: "i-0123456789abcdef0", ID: "i-0123456789abcdef0"},
				}
			},
		},
		{
			"an instance, and a name",
			map[string]string{
				"host": "web.example.com, admin@i-0123456789abcdef0:2222", "instances": "asg=web\ni-0123456789abcdef0",
				"path": "/srv/app",
			},
			func(in *Inputs) {
				in.Batches, in.Path = nil, "/srv/app"
				in.Hosts = append(in.Hosts, remote.Host{
					User: "admin", Name: "i-0123456789abcdef0", Port: 2222, Alias: "i-0123456789abcdef0",
				})
				in.Instances = []Instances{
					{Text: "i-0123456789abcdef0", ID: "i-0123456789abcdef0"},
					{Text: "asg=web", Group: "web"},
					{Text: "i-0123456789abcdef0", ID: "i-0123456789abcdef0"},
				}
			},
		},
		{"an instance alone", map[string]string{"host": "admin@i-12345678"}, func(in *Inputs) {
			in.Hosts = []remote.Host{{User: "admin", Name: "i-12345678", Port: 22, Alias: "i-12345678"}}
			in.Instances = []Instances{{Text: "i-12345678", ID: "i-12345678"}}
			in.Batches, in.Path = nil, "/home/admin/ai-server"
		}},
		{"a host on a line", map[string]string{"host": "web.example.com,\n"}, func(*Inputs) {}},
		{"IPv6", map[string]string{"host": "[2001:DB8::0:1]"}, func(in *Inputs) { in.Hosts[0].Name = "2001:db8::1" }},
		{"IPv6 and a port", map[string]string{"host": "root@[::1]:222"}, func(in *Inputs) {
			in.Hosts = []remote.Host{{User: "root", Name: "::1", Port: 222}}
			in.Path = "/root/ai-server"
		}},
		{"username and port", map[string]string{"username": "ec2-user", "port": "2022"}, func(in *Inputs) {
			in.Hosts = []remote.Host{{User: "ec2-user", Name: "web.example.com", Port: 2022}}
			in.Username, in.Port = "ec2-user", 2022
			in.Path = "/home/ec2-user/ai-server"
		}},
		{"known hosts", map[string]string{"known-hosts": knownHosts}, func(*Inputs) {}},
		{
			"fingerprints",
			map[string]string{
				"fingerprint": fingerprint + ", " + fingerprint + "\n256 " + fingerprint + " root@web (ED25519)",
			},
			func(*Inputs) {},
		},
		{"both", map[string]string{"known-hosts": knownHosts, "fingerprint": fingerprint}, func(*Inputs) {}},
		{
			"no checks",
			map[string]string{"insecure-skip-host-key-check": "True"},
			func(in *Inputs) { in.KeyInsecure = true },
		},
		{"times", map[string]string{
			"connect-timeout": "1s", "timeout": "1h30m", "lock-timeout": "0s", "health-timeout": "2m",
			"watch-for": "0s", "drain-timeout": "1m", "stop-timeout": "1.5s",
		}, func(in *Inputs) {
			in.ConnectTimeout, in.Timeout, in.LockTimeout, in.Health.Timeout = time.Second, 90*time.Minute, 0, 2*time.Minute
			in.WatchFor, in.DrainTimeout, in.StopTimeout = 0, time.Minute, 1500*time.Millisecond
		}},
		{
			"an app in capitals",
			map[string]string{"app": "Web-2"},
			func(in *Inputs) { in.App = "web-2"; in.Path = "/home/ubuntu/web-2" },
		},
		{
			"a path to clean",
			map[string]string{"path": "/srv//apps/./web/"},
			func(in *Inputs) { in.Path = "/srv/apps/web" },
		},
		{
			"a branch",
			map[string]string{"ref": "refs/heads/feature/x-1"},
			func(in *Inputs) { in.Ref = "refs/heads/feature/x-1" },
		},
		{"a commit in capitals", map[string]string{"ref": strings.ToUpper(sha)}, func(*Inputs) {}},
		{
			"repository and token",
			map[string]string{"repository": "other/x.y", "token": "ghs_0123456789abcdef\n"},
			func(in *Inputs) {
				in.Repository, in.Token = "other/x.y", "ghs_0123456789abcdef"
				in.App, in.Path = "x-y", "/home/ubuntu/x-y"
			},
		},
		{"commands of several lines", map[string]string{
			"build": "make\r\nmake install\n",
			"start": "exec \\\n\t./serve",
		}, func(in *Inputs) {
			in.Build, in.Start = "make\nmake install", "exec \\\n\t./serve"
		}},
		{"assets", map[string]string{
			"assets": "s3://models/v1/my model.h5 -> ai_models/./type_model.h5\r\n\n  s3://m2/x ->  a/b sha256=" +
				strings.Repeat("aB", 32),
			"aws-region": "eu-central-1", "s3-endpoint": "http://10.0.0.1:9000/",
		}, func(in *Inputs) {
			in.Assets = []Asset{
				{Bucket: "models", Key: "v1/my model.h5", Path: "ai_models/type_model.h5"},
				{Bucket: "m2", Key: "x", Path: "a/b", SHA256: strings.Repeat("ab", 32)},
			}
			in.AWSRegion, in.S3Endpoint = "eu-central-1", "http://10.0.0.1:9000"
		}},
		{"health", map[string]string{
			"health-path": "/live?deep=1&x=%20", "health-status": "204",
			"health-body": `"ok": true`, "health-host": "a.example.com:8443",
		}, func(in *Inputs) {
			in.Health.Path, in.Health.Status, in.Health.Body, in.Health.Host = "/live?deep=1&x=%20", 204,
				`"ok": true`, "a.example.com:8443"
		}},
		{
			"server names",
			map[string]string{"server-name": "*.example.com  example.com .example.org www.example.*"},
			func(in *Inputs) {
				in.ServerName, in.Health.Host = "*.example.com example.com .example.org www.example.*", "example.com"
			},
		},
		{
			"server names without a plain one",
			map[string]string{"server-name": "*.example.com _ [2001:db8::1]"},
			func(in *Inputs) { in.ServerName = "*.example.com _ [2001:db8::1]" },
		},
		{
			"networks",
			map[string]string{"trusted-proxies": "10.0.0.0/16, 192.0.2.7\n2001:db8::/56 10.0.0.0/16"},
			func(in *Inputs) {
				in.TrustedProxies = []string{"10.0.0.0/16", "192.0.2.7/32", "2001:db8::/56"}
			},
		},
		{"sizes and times", map[string]string{"max-body-size": "2G", "response-timeout": "1h"}, func(in *Inputs) {
			in.MaxBodySize, in.ResponseTimeout = "2g", time.Hour
		}},
		{
			"include and releases",
			map[string]string{"nginx-include": "/etc/nginx//x.inc", "keep-releases": "2"},
			func(in *Inputs) { in.NginxInclude, in.KeepReleases = "/etc/nginx/x.inc", 2 },
		},
		{
			"an unneeded passphrase",
			map[string]string{"passphrase": "unused"},
			func(in *Inputs) { in.Passphrase = "unused" },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, err := Parse(with(runner(key), tt.inputs))
			if err != nil {
				t.Fatal(err)
			}
			want := defaults()
			tt.want(&want)
			equal(t, facts(in), want)
			if in.HostKeys == nil || in.Signer == nil {
				t.Errorf("HostKeys %v, Signer %v", in.HostKeys, in.Signer)
			}
		})
	}
}

func TestParseOpensAKeyWithItsPassphrase(t *testing.T) {
	const passphrase = " correct horse " // blanks are part of it, line breaks are not
	key, public := newKey(t, passphrase)
	in, err := Parse(with(runner(key), map[string]string{"passphrase": passphrase + "\r\n"}))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, in.Signer.PublicKey().Marshal(), public.Marshal())
}
