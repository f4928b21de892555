package scripts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Without HTTPS the site is byte for byte what it was: it would be written anew everywhere, with a
// reload.
func TestASiteWithoutHTTPSHasNothingOfIt(t *testing.T) {
	site := testApp().SiteConf()
	for _, word := range []string{"ssl", "acme", "443 ", "http2", "308", "Strict"} {
		if strings.Contains(strings.ReplaceAll(site, `"http https" 443;`, ""), word) {
			t.Errorf("%q is in\n%s", word, site)
		}
	}
	if !strings.Contains(site, "    server_name _;\n    client_max_body_size 100m;\n    include ") {
		t.Errorf("the site has other lines than before:\n%s", site)
	}
}

func TestTheSiteOverTLS(t *testing.T) {
	app := testApp()
	app.ServerName, app.IPv6 = "www.example.com", true
	app.TLS.Challenges = true
	if site := app.SiteConf(); strings.Contains(site, "ssl") || strings.Count(site, "listen 80") != 1 ||
		!strings.Contains(site, "root /var/lib/deploy-action/my-app/acme;") {
		t.Errorf("a site that waits for its certificate:\n%s", site)
	}
	app.TLS.Certificate = app.ACMECertificate()
	redirects := "server {\n    listen 80;\n    listen [::]:80;\n    server_name www.example.com;\n" +
		"    location ^~ /.well-known/"
	for _, tt := range []struct {
		on           bool
		listen, with string
	}{
		{false, "    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n", "    ssl_certificate /etc"},
		{true, "    listen 443 ssl;\n    listen [::]:443 ssl;\n", "    http2 on;\n    ssl_certificate /etc"},
	} {
		app.TLS.HTTP2On = tt.on
		site := app.SiteConf()
		for _, want := range []string{
			redirects, "return 308 https://$host$request_uri;", tt.listen, tt.with,
			"ssl_certificate /etc/letsencrypt/live/deploy-action-my-app/fullchain.pem;\n",
			"ssl_certificate_key /etc/letsencrypt/live/deploy-action-my-app/privkey.pem;\n", "shared:my_app_tls:10m;",
		} {
			if !strings.Contains(site, want) {
				t.Errorf("%q is not in\n%s", want, site)
			}
		}
		if strings.Contains(site, "Strict") || strings.Count(site, "location ^~ ") != 1 {
			t.Errorf("the site has\n%s", site)
		}
	}
	id := app.SiteID()
	app.TLS = TLS{Certificate: app.OwnCertificate("0123456789ab"), HSTS: "300"}
	app.ServerName, app.OneSocket = "_", []string{"80"}
	site := app.SiteConf()
	for _, want := range []string{
		"    listen [::]:80 default_server;\n    server_name _;\n    location / {\n        return 308",
		"    listen 443 ssl http2 default_server;\n    listen [::]:443 ssl http2 default_server;\n",
		"ssl_certificate /var/lib/deploy-action/my-app/tls/0123456789ab.pem;\n",
		"ssl_certificate_key /var/lib/deploy-action/my-app/tls/0123456789ab.key;\n",
		"    add_header Strict-Transport-Security \"max-age=300\" always;\n",
	} {
		if !strings.Contains(site, want) {
			t.Errorf("%q is not in\n%s", want, site)
		}
	}
	if app.SiteID() == id || strings.Contains(site, "listen 80") {
		t.Errorf("the site has\n%s", site)
	}
	app.IPv6, app.OneSocket = false, []string{"443"}
	want := "\n    listen 80 default_server;\n    server_name _;\n"
	if site := app.SiteConf(); !strings.Contains(site, want) ||
		!strings.Contains(site, "{\n    listen [::]:443 ssl http2 default_server;\n") {
		t.Errorf("where IPv4 comes by the socket of IPv6 to port 443 alone the site has\n%s", site)
	}
	for name, fits := range map[string]bool{
		"": true, app.ACMECertificate(): true, app.OwnCertificate("0123456789ab"): true,
		"/etc/letsencrypt/live/other": false, app.OwnCertificate("../../x"): false,
	} {
		if app.CertificateForm().MatchString(name) != fits {
			t.Errorf("%q is the application's certificate: %t", name, !fits)
		}
	}
}

// secured runs certificate.sh as root would, on a host of its own: in a folder in the place of /var and
// with a certbot that is a script.
func secured(t *testing.T, root, certbot string, values Values) (out string, code int) {
	t.Helper()
	bin := filepath.Join(root, "bin")
	for _, err := range []error{
		os.MkdirAll(bin, 0o700),
		os.MkdirAll(filepath.Join(root, "lib"), 0o700),
		os.MkdirAll(filepath.Join(root, "app"), 0o700),
		//nolint:gosec // a command
		os.WriteFile(filepath.Join(bin, "certbot"), []byte("#!/bin/bash\n"+certbot+"\n"), 0o700),
		//nolint:gosec // a command
		os.WriteFile(filepath.Join(bin, "nginx"), []byte("#!/bin/sh\necho nginx \"$@\" >>"+root+"/ran\n"), 0o700),
		os.WriteFile(filepath.Join(root, "app", ".lock.holder"), []byte("t\n"), 0o600),
		os.MkdirAll(filepath.Join(root, "app", ".lock.steps"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	all := Values{
		"app": "shop", "path": filepath.Join(root, "app"), "lock_token": "t", "step_id": "", "undo": "no", "tag": "",
		"ports": "8080 8081", "processes": "", "tls_certificate": "", "tls_key": "",
		"site_names": "www.example.com example.com", "mail": "you@example.com", "acme_server": "https://ca.example/dir",
		"site_file":      filepath.Join(root, "shop.conf"),
		"certificate_id": ACMEID("https://ca.example/dir", "www.example.com example.com"),
		"nginx_include":  "/x", "site": "", "include": "", "site_id": "", "entry_file": "", "entry": "", "verify_host": "x",
	}
	for key, value := range values {
		all[key] = value
	}
	text, err := Compose(Certificate, all)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.NewReplacer("/var/lib/deploy-action/$app", filepath.Join(root, "lib"), "/etc/letsencrypt", root).
		Replace(string(text))
	moved = strings.Replace(moved, "\nmain \"$@\" </dev/null\n",
		"\nfree_root() { :; }\nas_root() { \"$@\"; }\nhas_systemd() { false; }\nmain </dev/null\n", 1)
	cmd := bashCommand(t, moved)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	said, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(said), cmd.ProcessState.ExitCode()
}

// What an authority refuses is said in words that tell what to do, whatever kind of error it is.
func TestWhatAnAuthorityRefusesIsNamed(t *testing.T) {
	const failed = `cat <<'WORDS'
Saving debug log to /var/log/letsencrypt/letsencrypt.log
Requesting a certificate for www.example.com

Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  Domain: www.example.com
  Type:   %s
  Detail: %s

Hint: The Certificate Authority failed to download the temporary challenge files created by Certbot.
Some challenges have failed.
WORDS
exit 1`
	const limited = `cat <<'WORDS'
Saving debug log to /var/log/letsencrypt/letsencrypt.log
An unexpected error occurred:
There were too many requests of a given type :: too many certificates (5) already issued for this exact set of ` +
		`domains in the last 168h0m0s
Ask for help or search for solutions at https://community.letsencrypt.org.
WORDS
exit 1`
	for _, tt := range []struct{ name, certbot, want string }{
		{
			"no such name", fmt.Sprintf(failed, "dns", "DNS problem: NXDOMAIN looking up A for www.example.com"),
			"the name www.example.com does not lead here, says the authority (DNS problem: NXDOMAIN looking up A for " +
				"www.example.com): give it an A record",
		},
		{
			"a closed port", fmt.Sprintf(failed, "connection", "203.0.113.7: Timeout during connect (likely firewall problem)"),
			"can't connect to port 80 of www.example.com (203.0.113.7: Timeout during connect (likely firewall problem)): " +
				"open port 80 in the security group",
		},
		{
			"another host",
			fmt.Sprintf(failed, "unauthorized", "203.0.113.7: Invalid response from http://www.example.com/: 404"),
			"what answers for www.example.com on port 80 is not this site",
		},
		{
			"a CAA record", fmt.Sprintf(failed, "caa", "CAA record for www.example.com prevents issuance"),
			"a CAA record of www.example.com lets this authority give no certificate (CAA record for www.example.com prevents " +
				"issuance): add one",
		},
		{
			"a limit", limited, "the authority gives no more certificates for now, since it has a limit for how many one may " +
				"ask for: An unexpected error occurred: There were too many requests of a given type :: too many certificates (5)",
		},
		{"something else", "echo the moon is full; exit 1", "certbot got no certificate: the moon is full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			out, code := secured(t, root, tt.certbot, nil)
			if code != ExitCertificate || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d:\n%s", code, out)
			}
			if _, err := os.Stat(filepath.Join(root, "lib", "certificate")); err == nil {
				t.Error("there is said to be a certificate")
			}
		})
	}
}

// A certificate that is there is not asked for again, other names are added to it, and one of another
// authority is new. nginx reads a new one where the site has it loaded.
func TestWhenACertificateIsAskedFor(t *testing.T) {
	root := t.TempDir()
	asked := func(values Values) (string, string) {
		t.Helper()
		_ = os.Remove(filepath.Join(root, "ran"))
		out, code := secured(t, root, `echo certbot "$DEPLOY_ACTION" "$@" >>`+root+`/ran`, values)
		if code != 0 {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
		ran, _ := os.ReadFile(filepath.Join(root, "ran"))
		return out, string(ran)
	}
	out, ran := asked(nil)
	for _, want := range []string{
		"certbot yes certonly --non-interactive --agree-tos --email you@example.com --server https://ca.example/dir " +
			"--webroot ",
		" --cert-name deploy-action-shop --keep-until-expiring ", " -d www.example.com -d example.com\n",
	} {
		if !strings.Contains(ran, want) {
			t.Errorf("%q is not in %s", want, ran)
		}
	}
	if !strings.Contains(out, "certificate=new") || strings.Contains(ran, "reload") {
		t.Errorf("%s%s", out, ran)
	}
	site := "    ssl_certificate /etc/letsencrypt/live/deploy-action-shop/fullchain.pem;\n"
	if err := os.WriteFile(filepath.Join(root, "shop.conf"), []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, ran = asked(nil); !strings.Contains(out, "certificate=already") || ran != "" {
		t.Errorf("again: %s%s", out, ran)
	}
	_, ran = asked(Values{
		"site_names": "www.example.com", "certificate_id": ACMEID("https://ca.example/dir", "www.example.com"),
	})
	if !strings.Contains(ran, " --keep-until-expiring ") || !strings.Contains(ran, "nginx -t\n") ||
		!strings.HasSuffix(ran, "nginx -s reload\n") {
		t.Errorf("another name: %s", ran)
	}
	renewal := "[renewalparams]\nserver = https://ca.example/dir\n"
	for _, err := range []error{
		os.Mkdir(filepath.Join(root, "renewal"), 0o700),
		os.WriteFile(filepath.Join(root, "renewal", "deploy-action-shop.conf"), []byte(renewal), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, ran = asked(nil); !strings.Contains(ran, " --keep-until-expiring ") {
		t.Errorf("the names of before: %s", ran)
	}
	_, ran = asked(Values{
		"acme_server":    "https://new.example/",
		"certificate_id": ACMEID("https://new.example/", "www.example.com"),
	})
	if !strings.Contains(ran, " --server https://new.example/ ") || !strings.Contains(ran, " --force-renewal ") {
		t.Errorf("another authority: %s", ran)
	}
	hook, err := os.ReadFile(filepath.Join(root, "lib", "renewed"))
	if err != nil || !strings.Contains(string(hook), "nginx -t -q && ") {
		t.Errorf("the hook is %s (%v)", hook, err)
	}
}

// Another certbot at work is waited for.
func TestAnotherCertbotIsWaitedFor(t *testing.T) {
	root := t.TempDir()
	out, code := secured(t, root, `if [[ -e `+root+`/once ]]; then exit 0; fi; touch `+root+`/once
echo Another instance of Certbot is already running.; exit 1`, nil)
	if code != 0 || !strings.Contains(out, "certificate=new") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// One's own certificate lies beside the one before, which the site still has; older ones go.
func TestOwnCertificatesArePutInPlace(t *testing.T) {
	root := t.TempDir()
	put := func(id string) {
		t.Helper()
		out, code := secured(t, root, "exit 1", Values{
			"tls_certificate": "chain " + id, "tls_key": "key " + id, "certificate_id": id,
		})
		if code != 0 || !strings.Contains(out, "certificate=new") || strings.Contains(out, "key "+id) {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
	}
	there := func() (names []string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(root, "lib", "tls", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			names = append(names, filepath.Base(file))
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[string]os.FileMode{".key": 0o600, ".pem": 0o644}[filepath.Ext(file)]; info.Mode() != want {
				t.Errorf("%s has mode %s", file, info.Mode())
			}
		}
		return names
	}
	put("000000000001")
	put("000000000002")
	if names := there(); !slices.Equal(names, []string{"000000000002.key", "000000000002.pem"}) {
		t.Errorf("there are %v", names)
	}
	site := "    ssl_certificate " + filepath.Join(root, "lib") + "/tls/000000000002.pem;\n"
	if err := os.WriteFile(filepath.Join(root, "shop.conf"), []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	put("000000000003")
	if names := there(); len(names) != 4 {
		t.Errorf("there are %v", names)
	}
	if info, err := os.Stat(filepath.Join(root, "lib", "tls")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has %v (%v)", info, err)
	}
}

func bashCommand(t *testing.T, text string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin = strings.NewReader(text)
	return cmd
}
