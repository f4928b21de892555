package lab

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// HostKeys are the public keys of the host's sshd: Ed25519, ECDSA and RSA.
func (h *Host) HostKeys() []ssh.PublicKey { return h.hostKeys }

// KnownHosts are the lines that pin the host, one for each of its keys, as ssh-keyscan prints them.
func (h *Host) KnownHosts() string {
	var lines strings.Builder
	for _, key := range h.hostKeys {
		lines.WriteString(h.IP + " " + string(ssh.MarshalAuthorizedKey(key)))
	}
	return lines.String()
}

// KnownHost is the line for one type of key, such as "ssh-ed25519"; empty when the host has none.
func (h *Host) KnownHost(keyType string) string {
	for _, key := range h.hostKeys {
		if key.Type() == keyType {
			return h.IP + " " + string(ssh.MarshalAuthorizedKey(key))
		}
	}
	return ""
}

// Fingerprints are the SHA256:… forms of the host's keys, by type.
func (h *Host) Fingerprints() map[string]string {
	prints := make(map[string]string)
	for _, key := range h.hostKeys {
		prints[key.Type()] = ssh.FingerprintSHA256(key)
	}
	return prints
}

// Authorize lets keys log in, besides those that were let in before.
func (h *Host) Authorize(ctx context.Context, keys ...*Key) error {
	var lines strings.Builder
	for _, key := range keys {
		lines.WriteString(key.Public + "\n")
	}
	const script = `umask 077 && cat >>~/.ssh/authorized_keys`
	if _, err := h.execWith(ctx, h.User, lines.String(), script); err != nil {
		return fmt.Errorf("authorize keys: %w", err)
	}
	return nil
}

// readHostKeys takes the keys from the host itself, not over the network.
func (h *Host) readHostKeys(ctx context.Context) error {
	out, err := h.Exec(ctx, "cat /etc/ssh/ssh_host_*_key.pub")
	if err != nil {
		return fmt.Errorf("read host keys: %w", err)
	}
	for line := range strings.Lines(out) {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return fmt.Errorf("read host keys: %w", err)
		}
		h.hostKeys = append(h.hostKeys, key)
	}
	if len(h.hostKeys) == 0 {
		return fmt.Errorf("read host keys: %q has none", h.Name)
	}
	return nil
}

func fingerprintOf(line string) (string, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return "", fmt.Errorf("parse public key: %w", err)
	}
	return ssh.FingerprintSHA256(key), nil
}
