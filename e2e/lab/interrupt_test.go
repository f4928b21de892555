package lab

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// interruptible is the environment variable that makes TestBusy busy, and says whether it spares a
// signal.
const interruptible = "DEPLOY_ACTION_INTERRUPTIBLE"

// TestBusy is no test but the process that TestSignalsLeaveNothing ends: a host, an action, a
// folder, and more that is about to be started.
func TestBusy(t *testing.T) {
	if os.Getenv(interruptible) == "" {
		return
	}
	if os.Getenv(interruptible) == "spared" {
		t.Cleanup(Spare())
	}
	if _, err := shared.Host(t.Context(), HostOptions{}); err != nil {
		t.Fatal(err)
	}
	running, err := newAction(t, "echo up; trap '' INT TERM; sleep 1000").Start(t.Context(), Job{})
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(t.Context(), "up"); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nbusy: %s %s %s\n", shared.label(), shared.dir, t.TempDir())
	go func() { // somebody always has something to say
		for {
			fmt.Println("still busy")
		}
	}()
	for {
		if _, err := shared.Host(t.Context(), HostOptions{NoSystemd: true}); err != nil {
			fmt.Println("\nrefused:", err)
			select {} // a test that takes no notice
		}
	}
}

// A terminal sends SIGINT to the whole group, so the test of a test binary is that binary, in a
// group of its own.
func TestSignalsLeaveNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mode   string
		signal syscall.Signal
		code   int
	}{
		{"Ctrl-C", "yes", syscall.SIGINT, 130},
		{"SIGTERM", "yes", syscall.SIGTERM, 143},
		{"the second of two, when the first is spared", "spared", syscall.SIGINT, 130},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBusy$", "-test.v", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), interruptible+"="+tt.mode, "TMPDIR="+filepath.Dir(shared.dir))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = cmd.Stdout
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var label, dir, temp string
			lines := bufio.NewScanner(out)
			for label == "" && lines.Scan() {
				_, _ = fmt.Sscanf(lines.Text(), "busy: %s %s %s", &label, &dir, &temp)
			}
			if label == "" {
				t.Fatalf("it never got busy: %v", cmd.Wait())
			}
			began := time.Now()
			if tt.mode == "spared" {
				kill(t, cmd, tt.signal)
				for lines.Scan() {
					if strings.Contains(lines.Text(), "coming to an end") {
						break
					}
				}
			}
			kill(t, cmd, tt.signal)
			_ = out.Close() // as of a go command that the signal has ended
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != tt.code {
				t.Errorf("it ended with %v, want exit code %d", err, tt.code)
			}
			t.Logf("ended after %s", time.Since(began).Round(time.Millisecond))
			for _, list := range [][]string{{"ps", "--all"}, {"network", "ls"}} {
				left, err := shared.owned(t.Context(), func(owner string) bool { return owner == label }, list...)
				if err != nil || len(left) > 0 {
					t.Errorf("docker %s lists %q, %v", strings.Join(list, " "), left, err)
				}
			}
			for _, path := range []string{dir, temp} {
				if _, err := os.Stat(path); !os.IsNotExist(err) {
					t.Errorf("stat %q: got %v, want it gone", path, err)
				}
			}
		})
	}
}

// kill sends a signal to a process's group.
func kill(t *testing.T, cmd *exec.Cmd, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-cmd.Process.Pid, signal); err != nil {
		t.Fatal(err)
	}
}
