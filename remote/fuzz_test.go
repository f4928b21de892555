package remote

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func newPublic(tb testing.TB) (ssh.PublicKey, ssh.Signer) {
	tb.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return signer.PublicKey(), signer
}

// However known_hosts and fingerprints read, a key that nobody has pinned is refused, and one that
// is revoked is, too.
func FuzzKnownHosts(f *testing.F) {
	pinned, _ := newPublic(f)
	stranger, _ := newPublic(f)
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pinned)))
	for _, seed := range []string{
		"web " + key, "* " + key, "!web,* " + key, "[web]:2222 " + key, "|1|c2FsdA==|aGFzaA== " + key, "|1||| " +
			key, "@revoked * " + key, "@cert-authority *.com " + key,
		"web,10.0.0.? " + key + " comment", "# " + key, "@other web " +
			key, "[web ssh-ed25519", "web ssh-ed25519 AAAA", "\\[* " + key, "web\t" + key + "\r\nweb2 " + key, key,
	} {
		f.Add(seed, ssh.FingerprintSHA256(pinned), "web", uint16(22))
		f.Add(seed, "", "2001:db8::1", uint16(2222))
	}
	f.Fuzz(func(t *testing.T, text, fingerprint, name string, port uint16) {
		hk, err := NewHostKeys(text, []string{fingerprint})
		if err != nil {
			if strings.Contains(err.Error(), "\x00") {
				t.Fatalf("error %q", err)
			}
			return
		}
		host := Host{User: "ubuntu", Name: name, Port: port}
		_ = hk.algorithms(host)
		err = hk.check(host, &net.TCPAddr{}, stranger)
		if err == nil {
			t.Fatalf("a key that nobody has pinned is accepted for %q by %q and %q", name, text, fingerprint)
		}
		_ = err.Error()
		strict, err := NewHostKeys(text+"\n@revoked * "+key, []string{fingerprint})
		if err != nil {
			t.Fatal(err)
		}
		if strict.check(host, &net.TCPAddr{}, pinned) == nil {
			t.Fatalf("a revoked key is accepted for %q by %q and %q", name, text, fingerprint)
		}
	})
}

// No text is a key or a certificate by accident, and no error repeats any of it.
func FuzzKeyAndCertificate(f *testing.F) {
	public, signer := newPublic(f)
	cert := &ssh.Certificate{
		Key: public, CertType: ssh.UserCert, ValidPrincipals: []string{"ubuntu"},
		ValidBefore: ssh.CertTimeInfinity,
	}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(ssh.MarshalAuthorizedKey(cert)), string(ssh.MarshalAuthorizedKey(public)),
		"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----",
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA " +
			"PRIVATE KEY-----", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----",
		"PuTTY-User-Key-File-3: ssh-ed25519", `-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----`,
	} {
		f.Add(seed, "")
		f.Add(seed, "passphrase")
	}
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, text, passphrase string) {
		for _, err := range []error{second(ParseKey(text, passphrase)), second(WithCertificate(signer, text, now))} {
			if err == nil {
				continue
			}
			for _, line := range strings.Fields(text) {
				if len(line) >= 40 && strings.Contains(err.Error(), line) {
					t.Fatalf("the error repeats %q: %v", line, err)
				}
			}
		}
		if got, err := WithCertificate(signer, text, now); err == nil {
			c, ok := got.PublicKey().(*ssh.Certificate)
			if !ok || !sameKey(c.Key, public) || c.CertType != ssh.UserCert || expired(c, now) {
				t.Fatalf("accepted %q", text)
			}
			_ = certFaults(c, "ubuntu", now)
		}
	})
}

func second[T any](_ T, err error) error { return err }
