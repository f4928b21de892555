// Package sshtest is an SSH server for tests. It listens on the loopback, runs
// what it is asked to run in a real bash (or in a function of the test), and
// can be told to fall silent or to vanish.
package sshtest

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Options says how a [Server] differs from one that lets anybody in with any
// key and runs bash.
type Options struct {
	HostKeys   []ssh.Signer            // nil: one new Ed25519 key
	Authorized []ssh.PublicKey         // nil: any key
	Configure  func(*ssh.ServerConfig) // has the last word
	Handle     func(*Exec)             // nil: [Shell]
	Subsystem  func(*Exec)             // nil: there are none; the line is the name
	Silent     bool                    // never answer a keepalive
}

// A Server is stopped when its test ends.
type Server struct {
	opts     Options
	config   *ssh.ServerConfig
	listener *net.TCPListener
	tasks    sync.WaitGroup

	accepted   atomic.Int64
	keepalives atomic.Int64

	mu    sync.Mutex
	conns map[*net.TCPConn]struct{}
}

// Start starts a server.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	if opts.HostKeys == nil {
		opts.HostKeys = []ssh.Signer{Signer(tb, "ed25519")}
	}
	if opts.Handle == nil {
		opts.Handle = Shell
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{opts: opts, listener: listener, conns: map[*net.TCPConn]struct{}{}}
	s.config = &ssh.ServerConfig{PublicKeyCallback: s.authorize}
	for _, key := range opts.HostKeys {
		s.config.AddHostKey(key)
	}
	if opts.Configure != nil {
		opts.Configure(s.config)
	}
	s.tasks.Go(s.accept)
	tb.Cleanup(func() {
		_ = listener.Close()
		s.Drop()
		s.tasks.Wait()
	})
	return s
}

// Name and Port are where the server listens.
func (s *Server) Name() string { return "127.0.0.1" }

// Port is never 22.
func (s *Server) Port() uint16 {
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}

// KnownHosts returns a known_hosts line for every key of the server.
func (s *Server) KnownHosts() string {
	text := ""
	for _, key := range s.opts.HostKeys {
		text += knownhosts.Line([]string{s.listener.Addr().String()}, key.PublicKey()) + "\n"
	}
	return text
}

// Accepted returns how many connections came in so far.
func (s *Server) Accepted() int { return int(s.accepted.Load()) }

// Keepalives returns how many keepalive requests came in so far.
func (s *Server) Keepalives() int { return int(s.keepalives.Load()) }

// Drop cuts every connection, as a crash of the host would. Whether the client
// reads an end or a reset depends on what it had sent: see [Server.Finish] and
// [Server.Reset].
func (s *Server) Drop() {
	s.each(func(conn *net.TCPConn) { _ = conn.Close() })
}

// Finish ends every connection so that the client reads an end, whatever it
// had sent.
func (s *Server) Finish() {
	s.each(func(conn *net.TCPConn) { _ = conn.CloseWrite() })
}

// Reset cuts every connection so that the client reads a reset.
func (s *Server) Reset() {
	s.each(func(conn *net.TCPConn) {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	})
}

func (s *Server) each(do func(*net.TCPConn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		do(conn)
	}
}

func (s *Server) authorize(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	if s.opts.Authorized == nil {
		return nil, nil
	}
	for _, known := range s.opts.Authorized {
		if string(known.Marshal()) == string(key.Marshal()) {
			return nil, nil
		}
	}
	return nil, ssh.ErrNoAuth
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.AcceptTCP()
		if err != nil {
			return
		}
		s.accepted.Add(1)
		s.mu.Lock()
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.tasks.Go(func() {
			s.serve(conn)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *Server) serve(conn net.Conn) {
	sshConn, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { s.answer(requests) })
	for opened := range channels {
		if opened.ChannelType() != "session" {
			_ = opened.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		ch, requests, err := opened.Accept()
		if err != nil {
			continue
		}
		tasks.Go(func() { s.session(ctx, sshConn, ch, requests) })
	}
	cancel()
	tasks.Wait()
}

func (s *Server) answer(requests <-chan *ssh.Request) {
	for req := range requests {
		if req.Type == "keepalive@openssh.com" {
			s.keepalives.Add(1)
			if s.opts.Silent {
				continue
			}
		}
		if req.WantReply {
			_ = req.Reply(false, nil) // as sshd does: any answer is one
		}
	}
}
