package host

import (
	"errors"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// Error is the host's own no: a script that ended with an exit code other than 0.
type Error struct {
	Verb     scripts.Verb
	Code     int      // one of the scripts package's
	Reason   string   // the script's last line
	Evidence []string // the lines before it, the application's own among them
	err      error
}

func (e *Error) Error() string { return e.Reason }
func (e *Error) Unwrap() error { return e.err }

// Refused reports whether the host said no by this exit code.
func Refused(err error, code int) bool {
	var no *Error
	return errors.As(err, &no) && no.Code == code
}

// exitedWith is Refused before an error has a verb's words.
func exitedWith(err error, code int) bool {
	var exit *remote.ExitError
	return errors.As(err, &exit) && exit.Code == code && exit.Signal == ""
}

// Overtaken reports whether the deploy lock was not this run's any more.
func Overtaken(err error) bool { return Refused(err, scripts.ExitLockLost) }

// ErrLeave is wrapped by the cause of a context that ends the wait for what a host is asked to do, and
// lets it go on there.
var ErrLeave = remote.ErrLeave

// AtWork reports whether the host goes on with what was asked of it, and nobody waits for that. Whatever
// else is asked under the step lock would end it.
func AtWork(err error) bool {
	var lost *remote.LostError
	return errors.As(err, &lost) && errors.Is(lost.Err, ErrLeave)
}

// Lost reports whether the host did not answer: what the step has done there is not known.
func Lost(err error) bool {
	var lost *remote.LostError
	return errors.As(err, &lost)
}
