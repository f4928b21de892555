package inputs

import (
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/remote"
)

func TestProxyJump(t *testing.T) {
	key, public := newKey(t, "")
	theirs, theirPublic := newKey(t, "their passphrase")
	in, err := Parse(with(runner(key), map[string]string{
		"username": "deploy", "port": "2022", "proxy-jump": "ops@bastion.example.com:2222,\n [2001:db8::1]",
	}))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, []remote.Host{in.Jumps[0].Host, in.Jumps[1].Host}, []remote.Host{
		{User: "ops", Name: "bastion.example.com", Port: 2222}, {User: "deploy", Name: "2001:db8::1", Port: 22},
	})
	for _, jump := range in.Jumps {
		equal(t, jump.Signer.PublicKey().Marshal(), public.Marshal())
		if jump.HostKeys == nil {
			t.Error("no HostKeys: the dial could not tell which line to pin")
		}
	}

	in, err = Parse(with(runner(key), map[string]string{
		"proxy-jump": "bastion", "proxy-jump-key": theirs,
		"proxy-jump-passphrase": "their passphrase",
	}))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, in.Jumps[0].Signer.PublicKey().Marshal(), theirPublic.Marshal())
	equal(t, in.Signer.PublicKey().Marshal(), public.Marshal())
	secrets := strings.Join(in.Secrets(), "\n")
	for _, line := range append(strings.Split(strings.TrimSpace(theirs), "\n")[1:3], "their passphrase") {
		if !strings.Contains(secrets, line) {
			t.Errorf("%q is not among the secrets", line)
		}
	}
}

func TestCertificate(t *testing.T) {
	key, public := newKey(t, "")
	authority, err := remote.ParseKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{
		Key: public, CertType: ssh.UserCert, ValidPrincipals: []string{"ubuntu"},
		ValidBefore: ssh.CertTimeInfinity,
	}
	sign := func() string {
		if err := cert.SignCert(rand.Reader, authority); err != nil {
			t.Fatal(err)
		}
		return string(ssh.MarshalAuthorizedKey(cert))
	}
	in, err := Parse(with(runner(key), map[string]string{"certificate": sign(), "proxy-jump": "bastion"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, signer := range []ssh.Signer{in.Signer, in.Jumps[0].Signer} {
		if _, ok := signer.PublicKey().(*ssh.Certificate); !ok {
			t.Errorf("logs in with %s, want the certificate", signer.PublicKey().Type())
		}
	}
	cert.ValidBefore = 1
	_, err = Parse(with(runner(key), map[string]string{"certificate": sign()}))
	if want := `input "certificate": the certificate has expired: it was valid until 1970-01-01T00:00:01Z`; err == nil ||
		err.Error() != want {
		t.Errorf("Parse: %v, want %s", err, want)
	}
	other, _ := newKey(t, "")
	cert.ValidBefore = ssh.CertTimeInfinity
	if _, err = Parse(with(runner(other), map[string]string{"certificate": sign()})); err == nil ||
		!strings.Contains(err.Error(), `input "certificate": the certificate is for another key`) {
		t.Errorf("Parse: %v", err)
	}
}
