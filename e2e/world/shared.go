// Package world is what scenarios, faults and benchmarks share: a host, the repository that it is deployed from, what users do with
// both, and what must be true of them. Only tests import it.
package world

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// Shared is what all tests of a package share: one network, one git server, one runner, one key. Hosts are each test's own. Main fills it.
var Shared struct {
	Lab    *lab.Lab
	Git    *lab.Git
	Runner *lab.Runner
	Key    *lab.Key
	Root   string // this module's folder
}

// Main runs a package's tests in a lab of its own: `func TestMain(m *testing.M) { os.Exit(world.Main(m)) }`.
func Main(m *testing.M) (code int) {
	lab.EndOnSignal(os.Exit)
	if err := open(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code = m.Run()
	if err := Shared.Lab.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// ActionImage is what is tested: what `make prepare` has built, or another image, such as a released one.
func ActionImage() string { return cmp.Or(os.Getenv("ACTION_IMAGE"), lab.ActionImage) }

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
	if Shared.Key, err = Shared.Lab.Key(ctx, lab.Ed25519, lab.OpenSSH, ""); err != nil {
		return err
	}
	if Shared.Git, err = Shared.Lab.Git(ctx); err != nil {
		return err
	}
	Shared.Runner, err = Shared.Lab.Runner(ActionImage())
	return err
}
