package deploy

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// certificateOf is what a site's text has of it, as tell_site says it.
func certificateOf(site string) string {
	found := regexp.MustCompile(`\n    ssl_certificate (\S+?)(/fullchain)?\.pem;`).FindStringSubmatch(site)
	if found == nil {
		return ""
	}
	return found[1]
}

const byCertbot = "/etc/letsencrypt/live/deploy-action-ai-server"

func secureInputs() *inputs.Inputs {
	in := testInputs()
	in.ServerName = "www.example.com"
	in.HTTPS = inputs.HTTPS{Mail: "you@example.com", Server: "https://ca.example/dir"}
	return in
}

// The certificate is got when the release has proved itself, by the site that serves it then; the
// next run finds it, and the same commit is unchanged.
func TestACertificateIsGotOnce(t *testing.T) {
	f := newFakeHost(t)
	result, log, err := deployTo(t, f, secureInputs())
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	calls := strings.Join(f.calls, ",")
	if !strings.Contains(calls, "switch 8080>8081,verify,mark 8081,site,certificate,site,drain 8080") &&
		!strings.Contains(calls, "verify,mark,site,certificate,site,drain 8080") {
		t.Errorf("calls %s", calls)
	}
	if f.siteCertificate != byCertbot || result.URL != "https://www.example.com/" ||
		!strings.Contains(log, "visitors reach the site by HTTPS") {
		t.Errorf("the site has %q, url %s\n%s", f.siteCertificate, result.URL, log)
	}
	f.calls, f.loaded = nil, true
	result, log, err = deployTo(t, f, secureInputs())
	if err != nil || strings.Contains(strings.Join(f.calls, ","), "certificate") || f.siteCertificate != byCertbot ||
		result.URL != "https://www.example.com/" {
		t.Errorf("again: %v, calls %v, the site has %q\n%s", err, f.calls, f.siteCertificate, log)
	}
}

// What a run has no time for any more is told by who does it then: the post step retires the old
// version, and does nothing else.
func TestWhatThereIsNoTimeFor(t *testing.T) {
	f := newFakeHost(t)
	in := secureInputs()
	in.AfterSwitch = "warm-up"
	f.faults[scripts.Certificate] = fault{kind: "cancel"}
	_, log, err := deployTo(t, f, in)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	const lives = " was not done: context canceled; the new version is live"
	for _, want := range []string{
		"Not run::after-switch" + lives + ", and its command is not run any more\n",
		"Left to the post step::drain" + lives + "\n",
		"Left to the post step::stop" + lives + "\n", "Left to the next deployment::prune" + lives + "\n",
	} {
		if !strings.Contains(log, "::warning title="+want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	if strings.Contains(log, "let in was not done") {
		t.Errorf("no instance is held:\n%s", log)
	}
}

// Whatever befalls it, the release is live by HTTP, and the next run gets the certificate.
func TestNoCertificateIsAWarning(t *testing.T) {
	for _, kind := range []string{"error", "lost-before", "lost-after", "gone-before", "gone-after", "panic", "cancel"} {
		t.Run(kind, func(t *testing.T) {
			f := newFakeHost(t)
			f.faults[scripts.Certificate] = fault{
				kind: kind, code: scripts.ExitCertificate, words: "certbot says: no\nthe reason",
			}
			result, log, err := deployTo(t, f, secureInputs())
			if err != nil || result.Outcome != outcome.Deployed || f.flag != "8081" {
				t.Errorf("Run: %v, outcome %s, flag %s\n%s", err, result.Outcome, f.flag, log)
			}
			if kind == "error" && (!strings.Contains(log, "::warning title=Could not secure::") || f.siteCertificate != "" ||
				!strings.Contains(log, "the reason; the site stays plain HTTP until the next deployment") ||
				result.URL != "http://www.example.com/") {
				t.Errorf("the site has %q, url %s\n%s", f.siteCertificate, result.URL, log)
			}
			f.gone, f.holder, f.faults, f.loaded = false, "", map[scripts.Verb]fault{}, true
			if _, log, err := deployTo(t, f, secureInputs()); err != nil || f.siteCertificate != byCertbot {
				t.Errorf("the next run: %v, the site has %q\n%s", err, f.siteCertificate, log)
			}
		})
	}
}

// A certificate of one's own is there before the site names it; when it can't be put there, nothing
// has changed.
func TestAnOwnCertificateComesFirst(t *testing.T) {
	f := newFakeHost(t)
	in := testInputs()
	in.HTTPS = inputs.HTTPS{Certificate: "chain", Key: "key", HSTS: "300"}
	f.faults[scripts.Certificate] = fault{kind: "error", code: scripts.ExitCheck, words: "the reason"}
	_, _, err := deployTo(t, f, in)
	var failure *outcome.Failure
	if !errors.As(err, &failure) || failure.Site != outcome.SiteUnchanged || f.flag != "8080" || f.siteCertificate != "" {
		t.Fatalf("%v, flag %s, the site has %q", err, f.flag, f.siteCertificate)
	}
	f.calls = nil
	result, log, err := deployTo(t, f, in)
	calls := strings.Join(f.calls, ",")
	if err != nil || strings.Count(calls, "certificate") != 1 ||
		!strings.Contains(calls, "certificate,start 8081,health,site") ||
		!strings.HasPrefix(f.siteCertificate, "/var/lib/deploy-action/ai-server/tls/") ||
		!strings.HasPrefix(result.URL, "https://") {
		t.Errorf("%v, calls %s, the site has %q, url %s\n%s", err, calls, f.siteCertificate, result.URL, log)
	}
	if sent := f.sent[scripts.Certificate]; sent["tls_key"] != "key" || strings.Contains(log, "chain") {
		t.Errorf("sent %v\n%s", sent, log)
	}
}

// Neither the certificate of before nor HTTPS is taken away by a run that does not say so.
func TestHTTPSIsNotForgotten(t *testing.T) {
	own := "/var/lib/deploy-action/ai-server/tls/0123456789ab"
	for _, tt := range []struct {
		name, has string
		change    func(*inputs.Inputs)
		want      string // the refusal
		site      string // what the site has then
	}{
		{
			"a deployment without", byCertbot, func(*inputs.Inputs) {}, "is reached by HTTPS, and this run has neither",
			byCertbot,
		},
		{"a rollback without", own, func(in *inputs.Inputs) { in.Operation = inputs.Rollback }, "reached by HTTPS", own},
		{"setup without", own, func(in *inputs.Inputs) { in.Operation = inputs.Setup }, "reached by HTTPS", own},
		{"off", own, func(in *inputs.Inputs) { in.HTTPS.Off = true }, "", ""},
		{"a look without", own, func(in *inputs.Inputs) { in.Operation = inputs.Check }, "", own},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			f.siteCertificate = tt.has
			in := testInputs()
			tt.change(in)
			_, log, err := deployTo(t, f, in)
			if tt.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) ||
				f.siteCertificate != tt.site {
				t.Errorf("%v, the site has %q\n%s", err, f.siteCertificate, log)
			}
			if err != nil && !strings.HasSuffix(err.Error(), "\nnext: put right what is named above and run this "+
				"workflow again; more: "+outcome.TopicHTTPS.URL()) {
				t.Errorf("what to do is not said:\n%v", err)
			}
			if warned := strings.Contains(log, "is plain HTTP from now on"); warned != in.HTTPS.Off {
				t.Errorf("warned: %t\n%s", warned, log)
			}
		})
	}
}

// What a run that was killed gave the site asks nothing of the next one: it goes, and what comes back
// is judged.
func TestHTTPSOfARunThatWasKilledIsNotAskedFor(t *testing.T) {
	const own, killed = "/var/lib/deploy-action/ai-server/tls/0123456789ab", "20261123T000000Z-ccccccc"
	for _, tt := range []struct{ name, before, want string }{
		{"it added a certificate", "", ""},
		{"there was one before", byCertbot, "heal: the site of this host is reached by HTTPS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			f.flag, f.running["8081"], f.releases["8081"] = "8081", true, killed
			f.siteTrial, f.kept, f.siteCertificate = "8081 "+killed+" "+killed, tt.before, own
			_, log, err := deployTo(t, f, testInputs())
			if tt.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) ||
				f.siteCertificate != tt.before || strings.Contains(f.sent[scripts.Site]["site"], own) {
				t.Errorf("%v, the site has %q\n%s", err, f.siteCertificate, log)
			}
		})
	}
	f := newFakeHost(t) // where the site of before can't come back, what is there is judged
	f.flag, f.running["8081"], f.releases["8081"] = "8081", true, killed
	f.siteTrial, f.siteCertificate = "8081 "+killed+" "+killed, own
	f.faults[scripts.Restore] = fault{kind: "error", code: scripts.ExitNginx, words: "nginx refuses it"}
	if _, log, err := deployTo(t, f, testInputs()); err == nil || !strings.Contains(err.Error(), "is reached by HTTPS") {
		t.Errorf("%v\n%s", err, log)
	}
}

// The certificate that a site has serves until there is the other one.
func TestTheCertificateOfBeforeServesOn(t *testing.T) {
	f := newFakeHost(t)
	f.siteCertificate = "/var/lib/deploy-action/ai-server/tls/0123456789ab"
	f.faults[scripts.Certificate] = fault{kind: "error", code: scripts.ExitCertificate, words: "the reason"}
	result, log, err := deployTo(t, f, secureInputs())
	if err != nil || f.siteCertificate != "/var/lib/deploy-action/ai-server/tls/0123456789ab" ||
		!strings.Contains(log, "the site goes on with the certificate that it has") ||
		result.URL != "https://www.example.com/" {
		t.Errorf("%v, the site has %q, url %s\n%s", err, f.siteCertificate, result.URL, log)
	}
}

func TestThePlanSaysWhatIsDoneForHTTPS(t *testing.T) {
	own := testInputs()
	own.HTTPS = inputs.HTTPS{Certificate: "chain", Key: "key"}
	for in, want := range map[*inputs.Inputs]string{
		secureInputs(): "get a certificate for www.example.com from https://ca.example/dir, and have nginx load the site",
		own:            "1. put the certificate of tls-certificate and its key in place",
	} {
		f := newFakeHost(t)
		in.DryRun = true
		_, log, err := deployTo(t, f, in)
		if err != nil || !strings.Contains(log, want) || f.siteCertificate != "" || f.certificate != "" {
			t.Errorf("%v, the site has %q; want %q\n%s", err, f.siteCertificate, want, log)
		}
		in.DryRun = false
		if _, log, err := deployTo(t, f, in); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		in.DryRun, f.loaded = true, true
		if _, log, err := deployTo(t, f, in); err != nil || strings.Contains(log, want) {
			t.Errorf("again: %v\n%s", err, log)
		}
	}
}

func TestSetupGetsTheCertificate(t *testing.T) {
	f := newFakeHost(t)
	f.flag, f.running, f.loaded = "", map[string]bool{}, false
	in := secureInputs()
	in.Operation = inputs.Setup
	_, log, err := deployTo(t, f, in)
	if diff := cmp.Diff([]string{
		"lock", "check", "port", "setup", "site", "site", "certificate", "site",
	}, f.calls); err != nil || diff != "" || f.siteCertificate != byCertbot {
		t.Errorf("%v, calls (-want +got):\n%s%s", err, diff, log)
	}
	if f.sent[scripts.Setup]["certificate_id"] != f.certificate || f.certificate == "" {
		t.Errorf("setup looks for %q, and there is %q", f.sent[scripts.Setup]["certificate_id"], f.certificate)
	}
	f = newFakeHost(t)
	f.faults[scripts.Certificate] = fault{kind: "error", code: scripts.ExitCertificate, words: "the reason"}
	var failure *outcome.Failure
	if _, _, err := deployTo(t, f, in); !errors.As(err, &failure) || !strings.Contains(failure.Error(), "the reason") {
		t.Errorf("setup without a certificate: %v", err)
	}
}

// The version of nginx says how HTTP/2 is asked for.
func TestHTTP2IsAskedForAsNginxKnowsIt(t *testing.T) {
	for version, want := range map[string]string{
		"1.22.1": "listen 443 ssl http2;", "1.25.0": "listen 443 ssl http2;", "1.25.1": "http2 on;", "1.26.3": "http2 on;",
	} {
		f := newFakeHost(t)
		f.nginx = version
		if _, log, err := deployTo(t, f, secureInputs()); err != nil ||
			!strings.Contains(f.sent[scripts.Site]["site"], want) {
			t.Errorf("nginx %s: %v\n%s\n%s", version, err, f.sent[scripts.Site]["site"], log)
		}
	}
}
