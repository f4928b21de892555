package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/slots"
)

// shared is one lab for all tests of the package: opening one takes a second.
var shared *Lab

// slot is for the hosts of these tests, of which there are one or two at a time.
var slot *slots.Slot

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	EndOnSignal(os.Exit)
	free, err := slots.New(slots.AtOnce())
	if err == nil {
		slot, err = free.One(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if shared, err = Open(ctx, Options{ActionFile: "testdata/action/action.yml"}); err != nil {
		fmt.Fprintln(os.Stderr, "open lab:", err)
		return 1
	}
	if err := os.Setenv("TMPDIR", shared.Dir()); err != nil {
		fmt.Fprintln(os.Stderr, "open lab:", err)
		return 1
	}
	code := m.Run()
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "close lab:", err)
		return 1
	}
	return code
}

func TestWhatDeadLabsLeftIsRemoved(t *testing.T) {
	for _, tt := range []struct {
		name   string
		remove func() error
	}{
		{"Open", func() error {
			other, err := Open(t.Context(), Options{})
			if err != nil {
				return err
			}
			return other.Close()
		}},
		{"make clean", func() error {
			out, err := exec.CommandContext(t.Context(), "bash", "-euc",
				". ../prepare/common.sh; . ../prepare/labs.sh; sweep_labs").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { removesDeadLabs(t, tt.remove) })
	}
}

func removesDeadLabs(t *testing.T, remove func() error) {
	t.Helper()
	ctx := t.Context()
	dead := "1-0-lab-dead" // process 1 did not start at tick 0 of this kernel's life in any lab
	if startTime(1) == "0" {
		dead = "4194304-1-lab-dead" // above the highest process id there can be
	}
	create := func(args ...string) string {
		id, err := shared.engine.run(ctx, args...)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	gone := create("create", "--label", ownerKey+"="+dead, shared.hostImage, "true")
	kept := create("create", "--label", ownerKey+"="+shared.label(), shared.hostImage, "true")
	goneNetwork := create("network", "create", "--label", ownerKey+"="+dead, "lab-dead-"+randomHex(3))
	goneDir := filepath.Join(os.TempDir(), dirPrefix+dead)
	keptDir := filepath.Join(os.TempDir(), dirPrefix+shared.label())
	for _, dir := range []string{filepath.Join(goneDir, "runner"), keptDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}

	if err := remove(); err != nil {
		t.Error(err)
	}
	for _, id := range []string{gone, goneNetwork} {
		if out, err := shared.engine.run(ctx, "inspect", id); err == nil {
			t.Errorf("of a dead lab is still there: %s", out)
		}
	}
	if _, err := os.Stat(goneDir); !os.IsNotExist(err) {
		t.Errorf("the folder of a dead lab: got %v, want it gone", err)
	}
	for _, dir := range []string{keptDir, shared.dir} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the folder of a living lab: %v", err)
		}
	}
	if _, err := shared.engine.run(ctx, "rm", kept); err != nil {
		t.Errorf("the container of a living lab is gone: %v", err)
	}
	if _, err := shared.engine.run(ctx, "network", "inspect", shared.id); err != nil {
		t.Errorf("the network of a living lab is gone: %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	ctx := t.Context()
	l, err := Open(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Host(ctx, HostOptions{NoSystemd: true}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]string{{"ps", "--all"}, {"network", "ls"}} {
		left, err := l.owned(ctx, func(owner string) bool { return owner == l.label() }, list...)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 {
			t.Errorf("docker %s still lists %q", strings.Join(list, " "), left)
		}
	}
	if _, err := os.Stat(l.dir); !os.IsNotExist(err) {
		t.Errorf("stat %q: got %v, want it gone", l.dir, err)
	}
}

func TestEngineErrorsCarryTheEnginesWords(t *testing.T) {
	_, err := shared.engine.run(t.Context(), "inspect", "no-such-container")
	if err == nil || !strings.Contains(err.Error(), "No such object: no-such-container") {
		t.Errorf("got %v, want what the engine said", err)
	}
}

func TestSubnetIsSplit(t *testing.T) {
	tests := []struct{ name, subnet, gateway, want, wantHost string }{
		{
			name: "16 bits", subnet: "172.18.0.0/16", gateway: "172.18.0.1", want: "172.18.128.0/17",
			wantHost: "172.18.0.10",
		},
		{
			name: "20 bits", subnet: "192.168.16.0/20", gateway: "192.168.16.1", want: "192.168.24.0/21",
			wantHost: "192.168.16.10",
		},
		{name: "24 bits", subnet: "10.1.2.0/24", gateway: "10.1.2.1", want: "10.1.2.128/25", wantHost: "10.1.2.10"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := parseNetwork(tt.subnet, tt.gateway)
			if err != nil {
				t.Fatal(err)
			}
			if got := n.upperHalf().String(); got != tt.want {
				t.Errorf("upper half: got %s, want %s", got, tt.want)
			}
			if got := n.firstHost().String(); got != tt.wantHost {
				t.Errorf("first host: got %s, want %s", got, tt.wantHost)
			}
		})
	}
	for _, subnet := range []string{"fd00::/64", "10.0.0.0/28"} {
		if _, err := parseNetwork(subnet, "10.0.0.1"); err == nil {
			t.Errorf("subnet %s: got no error", subnet)
		}
	}
}
