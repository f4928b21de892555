package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

func TestOpenSSHKeyForms(t *testing.T) {
	type form struct{ name, text, passphrase string }
	var forms []form
	var authorized []ssh.PublicKey
	for _, kind := range sshtest.Kinds {
		key := sshtest.Key(t, kind)
		public, err := ssh.NewPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		authorized = append(authorized, public)
		for _, format := range []string{"RFC4716", "PEM", "PKCS8"} { // RFC4716 is the OpenSSH form
			for _, passphrase := range []string{"", passphrase} {
				path := filepath.Join(t.TempDir(), "key")
				if err := os.WriteFile(path, []byte(keyText(t, key, "openssh", "")), 0o600); err != nil {
					t.Fatal(err)
				}
				keygen(t, path, "-p", "-P", "", "-N", passphrase, "-m", format, "-a", "1")
				forms = append(forms, form{
					strings.TrimSpace(kind + " " + format + " " + passphrase), read(t, path),
					passphrase,
				})
			}
		}
	}
	s := startOpenSSH(t, authorized)
	hostKeys := pins(t, "", s.fingerprint("ed25519"))
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			signer, err := remote.ParseKey(f.text, f.passphrase)
			if err != nil {
				t.Fatal(err)
			}
			client := s.dial(t, remote.Config{Signer: signer, HostKeys: hostKeys})
			if err := client.Run(t.Context(), remote.Command{Line: "true"}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenSSHHostKeys(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	s := startOpenSSH(t, []ssh.PublicKey{signer.PublicKey()})
	keyscan := func(args ...string) string {
		t.Helper()
		args = append(args, "-p", strconv.Itoa(int(s.host.Port)), s.host.Name)
		out, err := exec.CommandContext(t.Context(), "ssh-keyscan", args...).Output()
		if err != nil {
			t.Fatalf("ssh-keyscan: %v", err)
		}
		return string(out)
	}
	_, unpinned := remote.Dial(t.Context(), s.host, remote.Config{Signer: signer, HostKeys: pins(t, "")})
	var refused *remote.HostKeyError
	if !errors.As(unpinned, &refused) {
		t.Fatalf("Dial: %v, want a HostKeyError", unpinned)
	}
	if all := keyscan(); !strings.Contains(all, refused.KnownHostsLine()) {
		t.Errorf("line to pin %q is not one of ssh-keyscan's:\n%s", refused.KnownHostsLine(), all)
	}
	tests := []struct {
		name     string
		hostKeys *remote.HostKeys
		want     string // type of the key that was proved, "" for refused
	}{
		{"ssh-keyscan", pins(t, keyscan()), ssh.KeyAlgoED25519},
		{"ssh-keyscan -H", pins(t, keyscan("-H")), ssh.KeyAlgoED25519},
		{"RSA only", pins(t, keyscan("-t", "rsa")), ssh.KeyAlgoRSA},
		{"ECDSA only, hashed", pins(t, keyscan("-H", "-t", "ecdsa")), ssh.KeyAlgoECDSA256},
		{"the line of the refusal", pins(t, refused.KnownHostsLine()), ssh.KeyAlgoED25519},
		{"fingerprint of Ed25519", pins(t, "", s.fingerprint("ed25519")), ssh.KeyAlgoED25519},
		{"fingerprint of ECDSA", pins(t, "", s.fingerprint("ecdsa-256")), ssh.KeyAlgoECDSA256},
		{"fingerprint of RSA", pins(t, "", s.fingerprint("rsa")), ssh.KeyAlgoRSA},
		{"another's fingerprint", pins(t, "", ssh.FingerprintSHA256(signer.PublicKey())), ""},
		{"another's line", pins(t, line("127.0.0.1", signer.PublicKey())), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, err := remote.Dial(t.Context(), s.host, remote.Config{Signer: signer, HostKeys: tt.hostKeys})
			if tt.want == "" {
				var refused *remote.HostKeyError
				if !errors.As(err, &refused) || refused.Unknown {
					t.Errorf("Dial: %v, want a HostKeyError for a mismatch", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			if got := client.HostKey().Type(); got != tt.want {
				t.Errorf("host key %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOpenSSHHostCertificate(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	dir := t.TempDir()
	authority := filepath.Join(dir, "authority")
	keygen(t, authority, "-t", "ed25519", "-N", "")
	public := read(t, authority+".pub")
	key := filepath.Join(dir, "certified")
	keygen(t, key, "-t", "ecdsa", "-N", "")
	keygen(t, key+".pub", "-s", authority, "-I", "test", "-h", "-n", "127.0.0.1", key+".pub")
	s := startOpenSSH(t, []ssh.PublicKey{signer.PublicKey()}, "HostKey "+key, "HostCertificate "+key+"-cert.pub")
	client := s.dial(t, remote.Config{Signer: signer, HostKeys: pins(t, "@cert-authority 127.* "+public)})
	if _, ok := client.HostKey().(*ssh.Certificate); !ok {
		t.Errorf("host key %s, want a certificate", client.HostKey().Type())
	}
}

func TestOpenSSHRefusesTheLogin(t *testing.T) {
	s := startOpenSSH(t, nil)
	for _, kind := range []string{"ed25519", "rsa"} {
		signer, err := remote.ParseKey(keyText(t, sshtest.Key(t, kind), "openssh", ""), "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = remote.Dial(t.Context(), s.host, remote.Config{
			Signer:   signer,
			HostKeys: pins(t, "", s.fingerprint("rsa")),
		})
		var authError *remote.AuthError
		if !errors.As(err, &authError) || authError.Fingerprint != ssh.FingerprintSHA256(signer.PublicKey()) {
			t.Errorf("Dial: %v, want an AuthError", err)
		}
	}
}

func TestOpenSSHAsksForASecondFactor(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	s := startOpenSSH(t, []ssh.PublicKey{signer.PublicKey()}, "PasswordAuthentication yes",
		"AuthenticationMethods publickey,password")
	_, err := remote.Dial(t.Context(), s.host, remote.Config{Signer: signer, HostKeys: pins(t, "", s.fingerprint("rsa"))})
	var authError *remote.AuthError
	if !errors.As(err, &authError) || !authError.Partial ||
		!strings.Contains(err.Error(), "a second factor (password), which nobody can give") {
		t.Errorf("Dial: %v", err)
	}
}

func TestOpenSSHRun(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	s := startOpenSSH(t, []ssh.PublicKey{signer.PublicKey()})
	cfg := remote.Config{
		Signer: signer, HostKeys: pins(t, "", s.fingerprint("ed25519")), KeepaliveInterval: soon,
		KeepaliveMax: 20,
	}
	client := s.dial(t, cfg)
	if got := client.ServerVersion(); !strings.HasPrefix(got, "SSH-2.0-OpenSSH_") {
		t.Errorf("ServerVersion() = %q", got)
	}
	t.Run("script on stdin", func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		script := "set -euo pipefail\nmain() { echo key=value; echo words >&2; exit 3; }\nmain \"$@\" </dev/null\n"
		err := client.Run(t.Context(), remote.Command{
			Line: "bash -s", Stdin: strings.NewReader(script),
			Stdout: &stdout, Stderr: &stderr,
		})
		var exit *remote.ExitError
		if !errors.As(err, &exit) || exit.Code != 3 || stdout.String() != "key=value\n" ||
			stderr.String() != "words\n" {
			t.Errorf("Run: %v, stdout %q, stderr %q", err, stdout.String(), stderr.String())
		}
	})
	t.Run("signal", func(t *testing.T) {
		err := client.Run(t.Context(), remote.Command{Line: "kill -KILL $$"})
		var exit *remote.ExitError
		if !errors.As(err, &exit) || exit.Signal != "KILL" || exit.Code != 137 {
			t.Errorf("Run: %v, want signal KILL", err)
		}
	})
	t.Run("large output", func(t *testing.T) {
		n := 0
		err := client.Run(t.Context(), remote.Command{
			Line:   "head -c 30000000 /dev/zero",
			Stdout: writerFunc(func(p []byte) { n += len(p) }),
		})
		if err != nil || n != 30_000_000 {
			t.Errorf("Run: %v after %d bytes", err, n)
		}
	})
	t.Run("background process holds the output", func(t *testing.T) {
		var stdout bytes.Buffer
		if err := client.Run(t.Context(), remote.Command{Line: "sleep 60 & echo $!", Stdout: &stdout}); err != nil {
			t.Fatal(err)
		}
		pid := strings.TrimSpace(stdout.String())
		if !processExists(pid) {
			t.Fatalf("process %q did not survive, or Run waited for it", pid)
		}
		if n, err := strconv.Atoi(pid); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	})
	t.Run("ctx ends the whole process group", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var pids string
		err := client.Run(ctx, remote.Command{
			Line:   "sleep 61 & echo $$ $!; wait",
			Stdout: writerFunc(func(p []byte) { pids += string(p); cancel() }),
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v, want Canceled", err)
		}
		var exit *remote.ExitError
		var lost *remote.LostError
		switch {
		case errors.As(err, &exit) && exit.Signal == "TERM":
			for _, pid := range strings.Fields(pids) {
				for deadline := time.Now().Add(time.Minute); processExists(pid); time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("process %s still runs", pid)
					}
				}
			}
		case errors.As(err, &lost) && os.Geteuid() == 0:
			// sshd 9.2 passes no signals on when it logs root in
			// ("session signalling requires privilege separation"). Then the
			// command may still run, and the error must not deny it.
			for _, pid := range strings.Fields(pids) {
				if n, err := strconv.Atoi(pid); err == nil && processExists(pid) {
					_ = syscall.Kill(n, syscall.SIGKILL)
				}
			}
		default:
			t.Errorf("Run: %v, want signal TERM", err)
		}
	})
	if err := client.Err(); err != nil {
		t.Errorf("the connection did not survive: %v", err)
	}
}

func TestOpenSSHSessionVanishes(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	s := startOpenSSH(t, []ssh.PublicKey{signer.PublicKey()})
	tests := []struct {
		name   string
		signal syscall.Signal
		want   error
	}{
		{"killed", syscall.SIGKILL, nil},
		{"frozen", syscall.SIGSTOP, remote.ErrKeepalive},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := remote.Config{
				Signer: signer, HostKeys: pins(t, "", s.fingerprint("ed25519")),
				KeepaliveInterval: soon, KeepaliveMax: 20,
			}
			client := s.dial(t, cfg)
			parent := make(chan int, 1)
			err := client.Run(t.Context(), remote.Command{
				Line: "echo $PPID; exec sleep 10",
				Stdout: writerFunc(func(p []byte) {
					pid, err := strconv.Atoi(strings.TrimSpace(string(p)))
					if err != nil {
						t.Error(err)
						return
					}
					parent <- pid
					if err := syscall.Kill(pid, tt.signal); err != nil {
						t.Error(err)
					}
				}),
			})
			select {
			case pid := <-parent:
				defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
			default: // it said nothing
			}
			var lost *remote.LostError
			if !errors.As(err, &lost) || !lost.Started || !errors.Is(err, tt.want) && tt.want != nil {
				t.Errorf("Run: %v, want a LostError around %v", err, tt.want)
			}
		})
	}
}

func TestOpenSSHIsGone(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	s := startOpenSSH(t, []ssh.PublicKey{signer.PublicKey()})
	if err := syscall.Kill(s.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for { // the port is closed a moment after the signal
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.host.Addr())
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	_, err := remote.Dial(t.Context(), s.host, remote.Config{
		Signer: signer, HostKeys: pins(t, ""),
		ConnectTimeout: 2 * time.Second,
	})
	var dialError *remote.DialError
	if !errors.As(err, &dialError) || dialError.Kind != remote.Refused {
		t.Errorf("Dial: %v, want Refused", err)
	}
	if want := fmt.Sprintf("port %d", s.host.Port); err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("Dial: %v, want %q", err, want)
	}
}
