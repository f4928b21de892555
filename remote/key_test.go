package remote_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

const passphrase = "correct horse"

// keyText writes a key in one of the forms that users have; "" when the form
// does not exist for the kind.
func keyText(tb testing.TB, key crypto.Signer, form, passphrase string) string {
	tb.Helper()
	var (
		block *pem.Block
		err   error
	)
	switch form {
	case "openssh":
		if passphrase != "" {
			block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "test", []byte(passphrase))
		} else {
			block, err = ssh.MarshalPrivateKey(key, "test")
		}
	case "pkcs8":
		var der []byte
		der, err = x509.MarshalPKCS8PrivateKey(key)
		block = &pem.Block{Type: "PRIVATE KEY", Bytes: der}
		if passphrase != "" {
			block = encryptPKCS8(tb, der, passphrase)
		}
	case "pem":
		switch key := key.(type) {
		case *rsa.PrivateKey:
			block = &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
		case *ecdsa.PrivateKey:
			var der []byte
			der, err = x509.MarshalECPrivateKey(key)
			block = &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
		case ed25519.PrivateKey:
			return ""
		}
		if passphrase != "" {
			//nolint:staticcheck // weak, but EC2 and old ssh-keygen have written such keys
			block, err = x509.EncryptPEMBlock(rand.Reader, block.Type, block.Bytes, []byte(passphrase),
				x509.PEMCipherAES128)
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

func TestParseKeyReadsEveryKindAndForm(t *testing.T) {
	for _, kind := range sshtest.Kinds {
		for _, form := range []string{"openssh", "pkcs8", "pem"} {
			key := sshtest.Key(t, kind)
			public, err := ssh.NewPublicKey(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			plain := keyText(t, key, form, "")
			if plain == "" {
				continue
			}
			type test struct {
				name, text, passphrase string
				want                   error
			}
			tests := []test{
				{"plain", plain, "", nil},
				{"plain, passphrase not needed", plain, passphrase, nil},
			}
			// The key derivation of the OpenSSH form takes seconds with -race:
			// the other kinds are left to TestOpenSSHKeyForms, which can make
			// it cheap.
			if form != "openssh" || kind == "ed25519" {
				encrypted := keyText(t, key, form, passphrase)
				tests = append(tests,
					test{"encrypted", encrypted, passphrase, nil},
					test{"encrypted, no passphrase", encrypted, "", remote.ErrPassphraseMissing},
					test{"encrypted, wrong passphrase", encrypted, "wrong", remote.ErrPassphraseWrong})
			}
			for _, tt := range tests {
				t.Run(kind+"/"+form+"/"+tt.name, func(t *testing.T) {
					signer, err := remote.ParseKey(tt.text, tt.passphrase)
					if !errors.Is(err, tt.want) {
						t.Fatalf("ParseKey: %v, want %v", err, tt.want)
					}
					if tt.want != nil {
						return
					}
					if !bytes.Equal(signer.PublicKey().Marshal(), public.Marshal()) {
						t.Error("ParseKey returned another key")
					}
					sig, err := signer.Sign(rand.Reader, []byte("data"))
					if err != nil || signer.PublicKey().Verify([]byte("data"), sig) != nil {
						t.Errorf("the key does not sign: %v", err)
					}
					if sig != nil && sig.Format == ssh.KeyAlgoRSA {
						t.Error("the key signs with SHA-1")
					}
				})
			}
		}
	}
}

func TestParseKeySignsWithSHA2Only(t *testing.T) {
	signer, err := remote.ParseKey(keyText(t, sshtest.Key(t, "rsa"), "pem", ""), "")
	if err != nil {
		t.Fatal(err)
	}
	multi, ok := signer.(ssh.MultiAlgorithmSigner)
	if !ok {
		t.Fatal("the signer does not say its algorithms")
	}
	want := []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
	if got := multi.Algorithms(); !slices.Equal(got, want) {
		t.Errorf("algorithms %v, want %v", got, want)
	}
}

func TestParseKeyRepairs(t *testing.T) {
	key := sshtest.Key(t, "ed25519")
	texts := map[string]string{
		"openssh":       keyText(t, key, "openssh", ""),
		"pkcs8":         keyText(t, key, "pkcs8", ""),
		"encrypted pem": keyText(t, sshtest.Key(t, "ecdsa-256"), "pem", passphrase),
	}
	tests := []struct {
		name   string
		damage func(string) string
	}{
		{"CRLF", func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }},
		{"CR", func(s string) string { return strings.ReplaceAll(s, "\n", "\r") }},
		{"no last newline", func(s string) string { return strings.TrimRight(s, "\n") }},
		{"blanks around", func(s string) string { return "\n \t" + s + "\n\n  " }},
		{"indented", func(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }},
		{"blanks at line ends", func(s string) string { return strings.ReplaceAll(s, "\n", "  \n") }},
		{"literal backslash n", func(s string) string { return strings.ReplaceAll(s, "\n", `\n`) }},
		{"literal backslash r n", func(s string) string { return strings.ReplaceAll(s, "\n", `\r\n`) }},
		{"quoted", func(s string) string { return `"` + s + `"` }},
		{"byte order mark", func(s string) string { return "\uFEFF" + s }},
		{"text around", func(s string) string { return "Bag Attributes\n" + s + "done\n" }},
	}
	for form, text := range texts {
		for _, tt := range tests {
			t.Run(form+"/"+tt.name, func(t *testing.T) {
				if _, err := remote.ParseKey(tt.damage(text), passphrase); err != nil {
					t.Error(err)
				}
			})
		}
	}
	t.Run("newlines became spaces", func(t *testing.T) {
		if _, err := remote.ParseKey(strings.ReplaceAll(texts["openssh"], "\n", " "), ""); err != nil {
			t.Error(err)
		}
	})
}

func TestParseKeySaysWhatItSees(t *testing.T) {
	key := sshtest.Key(t, "ed25519")
	text := keyText(t, key, "openssh", "")
	lines := strings.Split(text, "\n")
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, text, want string }{
		{"empty", " \n", "it is empty"},
		{"public key", string(ssh.MarshalAuthorizedKey(public)), "public key"},
		{
			"public key in PEM", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicPEM})),
			"public key",
		},
		{"PuTTY", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", ".ppk"},
		{"path", "~/.ssh/id_ed25519", "path of a file"},
		{"path of a pem", "my-key.pem", "path of a file"},
		{"no END line", strings.Join(lines[:3], "\n"), "no -----END line"},
		{"no BEGIN line", strings.Join(lines[1:], "\n"), "no -----BEGIN line"},
		{"body of blanks", lines[0] + "\n!!!\n" + lines[len(lines)-2], "damaged"},
		{"damaged", strings.Replace(text, lines[2], "", 1), "damaged"},
		{"base64 of a key", base64.StdEncoding.EncodeToString([]byte(text)), "base64-encoded once more"},
		{"certificate", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), "certificate"},
		{
			"unknown block", string(pem.EncodeToMemory(&pem.Block{Type: "PGP PRIVATE KEY", Bytes: []byte("x")})),
			"unknown",
		},
		{
			"encrypted noise",
			string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})), "unknown kind",
		},
		{
			"unknown cipher",
			"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: ROT13-CBC,00\n\nYWJj\n-----END RSA " +
				"PRIVATE KEY-----",
			"unknown kind",
		},
		{"prose", "hunter2 is not a key", "starts with a line -----BEGIN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := remote.ParseKey(tt.text, passphrase)
			if !errors.Is(err, remote.ErrKeyUnreadable) {
				t.Fatalf("ParseKey: %v, want ErrKeyUnreadable", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseKey: %v, want %q", err, tt.want)
			}
			for _, line := range strings.Split(tt.text, "\n") {
				if len(line) > 4 && strings.Contains(err.Error(), strings.TrimSpace(line)) {
					t.Errorf("the error repeats the text: %v", err)
				}
			}
		})
	}
}

// Old PEM notices a wrong passphrase by its padding only, which one in 256
// passes: the noise behind it must read as a wrong passphrase too.
func TestParseKeyTakesNoiseForAWrongPassphrase(t *testing.T) {
	key := sshtest.Key(t, "ecdsa-256")
	for _, form := range []string{"pem", "pkcs8"} {
		text := keyText(t, key, form, passphrase)
		for i := range 600 {
			_, err := remote.ParseKey(text, "wrong"+strings.Repeat("x", i%60)+string(rune('a'+i/60)))
			if !errors.Is(err, remote.ErrPassphraseWrong) {
				t.Fatalf("%s: %v, want ErrPassphraseWrong", form, err)
			}
		}
	}
}
