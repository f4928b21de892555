package scripts

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
)

// TLS is how the managed site is reached by HTTPS; the zero value is plain HTTP.
type TLS struct {
	Challenges bool // port 80 answers what an authority asks before it gives a certificate
	// The name of the certificate's files, without .pem and .key; "": there is none yet, and the
	// site is plain HTTP.
	Certificate string
	HSTS        string // for how many seconds browsers are to ask for nothing else; "": not said
	HTTP2On     bool   // nginx wants HTTP/2 in a directive of its own, and warns of it in listen
}

// ACMECertificate is what certbot's certificate for the application is called.
func (a App) ACMECertificate() string { return "/etc/letsencrypt/live/deploy-action-" + a.Name }

// OwnCertificate is what a certificate that the user has given is called.
func (a App) OwnCertificate(id string) string {
	return "/var/lib/deploy-action/" + a.Name + "/tls/" + id
}

// CertificateForm is what a site of the application names.
func (a App) CertificateForm() *regexp.Regexp {
	return regexp.MustCompile("^(" + regexp.QuoteMeta(a.ACMECertificate()) + "|" +
		regexp.QuoteMeta(a.OwnCertificate("")) + "[0-9a-f]{12})?$")
}

// ACMEID names what is asked of an authority.
func ACMEID(server, names string) string {
	return "acme-" + short(server) + "-" + short(names)
}

// IsACMEID tells whether that is what an id names.
func IsACMEID(id string) bool { return strings.HasPrefix(id, "acme-") }

// OwnID names a certificate that the user has given.
func OwnID(chain string) string { return short(chain) }

func short(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:12] }

// certificateFiles are those of the certificate and of its key.
func (a App) certificateFiles() (chain, key string) {
	if a.TLS.Certificate == a.ACMECertificate() {
		return a.TLS.Certificate + "/fullchain.pem", a.TLS.Certificate + "/privkey.pem"
	}
	return a.TLS.Certificate + ".pem", a.TLS.Certificate + ".key"
}

// secure are the parts of the site that are there for HTTPS, in front of it and in it.
func (a App) secure() (front, within string) {
	challenge := ""
	if a.TLS.Challenges {
		challenge = text("challenge.conf") + "\n"
	}
	if a.TLS.Certificate == "" {
		return "", challenge
	}
	chain, key := a.certificateFiles()
	within = strings.NewReplacer("@CHAIN@", chain, "@KEY@", key).Replace(text("tls.conf")) + "\n"
	if a.TLS.HTTP2On {
		within = "    http2 on;\n" + within
	}
	if a.TLS.HSTS != "" {
		within += "    add_header Strict-Transport-Security \"max-age=" + a.TLS.HSTS + "\" always;\n"
	}
	front = strings.NewReplacer("@CHALLENGE@\n", challenge, "@LISTEN@", a.listenAt("80", "")).
		Replace(text("redirect.conf"))
	return front + "\n", within
}

// listenTLS is where the site itself listens.
func (a App) listenTLS() string {
	switch {
	case a.TLS.Certificate == "":
		return a.listenAt("80", "")
	case a.TLS.HTTP2On:
		return a.listenAt("443", " ssl")
	}
	return a.listenAt("443", " ssl http2")
}
