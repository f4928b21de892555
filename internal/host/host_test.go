package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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
	dials int
	gone  bool // nobody gets through to it
	sent  []scripts.Values
	words string
	code  int                 // of the next verb's end
	held  map[string]*session // the lock's sessions, by the token of who has them
}

func (f *far) dial(_ context.Context, at remote.Host) (Shell, error) {
	f.dials++
	if f.gone {
		return nil, &remote.DialError{Host: at, Kind: remote.Timeout, Err: errors.New("no answer")}
	}
	return &shell{far: f}, nil
}

type shell struct {
	*far
	Shell
}

func (s *shell) Run(_ context.Context, _ scripts.Verb, v scripts.Values, results, words io.Writer) error {
	s.sent = append(s.sent, v)
	_, _ = io.WriteString(words, s.words)
	if s.code != 0 {
		return &remote.ExitError{Code: s.code}
	}
	_, _ = fmt.Fprintf(results, "%s\na=1\n", scripts.Begin)
	return nil
}

func (s *shell) Hold(_ context.Context, _ scripts.Verb, v scripts.Values, results, words io.Writer) (Session, error) {
	s.sent = append(s.sent, v)
	held := &session{done: make(chan struct{})}
	if s.code != 0 {
		_, _ = io.WriteString(words, s.words)
		held.end(&remote.ExitError{Code: s.code})
		return held, nil
	}
	s.held[v["lock_token"]] = held
	_, _ = fmt.Fprintf(results, "%s\nopen=yes\nwaited=3\nlocked=yes\n", scripts.Begin)
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

func TestReconnectingEnds(t *testing.T) {
	still := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	restarted := errors.New("restarted")
	for _, tt := range []struct {
		name  string
		gone  bool
		still error
		want  error
		dials int
	}{
		{"when its time is over", true, nil, ErrGone, 7},
		{"when the host is not as it was left", false, restarted, restarted, 1},
		{"not when the new connection is lost, too", false, &remote.LostError{Err: io.EOF}, ErrGone, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, f, _ := connected(t)
				f.gone, f.dials = tt.gone, 0
				err := h.Reconnect(t.Context(), errors.New("reset"), 40*time.Second, still(tt.still))
				if !errors.Is(err, tt.want) || f.dials != tt.dials {
					t.Errorf("%v after %d dials, want %v after %d", err, f.dials, tt.want, tt.dials)
				}
			})
		})
	}
}
