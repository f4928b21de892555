package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

const siteName = "www.shop.example"

// ownCertificate makes one for the site, with an authority of its own that visitors trust.
func ownCertificate(t *testing.T) (chain, key string, roots *x509.CertPool) {
	t.Helper()
	make1 := func(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<60))
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		if by == nil {
			parent, by = template, private
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made, private
	}
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	root, rootKey := make1(ca("the root"), nil, nil)
	middle, middleKey := make1(ca("in between"), root, rootKey)
	leaf, leafKey := make1(&x509.Certificate{DNSNames: []string{siteName}}, middle, middleKey)
	roots = x509.NewCertPool()
	roots.AddCert(root)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})) +
			string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: middle.Raw})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), roots
}

// visit sends visitors to the site by its name, and waits until they are all at it.
func visit(w *world.World, scheme string, roots *x509.CertPool, lonesome bool) *load.Visitors {
	w.T.Helper()
	v := load.Visit(load.VisitorOptions{
		URL: scheme + "://" + siteName, Address: w.Host.IP, Roots: roots, Number: 8, Think: 200 * time.Millisecond,
		Lonesome: lonesome,
	})
	for deadline := time.Now().Add(time.Minute); v.Requests() < 40; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.T.Fatalf("visitors don't come to the site: %v", v.Stop().Failures)
		}
	}
	return v
}

// content wants that no visitor met anything wrong, and some were answered in each of the ways.
func content(t *testing.T, v *load.Visitors, protos ...string) load.VisitorReport {
	t.Helper()
	report := v.Stop()
	t.Logf("visitors: %d requests, %d failed, %v, %d releases, %d certificates", report.Requests, len(report.Failures),
		report.ByProto, len(report.ByRelease), len(report.Serials))
	if len(report.Failures) > 0 {
		t.Errorf("visitors met:\n%s", strings.Join(report.Failures, "\n"))
	}
	for _, proto := range protos {
		if report.ByProto[proto] == 0 {
			t.Errorf("nobody was answered by %s: %v", proto, report.ByProto)
		}
	}
	return report
}

// A certificate of one's own: the site goes over to HTTPS with one reload, which costs nobody a
// request, and is deployed to from then on without one.
func TestAnOwnCertificate(t *testing.T) {
	// Those of before a reload finish what they had, and count no more.
	const workers = "ps -o pid=,args= --ppid \"$(cat /run/nginx.pid)\" | grep -v 'shutting down'"
	for _, release := range []string{lab.Bookworm, lab.Trixie} {
		t.Run(release, func(t *testing.T) {
			w := world.New(t, lab.HostOptions{Release: release})
			plain := map[string]string{"server-name": siteName, "health-host": siteName}
			first := w.Deploy(w.Commit(nil), plain)
			if first.Outputs["url"] != "http://"+siteName+"/" {
				t.Errorf("url %q", first.Outputs["url"])
			}
			chain, key, roots := ownCertificate(t)
			with := map[string]string{"tls-certificate": chain, "tls-key": key, "hsts": "365d"}
			maps.Copy(with, plain)

			before := visit(w, "http", roots, false)
			over := w.Deploy(w.Commit(tellsHeaders(t)), with)
			world.Says(t, over, "the certificate and its key are on the host", "nginx has loaded the site (one reload",
				"right answers through nginx, all from port 8081")
			if over.Outputs["url"] != "https://"+siteName+"/" {
				t.Errorf("url %q", over.Outputs["url"])
			}
			content(t, before, "http HTTP/1.1", "https HTTP/2.0")
			securely(w, "max-age=31536000", "700 root tls\n", "600 root ID.key")
			w.Exec("! grep -rqs 'PRIVATE KEY' /tmp /home/ubuntu /var/log && " +
				"! find /tmp /home -newermt '-10 min' -name '*.key' | grep .")

			kept, lone := visit(w, "https", roots, false), visit(w, "https", roots, true)
			began := w.Exec(workers)
			again := w.Deploy(w.Commit(nil), with)
			world.Says(t, again, "renamed the flag, no reload", "no request for port 8081 is left, and no connection to it")
			for _, operation := range []string{"status", "check", "restart", "rollback"} {
				result := w.Run(w.Job(w.Commit(nil), withOperation(with, operation)))
				if result.ExitCode != 0 {
					t.Errorf("%s fails:\n%s", operation, result.Log())
				}
			}
			maintained := w.Run(w.Job(w.Commit(nil), withOperation(with, "logs")))
			if maintained.ExitCode != 0 || maintained.Outputs["url"] != "https://"+siteName+"/" {
				t.Errorf("logs: %v\n%s", maintained.Outputs, maintained.Log())
			}
			if now := w.Exec(workers); now != began {
				t.Errorf("nginx was reloaded: its workers were %s and are %s", began, now)
			}
			bad := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "bad-after=1"}), withMore(with, "watch-for", "20s")))
			world.Failed(t, bad, "restored", "through nginx: answered 500")
			content(t, lone, "https HTTP/1.1")
			content(t, kept, "https HTTP/2.0")
			forgotten(w, plain, over)
		})
	}
}

// tellsHeaders is the example with a page that has the headers of the request.
func tellsHeaders(t *testing.T) map[string]string {
	t.Helper()
	const file = "controller/main.py"
	text, err := fs.ReadFile(world.Example(), file)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{file: string(text) + `

@app.get("/headers")
async def headers(request: Request) -> dict:
    return dict(request.headers)
`}
}

func withMore(with map[string]string, more ...string) map[string]string {
	all := maps.Clone(with)
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

func withOperation(with map[string]string, operation string) map[string]string {
	return withMore(with, "operation", operation)
}

// securely looks at what is offered, how many certificates are shown, and who can read the key.
func securely(w *world.World, also ...string) {
	w.T.Helper()
	out := w.Exec(strings.NewReplacer("HOST", w.Host.IP, "NAME", siteName).Replace(`exec 2>&1
tls() { openssl s_client -connect HOST:443 -servername NAME "$@" </dev/null; }
tls -tls1_3 -alpn h2,http/1.1 | grep -aE '^(New|ALPN)'
tls -tls1_2 -alpn h2 | grep -aE '^(New|ALPN)'
for old in tls1_1 tls1; do tls -$old -cipher ALL:@SECLEVEL=0 | grep -aq 'Cipher is (NONE)' && echo $old is refused; done
tls -tls1_2 -cipher AES128-SHA:AES256-GCM-SHA384 | grep -aq 'Cipher is (NONE)' && echo no cipher without forward secrecy
tls -showcerts | grep -ac 'BEGIN CERTIFICATE'
curl -sk -D - -o /dev/null --resolve NAME:443:HOST https://NAME/version | grep -ai '^\(HTTP\|strict\)'
curl -s -o /dev/null -w '%{http_code} %{redirect_url}\n' -H Host:NAME 'http://HOST/a/b?c=d'
curl -sk --resolve NAME:443:HOST https://NAME/headers | tr ',' '\n' | grep -ai 'forwarded-p' | tr -d ' {}'
find /var/lib/deploy-action/shop/tls /etc/letsencrypt/live /etc/letsencrypt/archive ` +
		`-printf '%m %u %f\n' 2>/dev/null | sed 's/[0-9a-f]\{12\}/ID/' | sort`))
	out = strings.ReplaceAll(out, "\r", "")
	w.T.Log(out)
	for _, want := range append(also,
		"New, TLSv1.3, ", "New, TLSv1.2, ", "ALPN protocol: h2", "tls1_1 is refused", "tls1 is refused",
		"no cipher without forward secrecy", "\n2\n", "HTTP/2 200", `"x-forwarded-proto":"https"`,
		`"x-forwarded-port":"443"`, "308 https://"+siteName+"/a/b?c=d") {
		if !strings.Contains(out+"\n", want) {
			w.T.Errorf("%q is not in what the site offers:\n%s", want, out)
		}
	}
}

// forgotten: a run that has lost the inputs of HTTPS takes it from nobody; to be plain again has to
// be said.
func forgotten(w *world.World, plain map[string]string, over *lab.Result) {
	w.T.Helper()
	lost := w.Run(w.Job(w.Commit(nil), plain))
	world.Failed(w.T, lost, "failed", "the site of this host is reached by HTTPS, and this run has neither",
		"site: unchanged")
	w.Exec("curl -fsSk -o /dev/null --resolve " + siteName + ":443:" + w.Host.IP + " https://" + siteName + "/version")
	off := w.Deploy(w.Commit(nil), withMore(plain, "https", "off"))
	world.Says(w.T, off, "is plain HTTP from now on")
	w.Exec("curl -fsS -o /dev/null -H Host:" + siteName + " http://" + w.Host.IP + "/version")
	if off.Outputs["url"] == over.Outputs["url"] {
		w.T.Errorf("url %q", off.Outputs["url"])
	}
}
