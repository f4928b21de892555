package remote_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

func sftpHost(t *testing.T, config ...string) *remote.Client {
	t.Helper()
	signer := sshtest.Signer(t, "ed25519")
	s := startOpenSSH(t, []ssh.PublicKey{signer.PublicKey()}, config...)
	return s.dial(t, remote.Config{Signer: signer, HostKeys: pins(t, "", s.fingerprint("ed25519"))})
}

const withSFTP = "Subsystem sftp internal-sftp"

func TestOpenSSHUploadAndDownload(t *testing.T) {
	for name, config := range map[string]string{"large packets": withSFTP, "packets that any server takes": withSFTP +
		" -P limits"} {
		t.Run(name, func(t *testing.T) { uploadAndDownload(t, sftpHost(t, config)) })
	}
}

func uploadAndDownload(t *testing.T, client *remote.Client) {
	t.Helper()
	for _, size := range []int{0, 1, 32<<10 + 1, 20 << 20} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		data := make([]byte, size)
		_, _ = rand.Read(data)
		if err := client.Upload(t.Context(), path, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != string(data) {
			t.Errorf("%d bytes arrived as %d, or others", size, len(got))
		}
		var back bytes.Buffer
		if err := client.Download(t.Context(), path, &back); err != nil || !bytes.Equal(back.Bytes(), data) {
			t.Errorf("download of %d bytes: %v, %d bytes", size, err, back.Len())
		}
	}
}

// A pipe shows what a file hides: bytes that come out of order.
func TestOpenSSHUploadIntoAPipe(t *testing.T) {
	client := sftpHost(t, withSFTP)
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 20<<20)
	_, _ = rand.Read(data)
	arrived := make(chan []byte, 1)
	go func() {
		got, _ := os.ReadFile(path) //nolint:gosec // the test's own
		arrived <- got
	}()
	if err := client.Upload(t.Context(), path, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if got := <-arrived; !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived as %d, or others", len(data), len(got))
	}
}

// As of a start-up file that greets, and an sftp-server that is a program of its own.
func TestWhatIsPrintedBeforeSFTPIsSaid(t *testing.T) {
	for _, tt := range []struct{ prints, want string }{
		{"Welcome to Ubuntu", `the login prints "Welcome to Ubuntu" before it`},
		{`\n\033[1mhello\nthere`, `the login prints "\x1b[1mhello" before it`},
		{strings.Repeat("x", 9000), `the login prints "` + strings.Repeat("x", 84) + `" before it`},
	} {
		noisy := filepath.Join(t.TempDir(), "sftp-server")
		text := "#!/bin/sh\nprintf '" + tt.prints + "\\n'\nexec /usr/lib/openssh/sftp-server\n"
		if err := os.WriteFile(noisy, []byte(text), 0o700); err != nil { //nolint:gosec // it is to be run
			t.Fatal(err)
		}
		client := sftpHost(t, "Subsystem sftp "+noisy)
		err := client.Upload(t.Context(), filepath.Join(t.TempDir(), "x"), strings.NewReader("x"))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want an error with %s", err, tt.want)
		}
	}
}

func TestOpenSSHSFTPRefusals(t *testing.T) {
	client := sftpHost(t, withSFTP)
	missing := filepath.Join(t.TempDir(), "missing")
	for name, err := range map[string]error{
		"upload":   client.Upload(t.Context(), missing, strings.NewReader("x")),
		"download": client.Download(t.Context(), missing, io.Discard),
	} {
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: %v, want one that names the file", name, err)
		}
	}
	if err := sftpHost(t).Upload(t.Context(), missing, strings.NewReader("x")); err == nil ||
		!strings.Contains(err.Error(), "Subsystem sftp") {
		t.Errorf("%v, want the line that sshd_config lacks", err)
	}
	broken := errors.New("source is broken")
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.Upload(t.Context(), path, io.MultiReader(strings.NewReader("half"),
		failing{broken})); !errors.Is(err, broken) {
		t.Errorf("%v, want the source's own error", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// endless never ends, and reports its first read.
type endless struct{ begun chan struct{} }

func (e endless) Read(p []byte) (int, error) {
	select {
	case e.begun <- struct{}{}:
	default:
	}
	return len(p), nil
}

func TestOpenSSHUploadStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("when its context ends", func(t *testing.T) {
		client := sftpHost(t, withSFTP)
		reason := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		source := endless{make(chan struct{})}
		go func() { <-source.begun; cancel(reason) }()
		begin := time.Now()
		if err := client.Upload(ctx, path, source); !errors.Is(err, reason) {
			t.Errorf("%v, want the cause", err)
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("stopped after %s", took)
		}
		if err := client.Download(t.Context(), os.DevNull, io.Discard); err != nil {
			t.Errorf("the connection is of no more use: %v", err)
		}
	})
	t.Run("when the connection dies", func(t *testing.T) {
		client := sftpHost(t, withSFTP)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		source := endless{make(chan struct{})}
		go func() { <-source.begun; _ = client.Close() }()
		var lost *remote.LostError
		if err := client.Upload(t.Context(), path, source); !errors.As(err, &lost) {
			t.Errorf("%v, want a LostError", err)
		}
	})
}

// Whoever has read enough is sent no more: a host can offer a file without an end.
func TestOpenSSHDownloadEndsWhereTheWriterDoes(t *testing.T) {
	client := sftpHost(t, withSFTP)
	enough := errors.New("enough")
	for range 2 { // the connection goes on
		w := &limitedWriter{most: 1 << 20, err: enough}
		began := time.Now()
		err := client.Download(t.Context(), "/dev/zero", w)
		if !errors.Is(err, enough) {
			t.Fatalf("%v, want %v", err, enough)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		if w.after > 0 {
			t.Errorf("%d writes after the one that was refused", w.after)
		}
	}
	if err := client.Download(t.Context(), os.DevNull, io.Discard); err != nil {
		t.Error(err)
	}
}

type limitedWriter struct {
	n, most, after int
	err            error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.n > w.most {
		w.after++
	}
	if w.n += len(p); w.n > w.most {
		return 0, w.err
	}
	return len(p), nil
}

// What was prepared is taken once, and where it could not be had the next one says why, or has it.
func TestOpenSSHPreparedFiles(t *testing.T) {
	client := sftpHost(t, withSFTP)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	client.PrepareFiles()
	for _, text := range []string{"a", "b"} { // the second opens its own, when the first is closed
		if err := client.Upload(t.Context(), path, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, path); got != "ab" {
		t.Errorf("the file has %q", got)
	}
	client = sftpHost(t, withSFTP, "MaxSessions 1")
	stdin, more := io.Pipe()
	defer func() { _ = more.Close() }()
	held, err := client.Start(t.Context(), remote.Command{Line: "cat", Stdin: stdin})
	if err != nil {
		t.Fatal(err)
	}
	client.PrepareFiles()
	var full *ssh.OpenChannelError
	if err := client.Upload(t.Context(), path, strings.NewReader("c")); !errors.As(err, &full) {
		t.Errorf("with no session free: %v", err)
	}
	client.PrepareFiles() // refused, and by now there would be one
	_ = held.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // the host notices it later
		err = client.Upload(t.Context(), path, strings.NewReader("d"))
		if !errors.As(err, &full) || time.Now().After(deadline) {
			break
		}
	}
	if err != nil || read(t, path) != "abd" {
		t.Errorf("afterwards: %v, %q", err, read(t, path))
	}
	without := sftpHost(t)
	without.PrepareFiles()
	err = without.Upload(t.Context(), path, strings.NewReader("x"))
	if err == nil || !strings.Contains(err.Error(), "Subsystem sftp") {
		t.Errorf("without SFTP: %v", err)
	}
}
