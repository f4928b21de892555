package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// Door is what has to be open while somebody logs in to a host.
type Door interface {
	// Open opens it until shut is called.
	Open(ctx context.Context) (shut func(), err error)
}

// DoorError is why it was not opened: the host was not dialled.
type DoorError struct{ Err error }

func (e *DoorError) Error() string { return fmt.Sprintf("open the port to this runner: %v", e.Err) }

func (e *DoorError) Unwrap() error { return e.Err }

// SSH returns the Dialer that deployments use: one connection a host, and in it one conversation.
// The door may be nil.
func SSH(cfg remote.Config, door Door) Dialer {
	turns := make(chan struct{}, LoginsAtOnce)
	return func(ctx context.Context, host remote.Host) (Shell, error) {
		go openingText() // it is wanted as soon as the connection is there
		again := func(ctx context.Context) (*remote.Client, error) {
			if door != nil {
				shut, err := door.Open(ctx) // once for all that wait for their turn
				if err != nil {
					return nil, &DoorError{err}
				}
				defer shut()
			}
			select {
			case turns <- struct{}{}:
				defer func() { <-turns }()
				return remote.Dial(ctx, host, cfg)
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		client, err := again(ctx)
		if err != nil {
			return nil, err
		}
		return &sshShell{
			Client: client, dial: again, user: host.User,
			patience: max(cfg.ConnectTimeout, leastPatience),
		}, nil
	}
}

// LoginsAtOnce bounds the connections that are not logged in yet: of more than ten an sshd drops some, by
// its default (sshd_config(5), MaxStartups), and the one that all may come to is a bastion's.
const LoginsAtOnce = 8

// leastPatience is for a login shell that starts slowly, where connect-timeout is short.
const leastPatience = 10 * time.Second

type sshShell struct {
	*remote.Client // the first connection
	dial           func(context.Context) (*remote.Client, error)
	user           string
	patience       time.Duration // until the login shell must have begun with what it was given

	mu   sync.Mutex
	talk *remote.Talk // nil before the first verb

	moreMu sync.Mutex
	more   []*remote.Client // where sshd admits few sessions over one
}

func (s *sshShell) Run(ctx context.Context, calls ...Call) (n int, err error) {
	turns, err := s.begin(ctx, false, calls...)
	if err != nil {
		for _, c := range calls {
			if c.Skipped != nil {
				c.Skipped()
			}
		}
		return 0, err
	}
	for n, turn := range turns {
		if err := turn.Wait(ctx); err != nil {
			// On the host others may have begun meanwhile: told to end in the gap between two, or while
			// the end of one was on its way here.
			for m, later := range turns[n+1:] {
				if told := calls[n+1+m].Skipped; errors.Is(later.Wait(ctx), remote.ErrSkipped) && told != nil {
					told()
				}
			}
			return n, err
		}
		if told := calls[n].Ended; told != nil {
			told()
		}
	}
	return len(turns), nil
}

func (s *sshShell) Hold(ctx context.Context, call Call) (Session, error) {
	turns, err := s.begin(ctx, true, call)
	if err != nil {
		return nil, err
	}
	return &sshSession{turns[0]}, nil
}

// begin has the host begin with verbs.
func (s *sshShell) begin(ctx context.Context, hold bool, calls ...Call) ([]*remote.Turn, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("start command: %w", context.Cause(ctx))
	}
	talk, err := s.conversation(ctx)
	if err != nil {
		return nil, err
	}
	var works []remote.Work
	for _, c := range calls {
		_, _ = io.WriteString(c.Results, scripts.Begin+"\n")
		works = append(works, remote.Work{
			Name: string(c.Verb), Parts: scripts.Later(c.Verb), Hold: hold, Results: c.Results, Words: c.Words,
			Behind: turnOf(c.Behind),
			Text: func(tag string) ([]byte, error) {
				all := maps.Clone(c.Values)
				all["tag"] = tag
				return scripts.Assign(c.Verb, all)
			},
		})
	}
	return talk.Begin(works...)
}

// conversation opens it, for the first verb. That one is sent along, before the host has answered.
func (s *sshShell) conversation(ctx context.Context) (*remote.Talk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.talk != nil {
		return s.talk, nil
	}
	talk := remote.NewTalk()
	talk.Joined = &ShellError{User: s.user, Joined: true}
	long, o := s.opening(context.WithoutCancel(ctx), talk.Stdout(), talk.Stderr())
	stop := context.AfterFunc(ctx, func() { o.cancel(context.Cause(ctx)) }) // only while it is opened
	var process *remote.Process
	err := s.over(ctx, func(c *remote.Client) (err error) {
		process, err = c.Start(long, remote.Command{
			Line:   scripts.Command(scripts.Talk),
			Stdin:  io.MultiReader(bytes.NewReader(openingText()), talk.Stdin()),
			Stdout: o, Stderr: o.words(),
		})
		return err
	})
	if err != nil || !stop() {
		err = cmp.Or(err, context.Cause(ctx))
		o.over()
		talk.Over(err)
		return nil, err
	}
	s.talk = talk
	go func() {
		talk.Over(ended(o.judge(process.Wait())))
		o.over()
	}()
	go beat(talk)
	return talk, nil
}

// openingText is the same for all hosts; to pack it takes memory and time.
var openingText = sync.OnceValue(func() []byte { return scripts.Opening(silence) })

// ended is why a conversation has: nobody knows how the verbs under way did, unless none has ever
// begun.
func ended(err error) error {
	var shell *ShellError
	if errors.As(err, &shell) || Lost(err) {
		return err
	}
	return &remote.LostError{Started: true, Err: cmp.Or(err, errors.New("the host ended the conversation"))}
}

// beat tells the host that the run is there.
func beat(talk *remote.Talk) {
	ticker := time.NewTicker(Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			talk.Beat()
		case <-talk.Done():
			return
		}
	}
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
	o.timer = time.AfterFunc(s.patience, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !o.came {
			cancel(&ShellError{User: s.user, Silent: s.patience, Words: o.said()})
		}
	})
	return ctx, o
}

// over does a piece of work over the first connection that has a session free for it, or over a new
// one: an sshd may admit few sessions over one connection (MaxSessions), and the conversation takes
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

// maxConnections bounds those besides the first: more are never needed at once, by a transfer and
// by one that was prepared.
const maxConnections = 3

func isFull(err error) bool {
	var refused *ssh.OpenChannelError
	return errors.As(err, &refused)
}

// another returns the n-th connection besides the first.
func (s *sshShell) another(ctx context.Context, n int) (*remote.Client, error) {
	s.moreMu.Lock()
	defer s.moreMu.Unlock()
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
	s.moreMu.Lock()
	for _, client := range s.more {
		_ = client.Close()
	}
	s.moreMu.Unlock()
	return s.Client.Close()
}

func (s *sshShell) String() string {
	return fmt.Sprintf("%s, host key %s", s.ServerVersion(), ssh.FingerprintSHA256(s.HostKey()))
}

// sshSession is a turn that is fed.
type sshSession struct{ *remote.Turn }

func turnOf(s Session) *remote.Turn {
	if held, ok := s.(*sshSession); ok {
		return held.Turn
	}
	return nil
}

func (s *sshSession) Wait() error { return s.Turn.Wait(context.Background()) }
func (s *sshSession) Beat()       { s.Feed() }
