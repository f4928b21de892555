package remote_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func line(name string, key ssh.PublicKey) string {
	return name + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + "\n"
}

// certify returns a host key with a certificate for 127.0.0.1.
func certify(t *testing.T, authority, key ssh.Signer, validBefore uint64) ssh.Signer {
	t.Helper()
	cert := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.HostCert, KeyId: "test",
		ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: validBefore,
	}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestHostKeys(t *testing.T) {
	ed, rsa, ec := sshtest.Signer(t, "ed25519"), sshtest.Signer(t, "rsa"), sshtest.Signer(t, "ecdsa-256")
	stranger, authority := sshtest.Signer(t, "ed25519"), sshtest.Signer(t, "ed25519")
	cert := certify(t, authority, ed, ssh.CertTimeInfinity)
	expired := certify(t, authority, ed, uint64(time.Now().Add(-time.Hour).Unix()))
	all := []ssh.Signer{rsa, ec, ed}

	const name = "[127.0.0.1]:PORT" // PORT is replaced by the server's
	hash := func(port uint16) string {
		return knownhosts.HashHostname(strings.Replace(name, "PORT", fmt.Sprint(port), 1))
	}
	sum := func(key ssh.Signer) string { return ssh.FingerprintSHA256(key.PublicKey()) }

	tests := []struct {
		name         string
		keys         []ssh.Signer // the server's
		knownHosts   string       // HASH stands for a hashed name
		fingerprints []string
		want         string // "ok", "unknown", "mismatch", "revoked"
		offered      int    // keys listed in the error
	}{
		{name: "plain", keys: all, knownHosts: line(name, ed.PublicKey()), want: "ok"},
		{name: "plain, RSA", keys: all, knownHosts: line(name, rsa.PublicKey()), want: "ok"},
		{name: "plain, ECDSA", keys: all, knownHosts: line(name, ec.PublicKey()), want: "ok"},
		{
			name: "plain among others", keys: all,
			knownHosts: "# comment\n\n" + line("other", stranger.PublicKey()) + line("a,"+name+",b", ed.PublicKey()),
			want:       "ok",
		},
		{
			name: "plain, CRLF", keys: all, knownHosts: strings.ReplaceAll(line(name, ed.PublicKey()), "\n", "\r\n"),
			want: "ok",
		},
		{name: "name without port", keys: all, knownHosts: line("127.0.0.1", ed.PublicKey()), want: "ok"},
		{
			name: "name with port first", keys: all,
			knownHosts: line("127.0.0.1", ed.PublicKey()) + line(name, stranger.PublicKey()), want: "mismatch",
			offered: 1,
		},
		{name: "hashed", keys: all, knownHosts: line("HASH", ed.PublicKey()), want: "ok"},
		{
			name: "hashed, other key", keys: all, knownHosts: line("HASH", stranger.PublicKey()), want: "mismatch",
			offered: 1,
		},
		{name: "wildcard", keys: all, knownHosts: line("127.0.*", ed.PublicKey()), want: "ok"},
		{name: "wildcard with port", keys: all, knownHosts: line("[127.?.0.1]:*", ed.PublicKey()), want: "ok"},
		{
			name: "wildcard with exception", keys: all, knownHosts: line("127.*,!127.0.0.1", ed.PublicKey()),
			want: "unknown", offered: 1,
		},
		{
			name: "two keys of one type", keys: all,
			knownHosts: line(name, stranger.PublicKey()) + line(name, ed.PublicKey()), want: "ok",
		},
		{
			name: "one of two types changed", keys: all,
			knownHosts: line(name, stranger.PublicKey()) + line(name, rsa.PublicKey()), want: "ok",
		},
		{name: "other key", keys: all, knownHosts: line(name, stranger.PublicKey()), want: "mismatch", offered: 1},
		{
			name: "pinned type is gone", keys: []ssh.Signer{rsa, ec}, knownHosts: line(name, ed.PublicKey()),
			want: "mismatch", offered: 2,
		},
		{
			name: "other host only", keys: all, knownHosts: line("example.com", ed.PublicKey()), want: "unknown",
			offered: 1,
		},
		{name: "nothing", keys: all, want: "unknown", offered: 1},
		{
			name: "revoked", keys: all,
			knownHosts: line(name, ed.PublicKey()) + "@revoked " + line("*", ed.PublicKey()), want: "revoked",
			offered: 1,
		},
		{
			name: "revoked beats fingerprint", keys: all, knownHosts: "@revoked " + line("*", ed.PublicKey()),
			fingerprints: []string{sum(ed)}, want: "revoked", offered: 1,
		},
		{
			name: "authority", keys: []ssh.Signer{cert, rsa},
			knownHosts: "@cert-authority " + line("127.0.0.*", authority.PublicKey()), want: "ok",
		},
		{
			name: "authority, no certificate", keys: all,
			knownHosts: "@cert-authority " + line(name, authority.PublicKey()), want: "mismatch", offered: 3,
		},
		{
			name: "authority, expired", keys: []ssh.Signer{expired},
			knownHosts: "@cert-authority " + line(name, authority.PublicKey()), want: "mismatch", offered: 1,
		},
		{
			name: "other authority", keys: []ssh.Signer{cert},
			knownHosts: "@cert-authority " + line(name, stranger.PublicKey()), want: "mismatch", offered: 1,
		},
		{
			name: "authority revoked", keys: []ssh.Signer{cert},
			knownHosts: "@cert-authority " + line(name, authority.PublicKey()) + "@revoked " +
				line("*", authority.PublicKey()),
			want: "revoked", offered: 1,
		},
		{
			name: "certified key revoked", keys: []ssh.Signer{cert},
			knownHosts: "@cert-authority " + line(name, authority.PublicKey()) + "@revoked " +
				line("*", ed.PublicKey()),
			want: "revoked", offered: 1,
		},
		{
			name: "authority's key is no host key", keys: []ssh.Signer{authority},
			knownHosts: "@cert-authority " + line(name, authority.PublicKey()), want: "mismatch", offered: 1,
		},
		{name: "fingerprint of Ed25519", keys: all, fingerprints: []string{sum(ed)}, want: "ok"},
		{name: "fingerprint of ECDSA", keys: all, fingerprints: []string{sum(ec)}, want: "ok"},
		{name: "fingerprint of RSA", keys: all, fingerprints: []string{sum(rsa)}, want: "ok"},
		{name: "one of several fingerprints", keys: all, fingerprints: []string{sum(stranger), sum(rsa)}, want: "ok"},
		{
			name: "fingerprint of another", keys: all, fingerprints: []string{sum(stranger)}, want: "mismatch",
			offered: 3,
		},
		{
			name: "line wrong, fingerprint right", keys: all, knownHosts: line(name, stranger.PublicKey()),
			fingerprints: []string{sum(rsa)}, want: "ok",
		},
		{
			name: "line right, fingerprint wrong", keys: all, knownHosts: line(name, rsa.PublicKey()),
			fingerprints: []string{sum(stranger)}, want: "ok",
		},
		{
			name: "both wrong", keys: all, knownHosts: line(name, stranger.PublicKey()),
			fingerprints: []string{sum(authority)}, want: "mismatch", offered: 3,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{HostKeys: tt.keys})
			text := strings.NewReplacer("HASH", hash(s.Port()), "PORT", fmt.Sprint(s.Port())).Replace(tt.knownHosts)
			client, err := remote.Dial(t.Context(), hostOf(s), remote.Config{
				Signer: sshtest.Signer(t, "ed25519"), HostKeys: pins(t, text, tt.fingerprints...),
			})
			if client != nil {
				_ = client.Close()
			}
			if tt.want == "ok" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var refused *remote.HostKeyError
			if !errors.As(err, &refused) {
				t.Fatalf("Dial: %v, want a HostKeyError", err)
			}
			if refused.Revoked != (tt.want == "revoked") || refused.Unknown != (tt.want == "unknown") ||
				len(refused.Offered) != tt.offered {
				t.Errorf("revoked %t, unknown %t, %d offered; want %s, %d: %v", refused.Revoked, refused.Unknown,
					len(refused.Offered), tt.want, tt.offered, err)
			}
			wants := append([]string{hostOf(s).String()}, tt.fingerprints...)
			for _, key := range refused.Offered {
				if cert, ok := key.(*ssh.Certificate); ok {
					key = cert.Key
				}
				wants = append(wants, ssh.FingerprintSHA256(key))
			}
			if tt.want == "mismatch" {
				wants = append(append(wants, "expected", "offered", "attack"), refused.Expected...)
			}
			if tt.want == "revoked" {
				wants = []string{"@revoked", "attack"}
			}
			for _, want := range wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Dial: %v, want %q", err, want)
				}
			}
		})
	}
}

func TestUnknownHostPrintsALineThatWorks(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{HostKeys: []ssh.Signer{
		sshtest.Signer(t, "rsa"),
		sshtest.Signer(t, "ed25519"),
	}})
	_, err := remote.Dial(t.Context(), hostOf(s), remote.Config{
		Signer:   sshtest.Signer(t, "ed25519"),
		HostKeys: pins(t, ""),
	})
	var refused *remote.HostKeyError
	if !errors.As(err, &refused) || !refused.Unknown {
		t.Fatalf("Dial: %v, want an unknown host key", err)
	}
	pinned := refused.KnownHostsLine()
	if !strings.HasSuffix(err.Error(), "\n"+pinned) {
		t.Errorf("the error does not end in the line %q: %v", pinned, err)
	}
	if !strings.Contains(pinned, " ssh-ed25519 ") {
		t.Errorf("%q, want the Ed25519 key", pinned)
	}
	dialWith(t, s, remote.Config{Signer: sshtest.Signer(t, "ed25519"), HostKeys: pins(t, pinned)})
	_, line, _ := strings.Cut(pinned, " ")
	_, err = remote.Dial(t.Context(), hostOf(s), remote.Config{
		Signer:   sshtest.Signer(t, "ed25519"),
		HostKeys: pins(t, "web.example.com "+line),
	})
	if err == nil || !strings.Contains(err.Error(), "is not pinned (known-hosts has lines for other names and "+
		"addresses only)") {
		t.Errorf("with a line for another name: %v", err)
	}
}

// What is pinned for a host's alias goes before what is for its address, which may be another's by now.
func TestAnAliasGoesBeforeTheAddress(t *testing.T) {
	ed, stranger, authority := sshtest.Signer(t, "ed25519"), sshtest.Signer(t, "ed25519"), sshtest.Signer(t, "ed25519")
	named := &ssh.Certificate{
		Key: ed.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"i-0abc"}, ValidBefore: ssh.CertTimeInfinity,
	}
	if err := named.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	cert, err := ssh.NewCertSigner(named, ed)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		key        ssh.Signer
		knownHosts string
		want       string // of the error
	}{
		{"both", ed, line("i-0abc", ed.PublicKey()) + line("127.0.0.1", stranger.PublicKey()), ""},
		{"the address alone", ed, line("127.0.0.1", ed.PublicKey()) + line("i-0def", stranger.PublicKey()), ""},
		{
			"the address, and the alias is another", ed,
			line("127.0.0.1", ed.PublicKey()) + line("i-0abc", stranger.PublicKey()), "does not match",
		},
		{"a certificate for the alias", cert, "@cert-authority " + line("i-*", authority.PublicKey()), ""},
		{
			"a certificate for the address",
			certify(t, authority, ed, ssh.CertTimeInfinity), "@cert-authority " + line("*", authority.PublicKey()), "",
		},
		{"neither", ed, "", "put this line into known-hosts:\ni-0abc ssh-ed25519 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{HostKeys: []ssh.Signer{tt.key}})
			host := hostOf(s)
			host.Alias = "i-0abc"
			client, err := remote.Dial(t.Context(), host, remote.Config{
				Signer: sshtest.Signer(t, "ed25519"), HostKeys: pins(t, tt.knownHosts),
			})
			if client != nil {
				_ = client.Close()
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestInsecureHostKeysAcceptsAny(t *testing.T) {
	for _, kind := range sshtest.Kinds {
		s := sshtest.Start(t, sshtest.Options{HostKeys: []ssh.Signer{sshtest.Signer(t, kind)}})
		dialWith(t, s, remote.Config{Signer: sshtest.Signer(t, "ed25519"), HostKeys: remote.InsecureHostKeys()})
	}
}

func TestPinnedTypeTakesOneConnection(t *testing.T) {
	ed, rsa := sshtest.Signer(t, "ed25519"), sshtest.Signer(t, "rsa")
	s := sshtest.Start(t, sshtest.Options{HostKeys: []ssh.Signer{ed, rsa}})
	client := dialWith(t, s, remote.Config{Signer: ed, HostKeys: pins(t, line("127.0.0.1", rsa.PublicKey()))})
	if got := client.HostKey().Type(); got != ssh.KeyAlgoRSA {
		t.Errorf("host key %s, want the pinned RSA key", got)
	}
	if got := s.Accepted(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

func TestNewHostKeysReportsEveryFault(t *testing.T) {
	key := sshtest.Signer(t, "ed25519").PublicKey()
	tests := []struct {
		name         string
		knownHosts   string
		fingerprints []string
		want         []string
	}{
		{"no key", "example.com", nil, []string{"known_hosts line 1"}},
		{
			"fingerprint as line", "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDMQn1UmdtHA8G5e2E", nil,
			[]string{"line 1", "fingerprint, not a known_hosts line"},
		},
		{"damaged key", line("a", key) + "b ssh-ed25519 AAAA\n", nil, []string{"known_hosts line 2"}},
		{"unknown marker", "@trusted " + line("a", key), nil, []string{`line 1: unknown marker`}},
		{"unknown hash", line("|2|YWE=|YWE=", key), nil, []string{"hashed"}},
		{"salt", line("|1|!|YWE=", key), nil, []string{"salt"}},
		{"hash", line("|1|YWE=|!", key), nil, []string{"hash"}},
		{"MD5", "", []string{"MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48"}, []string{"want SHA256:"}},
		{
			"a typing error at the end", "",
			[]string{"SHA256:LbSqmhN90XvEkfUhq3XheJW8thFfstqJyP8BhX7XNWR"},
			[]string{"its last character can't be right"},
		},
		{"short", "", []string{"SHA256:abcd"}, []string{`fingerprint 1: want`, "43 characters"}},
		{"two at once", "example.com", []string{"nonsense"}, []string{"known_hosts line 1", `fingerprint 1: want`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := remote.NewHostKeys(tt.knownHosts, tt.fingerprints)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("NewHostKeys: %v, want %q", err, want)
				}
			}
		})
	}
}

func TestNewHostKeysAcceptsFingerprintsAsPrinted(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{HostKeys: []ssh.Signer{sshtest.Signer(t, "rsa")}})
	printed := ssh.FingerprintSHA256(sshtest.Signer(t, "rsa").PublicKey())
	for _, text := range []string{printed, " " + printed + "=\n", "2048 " + printed + " root@host (RSA)"} {
		dialWith(t, s, remote.Config{Signer: sshtest.Signer(t, "ed25519"), HostKeys: pins(t, "", "", text)})
	}
}
