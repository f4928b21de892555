package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

func TestRun(t *testing.T) {
	client := dial(t, sshtest.Start(t, sshtest.Options{}))
	tests := []struct {
		name, line, stdin            string
		wantStdout, wantStderr, want string
	}{
		{name: "success", line: "echo out; echo err >&2", wantStdout: "out\n", wantStderr: "err\n"},
		{
			name: "script on stdin", line: "bash -s", stdin: "main() { cat; exit 3; }; main </dev/null\n",
			want: "exit status 3",
		},
		{name: "data on stdin", line: "wc -c", stdin: strings.Repeat("x", 1<<20), wantStdout: "1048576\n"},
		{name: "stdin not read", line: "exit 0", stdin: strings.Repeat("x", 8<<20)},
		{name: "exit status", line: "echo out; exit 17", wantStdout: "out\n", want: "exit status 17"},
		{name: "signal", line: "kill -KILL $$", want: "ended by signal KILL"},
		{name: "not found", line: "/no/such/command 2>/dev/null", want: "exit status 127"},
		{name: "refused", line: sshtest.RefusedLine, want: "start command: the host refused to run it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := remote.Command{Line: tt.line, Stdout: &stdout, Stderr: &stderr}
			if tt.stdin != "" {
				cmd.Stdin = strings.NewReader(tt.stdin)
			}
			got := ""
			if err := client.Run(t.Context(), cmd); err != nil {
				got = err.Error()
			}
			if got != tt.want || stdout.String() != tt.wantStdout || stderr.String() != tt.wantStderr {
				t.Errorf("Run: %q, stdout %q, stderr %q; want %q, %q, %q", got, stdout.String(), stderr.String(),
					tt.want, tt.wantStdout, tt.wantStderr)
			}
		})
	}
}

func TestExitError(t *testing.T) {
	signalled := func(signal string) func(*sshtest.Exec) { return func(e *sshtest.Exec) { e.Killed(signal) } }
	tests := []struct {
		name   string
		handle func(*sshtest.Exec)
		want   remote.ExitError
	}{
		{"status", func(e *sshtest.Exec) { e.Status(3) }, remote.ExitError{Code: 3}},
		{"large status", func(e *sshtest.Exec) { e.Status(300) }, remote.ExitError{Code: 300}},
		{"signal", signalled("TERM"), remote.ExitError{Code: 143, Signal: "TERM"}},
		{"signal without a number", signalled("XYZ"), remote.ExitError{Code: 128, Signal: "XYZ"}},
		{"first of two counts", func(e *sshtest.Exec) { e.Status(3); e.Status(0) }, remote.ExitError{Code: 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := dial(t, sshtest.Start(t, sshtest.Options{Handle: tt.handle}))
			err := client.Run(t.Context(), remote.Command{Line: "test"})
			var exit *remote.ExitError
			if !errors.As(err, &exit) || *exit != tt.want {
				t.Errorf("Run: %#v, want %+v", err, tt.want)
			}
		})
	}
}

// writerFunc is a writer that can not fail.
type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestContextEndsACommand(t *testing.T) {
	reason := errors.New("cancelled by the test")
	tests := []struct {
		name     string
		line     string
		wantExit *remote.ExitError // nil: success, or lost
		wantLost bool
	}{
		{
			name: "that dies of TERM", line: "echo up; sleep 60 & wait",
			wantExit: &remote.ExitError{Code: 143, Signal: "TERM"},
		},
		{
			name: "that cleans up", line: "trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done",
			wantExit: &remote.ExitError{Code: 9},
		},
		{name: "that ends well", line: "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"},
		{name: "that ignores TERM", line: "trap '' TERM; echo up; exec sleep 60", wantLost: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := dial(t, sshtest.Start(t, sshtest.Options{}))
			if !tt.wantLost {
				client.SetGrace(time.Minute)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			start := time.Now()
			err := client.Run(ctx, remote.Command{Line: tt.line, Stdout: writerFunc(func([]byte) { cancel(reason) })})
			if !errors.Is(err, reason) {
				t.Errorf("Run: %v, want %v", err, reason)
			}
			var exit *remote.ExitError
			if errors.As(err, &exit) != (tt.wantExit != nil) || (exit != nil && *exit != *tt.wantExit) {
				t.Errorf("Run: %v, want %v", err, tt.wantExit)
			}
			var lost *remote.LostError
			if errors.As(err, &lost) != tt.wantLost {
				t.Errorf("Run: %v, want a LostError: %t", err, tt.wantLost)
			}
			// It gets its two seconds; nobody waits for it longer, let alone for its sleep.
			if spent := time.Since(start); tt.wantLost && spent < 2*time.Second || spent > 30*time.Second {
				t.Errorf("took %s", spent)
			}
			if err := client.Run(t.Context(), remote.Command{Line: "true"}); err != nil {
				t.Errorf("the connection is not usable any more: %v", err)
			}
		})
	}
}

func TestContextEndedBefore(t *testing.T) {
	client := dial(t, sshtest.Start(t, sshtest.Options{}))
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("too late")
	cancel(reason)
	if err := client.Run(ctx, remote.Command{Line: "true"}); !errors.Is(err, reason) {
		t.Errorf("Run: %v, want %v", err, reason)
	}
}

func TestContextEndsWhileStarting(t *testing.T) {
	entered := make(chan struct{})
	release := make(chan struct{})
	s := sshtest.Start(t, sshtest.Options{Handle: func(*sshtest.Exec) { close(entered); <-release }})
	defer close(release)
	hole := new(hole)
	cfg := configFor(t, s)
	cfg.DialContext = hole.dial
	client := dialWith(t, s, cfg)
	hole.swallow()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	err := client.Run(ctx, remote.Command{Line: "test"})
	var lost *remote.LostError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &lost) {
		t.Errorf("Run: %v, want a LostError and DeadlineExceeded", err)
	}
	select {
	case <-entered:
		t.Error("the command ran")
	default:
	}
}

func TestProcess(t *testing.T) {
	client := dial(t, sshtest.Start(t, sshtest.Options{}))
	start := func(line string, stdin io.Reader) (*remote.Process, chan string) {
		t.Helper()
		lines := make(chan string, 16)
		p, err := client.Start(t.Context(), remote.Command{
			Line: line, Stdin: stdin,
			Stdout: writerFunc(func(b []byte) { lines <- string(b) }),
		})
		if err != nil {
			t.Fatal(err)
		}
		return p, lines
	}
	t.Run("Signal", func(t *testing.T) {
		p, lines := start("trap 'echo usr1; exit 5' USR1; echo up; while :; do sleep 0.01; done", nil)
		<-lines
		select {
		case <-p.Done():
			t.Fatal("done before the signal")
		default:
		}
		if err := p.Signal(ssh.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		var exit *remote.ExitError
		if err := p.Wait(); !errors.As(err, &exit) || exit.Code != 5 {
			t.Errorf("Wait() = %v, want exit status 5", err)
		}
		<-p.Done()
		if err := p.Signal(ssh.SIGTERM); err == nil {
			t.Error("a signal reached a command that has ended")
		}
	})
	t.Run("Close", func(t *testing.T) {
		p, lines := start("echo up; sleep 60", nil)
		<-lines
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		var exit *remote.ExitError
		if err := p.Wait(); !errors.Is(err, remote.ErrClosed) || !errors.As(err, &exit) || exit.Signal != "TERM" {
			t.Errorf("Wait() = %v, want ErrClosed and signal TERM", err)
		}
	})
	t.Run("Close after the end", func(t *testing.T) {
		p, _ := start("exit 0", nil)
		if err := errors.Join(p.Wait(), p.Close(), p.Wait()); err != nil {
			t.Error(err)
		}
	})
	t.Run("conversation", func(t *testing.T) {
		stdin, w := io.Pipe()
		p, lines := start("while read -r x; do echo got $x; done", stdin)
		for _, word := range []string{"a", "b"} {
			if _, err := io.WriteString(w, word+"\n"); err != nil {
				t.Fatal(err)
			}
			if got := <-lines; got != "got "+word+"\n" {
				t.Errorf("answer %q", got)
			}
		}
		_ = w.Close()
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("failing stdin", func(t *testing.T) {
		reason := errors.New("disk on fire")
		stdin, w := io.Pipe()
		p, lines := start("cat; echo complete", stdin)
		_, _ = io.WriteString(w, "half")
		_ = w.CloseWithError(reason)
		if err := p.Wait(); !errors.Is(err, reason) {
			t.Errorf("Wait() = %v, want %v", err, reason)
		}
		close(lines)
		for text := range lines {
			if strings.Contains(text, "complete") {
				t.Error("half of the input was taken for all of it")
			}
		}
	})
}
