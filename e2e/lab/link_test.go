package lab

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// answersWithin is the time for what must come, on a machine that is full, too.
const answersWithin = 30 * time.Second

// A link passes what it gets; what is broken are the connections that there are.
func TestLink(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	link, err := shared.Link(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		broke func()
		want  func(answer []byte, err error) bool // nothing for silence
	}{
		{"whole", func() {}, func(a []byte, _ error) bool { return bytes.HasPrefix(a, []byte("Invalid SSH")) }},
		{"reset", link.Reset, func(_ []byte, err error) bool {
			return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
		}},
		{"a black hole", func() { link.Swallow(true, true) }, nil},
		{"a black hole to the host", func() { link.Swallow(true, false) }, nil},
		{"a black hole from the host", func() { link.Swallow(false, true) }, nil},
		{"slow", func() { link.Slow(700*time.Millisecond, 0) }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			link.Slow(0, 0)
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", net.JoinHostPort(link.Host, link.Port))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(answersWithin)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, len("SSH-2.0-"))); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 256)); err != nil {
				t.Fatal(err)
			}
			tt.broke()
			if tt.want == nil {
				tt.want = timedOut
				if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			_, werr := io.WriteString(conn, "not ssh\r\n")
			answer, err := io.ReadAll(conn)
			if !tt.want(answer, errors.Join(werr, err)) {
				t.Errorf("answer %q, error %v %v", answer, werr, err)
			}
		})
	}
}

// A link that is cut gives no answer to who is there, nor to who comes, until it is mended.
func TestLinkThatIsCut(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	link, err := shared.Link(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", net.JoinHostPort(link.Host, link.Port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(answersWithin)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	there := dial()
	if _, err := io.ReadFull(there, make([]byte, len("SSH-2.0-OpenSSH"))); err != nil {
		t.Fatal(err)
	}
	link.Cut()
	for name, conn := range map[string]net.Conn{"who comes": dial(), "who is there": there} {
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		_, werr := io.WriteString(conn, "not ssh\r\n")
		answer, err := io.ReadAll(conn)
		if name == "who is there" { // the rest of the line came before
			answer = nil
		}
		if !timedOut(answer, errors.Join(werr, err)) {
			t.Errorf("%s gets %q, %v %v", name, answer, werr, err)
		}
	}
	link.Mend()
	if _, err := io.ReadFull(dial(), make([]byte, len("SSH-2.0-OpenSSH"))); err != nil {
		t.Errorf("once it is mended: %v", err)
	}
}

func timedOut(answer []byte, err error) bool {
	var timeout net.Error
	return len(answer) == 0 && errors.As(err, &timeout) && timeout.Timeout()
}
