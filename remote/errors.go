package remote

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

var (
	// ErrNoExitStatus is inside a [LostError] when the session ended in order
	// but the host never said how the command did (RFC 4254, 6.10 allows it).
	ErrNoExitStatus = errors.New("the session ended without an exit status")
	// ErrClosed is inside whatever was cut short by this side's Close.
	ErrClosed = errors.New("closed here")
	// ErrLeave is wrapped by the cause of a context that ends the wait for a [Turn] and not the turn.
	// It is inside the [LostError] of that, too.
	ErrLeave = errors.New("it goes on on the host")
	// ErrKeepalive is inside a [LostError] when the host stopped answering.
	ErrKeepalive = errors.New("the host stopped answering keepalives")
)

// ExitError is the host's no: the command ran and ended like this.
type ExitError struct {
	Code   int    // 1 to 255; 128 and the number for a signal that POSIX numbers, else 128
	Signal string // without SIG, "" when the command ended by itself
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "ended by signal " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// LostError means that nobody knows how the command did.
type LostError struct {
	Started bool // false: the command never reached the host
	Err     error
}

func (e *LostError) Error() string {
	if !e.Started {
		return fmt.Sprintf("command not started: %v", e.Err)
	}
	return fmt.Sprintf("outcome of the command unknown: %v", e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// DialKind is the stage at which a host could not be reached.
type DialKind int

// The kinds of [DialError].
const (
	Resolve     DialKind = iota + 1 // the name has no address
	Refused                         // the port is closed
	Timeout                         // nothing answered within Config.ConnectTimeout
	Unreachable                     // no route, or any other failure to connect
	Handshake                       // connected, but no SSH session came of it
)

// DialError means that no SSH connection came about; nothing was run.
type DialError struct {
	Host      Host
	Kind      DialKind
	Connected bool   // TCP was up: a Timeout is then not a matter of firewalls
	Passing   bool   // as of a host that is busy or starting: another try may get through
	Via       string // what is on the way and was to connect to it, "" for this machine
	Err       error
}

func (e *DialError) Error() string {
	prefix := fmt.Sprintf("connect to %s: ", e.Host)
	switch e.Kind {
	case Resolve:
		return prefix + fmt.Sprintf("the name %q does not resolve: %v", e.Host.Name, e.Err)
	case Refused:
		return prefix + fmt.Sprintf("refused: the host is up, but nothing listens on port %d: sshd is down or "+
			"listens on another port", e.Host.port())
	case Timeout:
		if e.Connected {
			return prefix + fmt.Sprintf("%v: port %d accepts connections but does not speak SSH in time: another "+
				"service may listen there, or the host is overloaded", e.Err, e.Host.port())
		}
		from := e.Via
		if from == "" {
			from = "this machine"
		}
		return prefix + fmt.Sprintf("%v: usually the security group (or another firewall) does not let %s in on "+
			"port %d; else the address is wrong or the host is down", e.Err, from, e.Host.port())
	}
	if e.Kind == Unreachable && e.Via == "" {
		return prefix + fmt.Sprintf("%v: the address is wrong, the host is down, or no way leads to its network "+
			"from here", e.Err)
	}
	return prefix + e.Err.Error()
}

func (e *DialError) Unwrap() error { return e.Err }

// PassingError is why there was no key for a login, or no tunnel to a host, where who makes them
// ([Config]) may have one the next time. [Dial] does not try again: its caller knows how long it may
// take. The text is that of Err.
type PassingError struct{ Err error }

func (e *PassingError) Error() string { return e.Err.Error() }

func (e *PassingError) Unwrap() error { return e.Err }

// AlgorithmError means that the two sides have no algorithm in common, see
// SECURITY.md for those of this side.
type AlgorithmError struct {
	What   string   // for what: "key exchange", "host key", "client to server cipher" and the like
	Ours   []string // in the order of preference, as Theirs
	Theirs []string
}

// hostKeyAlgorithm is the What of host keys.
const hostKeyAlgorithm = "host key"

func (e *AlgorithmError) Error() string {
	return fmt.Sprintf("no algorithm for %s that both sides accept: this side accepts %s; the host offers %s: "+
		"update OpenSSH on the host, or allow one of ours in its sshd_config (see sshd -T there)",
		e.What, names(e.Ours), names(e.Theirs))
}

// names lists what a person can read of a list that a host may have made long.
func names(list []string) string {
	const most = 40
	if len(list) == 0 {
		return "none"
	}
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

// AuthError means that the host is the right one and refused the login.
type AuthError struct {
	Host        string // as Host.String, with the user
	KeyType     string
	Fingerprint string           // SHA256:… of the public key that was offered
	Methods     []string         // what the host would accept instead of, or besides, publickey
	Partial     bool             // the key was right, and the host asks for one of Methods besides
	Certificate *ssh.Certificate // what was offered with the key, or nil
	Fresh       bool             // the key was made for this login, by Config.Login
	Err         error            // nil when the host just said no
}

func (e *AuthError) Error() string {
	user, _, _ := strings.Cut(e.Host, "@")
	if e.Partial {
		return fmt.Sprintf("log in to %s: the host has taken the key (%s %s), and asks for a second factor (%s), which "+
			"nobody can give in a workflow: its sshd wants both (AuthenticationMethods; see: sudo grep -ri "+
			"authenticationmethods /etc/ssh/sshd_config*). Let the key do for this user, with two lines that come before "+
			"any other Match block there: Match User %s, and below it AuthenticationMethods publickey; then: sudo "+
			"systemctl reload ssh", e.Host, e.KeyType, e.Fingerprint, strings.Join(e.Methods, " or "), user)
	}
	text := fmt.Sprintf("log in to %s: refused for key %s %s", e.Host, e.KeyType, e.Fingerprint)
	if e.KeyType == "" {
		text = fmt.Sprintf("log in to %s: refused before any key", e.Host)
	}
	if len(e.Methods) > 0 {
		text += fmt.Sprintf(" (the host accepts: %s)", strings.Join(e.Methods, ", "))
	}
	if e.Err != nil {
		text += fmt.Sprintf(": %v", e.Err)
	}
	if e.Fresh {
		return text + fmt.Sprintf("; EC2 Instance Connect has let this key in for user %q; usual causes: the image has "+
			"another user (ubuntu, ec2-user, admin), the package ec2-instance-connect is not installed on the host, or its "+
			"sshd has another AuthorizedKeysCommand (see: sudo sshd -T | grep -i authorizedkeyscommand)", user)
	}
	if e.Certificate != nil {
		return text + e.certificate(user)
	}
	return text + fmt.Sprintf("; usual causes: this key is not in the authorized_keys of user %q (compare with: "+
		"ssh-keygen -lf ~/.ssh/authorized_keys), "+
		"the user name is wrong (ubuntu, ec2-user, admin), or the home folder or ~/.ssh is writable by others", user)
}

func (e *AuthError) certificate(user string) string {
	text := fmt.Sprintf("; it came with certificate %q by %s", e.Certificate.KeyId,
		describeKey(e.Certificate.SignatureKey))
	if faults := certFaults(e.Certificate, user, time.Now()); len(faults) > 0 {
		return text + ": " + strings.Join(faults, "; ")
	}
	return text + fmt.Sprintf("; usual causes: the host does not trust that authority (TrustedUserCAKeys in its "+
		"sshd_config), has revoked the certificate, "+
		"lets none of its principals log in as %q (AuthorizedPrincipalsFile), or its clock is wrong", user)
}

func (e *AuthError) Unwrap() error { return e.Err }

// HostKeyError means that the host did not prove to be the pinned one. Nothing
// was sent to it.
type HostKeyError struct {
	Host     Host
	Offered  []ssh.PublicKey // every key the host showed, in order
	Expected []string        // what is pinned, by type and fingerprint
	Revoked  bool            // the last key offered is marked @revoked
	Unknown  bool            // nothing is pinned for this host
	Others   bool            // but there are lines for others
	Err      error           // why a host certificate was not accepted, or nil
}

func (e *HostKeyError) Error() string {
	switch {
	case e.Unknown:
		others := ""
		if e.Others {
			others = " (known-hosts has lines for other names and addresses only)"
		}
		return fmt.Sprintf("host key of %s is not pinned%s; it offers %s. Compare on the host itself (ssh-keygen "+
			"-lf /etc/ssh/ssh_host_ed25519_key.pub), then put this line into known-hosts:\n%s",
			e.Host, others, e.offered(), e.KnownHostsLine())
	case e.Revoked:
		return fmt.Sprintf("host key of %s is revoked: it offers %s, which a @revoked line refuses: this may be an "+
			"attack", e.Host, e.offered())
	}
	text := fmt.Sprintf("host key of %s does not match: expected %s; offered %s", e.Host,
		strings.Join(e.Expected, " or "), e.offered())
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	return text + ". This may be an attack on the connection, or the host was rebuilt; nothing was sent. " +
		"Pin the new key only after comparing it on the host itself (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)"
}

func (e *HostKeyError) Unwrap() error { return e.Err }

// KnownHostsLine returns the line that pins the first key offered, "" when the
// host offered none.
func (e *HostKeyError) KnownHostsLine() string {
	if len(e.Offered) == 0 {
		return ""
	}
	name := strings.ToLower(e.Host.Addr())
	if e.Host.Alias != "" {
		name = strings.ToLower(e.Host.Alias)
	}
	return knownhosts.Line([]string{name}, plainKey(e.Offered[0]))
}

func (e *HostKeyError) offered() string {
	texts := make([]string, len(e.Offered))
	for i, key := range e.Offered {
		texts[i] = describeKey(key)
	}
	return strings.Join(texts, ", ")
}
