package attack

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/internal/exclude"
	"github.com/clothesme/deploy-action/internal/workspace"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
)

func sprint(v any) string { return fmt.Sprintf("%v %+v %#v %s %q %x", v, v, v, v, v, v) }

// onHostKeys: somebody else answers. Nothing but the handshake may reach him.
func onHostKeys(t *testing.T, table *Table) {
	t.Helper()
	ours, theirs, authority := sshtest.Signer(t, "ed25519"), sshtest.Signer(t, "ed25519"), sshtest.Signer(t, "ed25519")
	theirRSA := sshtest.Signer(t, "rsa")
	line := func(name string, key ssh.Signer) string {
		return name + " " + string(ssh.MarshalAuthorizedKey(key.PublicKey()))
	}
	certificate := func(by ssh.Signer, kind uint32, name string, until uint64) ssh.Signer {
		cert := &ssh.Certificate{
			Key: theirs.PublicKey(), CertType: kind, ValidPrincipals: []string{name},
			ValidBefore: until,
		}
		if err := cert.SignCert(rand.Reader, by); err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewCertSigner(cert, theirs)
		if err != nil {
			t.Fatal(err)
		}
		return signer
	}
	anyTime := uint64(ssh.CertTimeInfinity)
	for _, tt := range []struct {
		name        string
		key         ssh.Signer // the attacker's
		knownHosts  string
		fingerprint string
	}{
		{"another key of the same type", theirs, line("127.0.0.1", ours), ""},
		{"a key of another type than the pinned one", theirRSA, line("127.0.0.1", ours), ""},
		{"another key than the fingerprint's", theirs, "", ssh.FingerprintSHA256(ours.PublicKey())},
		{"nothing is pinned", theirs, "", ""},
		{"the key is another host's", theirs, line("127.0.0.2", theirs) + line("127.0.0.1", ours), ""},
		{"the key is this host's on another port", theirs, line("[127.0.0.1]:1", theirs) + line("127.0.0.1", ours), ""},
		{
			"the key is ruled out for this host", theirs,
			line("!127.0.0.1,![127.0.0.1]:*,*", theirs) + line("127.0.0.1", ours), "",
		},
		{
			"a key that is revoked, and pinned", theirs, "@revoked " + line("*", theirs) + line("127.0.0.1", theirs),
			ssh.FingerprintSHA256(theirs.PublicKey()),
		},
		{
			"a certificate by an authority that nobody named", certificate(theirs, ssh.HostCert, "127.0.0.1", anyTime),
			"@cert-authority " + line("*", authority), "",
		},
		{
			"a certificate for another host", certificate(authority, ssh.HostCert, "other", anyTime),
			"@cert-authority " + line("*", authority), "",
		},
		{
			"a certificate that has expired", certificate(authority, ssh.HostCert, "127.0.0.1", 1),
			"@cert-authority " + line("*", authority), "",
		},
		{
			"a user's certificate", certificate(authority, ssh.UserCert, "127.0.0.1", anyTime),
			"@cert-authority " + line("*", authority), "",
		},
		{"the authority's own key as a host key", authority, "@cert-authority " + line("*", authority), ""},
	} {
		table.Try(t, "host key", tt.name, func(t *testing.T) string {
			var asked []string
			server := sshtest.Start(t, sshtest.Options{
				HostKeys: []ssh.Signer{tt.key},
				Configure: func(c *ssh.ServerConfig) {
					c.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
						asked = append(asked, "key")
						return nil, nil //nolint:nilnil // lets in
					}
				},
			})
			hostKeys, err := remote.NewHostKeys(tt.knownHosts, []string{tt.fingerprint})
			if err != nil {
				t.Fatal(err)
			}
			client, err := remote.Dial(t.Context(), remote.Host{
				User: "ubuntu", Name: server.Name(),
				Port: server.Port(),
			}, remote.Config{Signer: ours, HostKeys: hostKeys})
			if client != nil {
				_ = client.Close()
			}
			if err == nil || len(asked) > 0 {
				t.Fatalf("logged in: %v, asked for %v", err, asked)
			}
			var refused *remote.HostKeyError
			var dial *remote.DialError
			switch {
			case errors.As(err, &refused) && refused.Unknown:
				return "refused: not pinned; no login was tried"
			case errors.As(err, &refused) && refused.Revoked:
				return "refused: revoked, may be an attack; no login was tried"
			case errors.As(err, &refused):
				return "refused: does not match, may be an attack; no login was tried"
			case errors.As(err, &dial):
				return "refused: no algorithm in common; no login was tried"
			}
			t.Fatal(err)
			return ""
		})
	}
	for name, configure := range map[string]func(*ssh.ServerConfig){
		"a cipher in CBC mode": func(c *ssh.ServerConfig) { c.Ciphers = []string{ssh.InsecureCipherAES128CBC} },
	} {
		table.Try(t, "downgrade", name, func(t *testing.T) string { return downgrade(t, configure) })
	}
	table.Try(t, "downgrade", "key exchange with SHA-1", func(t *testing.T) string {
		return downgrade(t, func(c *ssh.ServerConfig) { c.KeyExchanges = []string{ssh.InsecureKeyExchangeDH14SHA1} })
	})
	table.Try(t, "downgrade", "a MAC with SHA-1", func(t *testing.T) string {
		return downgrade(t, func(c *ssh.ServerConfig) {
			c.Ciphers, c.MACs = []string{ssh.CipherAES128CTR},
				[]string{ssh.HMACSHA1}
		})
	})
}

func downgrade(t *testing.T, configure func(*ssh.ServerConfig)) string {
	t.Helper()
	server := sshtest.Start(t, sshtest.Options{Configure: configure})
	_, err := remote.Dial(t.Context(), remote.Host{User: "ubuntu", Name: server.Name(), Port: server.Port()},
		remote.Config{Signer: sshtest.Signer(t, "ed25519"), HostKeys: remote.InsecureHostKeys()})
	var nothing *remote.AlgorithmError
	if !errors.As(err, &nothing) {
		t.Fatalf("Dial: %v", err)
	}
	return fmt.Sprintf("refused: nothing in common for %s; the host offers %s", nothing.What,
		strings.Join(nothing.Theirs, ", "))
}

// onWorkspace: a checkout with links and names that lead elsewhere, on the runner or on the host.
func onWorkspace(t *testing.T, table *Table) {
	t.Helper()
	for _, tt := range []struct {
		name  string
		plant func(t *testing.T, dir string)
		sent  string // what is sent all the same, "" for a refusal
	}{
		{
			"a link to a file of the runner's",
			func(t *testing.T, dir string) { link(t, "/proc/self/environ", dir, "x") }, "",
		},
		{"a link up and away", func(t *testing.T, dir string) { link(t, "../../../etc/passwd", dir, "a/x") }, ""},
		{"a link whose folder is a link", func(t *testing.T, dir string) {
			link(t, "..", dir, "a/up")
			link(t, "up/../../etc", dir, "a/x")
		}, ""},
		{
			"a name with a line break, for the manifest",
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, "x\nf\t755\t0\t-\tstart"), "") }, "",
		},
		{
			"a name with a tab, for the manifest",
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, "x\ty"), "") }, "",
		},
		{
			"a name with an escape sequence, for the log",
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, "x\x1b[2J"), "") }, "",
		},
		{"the token in .git/config, at any depth", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "sub/.git/config"), "AUTHORIZATION: basic x")
		}, "1 file, without .git"},
		{
			"the action's own folder, to forge a complete release",
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, ".deploy-action/complete"), "") },
			"1 file, without .deploy-action",
		},
		{"a pipe, to hang the reader", func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "1 file, the pipe is skipped"},
		{"names that are options", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "-rf"), "")
			write(t, filepath.Join(dir, "--to-command=touch pwned"), "")
		}, "3 files: names are read from lists, never from arguments"},
	} {
		table.Try(t, "workspace", tt.name, func(t *testing.T) string {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "main.py"), "x")
			if err := os.MkdirAll(filepath.Join(dir, "a"), 0o750); err != nil {
				t.Fatal(err)
			}
			tt.plant(t, dir)
			done := make(chan struct{})
			var tree *workspace.Tree
			var err error
			go func() {
				defer close(done)
				tree, err = workspace.Read(t.Context(), workspace.Options{
					Workspace: dir, Path: ".",
					Exclude: exclude.Patterns{".git"},
				})
				if err == nil {
					err = tree.Hash(t.Context())
				}
			}()
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Fatal("hangs")
			}
			if tt.sent == "" {
				if err == nil {
					t.Fatal("read")
				}
				return "refused: " + strings.ReplaceAll(err.Error(), dir, "…")
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(tt.sent, fmt.Sprint(tree.Files, " file")) {
				t.Fatalf("%d files", tree.Files)
			}
			return "sent: " + tt.sent
		})
	}
	table.Try(t, "workspace", "workspace-path is a link to the runner's files", func(t *testing.T) string {
		dir := t.TempDir()
		link(t, "/etc", dir, "dist")
		_, err := workspace.Read(t.Context(), workspace.Options{Workspace: dir, Path: "dist"})
		if err == nil {
			t.Fatal("read")
		}
		return "refused: " + err.Error()
	})
	table.Try(t, "offer of a host", "64 KiB that unpack to a gigabyte without a line break", func(t *testing.T) string {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a"), "x")
		tree, err := workspace.Read(t.Context(), workspace.Options{Workspace: dir, Path: "."})
		if err == nil {
			err = tree.Hash(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = tree.Compare(t.Context(), endless{})
		if err == nil {
			t.Fatal("read")
		}
		return "refused: " + err.Error()
	})
}

func link(t *testing.T, to, dir, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
