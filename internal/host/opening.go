package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// ShellError is a login whose shell does not run what it is given: no script of this action has
// begun there.
type ShellError struct {
	User   string
	Status string        // how it ended
	Words  string        // its own, or those of what runs in its place
	Silent time.Duration // it did not end either, in that time
	Joined bool          // it runs what it is given, and both outputs come on one stream
}

func (e *ShellError) Error() string {
	words := "nothing"
	if e.Words != "" {
		words = fmt.Sprintf("%q", e.Words)
	}
	if e.Joined {
		return fmt.Sprintf("the login of %s sends the standard error of what it runs to its standard output (as 2>&1 "+
			"does), so that results can't be told from words: what is forced on it (ForceCommand in sshd_config, command= "+
			"in authorized_keys), or its shell, must keep the two apart", e.User)
	}
	if e.Silent > 0 {
		return fmt.Sprintf("the login shell of %s has not run the commands that it was given within %s, and said "+
			"%s: one of its start-up files (.bashrc, .zshenv, config.fish) reads standard input, or waits; "+
			"it must do so in a shell for people only", e.User, e.Silent, words)
	}
	return fmt.Sprintf("the login of %s does not run the commands that it is given: it ended with %s, and said %s; "+
		"its shell must run commands (see getent passwd %s), "+
		"none may be forced (command= in authorized_keys, ForceCommand), "+
		"and its start-up files (.bashrc, .zshenv, config.fish) must not exec another shell",
		e.User, e.Status, words, e.User)
}

// opening watches what a conversation prints for the line that opens it: what comes before that is
// the login shell's.
type opening struct {
	to     io.Writer
	user   string
	cancel context.CancelCauseFunc
	timer  *time.Timer

	mu     sync.Mutex
	came   bool
	line   []byte       // of standard output, as far as it came
	before bytes.Buffer // of standard output and standard error, without that line
	errors io.Writer
}

func (o *opening) over() {
	o.timer.Stop()
	o.cancel(nil)
}

const mostBefore = 64 << 10

func (o *opening) Write(p []byte) (int, error) {
	o.mu.Lock()
	for rest, found := p, true; found && !o.came; {
		var part []byte
		part, rest, found = bytes.Cut(rest, []byte("\n"))
		if len(o.line) < mostBefore {
			o.line = append(o.line, part...)
		}
		if found {
			// What a start-up file prints last may have no line of its own.
			o.came = bytes.HasSuffix(o.line, []byte(scripts.Begin))
			o.keep(append(o.line, '\n'))
			o.line = o.line[:0]
		}
	}
	o.mu.Unlock()
	return o.to.Write(p)
}

func (o *opening) keep(text []byte) {
	if o.before.Len()+len(text) <= mostBefore {
		o.before.Write(text)
	}
}

// words is where standard error goes.
func (o *opening) words() io.Writer { return openingWords{o} }

type openingWords struct{ *opening }

func (w openingWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	if !w.came {
		w.keep(p)
	}
	w.mu.Unlock()
	return w.errors.Write(p)
}

// said are the last lines of what came before, on one; whole ones, so that no part of a secret is
// among them which nobody would know.
func (o *opening) said() (words string) {
	for _, line := range slices.Backward(strings.Split(o.before.String()+string(o.line), "\n")) {
		more := strings.Join(strings.Fields(line+" "+words), " ")
		if len(more) > mostSaid {
			return cmp.Or(words, "…")
		}
		words = more
	}
	return words
}

const mostSaid = 300

// judge tells the conversation's own end from that of a login shell that never came to it.
func (o *opening) judge(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var silent *ShellError
	var exit *remote.ExitError
	switch {
	case o.came:
		return err
	case errors.As(err, &silent):
		return silent
	case errors.As(err, &exit) && exit.Signal == "":
		status := exit.Error()
		if exit.Code == scripts.ExitNotBash {
			status = "another shell than bash"
		}
		return &ShellError{User: o.user, Status: status, Words: o.said()}
	case err == nil:
		return &ShellError{User: o.user, Status: "status 0", Words: o.said()}
	}
	return err
}
