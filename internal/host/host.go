// Package host is one host as a run talks to it: verbs with their values, sent over a connection
// and under the deploy lock. Both may be lost, and made anew, while the run goes on. What verbs
// mean, and what their results say of the host, is not its concern.
package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// Options are what a Host is made of.
type Options struct {
	Address remote.Host
	Dial    Dialer
	Report  *report.Report        // has what the host says
	Token   string                // names the run, and with a connection's number who holds the lock
	Values  func() scripts.Values // that all verbs take, as they are at that moment
	Quiet   bool                  // what verbs say is shown where one fails, the end of it
}

// Host is one host. It does one thing at a time.
type Host struct {
	Address remote.Host

	dial   Dialer
	rep    *report.Report
	token  string
	common func() scripts.Values
	quiet  bool

	shell Shell     // nil before Connect
	lock  *heldLock // nil before TakeLock, and after Unlock
	// dials is how often this run has connected again: it is in the name of the lock's holder, so
	// that a step from before finds that it is not held.
	dials   int
	journal string   // names the step under way
	execs   int      // of that step so far
	ahead   *ahead   // nil for nothing
	loose   []string // see DropAhead
}

// New returns a host that is not dialled yet.
func New(o Options) *Host {
	return &Host{Address: o.Address, dial: o.Dial, rep: o.Report, token: o.Token, common: o.Values, quiet: o.Quiet}
}

// BeginStep opens a step by a name that no other step of the run has: the same verbs of the same
// step, done again after a lost connection, are known on the host by it.
func (h *Host) BeginStep(step string) { h.journal, h.execs = step, 0 }

// Exec runs a verb with the values that all verbs take and its own, streams its words, and turns
// the host's no into an Error that carries them.
func (h *Host) Exec(ctx context.Context, verb scripts.Verb, own scripts.Values) (*scripts.Results, error) {
	results := new(scripts.Results)
	a, id := h.ahead, h.stepID()
	if a == nil || a.sent == nil || a.verb != verb || a.id != id {
		return results, h.exec(ctx, Asked{verb, own, results, id})
	}
	words, last, began := h.words(), tail{}, time.Now()
	err := h.awaitAhead(ctx, a, io.MultiWriter(words, &last))
	_ = words.Close()
	if a.behind != nil && exitedWith(err, scripts.ExitLockBusy) { // the lock was waited for
		return results, h.exec(ctx, Asked{verb, own, results, id})
	}
	h.heard(verb, &a.results, began, &last)
	if err == nil {
		err = a.results.Err()
	}
	err = last.explain(verb, err)
	h.showEnd(err)
	return &a.results, err
}

// ExecInto is Exec for who has to see results as they come.
func (h *Host) ExecInto(
	ctx context.Context, results *scripts.Results, verb scripts.Verb, own scripts.Values,
) error {
	return h.ExecAll(ctx, Asked{Verb: verb, Own: own, Results: results})
}

// Asked is a verb with its own values, and what its results are to come into.
type Asked struct {
	Verb    scripts.Verb
	Own     scripts.Values
	Results *scripts.Results

	id string
}

// ExecAll runs verbs one after the other, and none after one that fails. They are sent together:
// where nothing is to be decided between them, that is a round trip in place of one each.
func (h *Host) ExecAll(ctx context.Context, all ...Asked) error {
	for n := range all {
		all[n].id = h.stepID()
	}
	return h.exec(ctx, all...)
}

func (h *Host) exec(ctx context.Context, all ...Asked) error {
	words := h.words()
	lasts, calls, began := make([]tail, len(all)), make([]Call, len(all)), time.Now()
	for n, a := range all {
		calls[n] = Call{
			Verb: a.Verb, Values: h.values(a.Own, a.id), Results: a.Results, Words: io.MultiWriter(words, &lasts[n]),
		}
	}
	done, err := h.runAhead(ctx, calls)
	_ = words.Close()
	for n, a := range all[:min(done+1, len(all))] {
		h.heard(a.Verb, a.Results, began, &lasts[n])
		if n < done {
			if err := a.Results.Err(); err != nil {
				return err
			}
		}
	}
	if err != nil {
		err = lasts[done].explain(all[done].Verb, err)
		h.showEnd(err)
		return err
	}
	return nil
}

// words is where what verbs say goes.
func (h *Host) words() io.WriteCloser {
	if h.quiet {
		return unheard{}
	}
	return h.rep.Remote(h.Address.Name)
}

// unheard drops what is written to it.
type unheard struct{}

func (unheard) Write(p []byte) (int, error) { return len(p), nil }
func (unheard) Close() error                { return nil }

// showEnd shows what a quiet host has said before it failed, by its own doing.
func (h *Host) showEnd(err error) {
	var no *Error
	if !h.quiet || !errors.As(err, &no) {
		return
	}
	words := h.rep.Remote(h.Address.Name)
	_, _ = io.WriteString(words, strings.Join(append(slices.Clone(no.Evidence), no.Reason), "\n")+"\n")
	_ = words.Close()
}

// heard notes what a verb has said. What went to the host may be secret, and is not said.
func (h *Host) heard(verb scripts.Verb, results *scripts.Results, began time.Time, words *tail) {
	h.rep.Debug(fmt.Sprintf("%s: %s.sh took %s, said %s", h.Address, verb,
		time.Since(began).Round(time.Millisecond), cmp.Or(results.String(), "nothing")))
	if h.quiet {
		h.rep.Debug(h.Address.Name + " │ " + words.String())
	}
}

// Upload writes a stream into a named pipe that is on the host.
func (h *Host) Upload(ctx context.Context, path string, from io.Reader) error {
	return h.shell.Upload(ctx, path, from)
}

// Download reads a file of the host's.
func (h *Host) Download(ctx context.Context, path string, to io.Writer) error {
	return h.shell.Download(ctx, path, to)
}

// PrepareFiles opens what the next Upload or Download needs, while something else is done.
func (h *Host) PrepareFiles() { h.shell.PrepareFiles() }

// values are those of one verb; its own go before those that all take.
func (h *Host) values(own scripts.Values, id string) scripts.Values {
	all := h.common()
	all["lock_token"], all["step_id"] = fmt.Sprintf("%s-%d", h.token, h.dials), id
	maps.Copy(all, own)
	return all
}

// NextID is how the host keeps the results of what is asked for next; see Ahead.
func (h *Host) NextID() string { return h.journal + "-" + strconv.Itoa(h.execs+1) }

// stepID names what a verb does on the host: the same again when a step is repeated after a lost
// connection, so that what it has finished is not done twice. A verb that can't be answered from
// what it left gets none, by a value of its own.
func (h *Host) stepID() string {
	id := h.NextID()
	h.execs++
	return id
}
