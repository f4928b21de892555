package remote

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// What [ParseKey] may answer, with the likely reason wrapped around it.
var (
	ErrKeyUnreadable     = errors.New("not a private key")
	ErrPassphraseMissing = errors.New("the private key is encrypted and no passphrase was given")
	ErrPassphraseWrong   = errors.New("the passphrase does not open the private key")
)

// ParseKey reads an RSA, ECDSA or Ed25519 private key, in OpenSSH or PEM form
// (PKCS #1, SEC 1, PKCS #8), encrypted or not. It repairs what pasting does to
// a key: CRLF, a missing last newline, indentation, quotes, newlines that
// became spaces or the two characters \n.
//
// A passphrase for a key without one is ignored, as ssh does. RSA keys sign
// with SHA-2 only. No error contains any of the text.
func ParseKey(text, passphrase string) (ssh.Signer, error) {
	repaired := repairKeyText(text)
	block, _ := pem.Decode([]byte(repaired))
	if block == nil {
		return nil, fmt.Errorf("%w: %s", ErrKeyUnreadable, describeNonKey(repaired))
	}
	raw, err := parseBlock(block, []byte(repaired), passphrase)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%w that can be used: it is neither RSA, ECDSA (P-256, P-384, P-521) nor Ed25519",
			ErrKeyUnreadable)
	}
	if signer.PublicKey().Type() == "ssh-dss" {
		return nil, fmt.Errorf("%w that can be used: it is a DSA key, which OpenSSH no longer accepts",
			ErrKeyUnreadable)
	}
	return withoutSHA1(signer)
}

func parseBlock(block *pem.Block, text []byte, passphrase string) (any, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		return parseEncryptedPKCS8(block.Bytes, passphrase)
	}
	raw, err := ssh.ParseRawPrivateKey(text)
	var missing *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return raw, nil
	case !errors.As(err, &missing):
		return nil, fmt.Errorf("%w: %s", ErrKeyUnreadable, describeBlock(block.Type))
	case passphrase == "":
		return nil, ErrPassphraseMissing
	}
	raw, err = ssh.ParseRawPrivateKeyWithPassphrase(text, []byte(passphrase))
	if err == nil {
		return raw, nil
	}
	// Old PEM has no check sum: one wrong passphrase in 256 yields noise that
	// only the reader of the key behind it stumbles over.
	if errors.Is(err, x509.IncorrectPasswordError) || oldCipher(block) {
		return nil, ErrPassphraseWrong
	}
	return nil, fmt.Errorf("%w: its encryption is damaged or of an unknown kind", ErrKeyUnreadable)
}

// oldCipher tells whether an encrypted PEM block of before PKCS #8 can be read
// by crypto/x509 at all.
func oldCipher(block *pem.Block) bool {
	name, _, _ := strings.Cut(block.Headers["DEK-Info"], ",")
	switch name {
	case "DES-CBC", "DES-EDE3-CBC", "AES-128-CBC", "AES-192-CBC", "AES-256-CBC":
		return true
	}
	return false
}

// withoutSHA1 keeps an RSA key from signing with ssh-rsa, which is SHA-1
// (RFC 8332) and which OpenSSH refuses since 8.8.
func withoutSHA1(signer ssh.Signer) (ssh.Signer, error) {
	if signer.PublicKey().Type() != ssh.KeyAlgoRSA {
		return signer, nil
	}
	algorithmSigner, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("%w that can be used: it can not sign with SHA-2", ErrKeyUnreadable)
	}
	limited, err := ssh.NewSignerWithAlgorithms(algorithmSigner, []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512})
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	return sha2Signer{limited}, nil
}

// A sha2Signer does not fall back to ssh-rsa even when no algorithm is named.
type sha2Signer struct{ ssh.MultiAlgorithmSigner }

func (s sha2Signer) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, ssh.KeyAlgoRSASHA256)
}
