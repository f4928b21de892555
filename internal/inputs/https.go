package inputs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// HTTPS is how visitors reach the site; the zero value is plain HTTP.
type HTTPS struct {
	Mail   string // of the account with the authority that gives certificates; "": none is asked for
	Server string // where that authority is, the URL of its directory
	Off    bool   // plain HTTP, also where the site has been HTTPS so far

	Certificate string // the user's own, with its chain, as PEM; "": none
	Key         Secret // its private key, as PEM
	HSTS        string // for how many seconds browsers are to ask for nothing else; "": not said
}

// Wanted tells whether the site is to be reached by HTTPS.
func (h HTTPS) Wanted() bool { return h.Mail != "" || h.Certificate != "" }

// mailAddress is narrower than RFC 5322: what has to be quoted there nobody has.
var mailAddress = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$`)

const httpsOff = "off"

func setHTTPS(p *parser, value string) error {
	switch {
	case value == "":
		return nil
	case value == httpsOff:
		p.in.HTTPS.Off = true
		return nil
	case !mailAddress.MatchString(value):
		return fmt.Errorf("must be a mail address, by which the authority that gives the certificate can reach you, "+
			"or \"off\" %s", got(value))
	}
	for _, name := range strings.Fields(p.values["server-name"]) {
		_, notAddress := netip.ParseAddr(strings.Trim(name, "[]"))
		if !hostname(name) || notAddress == nil || !strings.Contains(name, ".") {
			return fmt.Errorf("needs whole names in the input server-name, such as \"www.example.com\", since a "+
				"certificate is for names, and %q is none: name them, or give a certificate of your own with "+
				"tls-certificate and tls-key", name)
		}
	}
	p.in.HTTPS.Mail = value
	return nil
}

func (in *Inputs) oneForHTTPS() error {
	if in.HTTPS.Mail == "" || len(in.Hosts) < 2 {
		return nil
	}
	return errors.New("is for one host, since the authority asks the name, and so any one of several hosts: end " +
		"TLS at their balancer, or give them a certificate with tls-certificate and tls-key")
}

func setACMEServer(p *parser, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" ||
		!acmeURL.MatchString(value) {
		return fmt.Errorf("must be the URL of an ACME directory, with https:// %s", got(value))
	}
	p.in.HTTPS.Server = value
	return nil
}

var acmeURL = regexp.MustCompile(`^https://[A-Za-z0-9._~:/?=&%@\[\]-]+$`)

func setTLSCertificate(p *parser, value string) error {
	switch {
	case value == "":
		return nil
	case p.values["https"] != "":
		return errors.New("is a certificate of your own, and https says how to get one: leave one of them out")
	}
	chain, leaf, err := parseChain(value)
	if err != nil {
		return err
	}
	if now := time.Now(); now.After(leaf.NotAfter) {
		return fmt.Errorf("has expired: it was valid until %s", leaf.NotAfter.UTC().Format(time.DateTime))
	}
	for _, name := range strings.Fields(p.values["server-name"]) {
		if name != "_" && hostname(name) && leaf.VerifyHostname(name) != nil {
			return fmt.Errorf("is not for %s, a name in the input server-name: it is for %.200s", name,
				strings.Join(leaf.DNSNames, ", "))
		}
	}
	p.in.HTTPS.Certificate = chain
	return nil
}

// parseChain returns the certificates of a text, the site's first, without what is between them.
func parseChain(value string) (chain string, leaf *x509.Certificate, err error) {
	if strings.Contains(value, "PRIVATE KEY") {
		return "", nil, errors.New("has a private key in it, which belongs in the input tls-key")
	}
	var b strings.Builder
	for rest := []byte(unmangled(value)); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			return "", nil, errors.New("must hold certificates as PEM, and one of its blocks is none")
		}
		if leaf == nil {
			leaf = cert
		}
		b.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
	}
	if leaf == nil {
		return "", nil, errors.New("must be a certificate as PEM, which begins with -----BEGIN CERTIFICATE-----, and " +
			"those of its chain behind it")
	}
	return b.String(), leaf, nil
}

// unmangled is a text with its line breaks, which some stores of secrets write as \n.
func unmangled(text string) string {
	return strings.NewReplacer(`\r`, "", `\n`, "\n", "\r", "").Replace(text)
}

func setTLSKey(p *parser, value string) error {
	switch {
	case value == "" && p.values["tls-certificate"] == "" || !p.good("tls-certificate"):
		return nil
	case p.values["tls-certificate"] == "":
		return errors.New("is for a certificate of your own: give that as tls-certificate, or leave this out")
	case value == "":
		return errors.New("has to be given with tls-certificate: its private key, as PEM, such as ${{ secrets.TLS_KEY }} " +
			"(a secret that does not exist is empty)")
	}
	block, rest := pem.Decode([]byte(unmangled(value)))
	for block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam writes them in front
		block, rest = pem.Decode(rest)
	}
	switch {
	case block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return errors.New("must be a private key as PEM, such as -----BEGIN PRIVATE KEY-----")
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return errors.New("must be a private key without a passphrase, since nginx starts by itself: openssl pkey -in " +
			"KEY -out PLAIN takes it off")
	}
	key := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
	if _, err := tls.X509KeyPair([]byte(p.in.HTTPS.Certificate), key); err != nil {
		return errors.New("is not the key of tls-certificate, in which the site's own has to come first, or is of a " +
			"kind that TLS does not know")
	}
	p.in.HTTPS.Key = Secret(key)
	return nil
}

const maxHSTS = 10 * 365 * 24 * time.Hour

// setHSTS takes seconds, as the header has them, or a duration, also of days.
func setHSTS(p *parser, value string) error {
	if value == "" {
		return nil
	}
	age, err := time.ParseDuration(value)
	if days, ok := strings.CutSuffix(value, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		age = time.Duration(min(n, 36500)) * 24 * time.Hour
	} else if n, notInt := strconv.Atoi(value); notInt == nil {
		age, err = time.Duration(min(n, 1<<31))*time.Second, nil
	}
	switch {
	case err != nil || age < 0 || age > maxHSTS:
		return fmt.Errorf("must be seconds or a duration of at most ten years, such as \"31536000\" or \"365d\" %s",
			got(value))
	case p.values["tls-certificate"] == "" && (p.values["https"] == "" || p.values["https"] == httpsOff):
		return errors.New("is for a site with HTTPS: set https or tls-certificate, too, or leave it out")
	}
	p.in.HTTPS.HSTS = strconv.Itoa(int(age / time.Second))
	return nil
}
