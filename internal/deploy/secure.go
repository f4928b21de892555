package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// obtaining is how long an authority may take, with names that lead nowhere, too.
const obtaining = 5 * time.Minute

// certbotNeeds is what a host lacks that is to get its certificate itself.
const certbotNeeds = " certbot"

// chooseTLS says how the site of this host is to be reached, by the inputs and by what is there: a
// certificate that it has serves until there is another one, and the site is plain HTTP before it
// has any. What certbot has got, it goes on to renew, whether the site shows it or not: so the site
// answers for it.
func (s *site) chooseTLS(h *target) error {
	in := s.in.HTTPS
	h.app.TLS = scripts.TLS{
		Challenges: in.Mail != "" || scripts.IsACMEID(h.certificate), HSTS: in.HSTS, HTTP2On: h.app.TLS.HTTP2On,
	}
	switch {
	case in.Certificate != "":
		h.app.TLS.Certificate = h.app.OwnCertificate(s.certificateID())
	case in.Mail != "":
		h.app.TLS.Certificate = h.siteCertificate
	case h.siteCertificate == "", h.SiteBack != "": // what a run that was cut off wrote is judged when it is gone
	case in.Off:
		s.warnOnce(h, "HTTPS of "+h.Address.Name, "the site has been reached by HTTPS, and is plain HTTP from now on: "+
			"who comes to its address with https:// finds nothing any more")
	case s.op.live || s.op.success == outcome.SetUp:
		return &httpsError{errors.New("the site of this host is reached by HTTPS, and this run has neither the input " +
			"https nor tls-certificate: give it what its deployments had, or https: off, if it is to be plain HTTP again")}
	}
	return nil
}

const http2Nginx = "1.25.1" // nginx.org/en/docs/http/ngx_http_v2_module.html#http2

// certificateID names the certificate that the site is to have, empty for none.
func (s *site) certificateID() string {
	switch in := s.in.HTTPS; {
	case in.Certificate != "":
		return scripts.OwnID(in.Certificate)
	case in.Mail != "":
		return scripts.ACMEID(in.Server, s.in.ServerName)
	}
	return ""
}

// canSecure refuses HTTPS where the server block is the user's, and so its certificate.
func (s *site) canSecure(h *target) error {
	if !h.TheirSite || !s.in.HTTPS.Wanted() {
		return nil
	}
	return &httpsError{fmt.Errorf("the inputs https and tls-certificate are for the site that this action writes, and "+
		"on this host a server block of your own includes %s: leave them out, and give that block its certificate, as "+
		"docs/https.md says", s.in.NginxInclude)}
}

// httpsError is about inputs of HTTPS that do not fit the host; it carries its remedy.
type httpsError struct{ error }

// hasOwn tells whether the host has the certificate that the user gives, or is to get one itself.
func (s *site) hasOwn(h *target) bool {
	return s.in.HTTPS.Certificate == "" || h.certificate == s.certificateID()
}

// putCertificate puts the user's own certificate where the site will find it.
func (s *site) putCertificate(ctx context.Context, h *target) (string, error) {
	if _, err := h.Exec(ctx, scripts.Certificate, s.certificateValues(h)); err != nil {
		return "", err
	}
	h.certificate, h.changed = s.certificateID(), true
	return "the certificate and its key are on the host", nil
}

func (s *site) certificateValues(h *target) scripts.Values {
	in := s.in.HTTPS
	return scripts.Values{
		"certificate_id": s.certificateID(), "tls_certificate": in.Certificate, "tls_key": in.Key.Reveal(),
		"site_names": s.in.ServerName, "mail": in.Mail, "acme_server": in.Server, "site_file": h.app.SiteFile(),
	}
}

// isSecure tells whether the site has the certificate that is asked for, or is to have none that
// the host gets itself.
func (s *site) isSecure(h *target) bool {
	return s.in.HTTPS.Mail == "" ||
		h.certificate == s.certificateID() && h.app.TLS.Certificate == h.app.ACMECertificate()
}

// secure has the host get a certificate, with the site as it is answering what the authority asks,
// and then has nginx load the site with it. Until then, and where none can be had, the site stays as
// it is.
func (s *site) secure(ctx context.Context, h *target) (string, error) {
	before := h.app.TLS
	certificate := host.Asked{Verb: scripts.Certificate, Own: s.certificateValues(h), Results: new(scripts.Results)}
	var asIs, with scripts.Results
	site := s.siteFor(h, s.keepAs(h)+"-http", "", &asIs) // an unchanged release has left it to this step
	h.app.TLS.Certificate = h.app.ACMECertificate()
	err := h.ExecAll(ctx, site, certificate, s.siteFor(h, s.keepAs(h)+"-https", "", &with))
	if err != nil {
		h.app.TLS = before
		stays := "the site stays plain HTTP until the next deployment"
		if before.Certificate != "" {
			stays = "the site goes on with the certificate that it has"
		}
		var no *host.Error
		if errors.As(err, &no) {
			no.Reason = strings.TrimSpace(no.Reason) + "; " + stays
		}
		return "", err
	}
	reloaded := h.reloaded || asIs.Yes("reloaded")
	if err := s.sited(h, &with); err != nil {
		return "", err
	}
	h.reloaded, h.certificate, h.changed = h.reloaded || reloaded, s.certificateID(), true
	return "visitors reach the site by HTTPS, and certbot renews the certificate", nil
}

// planHTTPS adds what is done for certificates to a plan.
func (s *site) planHTTPS(h *target, lines []string) []string {
	if !s.hasOwn(h) {
		lines = append([]string{"put the certificate of tls-certificate and its key in place"}, lines...)
	}
	if !s.isSecure(h) {
		lines = append(lines, fmt.Sprintf("get a certificate for %s from %s, and have nginx load the site with it; where "+
			"there is none to be had, leave it as it is", s.in.ServerName, s.in.HTTPS.Server))
	}
	return lines
}

// securing are the steps that see to certificates: before the site is written, and when it answers.
func (s *site) securing(p phase) step {
	if p == prepare {
		return step{
			name: "certificate", title: "Putting the certificate in place", each: s.putCertificate, unless: s.hasOwn,
			within: brief,
		}
	}
	return step{
		name: "secure", title: "Getting the certificate", each: s.secure, unless: s.isSecure, within: obtaining,
	}
}

// overTLS tells whether visitors reach the site by HTTPS, as far as this run knows.
func (s *site) overTLS() bool {
	if len(s.hosts) == 0 || s.hosts[0].app.Name == "" { // this operation does not look
		return s.in.HTTPS.Wanted()
	}
	h := s.hosts[0]
	return h.app.TLS.Certificate != ""
}

// httpsRecipe are the parts of the recipe that HTTPS has: none without.
func (s *site) httpsRecipe() []string {
	if !s.in.HTTPS.Wanted() {
		return nil
	}
	return []string{"https", s.certificateID(), s.in.HTTPS.HSTS}
}
