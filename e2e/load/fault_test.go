package load

import (
	"net/http"
	"testing"
	"time"
)

func TestLoadCountsEveryFaultOnce(t *testing.T) {
	body := `{"release": "v1"}`
	tests := []struct {
		name  string
		kind  Kind
		fault func(http.ResponseWriter, *http.Request)
		want  Cause
	}{
		{"reset instead of an answer", KindGet, reset, CauseReset},
		{"reset of a post", KindPost, reset, CauseReset},
		{"reset in an upload", KindUpload, reset, CauseReset},
		{"closed without an answer", KindGet, raw(""), CauseClosed},
		{"closed within the head", KindGet, raw("HTTP/1.1 200 OK\r\nX-Release: v1\r\n"), CauseClosed},
		{
			"closed within the body", KindGet, raw("HTTP/1.1 200 OK\r\nX-Release: v1\r\nContent-Length: 99\r\n\r\n{"),
			CauseClosed,
		},
		{"two answers", KindGet, raw(wholeAnswer("") + wholeAnswer("")), CauseProtocol},
		{"not HTTP", KindGet, raw("SSH-2.0-OpenSSH_9.6\r\n\r\n"), CauseProtocol},
		{"bad gateway", KindGet, answer(http.StatusBadGateway, "", "<html>502 Bad Gateway</html>"), CauseStatus},
		{"bad gateway for a post", KindPost, answer(http.StatusBadGateway, "", ""), CauseStatus},
		{"bad gateway for a slow answer", KindSlow, answer(http.StatusBadGateway, "", ""), CauseStatus},
		{"no content", KindGet, answer(http.StatusNoContent, "v1", ""), CauseStatus},
		{"not from the application", KindGet, answer(http.StatusOK, "", body), CauseRelease},
		{"wrong body", KindGet, answer(http.StatusOK, "v1", "<html>maintenance</html>"), CauseBody},
		{"body of another release", KindGet, answer(http.StatusOK, "v2", body), CauseBody},
		{"wrong echo", KindPost, answer(http.StatusOK, "v1", body), CauseBody},
		{
			"wrong hash", KindUpload, answer(http.StatusOK, "v1", `{"release": "v1", "size": 256, "sha256": "00"}`),
			CauseBody,
		},
		{"no answer", KindGet, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, CauseTimeout},
		{"half an answer", KindGet, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Release", "v1")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, CauseTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := newApp(t)
			app.faultAt, app.fault = 5, tt.fault
			app.Start()
			timeout := patience
			if tt.want == CauseTimeout {
				timeout = 3 * time.Second
			}
			mix := map[Kind]Mix{KindGet: {Get: 1}, KindPost: {Post: 1}, KindSlow: {Slow: 1}, KindUpload: {Upload: 1}}
			load := startLoad(t, Options{
				URL: app.URL, Mix: mix[tt.kind], UploadSize: 256,
				Think: time.Millisecond, SlowFor: time.Millisecond, UploadFor: 5 * time.Millisecond, Timeout: timeout,
			})
			waitAnswers(t, load, tt.kind, 10)
			r := load.Stop(withPatience(t))
			wantFailures(t, r, 1, tt.want)
			if r.ByKind[tt.kind].Failed != 1 || r.Requests != r.ByRelease["v1"]+1 {
				t.Errorf("counted by kind: %+v, in all %d with %v good", r.ByKind, r.Requests, r.ByRelease)
			}
			if got := app.connections.Load(); got != 2 {
				t.Errorf("%d connections, want 2: one new one after the failure", got)
			}
		})
	}
}

func TestLoadFindsConnectionsClosedWhileIdle(t *testing.T) {
	tests := []struct {
		name     string
		tolerate bool
		want     int
	}{
		{"counted as failed", false, 1},
		{"tolerated where asked for", true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := newApp(t)
			closed := make(chan struct{})
			app.faultAt, app.fault = 5, func(w http.ResponseWriter, r *http.Request) {
				raw(wholeAnswer(""))(w, r)
				close(closed)
			}
			app.Start()
			// No connection of its own, but one request after the other by hand: so the close is
			// surely there before the sixth is sent.
			load := startLoad(t, Options{URL: app.URL, Mix: Mix{Get: -1}, TolerateIdleClose: tt.tolerate})
			var conn *keptConn
			for n := range 10 {
				conn, _ = load.once(conn, KindGet, 0, n)
				if n == 4 {
					<-closed
				}
			}
			conn.close()
			r := load.Report()
			wantFailures(t, r, tt.want, CauseIdle)
			if r.IdleCloses != 1 || r.Requests != 10 {
				t.Errorf("%d idle closes, want 1; %d requests, want 10", r.IdleCloses, r.Requests)
			}
		})
	}
}
