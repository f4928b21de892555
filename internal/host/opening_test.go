package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"github.com/clothesme/deploy-action/scripts"
)

// What a login shell does in the place of a verb is said to be that, with its own words.
func TestALoginThatRunsSomethingElse(t *testing.T) {
	lost := &remote.LostError{Started: true, Err: errors.New("gone")}
	for _, tt := range []struct {
		name, stdout, stderr string
		err                  error
		want                 string // "": the error as it is
	}{
		{"a verb", scripts.Begin + "\na=1\n", "no\n", &remote.ExitError{Code: 64}, ""},
		{"a greeting", "Welcome\n" + scripts.Begin + "\n", "", nil, ""},
		{"a title without an end of line", "\x1b]0;web\a" + scripts.Begin + "\n", "", nil, ""},
		{
			"nologin", "This account is currently not available.\n", "", &remote.ExitError{Code: 1},
			`it ended with exit status 1, and said "This account is currently not available."; ` +
				"its shell must run commands (see getent passwd ubuntu)",
		},
		{
			"a forced command", "backup done\n", "", nil, `it ended with status 0, and said "backup done"; ` +
				"its shell must run commands (see getent passwd ubuntu), none may be forced",
		},
		{
			"another shell", "", "", &remote.ExitError{Code: scripts.ExitNotBash},
			"it ended with another shell than bash, and said nothing",
		},
		{
			"no bash", "", "sh: 1: exec: bash: not found\n", &remote.ExitError{Code: 127},
			`said "sh: 1: exec: bash: not found"`,
		},
		{"the connection is lost", "", "", lost, ""},
		{"the host ends it", "", "", &remote.ExitError{Code: 143, Signal: "TERM"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var results scripts.Results
			var words bytes.Buffer
			_, o := (&sshShell{user: "ubuntu", patience: time.Minute}).opening(t.Context(), &results, &words)
			defer o.over()
			_, _ = io.WriteString(o, tt.stdout)
			_, _ = io.WriteString(o.words(), tt.stderr)
			err := o.judge(tt.err)
			var shell *ShellError
			if tt.want == "" && !errors.Is(err, tt.err) ||
				tt.want != "" && (!errors.As(err, &shell) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if words.String() != tt.stderr {
				t.Errorf("the log has %q", words.String())
			}
		})
	}
}

// One that reads what was meant for bash, or waits, is not waited for until something else runs
// out.
func TestALoginThatRunsNothing(t *testing.T) {
	ctx, o := (&sshShell{user: "ubuntu", patience: time.Millisecond}).opening(t.Context(), io.Discard, io.Discard)
	defer o.over()
	<-ctx.Done()
	err := o.judge(context.Cause(ctx))
	if err == nil || !strings.Contains(err.Error(), "the login shell of ubuntu has not run the commands that it was "+
		"given within 1ms, and said nothing: one of its start-up files") {
		t.Errorf("%v", err)
	}
}

// A wrapper around what a login runs that joins its outputs is named, and not waited for.
func TestALoginThatJoinsItsOutputs(t *testing.T) {
	for _, joins := range []string{"", "exec 2>&1; "} {
		server := sshtest.Start(t, sshtest.Options{Handle: func(e *sshtest.Exec) {
			e.Line = joins + e.Line
			sshtest.Shell(e)
		}})
		dial := SSH(remote.Config{Signer: sshtest.Signer(t, "ed25519"), HostKeys: remote.InsecureHostKeys()}, nil)
		shell, err := dial(t.Context(), remote.Host{User: "ubuntu", Name: server.Name(), Port: server.Port()})
		if err != nil {
			t.Fatal(err)
		}
		call := Call{Verb: scripts.Ask, Values: scripts.Values{}, Results: io.Discard, Words: io.Discard}
		_, err = shell.Run(t.Context(), call)
		var exit *remote.ExitError
		var login *ShellError
		if joins == "" && !errors.As(err, &exit) || joins != "" && (!errors.As(err, &login) || !login.Joined ||
			!strings.Contains(err.Error(), "the login of ubuntu sends the standard error of what it runs")) {
			t.Errorf("with %q: %v", joins, err)
		}
		if _, again := shell.Run(t.Context(), call); joins != "" && !errors.As(again, &login) {
			t.Errorf("the second time: %v", again)
		}
		_ = shell.Close()
	}
}

// However many verbs were sent to a host that hangs, it is waited for once when they are told to end.
// One that answers again has the whole of that time.
func TestAHostThatHangsIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		talk := remote.NewTalk()
		call := Call{Verb: scripts.Ask, Values: scripts.Values{}, Results: io.Discard, Words: io.Discard}
		for _, tt := range []struct {
			says string
			want time.Duration
		}{{"", 2 * time.Second}, {"", 0}, {"here I am\n", 2 * time.Second}} {
			if tt.says != "" {
				_, _ = io.WriteString(talk.Stderr(), tt.says)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			_, err := (&sshShell{talk: talk}).Run(ctx, call, call, call)
			cancel()
			if took := time.Since(began) - time.Second; !Lost(err) || took != tt.want {
				t.Errorf("after %q: %v, and it took %s, want %s", tt.says, err, took, tt.want)
			}
		}
		talk.Over(io.EOF)
	})
}

// A verb whose time was over before it began is not begun.
func TestNothingBeginsTooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	talk := remote.NewTalk()
	call := Call{Verb: scripts.Ask, Values: scripts.Values{}, Results: io.Discard, Words: io.Discard}
	_, err := (&sshShell{talk: talk}).Run(ctx, call)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	talk.Over(io.EOF)
	if sent, err := io.ReadAll(talk.Stdin()); err != nil || len(sent) > 0 {
		t.Errorf("the host was sent %q, %v", sent, err)
	}
}
