package load

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait of these tests; none of them comes near it.
const patience = 30 * time.Second

func TestLoadOfACorrectServer(t *testing.T) {
	app := newApp(t)
	app.Start()
	load := startLoad(t, Options{
		URL: app.URL, Mix: Mix{Get: 8, Post: 2, Slow: 2, Upload: 3, WebSocket: 1},
		Think: 2 * time.Millisecond, SlowFor: 20 * time.Millisecond, UploadFor: 150 * time.Millisecond,
		EchoEvery: 5 * time.Millisecond,
	})
	waitAnswers(t, load, KindGet, 200)
	waitAnswers(t, load, KindUpload, 9)
	app.setRelease("v2")
	if err := load.WaitFor(withPatience(t), "v2"); err != nil {
		t.Fatal(err)
	}
	waitAnswers(t, load, KindPost, 10)
	waitAnswers(t, load, KindSlow, 4)
	r := load.Stop(withPatience(t))

	wantFailures(t, r, 0, "")
	for _, kind := range []Kind{KindGet, KindPost, KindSlow, KindUpload, KindWebSocket} {
		if r.ByKind[kind].Requests == 0 {
			t.Errorf("no %s request", kind)
		}
	}
	if got := r.ByKind[KindSlow].Latency.P50; got < 20*time.Millisecond {
		t.Errorf("slow answers took %v, want at least the 20ms asked for", got)
	}
	if r.ByRelease["v1"] == 0 || r.ByRelease["v2"] == 0 || len(r.ByRelease) != 2 {
		t.Errorf("answers by release: %v", r.ByRelease)
	}
	if app.overlap.Load() < 2 {
		t.Error("never two uploads at a time")
	}
	if got, want := app.connections.Load(), int64(8+2+2+3+1); got != want {
		t.Errorf("%d connections, want %d: each kept alive", got, want)
	}
	first, last := load.Seen("v1")
	if second, _ := load.Seen("v2"); !second.After(first) || last.Before(first) {
		t.Errorf("v1 seen from %v to %v, v2 from %v", first, last, second)
	}
	if first, last := load.Seen("v3"); !first.IsZero() || !last.IsZero() {
		t.Errorf("v3 seen at %v, %v", first, last)
	}
	if r.MaxGap <= 0 || r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.Max || r.Unfinished != 0 {
		t.Errorf("gap %v, latency %+v, unfinished %d", r.MaxGap, r.Latency, r.Unfinished)
	}
}

func TestLoadDialsAnewWhereTheServerAnnouncedIt(t *testing.T) {
	app := newApp(t)
	app.closeEvery = 5
	app.Start()
	load := startLoad(t, Options{URL: app.URL, Mix: Mix{Get: 1}, Think: time.Millisecond})
	waitAnswers(t, load, KindGet, 21)
	r := load.Stop(withPatience(t))
	wantFailures(t, r, 0, "")
	if got := app.connections.Load(); got < 5 {
		t.Errorf("%d connections for %d requests, want one for every 5", got, r.Requests)
	}
}

// An answer may take nearly as long as it has, as that of a host which was frozen.
func TestLoadUsesAConnectionAgainAfterALateAnswer(t *testing.T) {
	app := newApp(t)
	app.Start()
	load := startLoad(t, Options{URL: app.URL, Mix: Mix{Get: -1}})
	conn, _ := load.once(nil, KindGet, 0, 0)
	if err := conn.raw.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	load.once(conn, KindGet, 0, 1)
	wantFailures(t, load.Stop(withPatience(t)), 0, "")
	if got := app.connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

func TestLoadCountsEveryRefusedDial(t *testing.T) {
	app := newApp(t)
	app.closeEvery = 1
	app.Start()
	load := startLoad(t, Options{URL: app.URL, Mix: Mix{Get: 1}, Think: 5 * time.Millisecond})
	waitAnswers(t, load, KindGet, 3)
	app.Close()
	waitUntil(t, load, "three failures", func(r Report) bool { return r.Failed >= 3 })
	r := load.Stop(withPatience(t))
	if r.ByCause[CauseRefused] < 2 || r.Failed != r.Requests-r.ByRelease["v1"] {
		t.Errorf("%s\n%s", r, r.Details())
	}
}

func TestLoadFinishesUploadsAtOnceWhenStopped(t *testing.T) {
	app := newApp(t)
	app.Start()
	load := startLoad(t, Options{
		URL: app.URL, Mix: Mix{Get: 1, Upload: 2}, UploadFor: time.Hour,
		Think: time.Millisecond,
	})
	waitUntil(t, load, "both uploads", func(Report) bool { return app.uploads.Load() == 2 })
	r := load.Stop(withPatience(t))
	wantFailures(t, r, 0, "")
	if got := r.ByKind[KindUpload].Requests; got != 2 {
		t.Errorf("%d uploads, want both finished", got)
	}
}

func TestLoadCutOffCountsNothingAsFailed(t *testing.T) {
	app := newApp(t)
	app.Start()
	load := startLoad(t, Options{URL: app.URL, Mix: Mix{Get: 1, Slow: 2}, SlowFor: time.Hour, Think: time.Millisecond})
	waitUntil(t, load, "both slow requests", func(Report) bool { return app.slows.Load() == 2 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := load.Stop(ctx)
	wantFailures(t, r, 0, "")
	if r.Unfinished < 2 {
		t.Errorf("%d unfinished, want the 2 slow ones", r.Unfinished)
	}
}

func TestLoadEndsByItself(t *testing.T) {
	app := newApp(t)
	app.Start()
	load := startLoad(t, Options{
		URL: app.URL, Mix: Mix{Get: 1}, Think: time.Millisecond,
		MaxDuration: 20 * time.Millisecond,
	})
	if err := load.WaitFor(withPatience(t), "never"); err == nil ||
		!strings.Contains(err.Error(), "the load has ended") {
		t.Errorf("wait on a load that ended: %v", err)
	}
	r := load.Stop(withPatience(t))
	wantFailures(t, r, 1, CauseTimeout)
}

func TestLoadNeedsAUsableURL(t *testing.T) {
	for _, bad := range []string{
		"", "127.0.0.1:80", "https://127.0.0.1", "http://127.0.0.1/path", "http://:80",
		"http://a b",
	} {
		r := startLoad(t, Options{URL: bad}).Stop(withPatience(t))
		wantFailures(t, r, 1, CauseOptions)
	}
}

func TestLoadSendsTheHostHeader(t *testing.T) {
	hosts := make(chan string, 1)
	app := newApp(t)
	app.faultAt, app.fault = 1, func(w http.ResponseWriter, r *http.Request) {
		hosts <- r.Host
		answer(http.StatusOK, "v1", `{"release": "v1"}`)(w, r)
	}
	app.Start()
	load := startLoad(t, Options{URL: app.URL, Host: "shop.example.com", Mix: Mix{Get: 1}, Think: time.Millisecond})
	waitAnswers(t, load, KindGet, 1)
	wantFailures(t, load.Stop(withPatience(t)), 0, "")
	if got := <-hosts; got != "shop.example.com" {
		t.Errorf("Host %q", got)
	}
}

func TestLoadReportsASilentHost(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	load := startLoad(t, Options{
		URL: "http://" +
			listener.Addr().String(), Mix: Mix{Get: 1}, Think: time.Millisecond, Timeout: 20 * time.Millisecond,
	})
	waitUntil(t, load, "a failure", func(r Report) bool { return r.Failed > 0 })
	r := load.Stop(withPatience(t))
	if r.ByCause[CauseTimeout] != r.Failed || r.Requests != r.Failed {
		t.Errorf("%s\n%s", r, r.Details())
	}
}

func startLoad(t *testing.T, opt Options) *Load {
	t.Helper()
	load := Start(t.Context(), opt)
	t.Cleanup(func() { load.Stop(t.Context()) })
	return load
}

func withPatience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func waitAnswers(t *testing.T, load *Load, kind Kind, n int) {
	t.Helper()
	if err := load.WaitAnswers(withPatience(t), kind, n); err != nil {
		t.Fatalf("%v\n%s", err, load.Report().Details())
	}
}

func waitUntil(t *testing.T, load *Load, what string, met func(Report) bool) {
	t.Helper()
	if err := load.wait(withPatience(t), func() bool { return met(load.Report()) }); err != nil {
		t.Fatalf("wait for %s: %v", what, err)
	}
}

func wantFailures(t *testing.T, r Report, want int, cause Cause) {
	t.Helper()
	if r.Failed != want || len(r.Failures) != want || (want > 0 && r.ByCause[cause] != want) {
		t.Errorf("%d failed, want %d by cause %q: %s\n%s", r.Failed, want, cause, r, r.Details())
	}
	for _, f := range r.Failures {
		if f.Time.IsZero() || f.Kind == "" || f.Detail == "" {
			t.Errorf("incomplete failure: %+v", f)
		}
	}
}
