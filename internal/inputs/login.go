package inputs

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/remote"
)

// Access is by what key hosts are logged in to.
type Access string

// The keys.
const (
	WithKey         Access = "key"
	InstanceConnect Access = "instance-connect" // one that is made for each login
)

func setAccess(p *parser, value string) error {
	p.in.Access = Access(value)
	switch {
	case value != string(WithKey) && value != string(InstanceConnect):
		return fmt.Errorf("must be %q or %q %s", WithKey, InstanceConnect, got(value))
	case value == string(WithKey):
		return nil
	case slices.ContainsFunc(p.in.Hosts, isByName):
		return fmt.Errorf("must be \"key\" where the input \"host\" has names or addresses: AWS lets keys in on instances "+
			"by their ids, so write these there, such as \"i-0123456789abcdef0\" %s", got(value))
	case p.values["proxy-jump"] != "" && p.values["proxy-jump-key"] == "":
		return fmt.Errorf("needs the input \"proxy-jump-key\" for the hosts of proxy-jump, which is by default the input "+
			"\"key\", and there is none %s", got(value))
	}
	return nil
}

var (
	errNoKey = errors.New("is required: pass the private key, such as ${{ secrets.DEPLOY_KEY }} (a secret that does not " +
		"exist, or that a workflow from a fork may not see, is empty)")
	errNoKeyOutside = errors.New("is required: name the file of the private key with --key-file, or set the environment " +
		"variable to its text")
)

func setKey(p *parser, value string) (err error) {
	connects := p.values["access"] == string(InstanceConnect)
	switch {
	case value == "" && connects:
		return nil
	case value == "" && p.in.Outside:
		return errNoKeyOutside
	case value == "":
		return errNoKey
	case connects:
		return errors.New("is not for access \"instance-connect\", by which a key is made for each login: leave one of " +
			"the two out")
	}
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
	if value != "" && p.values["access"] == string(InstanceConnect) {
		return errOfKey
	}
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

// setPassphrase has little to do: the passphrase was tried on the key.
func setPassphrase(p *parser, value string) error {
	if value != "" && p.values["access"] == string(InstanceConnect) {
		return errOfKey
	}
	return nil
}

var errOfKey = errors.New(`is for the input "key" only, which access "instance-connect" has no use for: leave it out`)

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
			return errors.New(`must not be "true" when known-hosts, fingerprint or proxy-jump-fingerprint is given: ` +
				"remove this or those")
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
