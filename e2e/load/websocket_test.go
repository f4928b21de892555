package load

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestWebSocketOutlivesItsDialTimeout(t *testing.T) {
	const timeout = 5 * time.Second // which also holds for each echo
	app := newApp(t)
	app.Start()
	load := startLoad(t, Options{
		URL: app.URL, Mix: Mix{WebSocket: 2}, EchoEvery: 5 * time.Millisecond, Timeout: timeout,
	})
	waitUntil(t, load, "echoes", func(r Report) bool { return r.Echoes > 20 && r.Took > timeout+timeout/4 })
	r := load.Stop(withPatience(t))
	wantFailures(t, r, 0, "")
	if len(r.WebSockets) != 2 || r.Requests != 2 {
		t.Fatalf("%d requests, sessions %+v", r.Requests, r.WebSockets)
	}
	for _, s := range r.WebSockets {
		if !s.Ended.IsZero() || s.Release != "v1" || s.Echoes == 0 {
			t.Errorf("session %+v, want it open to the end", s)
		}
	}
}

func TestWebSocketEndIsRecordedNotFailed(t *testing.T) {
	app := newApp(t)
	app.Start()
	load := startLoad(t, Options{
		URL: app.URL, Mix: Mix{WebSocket: 1}, EchoEvery: 5 * time.Millisecond,
		Think: time.Millisecond,
	})
	waitUntil(t, load, "an echo", func(r Report) bool { return r.Echoes > 0 })
	app.setRelease("v2")
	if err := app.lastSocket().Close(websocket.StatusServiceRestart, "restart"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, load, "an echo of the second session", func(r Report) bool {
		return len(r.WebSockets) == 2 && r.WebSockets[1].Echoes > 0
	})
	if err := app.lastSocket().CloseNow(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, load, "a third session", func(r Report) bool { return len(r.WebSockets) == 3 })
	r := load.Stop(withPatience(t))
	wantFailures(t, r, 0, "")
	first, second := r.WebSockets[0], r.WebSockets[1]
	if first.Release != "v1" || first.Code != 1012 || first.Reason != "restart" || !first.Ended.After(first.Opened) {
		t.Errorf("first session %+v, want it ended with 1012 restart", first)
	}
	if second.Release != "v2" || second.Code != -1 || second.Reason == "" || second.Ended.IsZero() {
		t.Errorf("second session %+v, want it ended without a close frame", second)
	}
}

func TestWebSocketFaultsAreFailedOnce(t *testing.T) {
	tests := []struct {
		name  string
		at    int64
		fault func(http.ResponseWriter, *http.Request)
		want  Cause
	}{
		{"refused handshake", 1, answer(http.StatusBadGateway, "", ""), CauseStatus},
		{"closed in the handshake", 1, raw(""), CauseClosed},
		{"reset in the handshake", 1, reset, CauseReset},
		{"wrong echo", 0, nil, CauseBody},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := newApp(t)
			app.faultAt, app.fault = tt.at, tt.fault
			app.spoil.Store(tt.fault == nil)
			app.Start()
			load := startLoad(t, Options{
				URL: app.URL, Mix: Mix{WebSocket: 1}, EchoEvery: 2 * time.Millisecond,
				Think: time.Millisecond,
			})
			waitUntil(t, load, "a failure and an echo", func(r Report) bool { return r.Failed == 1 && r.Echoes > 0 })
			r := load.Stop(withPatience(t))
			wantFailures(t, r, 1, tt.want)
			if strings.Contains(r.Details(), "\n\n") || !strings.Contains(r.Details(), "websocket") {
				t.Errorf("details: %q", r.Details())
			}
		})
	}
}
