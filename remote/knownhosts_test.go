package remote

import (
	"crypto/ed25519"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Who a line speaks of is OpenSSH's to say: ssh-keygen -F is asked as well.
func TestKnownLineMatchesAsOpenSSHDoes(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		patterns, name string
		want           bool
	}{
		{"example.com", "example.com", true},
		{"example.com", "example.org", false},
		{"example.com", "[example.com]:2222", false},
		{"Example.COM", "example.com", true},
		{"a,b,c", "b", true},
		{"*.example.com", "a.example.com", true},
		{"*.example.com", "a.b.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "[a.example.com]:2222", false},
		{"[*.example.com]:2222", "[a.example.com]:2222", true},
		{"[*.example.com]:2222", "[a.example.com]:2223", false},
		{"[example.com]:*", "[example.com]:2222", true},
		{"*", "[example.com]:2222", true},
		{"10.0.0.?", "10.0.0.7", true},
		{"10.0.0.?", "10.0.0.77", false},
		{"*,!bad.example.com", "bad.example.com", false},
		{"!bad.example.com,*", "good.example.com", true},
		{"!bad.example.com", "good.example.com", false},
		{"2001:db8::1", "2001:db8::1", true},
		{"[2001:db8::1]:2222", "[2001:db8::1]:2222", true},
		{knownhosts.HashHostname("example.com"), "example.com", true},
		{knownhosts.HashHostname("example.com"), "example.org", false},
		{knownhosts.HashHostname("[example.com]:2222"), "[example.com]:2222", true},
		{knownhosts.HashHostname("example.com"), "[example.com]:2222", false},
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	for _, tt := range tests {
		t.Run(tt.patterns+" "+tt.name, func(t *testing.T) {
			text := tt.patterns + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + "\n"
			lines, err := parseKnownHosts(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(matching(lines, tt.name)) == 1; got != tt.want {
				t.Errorf("match %t, want %t", got, tt.want)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			found := exec.CommandContext(t.Context(), "ssh-keygen", "-F", tt.name, "-f", file).Run()
			if got := found == nil; got != tt.want {
				t.Errorf("ssh-keygen -F says %t (%v), want %t", got, found, tt.want)
			}
		})
	}
}
