package sshtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Kinds are the kinds of key that [Key] makes.
var Kinds = []string{"ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa"}

// rsaKeys are made once, since an RSA key may take a second.
var rsaKeys = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// Key returns a new private key; of kind "rsa" always the same one.
func Key(tb testing.TB, kind string) crypto.Signer {
	tb.Helper()
	var (
		key crypto.Signer
		err error
	)
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa-256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ecdsa-521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "rsa":
		key, err = rsaKeys()
	default:
		tb.Fatalf("unknown kind of key %q", kind)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// Signer returns [Key] for use with SSH.
func Signer(tb testing.TB, kind string) ssh.Signer {
	tb.Helper()
	signer, err := ssh.NewSignerFromSigner(Key(tb, kind))
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}
