package inputs

import (
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/remote"
)

func setKey(p *parser, value string) (err error) {
	p.in.Signer, err = parseKey(p, value, "passphrase")
	return err
}

// parseKey reports what is wrong with the passphrase under the name of its own input.
func parseKey(p *parser, value, passphrase string) (ssh.Signer, error) {
	signer, err := remote.ParseKey(value, p.values[passphrase])
	switch {
	case errors.Is(err, remote.ErrPassphraseMissing):
		fault := errors.New("is required: the private key is encrypted; pass its passphrase, such as ${{ " +
			"secrets.SSH_PASSPHRASE }}")
		if p.in.Outside {
			fault = errors.New("is required: the private key is encrypted; set the environment variable to its passphrase")
		}
		p.fault(passphrase, fault)
		err = nil
	case errors.Is(err, remote.ErrPassphraseWrong):
		p.fault(passphrase, errors.New("must be the one of the private key: it does not open it"))
		err = nil
	}
	return signer, err
}

// setCertificate comes after setKey, whose key the certificate is for.
func setCertificate(p *parser, value string) error {
	if value == "" || p.in.Signer == nil {
		return nil
	}
	signer, err := remote.WithCertificate(p.in.Signer, value, time.Now())
	if err != nil {
		return err
	}
	p.in.Signer = signer
	return nil
}

// setPassphrase has nothing to do: the passphrase was tried on the key.
func setPassphrase(*parser, string) error { return nil }

// setKnownHosts only checks: host keys are put together when the last of their inputs is there.
func setKnownHosts(_ *parser, value string) error {
	_, err := remote.NewHostKeys(value, nil)
	return err
}

func setFingerprint(_ *parser, value string) error {
	_, err := remote.NewHostKeys("", items(value))
	return err
}

func setInsecure(p *parser, value string) error {
	insecure, err := boolean(value)
	if err != nil {
		return err
	}
	knownHosts, fingerprints := p.values["known-hosts"], items(p.values["fingerprint"])
	if insecure {
		if knownHosts != "" || len(fingerprints) > 0 || p.values["proxy-jump-fingerprint"] != "" {
			return errors.New(`must not be "true" when known-hosts, fingerprint or proxy-jump-fingerprint is given: remove this or those`)
		}
		p.in.KeyInsecure = true
		p.in.HostKeys = remote.InsecureHostKeys()
		return nil
	}
	if p.good("known-hosts") && p.good("fingerprint") {
		p.in.HostKeys, err = remote.NewHostKeys(knownHosts, fingerprints)
	}
	return err
}
