package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// far is the other end: it keeps what it was sent, and does what it is told.
type far struct {
	dials  int
	gone   bool  // nobody gets through to it
	fails  error // what the next dial does
	sent   []scripts.Values
	words  string
	code   int          // of the next verb's end
	spared scripts.Verb // ends well all the same
	waits  scripts.Verb // goes on until it is told to end
	panics scripts.Verb
	early  int                 // with which what is sent along with the lock ends, unless it is 0
	verbs  []scripts.Verb      // that were begun
	mu     sync.Mutex          // for sent and verbs
	held   map[string]*session // the lock's sessions, by the token of who has them
}

func (f *far) dial(_ context.Context, at remote.Host) (Shell, error) {
	f.dials++
	if err := f.fails; err != nil {
		f.fails = nil
		return nil, err
	}
	if f.gone {
		return nil, &remote.DialError{Host: at, Kind: remote.Timeout, Err: errors.New("no answer")}
	}
	return &shell{far: f}, nil
}

type shell struct {
	*far
	Shell
}

func (s *shell) Run(ctx context.Context, calls ...Call) (ended int, err error) {
	defer func() {
		for _, later := range calls[min(ended+1, len(calls)):] {
			if err != nil && later.Skipped != nil {
				later.Skipped()
			}
		}
	}()
	for n, c := range calls {
		s.mu.Lock()
		s.sent = append(s.sent, c.Values)
		s.verbs = append(s.verbs, c.Verb)
		s.mu.Unlock()
		if s.early != 0 && c.Behind != nil {
			return n, &remote.ExitError{Code: s.early}
		}
		_, _ = io.WriteString(c.Words, s.words)
		if c.Verb == s.waits {
			<-ctx.Done()
			return n, context.Cause(ctx)
		}
		if c.Verb == s.panics {
			panic("at the disco")
		}
		if s.code != 0 && c.Verb != s.spared {
			return n, &remote.ExitError{Code: s.code}
		}
		_, _ = fmt.Fprintf(c.Results, "%s\na=1\n", scripts.Begin)
		if c.Ended != nil {
			c.Ended()
		}
	}
	return len(calls), nil
}

func (s *shell) Hold(_ context.Context, c Call) (Session, error) {
	s.sent = append(s.sent, c.Values)
	s.verbs = append(s.verbs, c.Verb)
	held := &session{done: make(chan struct{})}
	if s.code != 0 {
		_, _ = io.WriteString(c.Words, s.words)
		held.end(&remote.ExitError{Code: s.code})
		return held, nil
	}
	s.held[c.Values["lock_token"]] = held
	_, _ = fmt.Fprintf(c.Results, "%s\nmachine=b\nopen=yes\nwaited=3\nlocked=yes\n", scripts.Begin)
	return held, nil
}

func (s *shell) String() string { return "far" }
func (s *shell) Close() error   { return nil }

type session struct {
	done  chan struct{}
	err   error
	beats int
}

func (s *session) Beat()                 { s.beats++ }
func (s *session) Ready()                {}
func (s *session) Done() <-chan struct{} { return s.done }
func (s *session) Wait() error           { <-s.done; return s.err }
func (s *session) Close()                { s.end(nil) }

func (s *session) end(err error) {
	select {
	case <-s.done:
	default:
		s.err = err
		close(s.done)
	}
}

// connected returns a host that answers, its other end, and the log.
func connected(t *testing.T) (*Host, *far, *bytes.Buffer) {
	t.Helper()
	f, log := &far{held: map[string]*session{}}, &bytes.Buffer{}
	h := New(Options{
		Address: remote.Host{User: "ubuntu", Name: "web-1", Port: 22}, Dial: f.dial, Token: "7-x",
		Report: report.New(log, func(string) string { return "" }),
		Values: func() scripts.Values { return scripts.Values{"app": "shop", "path": "/srv"} },
	})
	if who, err := h.Connect(t.Context()); who != "far" || err != nil {
		t.Fatalf("Connect: %q, %v", who, err)
	}
	return h, f, log
}

func TestAVerbHasTheValuesThatAllTakeAndItsOwn(t *testing.T) {
	h, f, log := connected(t)
	f.words = "building\n"
	for range 2 { // the second time as after a lost connection
		h.BeginStep("3-build")
		for _, own := range []scripts.Values{{"path": "/own"}, {"step_id": ""}} {
			res, err := h.Exec(t.Context(), scripts.Build, own)
			if err != nil || res.Text("a") != "1" {
				t.Fatalf("Exec: %v, %s", err, res)
			}
		}
	}
	first := scripts.Values{"app": "shop", "path": "/own", "lock_token": "7-x-0", "step_id": "3-build-1"}
	second := scripts.Values{"app": "shop", "path": "/srv", "lock_token": "7-x-0", "step_id": ""}
	if diff := cmp.Diff([]scripts.Values{first, second, first, second}, f.sent); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if !strings.Contains(log.String(), "building") {
		t.Errorf("the log lacks the host's words:\n%s", log)
	}
}

func TestTheHostsNoHasItsReasonAndWhatCameBefore(t *testing.T) {
	h, f, _ := connected(t)
	f.words, f.code = "no module named shop\r\nthe build failed\n", scripts.ExitBuild
	_, err := h.Exec(t.Context(), scripts.Build, nil)
	var no *Error
	if !errors.As(err, &no) || no.Verb != scripts.Build || no.Reason != "the build failed" ||
		!strings.Contains(strings.Join(no.Evidence, "|"), "no module named shop") {
		t.Fatalf("%+v", err)
	}
	if !Refused(err, scripts.ExitBuild) || Refused(err, scripts.ExitFetch) || Overtaken(err) || Lost(err) {
		t.Errorf("taken for another error: %v", err)
	}
	f.words, f.code = "", scripts.ExitLockLost
	if _, err = h.Exec(t.Context(), scripts.Build, nil); !Overtaken(err) || h.Disconnected(err) {
		t.Errorf("%v", err)
	}
}

func TestTheLockIsTakenAgainOverANewConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, f, log := connected(t)
		taken, err := h.TakeLock(t.Context(), "ada", time.Minute)
		if err != nil || !taken.Open || taken.Waited != 3*time.Millisecond || !h.Locked() {
			t.Fatalf("TakeLock: %+v, %v", taken, err)
		}
		time.Sleep(2*Heartbeat + time.Second)
		synctest.Wait()
		first := f.held["7-x-0"]
		if first.beats != 2 {
			t.Errorf("%d heartbeats in %s", first.beats, 2*Heartbeat)
		}
		first.end(errors.New("reset"))
		if !h.Disconnected(&Error{Code: scripts.ExitLockLost}) {
			t.Error("a step that was refused as the lock's session ended is not done again")
		}
		looked := false
		err = h.Reconnect(t.Context(), errors.New("reset"), time.Minute, func(context.Context) error {
			looked = true
			return nil
		})
		synctest.Wait()
		if err != nil || !looked || !strings.Contains(log.String(), "connected again") {
			t.Fatalf("Reconnect: %v, looked %t\n%s", err, looked, log)
		}
		last := f.sent[len(f.sent)-1]
		if last["resume"] != "yes" || last["lock_token"] != "7-x-1" || last["lock_note"] != "ada" {
			t.Errorf("the lock was taken again with %v", last)
		}
		if err := h.Unlock(t.Context()); err != nil || h.Locked() {
			t.Errorf("Unlock: %v", err)
		}
		h.HangUp()
	})
}

// Hosts that lose their connections by one cause have one warning; each has a port of its own in it.
func TestALostConnectionIsToldOfWithoutItsPorts(t *testing.T) {
	h, _, log := connected(t)
	reset := &net.OpError{
		Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 40123},
		Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 22}, Err: syscall.ECONNRESET,
	}
	cause := &remote.LostError{Started: true, Err: fmt.Errorf("connection to web-1: %w", reset)}
	if err := h.Reconnect(t.Context(), cause, time.Minute, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	const what = "outcome of the command unknown: connection to web-1: "
	for _, want := range []string{
		"::warning title=Connection to web-1::" + what + "connection reset by peer; dialling again\n",
		"::debug::connection to web-1: " + what + "read tcp 10.0.0.1:40123->10.0.0.2:22: connection reset by peer\n",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no line %q in\n%s", want, log)
		}
	}
}

func TestReconnectingEnds(t *testing.T) {
	still := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	restarted, refused := errors.New("restarted"), errors.New("refused")
	busy := fmt.Errorf("log in: %w", &remote.PassingError{Err: errors.New("AWS was asked too often")})
	for _, tt := range []struct {
		name  string
		gone  bool
		fails error // the first dial
		still error
		want  error
		dials int
	}{
		{"when its time is over", true, nil, nil, ErrGone, 7},
		{"when the host is not as it was left", false, nil, restarted, restarted, 1},
		{"not when the new connection is lost, too", false, nil, &remote.LostError{Err: io.EOF}, ErrGone, 7},
		{"not when there is no key at first", false, busy, nil, nil, 2},
		{"not when the port stays shut at first", false, &DoorError{refused}, nil, nil, 2},
		{"when a key is refused", false, fmt.Errorf("log in: %w", refused), nil, refused, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, f, _ := connected(t)
				f.gone, f.fails, f.dials = tt.gone, tt.fails, 0
				err := h.Reconnect(t.Context(), errors.New("reset"), 40*time.Second, still(tt.still))
				if !errors.Is(err, tt.want) || f.dials != tt.dials {
					t.Errorf("%v after %d dials, want %v after %d", err, f.dials, tt.want, tt.dials)
				}
			})
		})
	}
}

// Verbs that are sent together have their own results, words and names on the host, and the first
// that fails is the one that is told of.
func TestVerbsThatAreSentTogether(t *testing.T) {
	h, f, _ := connected(t)
	f.words = "on it\n"
	h.BeginStep("7-switch")
	var site, flag scripts.Results
	both := []Asked{
		{Verb: scripts.Site, Own: scripts.Values{"path": "/own"}, Results: &site}, {
			Verb:    scripts.Switch,
			Results: &flag,
		},
	}
	if err := h.ExecAll(t.Context(), both...); err != nil || site.Text("a") != "1" || flag.Text("a") != "1" {
		t.Fatalf("ExecAll: %v, %s, %s", err, &site, &flag)
	}
	if a, b := f.sent[0], f.sent[1]; a["path"] != "/own" || b["path"] != "/srv" ||
		a["step_id"] != "7-switch-1" || b["step_id"] != "7-switch-2" {
		t.Errorf("values %v", f.sent)
	}
	site, flag = scripts.Results{}, scripts.Results{}
	f.words, f.code, f.spared = "no flag\n", scripts.ExitFlag, scripts.Site
	var no *Error
	if err := h.ExecAll(t.Context(), both...); !errors.As(err, &no) || no.Verb != scripts.Switch ||
		no.Reason != "no flag" {
		t.Errorf("the second fails: %v", err)
	}
	site, flag, f.spared = scripts.Results{}, scripts.Results{}, scripts.Switch
	if err := h.ExecAll(t.Context(), both...); !errors.As(err, &no) || no.Verb != scripts.Site || len(f.sent) != 5 {
		t.Errorf("the first fails: %v, %d were begun", err, len(f.sent))
	}
}

// Several steps' verbs are sent ahead at once; each is waited for by its own step, and none begins
// after one that fails.
func TestSeveralStepsAreSentAhead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		spared  scripts.Verb // with a code, all others fail
		sent    int
		refused string // the step that fails
	}{
		{name: "all end well", sent: 3},
		{name: "the first of them fails", spared: scripts.Switch, sent: 2, refused: "5-verify"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, f, _ := connected(t)
			if tt.spared != "" {
				f.code, f.spared = scripts.ExitUnhealthy, tt.spared
			}
			h.BeginStep("4-switch")
			h.Ahead("5-verify", scripts.Verify, scripts.Values{"verb": "verify"})
			h.Ahead("6-mark", scripts.Mark, scripts.Values{"verb": "mark"})
			for _, s := range []struct {
				step string
				verb scripts.Verb
			}{{"4-switch", scripts.Switch}, {"5-verify", scripts.Verify}, {"6-mark", scripts.Mark}} {
				h.BeginStep(s.step)
				res, err := h.Exec(t.Context(), s.verb, nil)
				var no *Error
				if s.step == tt.refused {
					if !errors.As(err, &no) || no.Verb != s.verb {
						t.Errorf("%s: %v", s.step, err)
					}
					break
				}
				if err != nil || res.Text("a") != "1" {
					t.Errorf("%s: %v, %v", s.step, err, res)
				}
			}
			if tt.refused != "" { // what comes next is no part of it
				f.code = 0
				h.BeginStep("7-stop")
				if _, err := h.Exec(t.Context(), scripts.Stop, nil); err != nil {
					t.Errorf("what follows: %v", err)
				}
				tt.sent++
			}
			if len(f.sent) != tt.sent {
				t.Errorf("sent %v", f.sent)
			}
		})
	}
}

// What is sent ahead begins when the step before has ended well, says its words in the step that
// asks for it, and is ended when something else is asked for first.
func TestWhatIsSentAhead(t *testing.T) {
	stopped := errors.New("stopped")
	for _, tt := range []struct {
		name    string
		far     func(f *far)
		next    string // the step that follows
		cancel  bool
		sent    int
		want    any // of that step
		wantOne any // of the one before
	}{
		{name: "asked for", next: "8-health", sent: 2},
		{name: "something else", next: "9-stop", sent: 3},
		{
			name: "it goes on and something else", far: func(f *far) { f.waits = scripts.Health }, next: "9-stop",
			sent: 3,
		},
		{
			name: "cut off", far: func(f *far) { f.waits = scripts.Health }, next: "8-health", cancel: true, sent: 2,
			want: stopped,
		},
		{
			name: "it fails", far: func(f *far) {
				f.code, f.spared = scripts.ExitDied,
					scripts.Start
			}, next: "8-health",
			sent: 2, want: &Error{},
		},
		{
			name: "the one before fails", far: func(f *far) { f.code, f.spared = scripts.ExitStart, scripts.Stop },
			next: "9-stop", sent: 2, wantOne: &Error{},
		},
		{name: "it panics", far: func(f *far) { f.panics = scripts.Health }, next: "8-health", sent: 2, want: "panic"},
		{
			name: "the one before panics", far: func(f *far) { f.panics = scripts.Start }, next: "9-stop", sent: 2,
			wantOne: "panic",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, f, log := connected(t)
			f.words = "on it\n"
			if tt.far != nil {
				tt.far(f)
			}
			check := func(verb scripts.Verb, ctx context.Context, want any) {
				t.Helper()
				var res *scripts.Results
				var err error
				got := func() (what any) {
					defer func() {
						if recover() != nil {
							what = "panic"
						}
					}()
					if res, err = h.Exec(ctx, verb, scripts.Values{"verb": string(verb)}); err != nil {
						return err
					}
					return nil
				}()
				var no *Error
				switch want := want.(type) {
				case nil:
					if err != nil || got != nil || res.Text("a") != "1" {
						t.Errorf("%s: %v, %v", verb, got, res)
					}
				case string:
					if got != want {
						t.Errorf("%s: %v, want a panic", verb, got)
					}
				case *Error:
					if !errors.As(err, &no) || no.Verb != verb {
						t.Errorf("%s: %v", verb, err)
					}
				case error:
					if !errors.Is(err, want) {
						t.Errorf("%s: %v, want %v", verb, err, want)
					}
				}
			}
			h.BeginStep("7-start")
			h.Ahead("8-health", scripts.Health, scripts.Values{"verb": "health"})
			check(scripts.Start, t.Context(), tt.wantOne)
			words := strings.Count(log.String(), "on it")
			if words != 1 {
				t.Errorf("%d words in the step before:\n%s", words, log)
			}
			h.BeginStep(tt.next)
			ctx, cancel := context.WithCancelCause(t.Context())
			if tt.cancel {
				cancel(stopped)
			}
			defer cancel(nil)
			verb := scripts.Verb(tt.next[2:])
			check(verb, ctx, tt.want)
			said := regexp.MustCompile(`(?m)^::debug::.*\n`).ReplaceAllString(log.String(), "")
			if now := strings.Count(said, "on it"); now != 2 {
				t.Errorf("%d words in both steps:\n%s", now, log)
			}
			if len(f.sent) != tt.sent || f.sent[len(f.sent)-1]["verb"] != string(verb) {
				t.Errorf("sent %v", f.sent)
			}
			if tt.sent == 2 && tt.wantOne == nil && f.sent[1]["step_id"] != "8-health-1" {
				t.Errorf("it has the name %s", f.sent[1]["step_id"])
			}
		})
	}
}

// What is sent along with the lock is asked for again where the lock had to be waited for, and counts
// for nothing once the lock is given back.
func TestWhatIsSentAlongWithTheLock(t *testing.T) {
	for _, tt := range []struct {
		name   string
		code   int // with which it ends
		unlock bool
		sent   []scripts.Verb
	}{
		{"at once", 0, false, []scripts.Verb{scripts.Lock, scripts.Check, scripts.Port}},
		{
			"after another run", scripts.ExitLockBusy, false,
			[]scripts.Verb{scripts.Lock, scripts.Check, scripts.Check, scripts.Port},
		},
		{
			"given back", 0, true,
			[]scripts.Verb{scripts.Lock, scripts.Check, scripts.Port, scripts.Check, scripts.Port},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, f, _ := connected(t)
			f.early = tt.code
			h.BeginStep("1-lock")
			h.Ahead("2-check", scripts.Check, nil)
			h.Ahead("3-detect", scripts.Port, nil)
			if _, err := h.TakeLock(t.Context(), "ada", time.Minute); err != nil {
				t.Fatal(err)
			}
			if tt.unlock {
				if err := h.Unlock(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			h.BeginStep("2-check")
			if res, err := h.Exec(t.Context(), scripts.Check, nil); err != nil || res.Text("a") != "1" {
				t.Errorf("check: %v, %s", err, res)
			}
			h.BeginStep("3-detect")
			if res, err := h.Exec(t.Context(), scripts.Port, nil); err != nil || res.Text("a") != "1" {
				t.Errorf("port: %v, %s", err, res)
			}
			h.HangUp()
			f.mu.Lock()
			defer f.mu.Unlock()
			if diff := cmp.Diff(tt.sent, f.verbs); diff != "" {
				t.Errorf("verbs (-want +got):\n%s", diff)
			}
		})
	}
}

// What is said before a step asks for it is kept, the end of it where that is much.
func TestWordsThatWaitAreBounded(t *testing.T) {
	var r relay
	var heard strings.Builder
	for n := range 100_000 {
		if _, err := fmt.Fprintf(&r, "line %d\n", n); err != nil || len(r.kept) > 3*mostKept {
			t.Fatalf("%v, %d bytes are kept", err, len(r.kept))
		}
	}
	r.to(&heard)
	if _, err := io.WriteString(&r, "the last\n"); err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(heard.String(), "\n")
	if !strings.Contains(first, "left out") || !strings.HasPrefix(rest, "line 9") ||
		!strings.HasSuffix(rest, "line 99999\nthe last\n") {
		t.Errorf("heard %.80q … %q", heard.String(), rest[max(0, len(rest)-40):])
	}
}

// A host that is one of many shows why it failed, whether it was asked ahead or not.
func TestAQuietHostShowsWhyItFailed(t *testing.T) {
	h, f, log := connected(t)
	h.quiet, f.words = true, "no module named shop\nanswered 500\n"
	f.code, f.spared = scripts.ExitUnhealthy, scripts.Switch
	h.BeginStep("4-switch")
	h.Ahead("5-verify", scripts.Verify, nil)
	if _, err := h.Exec(t.Context(), scripts.Switch, nil); err != nil || strings.Contains(log.String(), "\nweb-1 │ ") {
		t.Fatalf("Exec: %v\n%s", err, log)
	}
	h.BeginStep("5-verify")
	_, err := h.Exec(t.Context(), scripts.Verify, nil)
	if !Refused(err, scripts.ExitUnhealthy) || strings.Count(log.String(), "::debug::web-1 │ ") != 2 ||
		!strings.Contains(log.String(), "\nweb-1 │ no module named shop\nweb-1 │ answered 500\n") {
		t.Errorf("Exec: %v\n%s", err, log)
	}
}

// What was sent ahead and never asked for ends with the connection, and not after it.
func TestHangUpEndsWhatWasSentAhead(t *testing.T) {
	h, f, _ := connected(t)
	f.waits = scripts.Health
	h.BeginStep("7-start")
	h.Ahead("8-health", scripts.Health, nil)
	if _, err := h.Exec(t.Context(), scripts.Start, nil); err != nil {
		t.Fatal(err)
	}
	a := h.ahead
	h.HangUp()
	select {
	case <-a.done:
	default:
		t.Error("it goes on")
	}
}
