package remote

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// HostKeys decides which host may be talked to. It is never changed after it
// was made, so hosts and goroutines may share one.
type HostKeys struct {
	lines        []knownLine
	fingerprints []string
	insecure     bool
}

// NewHostKeys pins hosts by known_hosts lines (plain, hashed, with wildcards or
// ports, @cert-authority, @revoked) and by fingerprints as `ssh-keygen -l`
// prints them, of any type of key. Either one matching is enough; a @revoked
// key is always refused. With neither, every host is refused with a
// [HostKeyError] that holds the line to pin. Every fault is reported at once.
func NewHostKeys(knownHosts string, fingerprints []string) (*HostKeys, error) {
	lines, err := parseKnownHosts(knownHosts)
	faults := []error{err}
	hk := &HostKeys{lines: lines}
	for i, text := range fingerprints {
		if strings.TrimSpace(text) == "" {
			continue
		}
		fingerprint, err := parseFingerprint(text)
		if err != nil {
			// It is not repeated: it may be a secret in the wrong place.
			faults = append(faults, fmt.Errorf("fingerprint %d: %w", i+1, err))
			continue
		}
		hk.fingerprints = append(hk.fingerprints, fingerprint)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return hk, nil
}

// knows tells whether anything is pinned that a host may prove to be.
func (hk *HostKeys) knows(host Host) bool {
	return hk.insecure || len(hk.fingerprints) > 0 || len(linesFor(hk.lines, host)) > 0
}

// with returns the same, and what known_hosts lines pin.
func (hk *HostKeys) with(knownHosts string) (*HostKeys, error) {
	lines, err := parseKnownHosts(knownHosts)
	if err != nil {
		return nil, err
	}
	return &HostKeys{lines: append(slices.Clone(hk.lines), lines...)}, nil
}

// InsecureHostKeys accepts whatever answers. Anybody on the way can then read
// and change everything; it is for those who ask for it by name.
func InsecureHostKeys() *HostKeys { return &HostKeys{insecure: true} }

// parseFingerprint takes SHA256:… alone or out of a line of `ssh-keygen -l`.
func parseFingerprint(text string) (string, error) {
	for _, word := range strings.Fields(text) {
		encoded, ok := strings.CutPrefix(word, "SHA256:")
		if !ok {
			continue
		}
		encoded = strings.TrimRight(encoded, "=")
		sum, err := base64.RawStdEncoding.Strict().DecodeString(encoded)
		if len(encoded) == 43 && err != nil && base64Only(encoded) { // the last of them has two bits to spare
			return "", errors.New("its last character can't be right: copy it again")
		}
		if err != nil || len(sum) != 32 {
			return "", errors.New("want SHA256: and 43 characters of base64")
		}
		return "SHA256:" + encoded, nil
	}
	return "", errors.New("want SHA256:…, as `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints it")
}

func base64Only(s string) bool {
	_, err := base64.RawStdEncoding.DecodeString(s)
	return err == nil
}

// algorithms returns what to ask the host for, so that a host with several
// keys shows a pinned one. A fingerprint does not tell its type, so with one
// every type may be asked for, the pinned types first.
func (hk *HostKeys) algorithms(host Host) []string {
	var algos []string
	found := linesFor(hk.lines, host)
	if slices.ContainsFunc(found, func(l knownLine) bool { return l.marker == markerAuthority }) {
		algos = certAlgorithms()
	}
	pinned := func(keyType string) bool {
		return slices.ContainsFunc(found, func(l knownLine) bool {
			return l.marker == "" && l.key.Type() == keyType
		})
	}
	algos = append(algos, plainAlgorithms(pinned)...)
	if len(hk.fingerprints) > 0 || len(found) == 0 {
		algos = append(algos, plainAlgorithms(func(keyType string) bool { return !pinned(keyType) })...)
	}
	return algos
}

// check returns nil or a *HostKeyError for the key that addr has shown.
func (hk *HostKeys) check(host Host, remote net.Addr, key ssh.PublicKey) error {
	if hk.insecure {
		return nil
	}
	found := linesFor(hk.lines, host)
	refusal := &HostKeyError{Host: host, Offered: []ssh.PublicKey{key}, Expected: hk.expected(found)}
	if hk.revoked(key) {
		refusal.Revoked = true
		return refusal
	}
	if slices.Contains(hk.fingerprints, ssh.FingerprintSHA256(plainKey(key))) {
		return nil
	}
	if len(hk.fingerprints) == 0 && len(found) == 0 {
		refusal.Unknown, refusal.Others = true, len(hk.lines) > 0
		return refusal
	}
	checker := ssh.CertChecker{
		IsHostAuthority: func(authority ssh.PublicKey, _ string) bool {
			return slices.ContainsFunc(found, func(l knownLine) bool {
				return l.marker == markerAuthority && sameKey(l.key, authority)
			})
		},
		IsRevoked: func(cert *ssh.Certificate) bool { return hk.revoked(cert) },
		HostKeyFallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			for _, l := range found {
				if l.marker == "" && sameKey(l.key, key) {
					return nil
				}
			}
			return errors.New("no line holds this key")
		},
	}
	err := checker.CheckHostKey(host.Addr(), remote, key)
	if err != nil && host.Alias != "" { // a certificate may be for what it is, not for where it is
		if checker.CheckHostKey(net.JoinHostPort(host.Alias, strconv.Itoa(host.port())), remote, key) == nil {
			return nil
		}
	}
	if err != nil {
		if _, ok := key.(*ssh.Certificate); ok {
			refusal.Err = err
		}
		return refusal
	}
	return nil
}

// revoked tells whether the key, or any key a certificate rests on, is revoked.
func (hk *HostKeys) revoked(key ssh.PublicKey) bool {
	keys := []ssh.PublicKey{plainKey(key)}
	if cert, ok := key.(*ssh.Certificate); ok {
		keys = append(keys, cert.SignatureKey)
	}
	return slices.ContainsFunc(hk.lines, func(l knownLine) bool {
		return l.marker == markerRevoked && slices.ContainsFunc(keys, func(k ssh.PublicKey) bool {
			return sameKey(k, plainKey(l.key))
		})
	})
}

func (hk *HostKeys) expected(found []knownLine) []string {
	var want []string
	for _, l := range found {
		text := describeKey(l.key)
		if l.marker == markerAuthority {
			text = "a certificate by " + text
		}
		want = append(want, text)
	}
	return append(want, hk.fingerprints...)
}

func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

func describeKey(key ssh.PublicKey) string {
	return key.Type() + " " + ssh.FingerprintSHA256(plainKey(key))
}
