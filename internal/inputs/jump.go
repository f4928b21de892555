package inputs

import (
	"errors"
	"fmt"

	"github.com/clothesme/deploy-action/remote"
)

// setProxyJump reads the hosts on the way, in the order in which they are gone through, as
// OpenSSH's ProxyJump. Their keys come with the fields that follow.
func setProxyJump(p *parser, value string) error {
	for _, item := range items(value) {
		host, err := parseHost(item, p.values["username"], defaultJumpPort)
		if err != nil {
			return fmt.Errorf("%w %s", err, gotItem(value, item))
		}
		p.in.Jumps = append(p.in.Jumps, remote.Jump{Host: host, Signer: p.in.Signer})
	}
	return nil
}

// defaultJumpPort is not the input "port": that is about the host.
const defaultJumpPort = 22

var errNoJump = errors.New(`is for hosts on the way only: leave it out, or name them with the input "proxy-jump"`)

// setProxyJumpKey takes the key for all of them; without one it is the host's own key, with its
// certificate.
func setProxyJumpKey(p *parser, value string) error {
	switch {
	case value == "":
		return nil
	case p.values["proxy-jump"] == "":
		return errNoJump
	}
	signer, err := parseKey(p, value, "proxy-jump-passphrase")
	for i := range p.in.Jumps {
		p.in.Jumps[i].Signer = signer
	}
	return err
}

func setProxyJumpPassphrase(p *parser, value string) error {
	if value != "" && p.values["proxy-jump-key"] == "" {
		return errors.New(`is for the input "proxy-jump-key" only: leave it out, or give that key`)
	}
	return nil
}

// setProxyJumpFingerprint puts the host keys together. Lines of known-hosts say which host they are
// about, so they count for all; a fingerprint does not, so the host's does not vouch for those on
// the way, nor theirs for it.
func setProxyJumpFingerprint(p *parser, value string) error {
	if value != "" && p.values["proxy-jump"] == "" {
		return errNoJump
	}
	_, err := remote.NewHostKeys("", items(value))
	if err != nil || !p.good("known-hosts") {
		return err
	}
	hostKeys := p.in.HostKeys
	if !p.in.KeyInsecure {
		hostKeys, err = remote.NewHostKeys(p.values["known-hosts"], items(value))
	}
	for i := range p.in.Jumps {
		p.in.Jumps[i].HostKeys = hostKeys
	}
	return err
}
