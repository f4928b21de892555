package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// SSH returns the Dialer that deployments use: one connection a host, one exec channel a verb.
func SSH(cfg remote.Config) Dialer {
	return func(ctx context.Context, host remote.Host) (Shell, error) {
		client, err := remote.Dial(ctx, host, cfg)
		if err != nil {
			return nil, err
		}
		again := func(ctx context.Context) (*remote.Client, error) { return remote.Dial(ctx, host, cfg) }
		return &sshShell{
			Client: client, dial: again, user: host.User,
			patience: max(cfg.ConnectTimeout, leastPatience),
		}, nil
	}
}

// leastPatience is for a login shell that starts slowly, where connect-timeout is short.
const leastPatience = 10 * time.Second

type sshShell struct {
	*remote.Client // the first connection
	dial           func(context.Context) (*remote.Client, error)
	user           string
	works          atomic.Bool   // the login shell has run a verb
	patience       time.Duration // until a login shell must have begun with what it was given

	mu   sync.Mutex
	more []*remote.Client // where sshd admits few sessions over one
}

func (s *sshShell) Run(ctx context.Context, verb scripts.Verb, values scripts.Values, results, words io.Writer) error {
	script, err := scripts.Compose(verb, values)
	if err != nil {
		return err
	}
	ctx, o := s.opening(ctx, results, words)
	defer o.over()
	return o.judge(s.over(ctx, func(c *remote.Client) error {
		return c.Run(ctx, remote.Command{
			Line: scripts.Command(verb), Stdin: bytes.NewReader(scripts.Pack(script, false)),
			Stdout: o, Stderr: o.words(),
		})
	}))
}

func (s *sshShell) Hold(
	ctx context.Context, verb scripts.Verb, values scripts.Values, results, words io.Writer,
) (Session, error) {
	script, err := scripts.Compose(verb, values)
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	ctx, o := s.opening(ctx, results, words)
	var process *remote.Process
	err = s.over(ctx, func(c *remote.Client) (err error) {
		process, err = c.Start(ctx, remote.Command{
			Line: scripts.Command(verb), Stdin: io.MultiReader(bytes.NewReader(scripts.Pack(script, true)), pr),
			Stdout: o, Stderr: o.words(),
		})
		return err
	})
	if err != nil {
		o.over()
		return nil, err
	}
	return &sshSession{process, pw, o}, nil
}

func (s *sshShell) Upload(ctx context.Context, path string, from io.Reader) error {
	return s.over(ctx, func(c *remote.Client) error { return c.Upload(ctx, path, from) })
}

func (s *sshShell) Download(ctx context.Context, path string, to io.Writer) error {
	return s.over(ctx, func(c *remote.Client) error { return c.Download(ctx, path, to) })
}

// opening gives a login shell its time to begin.
func (s *sshShell) opening(ctx context.Context, results, words io.Writer) (context.Context, *opening) {
	ctx, cancel := context.WithCancelCause(ctx)
	o := &opening{to: results, user: s.user, cancel: cancel, errors: words}
	o.begun = func() { s.works.Store(true) }
	patience := s.patience
	if s.works.Load() {
		// That a shell which has run a verb does not run the next is the connection's doing, or
		// the host's.
		patience = never
	}
	o.timer = time.AfterFunc(patience, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !o.came {
			cancel(&ShellError{User: s.user, Silent: s.patience, Words: o.said()})
		}
	})
	return ctx, o
}

const never = math.MaxInt64

// over does a piece of work over the first connection that has a session free for it, or over a new
// one: an sshd may admit few sessions over one connection (MaxSessions), and the deploy lock takes
// one for as long as the run lasts.
func (s *sshShell) over(ctx context.Context, work func(*remote.Client) error) error {
	err := work(s.Client)
	for n := 0; n < maxConnections && isFull(err); n++ {
		next, refused := s.another(ctx, n)
		if refused != nil {
			return fmt.Errorf("%w; and another connection: %w", err, refused)
		}
		err = work(next)
	}
	return err
}

// maxConnections is as many besides the first as sessions are open at once, at most: a verb's and a
// transfer's.
const maxConnections = 3

func isFull(err error) bool {
	var refused *ssh.OpenChannelError
	return errors.As(err, &refused)
}

// another returns the n-th connection besides the first.
func (s *sshShell) another(ctx context.Context, n int) (*remote.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < len(s.more) {
		return s.more[n], nil
	}
	client, err := s.dial(ctx)
	if err == nil {
		s.more = append(s.more, client)
	}
	return client, err
}

func (s *sshShell) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, client := range s.more {
		_ = client.Close()
	}
	return s.Client.Close()
}

func (s *sshShell) String() string {
	return fmt.Sprintf("%s, host key %s", s.ServerVersion(), ssh.FingerprintSHA256(s.HostKey()))
}

type sshSession struct {
	*remote.Process
	input *io.PipeWriter
	o     *opening
}

func (s *sshSession) Wait() error {
	defer s.o.over()
	return s.o.judge(s.Process.Wait())
}

func (s *sshSession) Beat() error {
	_, err := s.input.Write([]byte("\n"))
	return err
}

func (s *sshSession) Close() { _ = s.input.Close() }
