package remote_test

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

var update = flag.Bool("update", false, "write docs/ssh-algorithms.txt anew")

const offerFile = "../docs/ssh-algorithms.txt"

// offered is what a server sees of a client before it has said anything itself: its version, and
// the ten lists of its first packet (RFC 4253, 7.1).
type offered struct {
	version string
	lists   [10][]string
}

// offerOf dials a server that listens to the client's first packet and hangs up.
func offerOf(t *testing.T, hostKeys *remote.HostKeys) offered {
	t.Helper()
	l := listen(t)
	came := make(chan offered, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		o, err := readOffer(conn)
		if err != nil {
			t.Error(err)
		}
		came <- o
	}()
	_, _ = remote.Dial(t.Context(), hostAt(t, l.Addr()), remote.Config{
		Signer:   sshtest.Signer(t, "ed25519"),
		HostKeys: hostKeys, ConnectTimeout: time.Second,
	})
	return <-came
}

func readOffer(conn net.Conn) (o offered, err error) {
	if _, err := io.WriteString(conn, "SSH-2.0-Listener\r\n"); err != nil {
		return o, err
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		return o, err
	}
	o.version = strings.TrimSpace(line)
	var head struct {
		Length  uint32
		Padding uint8
		Type    uint8
		Cookie  [16]byte
	}
	if err := binary.Read(in, binary.BigEndian, &head); err != nil {
		return o, err
	}
	if head.Type != 20 {
		return o, fmt.Errorf("first packet of type %d, want KEXINIT", head.Type)
	}
	for i := range o.lists {
		var size uint32
		if err := binary.Read(in, binary.BigEndian, &size); err != nil {
			return o, err
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(in, text); err != nil {
			return o, err
		}
		o.lists[i] = strings.Split(string(text), ",")
	}
	return o, nil
}

// text is the list for people.
func (o offered) text() string {
	var b strings.Builder
	b.WriteString("# What deploy-action offers to an SSH server, as the server sees it; written by `go test " +
		"./remote -run Offer -update`.\n")
	b.WriteString("# Pinned host keys narrow the host key algorithms down to their types.\n")
	for i, title := range []string{
		"key exchange", "host key", "cipher, to server", "cipher, from server",
		"MAC, to server", "MAC, from server", "compression, to server",
	} {
		fmt.Fprintf(&b, "\n%s\n", title)
		for _, name := range o.lists[i] {
			fmt.Fprintf(&b, "    %s\n", name)
		}
	}
	return b.String()
}

// weak is what ssh-audit marks as broken: SHA-1 in signatures, key exchange and MACs (not "sha1"
// within another name), MD5, CBC, RC4, 3DES, DSA, none, and MACs that are cut short.
var weak = regexp.MustCompile(`sha1|md5|cbc|arcfour|rc4|3des|ssh-dss|^ssh-rsa$|^ssh-rsa-cert|none|umac-64|-96|group1-`)

func TestWhatWeOffer(t *testing.T) {
	o := offerOf(t, pins(t, ""))
	for i, list := range o.lists[:6] {
		for _, name := range list {
			if weak.MatchString(name) {
				t.Errorf("list %d offers %s", i, name)
			}
		}
	}
	if !slices.Contains(o.lists[0], "kex-strict-c-v00@openssh.com") {
		t.Error("strict key exchange (against CVE-2023-48795) is not offered")
	}
	if !strings.HasPrefix(o.version, "SSH-2.0-") {
		t.Errorf("version %q", o.version)
	}
	if *update {
		if err := os.WriteFile(offerFile, []byte(o.text()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.text(); got != read(t, offerFile) {
		t.Errorf("docs/ssh-algorithms.txt is stale (go test ./remote -run Offer -update writes it); now it is\n%s", got)
	}
}

func TestHostKeyAlgorithmsAreThoseOfPinnedKeys(t *testing.T) {
	ed, rsa, ec := sshtest.Signer(t, "ed25519").PublicKey(), sshtest.Signer(t, "rsa").PublicKey(), sshtest.Signer(t,
		"ecdsa-384").PublicKey()
	all := offerOf(t, pins(t, "")).lists[1]
	for _, tt := range []struct {
		name     string
		hostKeys *remote.HostKeys
		want     []string
	}{
		{"Ed25519", pins(t, line("127.0.0.1", ed)), []string{"ssh-ed25519"}},
		{"RSA", pins(t, line("127.0.0.1", rsa)), []string{"rsa-sha2-512", "rsa-sha2-256"}},
		{
			"two types", pins(t, line("127.0.0.1", ec)+line("127.0.0.1", ed)),
			[]string{"ssh-ed25519", "ecdsa-sha2-nistp384"},
		},
		{
			"not those of another host", pins(t, line("127.0.0.1", ec)+line("other", ed)),
			[]string{"ecdsa-sha2-nistp384"},
		},
		{"an authority", pins(t, "@cert-authority "+line("127.0.0.1", ed)), []string{
			"ssh-ed25519-cert-v01@openssh.com", "ecdsa-sha2-nistp256-cert-v01@openssh.com",
			"ecdsa-sha2-nistp384-cert-v01@openssh.com",
			"ecdsa-sha2-nistp521-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com",
			"rsa-sha2-256-cert-v01@openssh.com",
		}},
		{"a fingerprint tells no type", pins(t, "", ssh.FingerprintSHA256(rsa)), all},
		{
			"both: the pinned types first", pins(t, line("127.0.0.1", rsa), ssh.FingerprintSHA256(ed)),
			append([]string{"rsa-sha2-512", "rsa-sha2-256"},
				"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := offerOf(t, tt.hostKeys).lists[1]; !slices.Equal(got, tt.want) {
				t.Errorf("offers %v, want %v", got, tt.want)
			}
		})
	}
}

// A host that has none of the pinned types is asked for the others, to say what it has; where it
// has nothing sound at all, both lists are shown.
func TestOpenSSHWithNothingSound(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	for _, tt := range []struct {
		config string
		want   []string
	}{
		{
			"HostKeyAlgorithms ssh-rsa",
			[]string{"host key", "this side accepts ssh-ed25519, ", "rsa-sha2-256", "the host offers ssh-rsa:"},
		},
		{
			"KexAlgorithms diffie-hellman-group14-sha1",
			[]string{"key exchange", "the host offers diffie-hellman-group14-sha1"},
		},
		{"Ciphers aes128-cbc,3des-cbc", []string{"cipher", "the host offers aes128-cbc, 3des-cbc"}},
		{"Ciphers aes128-ctr\nMACs hmac-sha1,hmac-md5", []string{"MAC", "the host offers hmac-sha1, hmac-md5"}},
	} {
		t.Run(tt.config, func(t *testing.T) {
			s := startOpenSSH(t, []ssh.PublicKey{signer.PublicKey()}, tt.config)
			_, err := remote.Dial(t.Context(), s.host, remote.Config{
				Signer:   signer,
				HostKeys: pins(t, line("127.0.0.1", s.hostKeys["ed25519"])),
			})
			for _, want := range append(tt.want, "update OpenSSH on the host") {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Dial: %v, want %q", err, want)
				}
			}
		})
	}
}
