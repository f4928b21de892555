package remote_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

const soon = 100 * time.Millisecond

func hostOf(s *sshtest.Server) remote.Host {
	return remote.Host{User: "ubuntu", Name: s.Name(), Port: s.Port()}
}

func hostAt(tb testing.TB, addr net.Addr) remote.Host {
	tb.Helper()
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		tb.Fatalf("not a TCP address: %v", addr)
	}
	return remote.Host{User: "ubuntu", Name: tcp.IP.String(), Port: uint16(tcp.Port)}
}

func configFor(t *testing.T, s *sshtest.Server) remote.Config {
	t.Helper()
	return remote.Config{Signer: sshtest.Signer(t, "ed25519"), HostKeys: pins(t, s.KnownHosts())}
}

func pins(tb testing.TB, knownHosts string, fingerprints ...string) *remote.HostKeys {
	tb.Helper()
	hostKeys, err := remote.NewHostKeys(knownHosts, fingerprints)
	if err != nil {
		tb.Fatal(err)
	}
	return hostKeys
}

func dial(t *testing.T, s *sshtest.Server) *remote.Client {
	t.Helper()
	return dialWith(t, s, configFor(t, s))
}

func dialWith(t *testing.T, s *sshtest.Server, cfg remote.Config) *remote.Client {
	t.Helper()
	client, err := remote.Dial(t.Context(), hostOf(s), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

func TestDialLogsIn(t *testing.T) {
	for _, kind := range sshtest.Kinds {
		t.Run(kind, func(t *testing.T) {
			signer, err := remote.ParseKey(keyText(t, sshtest.Key(t, kind), "openssh", ""), "")
			if err != nil {
				t.Fatal(err)
			}
			s := sshtest.Start(t, sshtest.Options{Authorized: []ssh.PublicKey{signer.PublicKey()}})
			client := dialWith(t, s, remote.Config{Signer: signer, HostKeys: pins(t, s.KnownHosts())})
			if got := client.ServerVersion(); !strings.HasPrefix(got, "SSH-2.0-") {
				t.Errorf("ServerVersion() = %q", got)
			}
			if !strings.Contains(s.KnownHosts(),
				strings.TrimSpace(string(ssh.MarshalAuthorizedKey(client.HostKey())))) {
				t.Error("HostKey() is not the server's")
			}
		})
	}
}

func TestDialNeedsKeyAndHostKeys(t *testing.T) {
	if _, err := remote.Dial(t.Context(), remote.Host{}, remote.Config{}); err == nil {
		t.Error("dialled without a key and without host keys")
	}
}

// unheard is a port at which nobody listens, and which nobody else gets.
func unheard(t *testing.T) remote.Host {
	t.Helper()
	host, _ := bind(t)
	return host
}

// bind returns a socket of the test's, which does not listen.
func bind(t *testing.T) (host remote.Host, fd int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	inet, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("not an IPv4 address: %v", name)
	}
	return remote.Host{User: "ubuntu", Name: "127.0.0.1", Port: uint16(inet.Port)}, fd
}

// fullBacklog listens, accepts nothing and has no room left: the kernel drops
// further SYNs, as a security group does.
func fullBacklog(t *testing.T) remote.Host {
	t.Helper()
	host, fd := bind(t)
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := (&net.Dialer{Timeout: 200 * time.Millisecond}).DialContext(t.Context(), "tcp", host.Addr())
		if err != nil {
			return host
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

func TestDialError(t *testing.T) {
	onlyCBC := func(c *ssh.ServerConfig) { c.Ciphers = []string{ssh.InsecureCipherAES128CBC} }
	onlySHA1 := func(c *ssh.ServerConfig) { c.KeyExchanges = []string{ssh.InsecureKeyExchangeDH14SHA1} }
	onlySHA1MAC := func(c *ssh.ServerConfig) {
		c.Ciphers = []string{ssh.CipherAES128CTR}
		c.MACs = []string{ssh.HMACSHA1}
	}
	server := func(configure func(*ssh.ServerConfig)) func(t *testing.T) remote.Host {
		return func(t *testing.T) remote.Host {
			t.Helper()
			return hostOf(sshtest.Start(t, sshtest.Options{Configure: configure}))
		}
	}
	// answer speaks to the first connection and hangs up.
	answer := func(text string) func(t *testing.T) remote.Host {
		return func(t *testing.T) remote.Host {
			t.Helper()
			l := listen(t)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = bufio.NewReader(conn).ReadString('\n')
				_, _ = conn.Write([]byte(text))
				_ = conn.Close()
			}()
			return hostAt(t, l.Addr())
		}
	}
	tests := []struct {
		name string
		host func(t *testing.T) remote.Host
		kind remote.DialKind
		want []string

		passing bool // it is tried again
	}{
		{"name does not resolve", func(*testing.T) remote.Host {
			return remote.Host{User: "ubuntu", Name: "no-such-host.invalid", Port: 22}
		}, remote.Resolve, []string{"ubuntu@no-such-host.invalid", "does not resolve"}, false},
		{"refused", func(t *testing.T) remote.Host {
			t.Helper()
			return unheard(t)
		}, remote.Refused, []string{"nothing listens on port"}, true},
		{"SYN dropped", fullBacklog, remote.Timeout, []string{"no answer within", "security group"}, false},
		{"listener that never answers", func(t *testing.T) remote.Host {
			t.Helper()
			return hostAt(t, listen(t).Addr())
		}, remote.Timeout, []string{"no answer within", "does not speak SSH in time"}, false},
		{"unreachable", func(*testing.T) remote.Host {
			return remote.Host{User: "ubuntu", Name: "255.255.255.255", Port: 22}
		}, remote.Unreachable, []string{"255.255.255.255", "no way leads to its network"}, false},
		{"HTTP server", func(t *testing.T) remote.Host {
			t.Helper()
			s := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return hostAt(t, s.Listener.Addr())
		}, remote.Handshake, []string{"not an SSH server", "HTTP/1.1 400"}, false},
		{"closed without a word", answer(""), remote.Handshake, []string{"without a word", "MaxStartups"}, true},
		{
			"full", answer("Exceeded MaxStartups\r\n"), remote.Handshake,
			[]string{"lets nobody more in", "MaxStartups"},
			true,
		},
		{
			"cut off in the handshake", answer("SSH-2.0-Test\r\n"), remote.Handshake,
			[]string{"ended the connection during the handshake"},
			true,
		},
		{
			"CBC only", server(onlyCBC), remote.Handshake,
			[]string{
				"client to server cipher", "this side accepts", "aes128-gcm@openssh.com", "the host offers aes128-cbc",
				"sshd_config",
			},
			false,
		},
		{
			"SHA-1 key exchange only", server(onlySHA1), remote.Handshake,
			[]string{"key exchange", "mlkem768x25519-sha256", "the host offers diffie-hellman-group14-sha1"},
			false,
		},
		{
			"SHA-1 MAC only", server(onlySHA1MAC), remote.Handshake,
			[]string{"MAC", "hmac-sha2-256-etm@openssh.com", "the host offers hmac-sha1"},
			false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host := tt.host(t)
			cfg := remote.Config{Signer: sshtest.Signer(t, "ed25519"), HostKeys: remote.InsecureHostKeys()}
			if tt.kind == remote.Timeout {
				cfg.ConnectTimeout = soon
			}
			if tt.passing { // the first attempt must have come to its answer by then
				cfg.ConnectTimeout = 2 * time.Second
			}
			began := time.Now()
			client, err := remote.Dial(t.Context(), host, cfg)
			if client != nil {
				_ = client.Close()
			}
			var dialError *remote.DialError
			if !errors.As(err, &dialError) {
				t.Fatalf("Dial: %v, want a DialError", err)
			}
			if took := time.Since(began); tt.passing && took < time.Second {
				t.Errorf("it was given up after %s", took)
			}
			if dialError.Kind != tt.kind || dialError.Host != host {
				t.Errorf("kind %d of host %s, want %d of %s: %v", dialError.Kind, dialError.Host, tt.kind, host, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Dial: %v, want %q", err, want)
				}
			}
		})
	}
}

// An sshd that is full, or starts again, lets in who comes back.
func TestDialTriesAgain(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	s := sshtest.Start(t, sshtest.Options{Authorized: []ssh.PublicKey{signer.PublicKey()}})
	for _, words := range []string{"", "Exceeded MaxStartups\r\n"} {
		tries := 0
		cfg := remote.Config{Signer: signer, HostKeys: remote.InsecureHostKeys()}
		cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if tries++; tries > 2 {
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			here, there := net.Pipe()
			go func() {
				_, _ = bufio.NewReader(there).ReadString('\n')
				_, _ = there.Write([]byte(words))
				_ = there.Close()
			}()
			return here, nil
		}
		client, err := remote.Dial(t.Context(), hostOf(s), cfg)
		if err != nil || tries != 3 {
			t.Errorf("after %q: %v after %d tries, want the third to get in", words, err, tries)
			continue
		}
		_ = client.Close()
	}
}

// silence is a connection on which a tunnel tells that it does not get to the host.
type silence struct {
	net.Conn
	err error
}

func (s silence) Read([]byte) (int, error) { return 0, s.err }

func TestDialThroughATunnel(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	s := sshtest.Start(t, sshtest.Options{Authorized: []ssh.PublicKey{signer.PublicKey()}})
	target := remote.Host{User: "ubuntu", Name: "10.0.0.7", Alias: "i-1"}
	behind := &remote.DialError{
		Host: target, Kind: remote.Unreachable, Passing: true, Via: "eice-1", Err: errors.New("no way"),
	}
	there := func() (net.Conn, error) { return new(net.Dialer).DialContext(t.Context(), "tcp", hostOf(s).Addr()) }
	for _, tt := range []struct {
		name   string
		first  func(context.Context) (net.Conn, error)
		tries  int
		wrong  string
		always bool
	}{
		{name: "at once", first: func(context.Context) (net.Conn, error) { return there() }, tries: 1},
		{name: "at the second try", first: func(context.Context) (net.Conn, error) { return nil, behind }, tries: 2},
		{name: "when it answers", first: func(context.Context) (net.Conn, error) {
			conn, err := there()
			return silence{conn, behind}, err
		}, tries: 2},
		{
			name: "never", first: func(context.Context) (net.Conn, error) { return nil, behind }, always: true,
			wrong: "connect to ubuntu@10.0.0.7: no way",
		},
		{
			name:  "refused",
			first: func(context.Context) (net.Conn, error) { return nil, errors.New("the role must be allowed") },
			tries: 1, wrong: "connect to ubuntu@10.0.0.7: the role must be allowed",
		},
		{
			name:  "nobody says anything",
			first: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
			tries: 1, wrong: "connect to ubuntu@10.0.0.7: no tunnel to it came about within " + soon.String(),
		},
		{
			name: "whoever makes tunnels was busy all the time", tries: 1,
			first: func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, errors.New("AWS was asked too often")
			},
			wrong: "connect to ubuntu@10.0.0.7: no tunnel to it came about within " + soon.String() +
				": AWS was asked too often",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tries := 0
			cfg := remote.Config{
				Signer: signer, HostKeys: remote.InsecureHostKeys(),
				Tunnel: func(ctx context.Context, host remote.Host) (net.Conn, error) {
					if tries++; host != target {
						t.Errorf("a tunnel to %v", host)
					}
					if tries == 1 || tt.always {
						return tt.first(ctx)
					}
					return there()
				},
				DialContext: func(context.Context, string, string) (net.Conn, error) {
					t.Error("dialled past the tunnel")
					return nil, errors.New("dialled")
				},
			}
			if tt.wrong != "" {
				cfg.ConnectTimeout = soon
			}
			client, err := remote.Dial(t.Context(), target, cfg)
			if client != nil {
				_ = client.Close()
			}
			if tt.wrong == "" && err != nil || tt.wrong != "" && (err == nil || err.Error() != tt.wrong) {
				t.Errorf("err = %v, want %q", err, tt.wrong)
			}
			if tries != tt.tries && !tt.always {
				t.Errorf("%d tries, want %d", tries, tt.tries)
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	reason := errors.New("cancelled by the test")
	l := listen(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		conn, err := l.Accept() // the client is in the handshake now
		if err == nil {
			cancel(reason)
			<-t.Context().Done()
			_ = conn.Close()
		}
	}()
	_, err := remote.Dial(ctx, hostAt(t, l.Addr()), remote.Config{
		Signer:   sshtest.Signer(t, "ed25519"),
		HostKeys: remote.InsecureHostKeys(),
	})
	if !errors.Is(err, reason) {
		t.Errorf("Dial: %v, want %v", err, reason)
	}
}

func TestAuthError(t *testing.T) {
	signer := sshtest.Signer(t, "ecdsa-256")
	other := []ssh.PublicKey{sshtest.Signer(t, "ed25519").PublicKey()}
	fingerprint := ssh.FingerprintSHA256(signer.PublicKey())
	noMethods := func(c *ssh.ServerConfig) {
		c.PublicKeyCallback = nil
		c.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, errors.New("no") }
	}
	second := func(c *ssh.ServerConfig) {
		c.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{
				PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, errors.New("no") },
				KeyboardInteractiveCallback: func(
					ssh.ConnMetadata, ssh.KeyboardInteractiveChallenge,
				) (*ssh.Permissions, error) {
					return nil, errors.New("no")
				},
			}}
		}
	}
	tests := []struct {
		name string
		opts sshtest.Options
		want []string
	}{
		{
			"unknown key",
			sshtest.Options{Authorized: other},
			[]string{"(the host accepts: publickey)", "authorized_keys", `user "ubuntu"`},
		},
		{
			"a second factor",
			sshtest.Options{Configure: second},
			[]string{
				"has taken the key (ecdsa", "a second factor (password or keyboard-interactive), which nobody",
				"Match User ubuntu, and below it AuthenticationMethods publickey",
			},
		},
		{"no login by key", sshtest.Options{Configure: noMethods}, []string{"(the host accepts: password)"}},
		{
			"disconnected",
			sshtest.Options{Authorized: other, Configure: func(c *ssh.ServerConfig) { c.MaxAuthTries = 1 }},
			[]string{"authorized_keys"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sshtest.Start(t, tt.opts)
			_, err := remote.Dial(t.Context(), hostOf(s), remote.Config{
				Signer:   signer,
				HostKeys: pins(t, s.KnownHosts()),
			})
			var authError *remote.AuthError
			if !errors.As(err, &authError) {
				t.Fatalf("Dial: %v, want an AuthError", err)
			}
			if authError.Host != hostOf(s).String() || authError.KeyType != signer.PublicKey().Type() ||
				authError.Fingerprint != fingerprint {
				t.Errorf("AuthError %+v", authError)
			}
			for _, want := range append(tt.want, "ubuntu@", fingerprint) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Dial: %v, want %q", err, want)
				}
			}
		})
	}
}
