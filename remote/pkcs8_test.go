package remote_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"testing"
)

// encryptPKCS8 writes what `openssl genpkey -aes256` writes (PBES2, PBKDF2 with
// HMAC-SHA256, AES-256-CBC). The real tools are asked in TestOpenSSHKeyForms.
func encryptPKCS8(tb testing.TB, der []byte, passphrase string) *pem.Block {
	tb.Helper()
	marshal := func(v any) []byte {
		tb.Helper()
		out, err := asn1.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		return out
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		tb.Fatal(err)
	}
	salt, iv := random[:16], random[16:]
	key, err := pbkdf2.Key(sha256.New, passphrase, salt, 64, 32)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		tb.Fatal(err)
	}
	padding := aes.BlockSize - len(der)%aes.BlockSize
	data := append(bytes.Clone(der), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)

	algorithm := func(oid asn1.ObjectIdentifier, params []byte) pkix.AlgorithmIdentifier {
		return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: params}}
	}
	kdf := marshal(struct {
		Salt       []byte
		Iterations int
		PRF        pkix.AlgorithmIdentifier
	}{salt, 64, algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, asn1.NullBytes)})
	scheme := marshal(struct{ KDF, Cipher pkix.AlgorithmIdentifier }{
		algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, kdf),
		algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, marshal(iv)),
	})
	box := marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}{algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, scheme), data})
	return &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: box}
}
