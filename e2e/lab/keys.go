package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// KeyKind is a type of SSH key, as ssh-keygen -t names it.
type KeyKind string

// The kinds of key that people have.
const (
	Ed25519 KeyKind = "ed25519"
	ECDSA   KeyKind = "ecdsa"
	RSA     KeyKind = "rsa"
)

// KeyFormat is how the private key is written, as ssh-keygen -m names it.
type KeyFormat string

// OpenSSH is what ssh-keygen writes today, PEM what it and EC2 wrote for years (PKCS#1, SEC 1). An
// Ed25519 key has no PEM form.
const (
	OpenSSH KeyFormat = "RFC4716"
	PEM     KeyFormat = "PEM"
	PKCS8   KeyFormat = "PKCS8"
)

// Key is a login key, made for this lab.
type Key struct {
	Private     string // the text of the private key file
	Public      string // one line, as authorized_keys has it
	Fingerprint string // SHA256:…

	kind       KeyKind
	format     KeyFormat
	passphrase string
}

// Key makes a login key with real ssh-keygen; the same arguments give the same key. Hosts made
// later let it in.
func (l *Lab) Key(ctx context.Context, kind KeyKind, format KeyFormat, passphrase string) (*Key, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range l.keys {
		if key.kind == kind && key.format == format && key.passphrase == passphrase {
			return key, nil
		}
	}
	key, err := newKey(ctx, kind, format, passphrase)
	if err != nil {
		return nil, fmt.Errorf("make %s key: %w", kind, err)
	}
	l.keys = append(l.keys, key)
	return key, nil
}

// StrangerKey makes a login key that no host lets in.
func StrangerKey(ctx context.Context) (*Key, error) { return newKey(ctx, Ed25519, OpenSSH, "") }

func newKey(ctx context.Context, kind KeyKind, format KeyFormat, passphrase string) (_ *Key, err error) {
	dir, err := os.MkdirTemp("", "lab-key-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "key")
	args := []string{"-q", "-t", string(kind), "-m", string(format), "-N", passphrase, "-C", "lab", "-f", file}
	if out, err := exec.CommandContext(ctx, "ssh-keygen", args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	private, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(file + ".pub")
	if err != nil {
		return nil, err
	}
	fingerprint, err := fingerprintOf(string(public))
	if err != nil {
		return nil, err
	}
	return &Key{
		Private: string(private), Public: strings.TrimSpace(string(public)), Fingerprint: fingerprint,
		kind: kind, format: format, passphrase: passphrase,
	}, nil
}
