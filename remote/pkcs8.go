package remote

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"hash"
)

// The few schemes in use: RFC 8018 (PBES2, PBKDF2) and NIST's AES-CBC. Neither
// crypto/x509 nor x/crypto/ssh reads an encrypted PKCS #8 key, which is what
// `ssh-keygen -m PKCS8` and `openssl genpkey -aes256` write.
var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}

	keySizes = map[string]int{
		"2.16.840.1.101.3.4.1.2":  16,
		"2.16.840.1.101.3.4.1.22": 24,
		"2.16.840.1.101.3.4.1.42": 32,
	}
	hmacHashes = map[string]func() hash.Hash{
		"":                    sha1.New, // RFC 8018: the default, which OpenSSL before 1.1 writes
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
	}
)

// maxIterations bounds the work a key can ask for; ssh-keygen writes 2048.
const maxIterations = 10_000_000

type encryptedPKCS8 struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct {
	KDF    pkix.AlgorithmIdentifier
	Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

func parseEncryptedPKCS8(der []byte, passphrase string) (any, error) {
	unknown := fmt.Errorf("%w: its encryption is damaged or of an unknown kind", ErrKeyUnreadable)
	if passphrase == "" {
		return nil, ErrPassphraseMissing
	}
	var (
		box    encryptedPKCS8
		scheme pbes2Params
		kdf    pbkdf2Params
		iv     []byte
	)
	if _, err := asn1.Unmarshal(der, &box); err != nil || !box.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, unknown
	}
	if _, err := asn1.Unmarshal(box.Algorithm.Parameters.FullBytes, &scheme); err != nil ||
		!scheme.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, unknown
	}
	if _, err := asn1.Unmarshal(scheme.KDF.Parameters.FullBytes, &kdf); err != nil || kdf.Iterations < 1 ||
		kdf.Iterations > maxIterations {
		return nil, unknown
	}
	if _, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil || len(iv) != aes.BlockSize {
		return nil, unknown
	}
	size, newHash := keySizes[scheme.Cipher.Algorithm.String()], hmacHashes[kdf.PRF.Algorithm.String()]
	if size == 0 || newHash == nil || len(box.Data) == 0 || len(box.Data)%aes.BlockSize != 0 {
		return nil, unknown
	}
	key, err := pbkdf2.Key(newHash, passphrase, kdf.Salt, kdf.Iterations, size)
	if err != nil {
		return nil, unknown
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, unknown
	}
	plain := make([]byte, len(box.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, box.Data)
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, ErrPassphraseWrong
	}
	raw, err := x509.ParsePKCS8PrivateKey(plain[:len(plain)-padding])
	if err != nil {
		return nil, ErrPassphraseWrong
	}
	return raw, nil
}
