// Package world is what scenarios, faults and benchmarks share: a host, the repository that it is
// deployed from, what users do with both, and what must be true of them. Only tests import it.
package world

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// Shared is what all tests of a package share: one network and one key. Hosts, runners and git
// servers are each test's own. Main fills it.
var Shared struct {
	Lab  *lab.Lab
	Key  *lab.Key
	Root string // this module's folder
}

// Main runs a package's tests in a lab of its own. The scenarios that take longest, by their names,
// begin first; which those are, and how long they took, is printed at the end, or written to a file
// named like the package in the folder SCENARIO_TIMES.
func Main(m *testing.M, longest map[string]time.Duration) (code int) {
	lab.EndOnSignal(os.Exit)
	flag.Parse() //nolint:revive // m.Run would, when openTurns has read the flags
	if err := errors.Join(openTurns(longest), open(context.Background())); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	begun := time.Now()
	code = m.Run()
	if err := tell(all.report(time.Since(begun))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := Shared.Lab.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func tell(text string) error {
	if dir := os.Getenv("SCENARIO_TIMES"); dir != "" {
		here, err := os.Getwd() // of a test: its package's folder
		return errors.Join(err, os.WriteFile(filepath.Join(dir, filepath.Base(here)), []byte(text), 0o600))
	}
	_, err := fmt.Print(text)
	return err
}

// ActionImage is what is tested: what `make prepare` has built, or another image, such as a
// released one.
func ActionImage() string { return cmp.Or(os.Getenv("ACTION_IMAGE"), lab.ActionImage) }

// ActionBuild is the commit that ActionImage was made of, with + where files were another, as its
// label says: the checkout that the tests are in may be another by now.
func ActionBuild(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "image", "inspect", "--format",
		`{{index .Config.Labels "org.opencontainers.image.revision"}}`, ActionImage()).Output()
	if err != nil {
		t.Fatal(err)
	}
	return cmp.Or(strings.TrimSpace(string(out)), "unknown")
}

// Program returns the action's program as the image has it, which is the same for the same source.
func Program(ctx context.Context) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "docker", "create", ActionImage()).Output()
	if err != nil {
		return nil, err
	}
	id := strings.TrimSpace(string(out))
	defer func() { _ = exec.CommandContext(context.WithoutCancel(ctx), "docker", "rm", "-f", id).Run() }()
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := exec.CommandContext(ctx, "docker", "cp", id+":/deploy-action", dir).Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "deploy-action"))
}

func open(ctx context.Context) (err error) {
	if Shared.Root, err = lab.ModuleRoot(); err != nil {
		return err
	}
	if Shared.Lab, err = lab.Open(ctx, lab.Options{}); err != nil {
		return err
	}
	if err = os.Setenv("TMPDIR", Shared.Lab.Dir()); err != nil { // a test that is cut off leaves its own folders
		return err
	}
	Shared.Key, err = Shared.Lab.Key(ctx, lab.Ed25519, lab.OpenSSH, "")
	return err
}
