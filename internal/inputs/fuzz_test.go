package inputs

import (
	"errors"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// FuzzParse gives one input, or two, a value of its choice and asserts what the host's shell, nginx
// and systemd rely on.
func FuzzParse(f *testing.F) {
	key, _ := newKey(f, "")
	base := runner(key)
	all := fields()
	for i, seed := range []string{
		"a@[::1]:22", "web,b", "ubuntu", "22", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
		"pass", "ssh-ed25519-cert-v01@openssh.com AAAA",
		"web ssh-ed25519 AAAA", "SHA256:AAAA", "true", "ops@bastion:2222,b2",
		"-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----", "pass", "SHA256:AA", "1s", "30", "10m", "My-App",
		"/srv/../x", "git", "o/r", "refs/heads/a..b", "ghs_x", "make\r\n", "x $PORT",
		"s3://b/k -> a/../b", "eu-west-1", "https://h:1/", "8080 8081", "/h?x=%0A", "204", "body\"", "1e3s", "h:1",
		"0s", "-1s", "+Infs", "*.a.b _", "/a.inc", "0x10",
	} {
		f.Add(uint(i), seed, uint(0), "web")
	}
	narrow := map[string]*regexp.Regexp{
		"name":     regexp.MustCompile(`^[A-Za-z0-9._:-]+$`),
		"user":     regexp.MustCompile(`^[a-z_][a-z0-9_-]*$`),
		"app":      regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`),
		"path":     regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`),
		"include":  regexp.MustCompile(`^/[A-Za-z0-9._/-]+\.inc$|^/\.inc$`),
		"server":   regexp.MustCompile(`^[A-Za-z0-9._*:\[\]-]+( [A-Za-z0-9._*:\[\]-]+)*$`),
		"host":     regexp.MustCompile(`^[A-Za-z0-9._:\[\]-]+$`),
		"repo":     regexp.MustCompile(`^[A-Za-z0-9_-]+/[A-Za-z0-9._-]+$`),
		"ref":      regexp.MustCompile(`^[^-\s\x00-\x1f\x7f][^\s\x00-\x1f\x7f]*$`),
		"asset":    regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`),
		"healthed": regexp.MustCompile(`^/[!-~]*$`),
	}
	f.Fuzz(func(t *testing.T, i uint, value string, j uint, other string) {
		first, second := all[i%uint(len(all))].name, all[j%uint(len(all))].name
		in, err := Parse(with(base, map[string]string{second: other, first: value}))
		if err != nil {
			var faults Errors
			if !errors.As(err, &faults) || len(strings.Split(err.Error(), "\n")) != len(faults) {
				t.Fatalf("not one line a fault: %q", err)
			}
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
				t.Fatalf("control characters in %q", err)
			}
			for _, secret := range in.Secrets() {
				// also the value of an input that is none
				twice := strings.Contains(value, secret) && strings.Contains(other, secret)
				if len(secret) < 16 || twice || !strings.Contains(err.Error(), secret) {
					continue
				}
				none := strings.NewReplacer(secret, strings.Repeat("x", len(secret)))
				_, err := Parse(with(base, map[string]string{second: none.Replace(other), first: none.Replace(value)}))
				if err == nil || !strings.Contains(err.Error(), secret) { // else the words are ours
					t.Fatalf("%q tells a secret", secret)
				}
			}
			return
		}
		for name, s := range map[string]string{
			"name": in.Hosts[0].Name, "user": in.Hosts[0].User, "app": in.App, "path": in.Path,
			"include": in.NginxInclude, "server": in.ServerName,
			"host": in.Health.Host, "repo": in.Repository, "ref": in.Ref, "healthed": in.Health.Path,
		} {
			if !narrow[name].MatchString(s) {
				t.Errorf("%s %q", name, s)
			}
		}
		for _, j := range in.Jumps {
			if !narrow["name"].MatchString(j.Host.Name) || !narrow["user"].MatchString(j.Host.User) ||
				j.Host.Port == 0 || j.Signer == nil || j.HostKeys == nil {
				t.Errorf("jump %+v", j)
			}
		}
		for _, a := range in.Assets {
			if !narrow["asset"].MatchString(a.Path) || a.Path != path.Clean(a.Path) || strings.HasPrefix(a.Path, "..") {
				t.Errorf("asset %q", a.Path)
			}
		}
		if in.Path != path.Clean(in.Path) || in.NginxInclude != path.Clean(in.NginxInclude) ||
			strings.HasPrefix(in.Path+"/", "/etc/") {
			t.Errorf("path %q, include %q", in.Path, in.NginxInclude)
		}
		if len(in.Hosts) != 1 || in.Hosts[0].Port == 0 || in.Signer == nil || in.HostKeys == nil || in.Start == "" ||
			in.Source == "" ||
			in.Ports[0] == in.Ports[1] || min(in.Ports[0], in.Ports[1]) < 1024 || in.KeepReleases < 2 ||
			in.Health.Status < 200 ||
			in.Timeout <= 0 || in.ConnectTimeout <= 0 || in.StopTimeout <= 0 ||
			min(in.LockTimeout, in.WatchFor, in.DrainTimeout) < 0 {
			t.Errorf("incomplete: %+v", in)
		}
	})
}
