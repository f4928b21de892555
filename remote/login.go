package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// A login is one handshake: what was proved to us, and what we tried.
type login struct {
	ctx  context.Context //nolint:containedctx // of the attempt, for what the handshake asks for
	host Host
	cfg  Config

	mu       sync.Mutex
	accepted ssh.PublicKey
	tried    bool
	signer   ssh.Signer // that was tried
	failed   error      // why there was none
}

// A refusedError stops the handshake after the one key we have.
type refusedError struct {
	methods []string
	partial bool // the key was taken, and is not enough
}

func (e *refusedError) Error() string { return "login refused" }

var errNoPublicKey = errors.New("its sshd takes no public keys at all (PubkeyAuthentication no)")

func (l *login) config(algos []string) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		Config:            modern(),
		User:              l.host.User,
		HostKeyAlgorithms: algos,
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			if err := l.cfg.HostKeys.check(l.host, remote, key); err != nil {
				return err
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.accepted = key
			return nil
		},
		AuthCallback: func(auth *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
			if slices.Contains(auth.TriedMethods, "publickey") || !slices.Contains(auth.AllowedMethods, "publickey") {
				return nil, &refusedError{auth.AllowedMethods, slices.Contains(auth.PartialSuccessMethods, "publickey")}
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.signer = l.cfg.Signer
			if l.cfg.Login != nil {
				if l.signer, l.failed = l.cfg.Login(l.ctx, l.host); l.failed != nil {
					return nil, l.failed
				}
			}
			l.tried = true
			return ssh.PublicKeys(l.signer), nil
		},
	}
}

func (l *login) hostKey() ssh.PublicKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// noKey is why there was none to log in with, so far.
func (l *login) noKey() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// explain turns the library's error for a failed handshake into ours.
func (l *login) explain(w *wire, err error) error {
	l.mu.Lock()
	trusted, tried, signer, noKey := l.accepted != nil, l.tried, l.signer, l.failed
	l.mu.Unlock()
	if noKey != nil {
		if l.ctx.Err() != nil { // who makes keys may be faster the next time
			noKey = &PassingError{noKey}
		}
		return fmt.Errorf("log in to %s: %w", l.host, noKey)
	}

	failed := func(err error) error {
		return &DialError{Host: l.host, Kind: Handshake, Connected: true, Err: err}
	}
	passing := func(err error) error {
		return &DialError{Host: l.host, Kind: Handshake, Connected: true, Passing: true, Err: err}
	}
	words, isSSH := w.firstWords()
	switch {
	case !isSSH && words == "":
		return passing(fmt.Errorf("port %d closed the connection without a word: sshd may be starting, full "+
			"(MaxStartups) or blocking this address: %w", l.host.port(), err))
	// sshd's own words
	case !isSSH && (strings.Contains(words, "MaxStartups") || strings.Contains(words, "Not allowed at this time")):
		return passing(fmt.Errorf("port %d lets nobody more in at the moment: sshd says %q, since connections to it "+
			"are open that have not logged in (MaxStartups)", l.host.port(), words))
	case !isSSH:
		return failed(fmt.Errorf("port %d is not an SSH server: it says %q", l.host.port(), words))
	}
	var refused *refusedError
	wasRefused := errors.As(err, &refused)
	if trusted && !w.cut() && (wasRefused || tried) {
		if signer == nil {
			signer = l.cfg.Signer
		}
		if signer == nil { // none was asked for
			return &AuthError{Host: l.host.String(), Methods: refused.methods, Fresh: true, Err: errNoPublicKey}
		}
		key := signer.PublicKey()
		cert, _ := key.(*ssh.Certificate)
		e := &AuthError{
			Host: l.host.String(), KeyType: key.Type(), Fingerprint: ssh.FingerprintSHA256(plainKey(key)),
			Certificate: cert, Fresh: l.cfg.Login != nil,
		}
		if wasRefused {
			e.Methods, e.Partial = refused.methods, refused.partial
		} else {
			e.Err = err // such as "too many authentication failures"
		}
		return e
	}
	var nothingCommon *ssh.AlgorithmNegotiationError
	if errors.As(err, &nothingCommon) {
		return failed(&AlgorithmError{
			nothingCommon.What, nothingCommon.SupportedAlgorithms,
			nothingCommon.RequestedAlgorithms,
		})
	}
	if w.cut() {
		return passing(fmt.Errorf("the host ended the connection during the handshake: %w", err))
	}
	return failed(err)
}
