package attack

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/internal/inputs"
)

var update = flag.Bool("update", false, "write the table in docs/attacks.md anew")

const document = "../../docs/attacks.md"

func TestAttacks(t *testing.T) {
	table := &Table{Section: "inputs, log and connection"}
	for _, part := range []func(*testing.T, *Table){
		onInputs, onShell, onSystemd, onGit, onResults, onLog, onFiles, onSecrets, onSummary, onHostKeys, onWorkspace,
		fromHost, noise,
	} {
		part(t, table)
	}
	if len(table.rows) < 60 {
		t.Errorf("%d attempts", len(table.rows))
	}
	table.Check(t, document, *update)
}

func newKey(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// parse reads inputs as a run with only the required ones besides.
func parse(t *testing.T, with map[string]string, env ...string) (*inputs.Inputs, error) {
	t.Helper()
	all := map[string]string{
		"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/shop",
		"GITHUB_SHA":       "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d",
		"GITHUB_WORKSPACE": "/github/workspace", "INPUT_HOST": "web.example.com", "INPUT_KEY": newKey(t),
	}
	for name, value := range with {
		all["INPUT_"+strings.ToUpper(name)] = value
	}
	for i := 0; i < len(env); i += 2 {
		all[env[i]] = env[i+1]
	}
	return inputs.Parse(func(name string) string { return all[name] })
}

// bash runs a script in a folder of its own, and tells whether anything was made there: that is
// what every attack on a shell tries.
func bash(t *testing.T, script string) (out string, made []string) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin, cmd.Dir = strings.NewReader(script), dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, stderr.String())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		made = append(made, entry.Name())
	}
	return string(text), made
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
