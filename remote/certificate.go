package remote

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// What [WithCertificate] may answer, with the reason wrapped around it.
var (
	ErrCertificateUnreadable = errors.New("not an OpenSSH user certificate")
	ErrCertificateKey        = errors.New("the certificate is for another key")
	ErrCertificateExpired    = errors.New("the certificate has expired")
)

// WithCertificate returns a signer that logs in with an OpenSSH user
// certificate for the key, as `ssh-keygen -s` writes it to key-cert.pub.
//
// A certificate that has expired by now is refused here; one that is not valid
// yet is for the host to judge, whose clock counts.
func WithCertificate(key ssh.Signer, text string, now time.Time) (ssh.Signer, error) {
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(text)))
	if err != nil {
		return nil, fmt.Errorf("%w: it is one line such as \"ssh-ed25519-cert-v01@openssh.com AAAA…\", the content "+
			"of the file that ends in -cert.pub", ErrCertificateUnreadable)
	}
	cert, ok := public.(*ssh.Certificate)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: it is a public key; give the file that ends in -cert.pub", ErrCertificateUnreadable)
	case cert.CertType != ssh.UserCert:
		return nil, fmt.Errorf("%w: it is a host's", ErrCertificateUnreadable)
	case !sameKey(cert.Key, key.PublicKey()):
		return nil, fmt.Errorf("%w: it is for %s, and the private key is %s", ErrCertificateKey, describeKey(cert.Key),
			describeKey(key.PublicKey()))
	case expired(cert, now):
		return nil, fmt.Errorf("%w: it was valid until %s", ErrCertificateExpired, certTime(cert.ValidBefore))
	}
	signer, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificateUnreadable, err)
	}
	return signer, nil
}

func expired(cert *ssh.Certificate, now time.Time) bool {
	return cert.ValidBefore != ssh.CertTimeInfinity && now.Unix() >= 0 && uint64(now.Unix()) >= cert.ValidBefore
}

func certTime(seconds uint64) string {
	if seconds == ssh.CertTimeInfinity || seconds > 1<<40 {
		return "ever"
	}
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

// certFaults says why a host may refuse the certificate for this user, as far
// as can be told from here.
func certFaults(cert *ssh.Certificate, user string, now time.Time) []string {
	var faults []string
	if expired(cert, now) {
		faults = append(faults, "it expired at "+certTime(cert.ValidBefore))
	}
	if cert.ValidAfter > 0 && now.Unix() >= 0 && uint64(now.Unix()) < cert.ValidAfter {
		faults = append(faults, "it is not valid before "+certTime(cert.ValidAfter))
	}
	switch {
	case len(cert.ValidPrincipals) == 0:
		faults = append(faults, "it names no principal (sign it with ssh-keygen -n "+user+")")
	case !slices.Contains(cert.ValidPrincipals, user):
		faults = append(faults, fmt.Sprintf("it is for %s, not for user %q, unless the host maps principals",
			quoted(cert.ValidPrincipals), user))
	}
	if from, ok := cert.CriticalOptions["source-address"]; ok {
		faults = append(faults, fmt.Sprintf("it is good from %q only", from))
	}
	return faults
}

func quoted(list []string) string {
	texts := make([]string, len(list))
	for i, text := range list {
		texts[i] = fmt.Sprintf("%q", text)
	}
	return names(texts)
}
