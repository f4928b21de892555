package e2e

import (
	"crypto/x509"
	"flag"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

var renewals = flag.Int("renewals", 5, "how often TestACertificateIsGotAndRenewed has it renewed")

// anAuthority starts Pebble on the host, which gives certificates as Let's Encrypt does, for an hour,
// after it has asked port 80 of the name. For it every name leads to this host, but for those that
// are told otherwise (at 127.0.0.1:8055). Its own certificate is of an authority that the host
// trusts, as with one of a company's own. Each challenge counts: none that was met is taken again.
const anAuthority = `set -e
mkdir -p /opt/ca && cd /opt/ca
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=intern ` +
	`-keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost ` +
	`-keyout key.pem -out csr.pem 2>/dev/null
printf 'subjectAltName=DNS:localhost\n' >names
openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem 2>/dev/null
cp ca.pem /usr/local/share/ca-certificates/intern.crt && update-ca-certificates >/dev/null 2>&1
cat >pebble.json <<'JSON'
{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
 "certificate": "/opt/ca/cert.pem", "privateKey": "/opt/ca/key.pem", "httpPort": 80, "tlsPort": 443,
 "ocspResponderURL": "", "externalAccountBindingRequired": false, "certificateValidityPeriod": 3600}}
JSON
systemd-run -q --unit names pebble-challtestsrv -defaultIPv4 HOST -defaultIPv6 '' -http01 '' -https01 '' -tlsalpn01 '' \
  -dns01 127.0.0.1:8053 -management 127.0.0.1:8055
systemd-run -q --unit authority -E PEBBLE_VA_NOSLEEP=1 -E PEBBLE_WFE_NONCEREJECT=0 -E PEBBLE_AUTHZREUSE=0 \
  pebble -config /opt/ca/pebble.json -dnsserver 127.0.0.1:8053
timeout 60 bash -c 'until curl -fsS https://localhost:14000/dir && curl -fsSk https://localhost:15000/roots/0; ` +
	`do sleep 0.2; done' >/dev/null 2>&1`

// withAuthority is such a host, and what its deployments have.
func withAuthority(t *testing.T) (w *world.World, roots *x509.CertPool, with map[string]string) {
	t.Helper()
	w = world.New(t, lab.HostOptions{With: "acme"})
	w.Exec(strings.ReplaceAll(anAuthority, "HOST", w.Host.IP))
	return w, rootsOf(w), map[string]string{
		"server-name": siteName, "https": "you@shop.example", "acme-server": "https://localhost:14000/dir",
	}
}

// rootsOf are the authority's, another one each time that it is started.
func rootsOf(w *world.World) *x509.CertPool {
	w.T.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(w.Exec("curl -fsSk https://localhost:15000/roots/0"))) {
		w.T.Fatal("the authority has no certificate")
	}
	return roots
}

// The first deployment gets the certificate, and nobody who comes meanwhile is turned away; later it
// is renewed by certbot's own service, under requests by HTTP/2 and through switches.
func TestACertificateIsGotAndRenewed(t *testing.T) {
	w, roots, with := withAuthority(t)
	first := w.Deploy(w.Commit(tellsHeaders(t)), with)
	world.Says(t, first, "visitors reach the site by HTTPS, and certbot renews the certificate")
	if first.Outputs["url"] != "https://"+siteName+"/" || strings.Contains(first.Log(), "::warning title=Could not") {
		t.Errorf("url %q\n%s", first.Outputs["url"], first.Log())
	}
	securely(w, "700 root live\n", "700 root archive\n", "600 root privkey1.pem")
	w.Exec("systemctl is-enabled -q certbot.timer")

	kept, lone := visit(w, "https", roots, false), visit(w, "https", roots, true)
	w.Exec("rm /etc/sudoers.d/90-cloud-init-users; ! runuser -u ubuntu -- sudo -n true") // no more than that is needed
	for n := range *renewals {
		before := w.Exec("readlink /etc/letsencrypt/live/deploy-action-shop/cert.pem")
		if n%2 == 0 {
			w.Exec("systemctl start certbot.service") // what the timer starts
		} else {
			w.Exec("certbot renew --force-renewal --no-random-sleep-on-renew -q")
		}
		if now := w.Exec("readlink /etc/letsencrypt/live/deploy-action-shop/cert.pem"); now == before {
			t.Errorf("renewal %d: %s is still there\n%s", n, before, w.Exec("tail -n 30 /var/log/letsencrypt/letsencrypt.log"))
		}
		again := w.Deploy(w.Commit(nil), with)
		world.Says(t, again, "renamed the flag, no reload")
	}
	world.Failed(t, w.Run(w.Job(w.Commit(nil), withMore(with, "server-name", siteName+" shop.example"))), "failed",
		"has the rights for routine deployments only", "/var/lib/deploy-action/shop/certificate", "site: unchanged")
	checked := w.Run(w.Job(w.Commit(nil), withOperation(with, "check")))
	world.Says(t, checked, "the certificate of the site ends ", "within a week") // as all of this authority's do
	content(t, lone, "https HTTP/1.1")
	if seen := content(t, kept, "https HTTP/2.0"); len(seen.Serials) != *renewals+1 || len(seen.ByRelease) != *renewals+1 {
		t.Errorf("%d certificates and %d releases were seen, want %d of each", len(seen.Serials), len(seen.ByRelease),
			*renewals+1)
	}
}

// A site that serves by HTTP gets its certificate by the next deployment; another name gets one more
// name into it, and another authority another certificate.
func TestASiteThatServesGoesOverToHTTPS(t *testing.T) {
	w, roots, with := withAuthority(t)
	w.Deploy(w.Commit(nil), map[string]string{"server-name": siteName})
	visitors := visit(w, "http", roots, false)
	sha := w.Commit(nil)
	world.Says(t, w.Deploy(sha, with), "visitors reach the site by HTTPS")
	if again := w.Run(w.Job(sha, with)); again.ExitCode != 0 || again.Outputs["outcome"] != "unchanged" ||
		strings.Contains(again.Log(), "Getting the certificate") {
		t.Errorf("outputs %v\n%s", again.Outputs, again.Log())
	}
	w.Deploy(w.Commit(nil), withMore(with, "server-name", siteName+" shop.example"))
	w.Exec("openssl s_client -connect " + w.Host.IP + ":443 -servername shop.example </dev/null 2>/dev/null | " +
		"openssl x509 -noout -checkhost shop.example | grep -q 'does match'")
	content(t, visitors, "http HTTP/1.1", "https HTTP/2.0")

	// The certificate of before serves until there is one of one's own, and the other way round.
	chain, key, own := ownCertificate(t)
	names := map[string]string{"server-name": siteName, "tls-certificate": chain, "tls-key": key}
	w.Deploy(w.Commit(nil), names)
	content(t, visit(w, "https", own, false), "https HTTP/2.0")
	w.Exec("systemctl stop authority")
	world.Says(t, w.Deploy(w.Commit(nil), with), "the site goes on with the certificate that it has")
	content(t, visit(w, "https", own, false), "https HTTP/2.0")
}

// What keeps an authority from giving a certificate is named, and the release is live by HTTP; once
// it is put right, the same commit is enough.
func TestNoCertificateCanBeHad(t *testing.T) {
	w, _, with := withAuthority(t)
	names := func(path, json string) {
		w.T.Helper()
		w.Exec("curl -fsS -d '" + json + "' http://127.0.0.1:8055/" + path)
	}
	for _, tt := range []struct {
		name, words string
		come        func()
	}{
		{
			"a name that does not resolve", "the authority can't connect to port 80 of " + siteName, // as Pebble has it
			func() { names("set-servfail", `{"host": "`+siteName+`"}`) },
		},
		{
			"a name that leads elsewhere", "what answers for " + siteName + " on port 80 is not this site, says the authority",
			func() {
				w.Exec("echo 'server { listen 127.9.9.9:80; server_name elsewhere; }' >/etc/nginx/conf.d/elsewhere.conf; " +
					"nginx -s reload")
				names("clear-servfail", `{"host": "`+siteName+`"}`)
				names("add-a", `{"host": "`+siteName+`", "addresses": ["127.9.9.9"]}`)
			},
		},
		{
			"a port that is closed", "the authority can't connect to port 80 of " + siteName,
			func() {
				names("clear-a", `{"host": "`+siteName+`"}`)
				names("add-a", `{"host": "`+siteName+`", "addresses": ["192.0.2.1"]}`)
			},
		},
		{
			"no authority", "certbot got no certificate: ",
			func() { w.Exec("systemctl stop authority") },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.In(t)
			tt.come()
			result := w.Deploy(w.Commit(nil), with)
			world.Says(t, result, "::warning title=Could not secure::", tt.words,
				"the site stays plain HTTP until the next deployment")
			if result.Outputs["url"] != "http://"+siteName+"/" {
				t.Errorf("url %q", result.Outputs["url"])
			}
			w.Exec("curl -fsS -o /dev/null -H Host:" + siteName + " http://" + w.Host.IP + "/version")
		})
	}
	// An operation that has nothing else to do fails with it.
	world.Failed(t, w.Run(w.Job(w.Commit(nil), withOperation(with, "setup"))), "failed", "certbot got no certificate: ",
		"put right what the authority says")
	// The authority is back, without the accounts that it had; and the commit is the same.
	w.Exec("rm -r /etc/letsencrypt/accounts" +
		strings.ReplaceAll(anAuthority[strings.LastIndex(anAuthority, "\nsystemd-run"):], "HOST", w.Host.IP))
	last := w.Commit(tellsHeaders(t))
	w.Exec("curl -fsS -d '{\"host\": \"" + siteName + "\"}' http://127.0.0.1:8055/clear-a; " +
		"rm /etc/nginx/conf.d/elsewhere.conf")
	w.Deploy(last, with)
	securely(w, "600 root privkey1.pem")
}

// The runner dies while the authority is still asking: the release serves by HTTP, certbot comes to
// its end by itself or is waited for, and the next run has the site go over.
func TestARunnerThatDiesWhileACertificateIsGot(t *testing.T) {
	w, _, with := withAuthority(t)
	sha := w.Commit(nil)
	// From now on the authority takes its time.
	start := strings.Replace(anAuthority[strings.LastIndex(anAuthority, "\nsystemd-run"):], "PEBBLE_VA_NOSLEEP=1",
		"PEBBLE_VA_SLEEPTIME=20", 1)
	w.Exec("systemctl stop authority" + start)
	running, err := w.Runner.Start(w.Ctx, w.Job(sha, with))
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(w.Ctx, "Getting the certificate"); err != nil {
		t.Fatal(err)
	}
	w.Exec("timeout 60 bash -c 'until pgrep -f \"[c]ertbot certonly\" >/dev/null; do sleep 0.05; done'")
	if err := running.Kill(w.Ctx); err != nil {
		t.Fatal(err)
	}
	roots := rootsOf(w)
	visitors := visit(w, "http", roots, false)
	w.OneFlag("8080")
	next := w.Run(w.Job(sha, with))
	if next.ExitCode != 0 || next.Outputs["url"] != "https://"+siteName+"/" {
		t.Errorf("outputs %v\n%s", next.Outputs, next.Log())
	}
	content(t, visitors, "http HTTP/1.1")
	content(t, visit(w, "http", roots, false), "https HTTP/2.0")
}
