package inputs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// newCertificate makes one for names, and its key, as PEM.
func newCertificate(t *testing.T, until time.Time, names ...string) (chain, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	der8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der8}))
}

func TestHTTPS(t *testing.T) {
	login, _ := newKey(t, "")
	later := time.Now().Add(time.Hour)
	chain, key := newCertificate(t, later, "www.example.com", "*.shop.example")
	_, other := newCertificate(t, later)
	old, oldKey := newCertificate(t, time.Now().Add(-time.Minute), "www.example.com")
	encrypted := "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----"
	parameters := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	for _, tt := range []struct {
		name   string
		inputs map[string]string
		want   string // what is said; "": nothing is wrong
		is     HTTPS
	}{
		{
			"a mail address",
			map[string]string{"https": "you@example.com", "server-name": "www.example.com example.com"},
			"",
			HTTPS{Mail: "you@example.com"},
		},
		{"another authority", map[string]string{
			"https": "you@example.com", "server-name": "www.example.com", "acme-server": "https://ca.intern:14000/dir",
		}, "", HTTPS{Mail: "you@example.com", Server: "https://ca.intern:14000/dir"}},
		{"off", map[string]string{"https": "off"}, "", HTTPS{Off: true}},
		{
			"a wildcard",
			map[string]string{"https": "you@example.com", "server-name": "*.example.com"},
			`"*.example.com" is none`,
			HTTPS{},
		},
		{
			"an address",
			map[string]string{"https": "you@example.com", "server-name": "203.0.113.7"},
			`"203.0.113.7" is none`,
			HTTPS{},
		},
		{
			"an address of IPv6",
			map[string]string{"https": "you@example.com", "server-name": "[2001:db8::7]"},
			`"[2001:db8::7]" is none`,
			HTTPS{},
		},
		{
			"a bare name",
			map[string]string{"https": "you@example.com", "server-name": "localhost"},
			`"localhost" is none`,
			HTTPS{},
		},
		{"several hosts", map[string]string{
			"https": "you@example.com", "server-name": "www.example.com", "host": "a.example.com,b.example.com",
		}, "is for one host, since the authority asks the name", HTTPS{}},
		{
			"several hosts with a certificate", map[string]string{
				"host": "a.example.com,b.example.com", "tls-certificate": chain, "tls-key": key,
			}, "", HTTPS{Certificate: chain, Key: Secret(key)},
		},
		{
			"a certificate", map[string]string{
				"tls-certificate": "subject=x\n" + chain + chain, "tls-key": parameters + key, "hsts": "365d",
				"server-name": "www.example.com a.shop.example *.shop.example",
			}, "", HTTPS{Certificate: chain + chain, Key: Secret(key), HSTS: "31536000"},
		},
		{
			"one whose line breaks a store has written as \\n", map[string]string{
				"tls-certificate": strings.ReplaceAll(chain, "\n", "\r\n"), "tls-key": strings.ReplaceAll(key, "\n", `\n`),
				"hsts": "300",
			}, "", HTTPS{Certificate: chain, Key: Secret(key), HSTS: "300"},
		},
		{
			"no key",
			map[string]string{"tls-certificate": chain},
			`input "tls-key": has to be given with tls-certificate`,
			HTTPS{},
		},
		{
			"another's key",
			map[string]string{"tls-certificate": chain, "tls-key": other},
			`input "tls-key": is not the key of tls-certificate`,
			HTTPS{},
		},
		{
			"a key that is locked",
			map[string]string{"tls-certificate": chain, "tls-key": encrypted},
			"must be a private key without a passphrase",
			HTTPS{},
		},
		{
			"no key at all",
			map[string]string{"tls-certificate": chain, "tls-key": chain},
			"must be a private key as PEM",
			HTTPS{},
		},
		{
			"a key in the certificate",
			map[string]string{"tls-certificate": chain + key, "tls-key": key},
			`input "tls-certificate": has a private key in it`,
			HTTPS{},
		},
		{
			"nonsense between", map[string]string{
				"tls-certificate": chain + "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "tls-key": key,
			}, "one of its blocks is none", HTTPS{},
		},
		{
			"one that has expired",
			map[string]string{"tls-certificate": old, "tls-key": oldKey},
			"has expired: it was valid until ",
			HTTPS{},
		},
		{
			"another name",
			map[string]string{"tls-certificate": chain, "tls-key": key, "server-name": "blog.example"},
			"is not for blog.example, a name in the input server-name: it is for www.example.com, *.shop.example",
			HTTPS{},
		},
		{"both", map[string]string{
			"https": "you@example.com", "server-name": "www.example.com", "tls-certificate": chain, "tls-key": key,
		}, "is a certificate of your own, and https says how to get one", HTTPS{}},
		{"off, and for ever", map[string]string{"https": "off", "hsts": "1h"}, "is for a site with HTTPS", HTTPS{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, err := Parse(with(runner(login), tt.inputs))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("%v, want just %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.is.Server == "" {
				tt.is.Server = defaultACMEServer
			}
			if in.HTTPS != tt.is {
				t.Errorf("%+v, want %+v", in.HTTPS, tt.is)
			}
			if in.HTTPS.Wanted() != (tt.is.Mail != "" || tt.is.Certificate != "") {
				t.Errorf("HTTPS is wanted: %t", in.HTTPS.Wanted())
			}
			if masked := strings.Join(in.Secrets(), " "); tt.is.Key != "" &&
				!strings.Contains(masked, strings.Split(key, "\n")[1]) {
				t.Error("the key is not masked")
			}
		})
	}
}
