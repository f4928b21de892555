package remote_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

// authority signs user certificates with the real ssh-keygen.
type authority struct{ path string }

func newAuthority(t *testing.T, kind string) authority {
	t.Helper()
	a := authority{filepath.Join(t.TempDir(), "authority")}
	keygen(t, a.path, "-t", kind, "-N", "")
	return a
}

// certify returns a key's signer and the text of its certificate.
func (a authority) certify(t *testing.T, kind string, args ...string) (ssh.Signer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(keyText(t, sshtest.Key(t, kind), "openssh", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := remote.ParseKey(read(t, path), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-s", a.path, "-I", "ci run 4711"}, args...)
	keygen(t, path+".pub", append(args, path+".pub")...)
	return signer, read(t, path+"-cert.pub")
}

func TestOpenSSHUserCertificate(t *testing.T) {
	a := newAuthority(t, "ed25519")
	s := startOpenSSH(t, nil, "TrustedUserCAKeys "+a.path+".pub")
	user := s.host.User
	long := time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name string
		kind string
		args []string
		want []string // of the refusal; none: it lets in
	}{
		{"Ed25519", "ed25519", []string{"-n", user}, nil},
		{"ECDSA", "ecdsa-256", []string{"-n", "other," + user, "-V", "-1h:+1h"}, nil},
		{"RSA", "rsa", []string{"-n", user}, nil},
		{
			"for another principal", "ed25519",
			[]string{"-n", "alice,bob"},
			[]string{
				`certificate "ci run 4711" by ssh-ed25519 SHA256:`,
				`it is for "alice", "bob", not for user "` + user + `"`,
			},
		},
		{
			"for no principal", "ed25519", nil,
			[]string{"it names no principal (sign it with ssh-keygen -n " + user + ")"},
		},
		{"not valid yet", "ed25519", []string{"-n", user, "-V", "+1h:+2h"}, []string{"it is not valid before 20"}},
		{
			"from elsewhere", "ed25519",
			[]string{"-n", user, "-O", "source-address=192.0.2.0/24"},
			[]string{`it is good from "192.0.2.0/24" only`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, text := a.certify(t, tt.kind, tt.args...)
			signer, err := remote.WithCertificate(key, text, long)
			if err != nil {
				t.Fatal(err)
			}
			client, err := remote.Dial(t.Context(), s.host,
				remote.Config{Signer: signer, HostKeys: pins(t, "", s.fingerprint("ed25519"))})
			if err == nil {
				defer func() { _ = client.Close() }()
			}
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("Dial: %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Dial: %v, want %q", err, want)
				}
			}
		})
	}
	t.Run("of an authority that is not trusted", func(t *testing.T) {
		key, text := newAuthority(t, "ecdsa").certify(t, "ed25519", "-n", user)
		signer, err := remote.WithCertificate(key, text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, err = remote.Dial(t.Context(), s.host, remote.Config{
			Signer:   signer,
			HostKeys: pins(t, "", s.fingerprint("ed25519")),
		})
		var refused *remote.AuthError
		if !errors.As(err, &refused) || refused.Fingerprint != ssh.FingerprintSHA256(key.PublicKey()) ||
			!strings.Contains(err.Error(), "TrustedUserCAKeys") {
			t.Errorf("Dial: %v", err)
		}
	})
	t.Run("that expired after it was read", func(t *testing.T) {
		key, text := a.certify(t, "ed25519", "-n", user, "-V", "-2h:-30m")
		signer, err := remote.WithCertificate(key, text, long)
		if err != nil {
			t.Fatal(err)
		}
		_, err = remote.Dial(t.Context(), s.host, remote.Config{
			Signer:   signer,
			HostKeys: pins(t, "", s.fingerprint("ed25519")),
		})
		if err == nil || !strings.Contains(err.Error(), "it expired at 20") {
			t.Errorf("Dial: %v", err)
		}
	})
}

func TestWithCertificateRefuses(t *testing.T) {
	a := newAuthority(t, "ed25519")
	key, text := a.certify(t, "ed25519", "-n", "ubuntu", "-V", "-2h:+1h")
	other := sshtest.Signer(t, "ed25519")
	_, host := a.certify(t, "ed25519", "-h", "-n", "web")
	soonOver := time.Now().Add(2 * time.Hour)
	for _, tt := range []struct {
		name string
		key  ssh.Signer
		text string
		now  time.Time
		err  error
		want string
	}{
		{
			"another key", other, text, time.Now(), remote.ErrCertificateKey,
			"it is for ssh-ed25519 " + ssh.FingerprintSHA256(key.PublicKey()) +
				", and the private key is ssh-ed25519 " + ssh.FingerprintSHA256(other.PublicKey()),
		},
		{"expired", key, text, soonOver, remote.ErrCertificateExpired, "it was valid until 20"},
		{"a host's", key, host, time.Now(), remote.ErrCertificateUnreadable, "it is a host's"},
		{
			"a public key", key, string(ssh.MarshalAuthorizedKey(key.PublicKey())), time.Now(),
			remote.ErrCertificateUnreadable, "-cert.pub",
		},
		{"nothing", key, "", time.Now(), remote.ErrCertificateUnreadable, "-cert.pub"},
		{"cut off", key, text[:len(text)/2], time.Now(), remote.ErrCertificateUnreadable, "-cert.pub"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := remote.WithCertificate(tt.key, tt.text, tt.now)
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("WithCertificate: %v, want %v and %q", err, tt.err, tt.want)
			}
		})
	}
	if _, err := remote.WithCertificate(key, "\r\n"+text+"\r\n", time.Now()); err != nil {
		t.Errorf("with line breaks around it: %v", err)
	}
}
