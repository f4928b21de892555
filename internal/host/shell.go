package host

import (
	"context"
	"io"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// Shell is the whole of a host that a deployment uses: verbs with values. Errors are remote's: an
// *remote.ExitError is the host's no, anything else means that the outcome is not known.
type Shell interface {
	// Run runs verbs to their ends, one after the other, and none after one that fails: n is how
	// many have ended well. Results and words arrive while they run.
	Run(ctx context.Context, calls ...Call) (n int, err error)
	// Hold starts a verb that goes on until its input is closed.
	Hold(ctx context.Context, call Call) (Session, error)
	// Upload writes a stream into a named pipe that is on the host, Download reads a file.
	Upload(ctx context.Context, path string, from io.Reader) error
	Download(ctx context.Context, path string, to io.Writer) error
	// PrepareFiles opens what the next of these needs, while something else is done.
	PrepareFiles()
	// String tells who answered: the server's version and host key.
	String() string
	Close() error
}

// Call is one verb, with its values.
type Call struct {
	Verb           scripts.Verb
	Values         scripts.Values
	Results, Words io.Writer
	Ended          func()  // called when it has ended well; nil for nobody
	Skipped        func()  // called when it is known not to have begun, before Run returns; nil for nobody
	Behind         Session // it has no words before this one is ready; nil for none
}

// Session is a verb that goes on.
type Session interface {
	Beat()                 // one heartbeat
	Ready()                // what it says from now on is not waited for
	Done() <-chan struct{} // closed when it ended
	Wait() error           // why it ended
	Close()                // ends it
}

// Dialer opens a host's shell.
type Dialer func(ctx context.Context, host remote.Host) (Shell, error)
