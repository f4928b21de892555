package remote_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

const sshdPath = "/usr/sbin/sshd"

// An openSSH is a real sshd of the test's own.
type openSSH struct {
	host remote.Host
	dir  string
	pid  int

	hostKeys map[string]ssh.PublicKey
}

// keygen runs ssh-keygen on a file.
func keygen(tb testing.TB, path string, args ...string) {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), "ssh-keygen",
		append([]string{"-q", "-f", path}, args...)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("ssh-keygen (of package openssh-client): %v\n%s", err, out)
	}
}

func read(tb testing.TB, path string) string {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// startOpenSSH starts sshd with one host key of each type. More lines of
// sshd_config come first, so they win.
func startOpenSSH(tb testing.TB, authorized []ssh.PublicKey, config ...string) *openSSH {
	tb.Helper()
	if _, err := os.Stat(sshdPath); err != nil {
		tb.Fatalf("%s is missing: `make test` installs it (apt-get install openssh-server): %v", sshdPath, err)
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		tb.Fatal(err)
	}
	s := &openSSH{dir: tb.TempDir()}
	keys := ""
	for _, key := range authorized {
		keys += string(ssh.MarshalAuthorizedKey(key))
	}
	s.write(tb, "authorized_keys", keys)
	config = append(
		config, "ListenAddress 127.0.0.1", "UsePAM no", "StrictModes no",
		"PermitRootLogin prohibit-password", "PasswordAuthentication no", "PidFile none", "MaxStartups 100",
		"AuthorizedKeysFile "+filepath.Join(s.dir, "authorized_keys"),
	)
	s.hostKeys = map[string]ssh.PublicKey{}
	for _, kind := range []string{"ed25519", "ecdsa-256", "rsa"} {
		key := sshtest.Key(tb, kind)
		public, err := ssh.NewPublicKey(key.Public())
		if err != nil {
			tb.Fatal(err)
		}
		s.hostKeys[kind] = public
		s.write(tb, "host_"+kind, keyText(tb, key, "openssh", ""))
		config = append(config, "HostKey "+filepath.Join(s.dir, "host_"+kind))
	}
	for range 5 { // a port that is free now may be somebody else's when sshd comes to it
		s.host = remote.Host{User: me.Username, Name: "127.0.0.1", Port: freePort(tb)}
		port := "Port " + strconv.Itoa(int(s.host.Port))
		s.write(tb, "sshd_config", strings.Join(append(config, port), "\n")+"\n")
		if s.start(tb) {
			return s
		}
	}
	tb.Fatal("sshd does not start")
	return nil
}

func (s *openSSH) write(tb testing.TB, name, text string) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// start returns when sshd listens, or has ended before. Its log is shown when the test fails.
func (s *openSSH) start(tb testing.TB) (listens bool) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), sshdPath, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	var log bytes.Buffer
	listening, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(io.TeeReader(stderr, &log))
		for seen := false; lines.Scan(); {
			if !seen && strings.Contains(lines.Text(), "Server listening on") {
				seen = true
				close(listening)
			}
		}
	}()
	tb.Cleanup(func() {
		// The end of tb.Context has killed sshd. Its sessions live on and hold its
		// standard error.
		_ = stderr.Close()
		<-ended
		_ = cmd.Wait()
		if tb.Failed() {
			tb.Logf("sshd:\n%s", log.String())
		}
	})
	select {
	case <-listening:
		return true
	case <-ended:
		return false
	}
}

func freePort(tb testing.TB) uint16 {
	tb.Helper()
	l := listen(tb)
	defer func() { _ = l.Close() }()
	return hostAt(tb, l.Addr()).Port
}

func (s *openSSH) fingerprint(kind string) string { return ssh.FingerprintSHA256(s.hostKeys[kind]) }

func (s *openSSH) dial(tb testing.TB, cfg remote.Config) *remote.Client {
	tb.Helper()
	client, err := remote.Dial(tb.Context(), s.host, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// processExists is false for a zombie too.
func processExists(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}
