package remote_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
)

// Whatever is not a clear answer of the host must be a LostError.
func TestLostError(t *testing.T) {
	var server atomic.Pointer[sshtest.Server]
	drop := func(e *sshtest.Exec) {
		server.Load().Drop()
		<-e.Context.Done()
	}
	malformed := func(e *sshtest.Exec) { _, _ = e.Channel.SendRequest("exit-status", false, []byte{0}) }
	tests := []struct {
		name     string
		handle   func(*sshtest.Exec)
		noStatus bool // else the connection's own error: EOF or a reset
	}{
		{"no exit status", func(*sshtest.Exec) {}, true},
		{"malformed exit status", malformed, true},
		{"connection dropped", drop, false},
		{"connection closed", func(e *sshtest.Exec) { _ = e.Conn.Close() }, false},
		{"dropped after status 0, before the end of the output", func(e *sshtest.Exec) { e.Status(0); drop(e) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{Handle: tt.handle})
			server.Store(s)
			client := dial(t, s)
			err := client.Run(t.Context(), remote.Command{Line: "test"})
			var lost *remote.LostError
			if !errors.As(err, &lost) || !lost.Started || errors.Is(err, remote.ErrNoExitStatus) != tt.noStatus {
				t.Errorf("Run: %#v (%v), want a LostError, for want of a status: %t", err, err, tt.noStatus)
			}
			if !strings.Contains(fmt.Sprint(err), "unknown") {
				t.Errorf("Run: %v, want the word unknown", err)
			}
		})
	}
}

func TestLostConnection(t *testing.T) {
	tests := []struct {
		name string
		end  func(*sshtest.Server)
	}{
		{"the host's end", (*sshtest.Server).Finish},
		{"a reset", (*sshtest.Server).Reset},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{})
			client := dial(t, s)
			if err := client.Err(); err != nil {
				t.Fatalf("Err() = %v while connected", err)
			}
			err := client.Run(t.Context(), remote.Command{
				Line:   "echo started; sleep 60",
				Stdout: writerFunc(func([]byte) { tt.end(s) }),
			})
			var lost *remote.LostError
			if !errors.As(err, &lost) || !lost.Started {
				t.Errorf("Run: %v, want a LostError", err)
			}
			<-client.Done()
			if err := client.Err(); err == nil || !strings.Contains(err.Error(), "closed by the host, or") {
				t.Errorf("Err() = %v", err)
			}
			err = client.Run(t.Context(), remote.Command{Line: "true"})
			if !errors.As(err, &lost) || lost.Started {
				t.Errorf("Run on a lost connection: %v, want a LostError that says not started", err)
			}
		})
	}
}

func TestClose(t *testing.T) {
	client := dial(t, sshtest.Start(t, sshtest.Options{}))
	p, err := client.Start(t.Context(), remote.Command{Line: "sleep 60"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := client.Err(); !errors.Is(err, remote.ErrClosed) {
		t.Errorf("Err() = %v, want ErrClosed", err)
	}
	var lost *remote.LostError
	if err := p.Wait(); !errors.As(err, &lost) || !errors.Is(err, remote.ErrClosed) {
		t.Errorf("Wait() = %v, want a LostError around ErrClosed", err)
	}
}
