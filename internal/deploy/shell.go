package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// Shell is the whole of a host that a deployment uses: verbs with values. Errors are remote's: an *remote.ExitError is the host's no,
// anything else means that the outcome is not known.
type Shell interface {
	// Run runs one verb to its end. Results and words arrive while it runs.
	Run(ctx context.Context, verb scripts.Verb, values scripts.Values, results, words io.Writer) error
	// Hold starts a verb that goes on until its input is closed.
	Hold(ctx context.Context, verb scripts.Verb, values scripts.Values, results, words io.Writer) (Session, error)
	// Upload writes a stream into a named pipe that is on the host, Download reads a file.
	Upload(ctx context.Context, path string, from io.Reader) error
	Download(ctx context.Context, path string, to io.Writer) error
	// String tells who answered: the server's version and host key.
	String() string
	Close() error
}

// Session is a verb that goes on.
type Session interface {
	Beat() error           // one heartbeat; an error when the session is gone
	Done() <-chan struct{} // closed when it ended
	Wait() error           // why it ended
	Close()                // ends it
}

// Dialer opens a host's shell.
type Dialer func(ctx context.Context, host remote.Host) (Shell, error)

// SSH returns the Dialer that deploys use: one connection a host, one exec channel a verb.
func SSH(cfg remote.Config) Dialer {
	return func(ctx context.Context, host remote.Host) (Shell, error) {
		client, err := remote.Dial(ctx, host, cfg)
		if err != nil {
			return nil, err
		}
		return &sshShell{client}, nil
	}
}

type sshShell struct{ *remote.Client }

func (s *sshShell) Run(ctx context.Context, verb scripts.Verb, values scripts.Values, results, words io.Writer) error {
	script, err := scripts.Compose(verb, values)
	if err != nil {
		return err
	}
	return s.Client.Run(ctx, remote.Command{Line: scripts.Command(verb), Stdin: bytes.NewReader(script), Stdout: results, Stderr: words})
}

func (s *sshShell) Hold(ctx context.Context, verb scripts.Verb, values scripts.Values, results, words io.Writer) (Session, error) {
	script, err := scripts.Compose(verb, values)
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	process, err := s.Start(ctx, remote.Command{
		Line: scripts.Command(verb), Stdin: io.MultiReader(bytes.NewReader(script), pr), Stdout: results, Stderr: words,
	})
	if err != nil {
		return nil, err
	}
	return &sshSession{process, pw}, nil
}

func (s *sshShell) String() string {
	return fmt.Sprintf("%s, host key %s", s.ServerVersion(), ssh.FingerprintSHA256(s.HostKey()))
}

type sshSession struct {
	*remote.Process
	input *io.PipeWriter
}

func (s *sshSession) Beat() error {
	_, err := s.input.Write([]byte("\n"))
	return err
}

func (s *sshSession) Close() { _ = s.input.Close() }
