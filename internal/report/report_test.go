package report

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newTest returns a Report as a runner would start it, its log, and its clock's hand.
func newTest(t *testing.T) (r *Report, log *bytes.Buffer, pass func(time.Duration)) {
	t.Helper()
	var now time.Time
	log = &bytes.Buffer{}
	env := map[string]string{"GITHUB_ACTIONS": "true"}
	r = New(log, func(name string) string { return env[name] }, WithClock(func() time.Time { return now }))
	return r, log, func(d time.Duration) { now = now.Add(d) }
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestALogOfARun(t *testing.T) {
	r, log, pass := newTest(t)
	r.Mask("s3cr3t-token")
	r.Info("deploy-action v1")
	check := r.Step("Checking the host")
	host := r.Remote("ubuntu@web-1")
	_, _ = host.Write([]byte("using s3cr3t-token\n"))
	_ = host.Close()
	pass(230 * time.Millisecond)
	check.Done("check: Ubuntu 24.04, nginx 1.24.0, 41 GB free")
	check.Fail("a deferred one")
	health := r.Step("Waiting for the new release")
	pass(61 * time.Second)
	health.Fail("health: the app exited\nwith status 3")
	r.Error("deploy failed", "app: 100% broken, see\nubuntu@web-1")
	equal(t, log.String(), `::add-mask::s3cr3t-token
deploy-action v1
::group::Checking the host
ubuntu@web-1 │ using ***
::endgroup::
✓ check: Ubuntu 24.04, nginx 1.24.0, 41 GB free (0.2s)
::group::Waiting for the new release
::endgroup::
`+"\x1b[31m✗ health: the app exited with status 3 (1m01s)\x1b[0m"+`
::error title=deploy failed::app: 100%25 broken, see%0Aubuntu@web-1
`)
}

func TestGroupsDoNotNest(t *testing.T) {
	r, log, _ := newTest(t)
	r.EndGroup()
	r.Group("one")
	r.Group("two")
	r.EndGroup()
	r.EndGroup()
	r.Group("three")
	r.Warn("", "inside")
	r.Error("", "outside")
	equal(t, log.String(), `::group::one
::endgroup::
::group::two
::endgroup::
::group::three
::warning::inside
::endgroup::
::error::outside
`)
}

func TestMask(t *testing.T) {
	tests := []struct{ name, secret, want string }{
		{"plain", "hunter2", "::add-mask::hunter2\n"},
		{"escaped", "100%\tsure", "::add-mask::100%25\tsure\n"},
		{"line by line", "first line\r\n  second line\n", "::add-mask::first line\n::add-mask::second line\n"},
		{"known already", "same\nsame", "::add-mask::same\n"},
		{"too short to hide", "abc\n}\n\n", ""},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, log, _ := newTest(t)
			r.Mask(tt.secret)
			equal(t, log.String(), tt.want)
		})
	}
}

func TestMaskPrintsNothingWithoutARunner(t *testing.T) {
	var log bytes.Buffer
	r := New(&log, func(string) string { return "" })
	r.Mask("hunter2")
	r.Info("it is hunter2")
	equal(t, log.String(), "it is ***\n")
}

func TestASecretIsHiddenWhereverItIsPrinted(t *testing.T) {
	const secret = "hunter2_|x"
	prints := map[string]func(r *Report){
		"Info":         func(r *Report) { r.Info("a\nb " + secret) },
		"Debug":        func(r *Report) { r.Debug(secret) },
		"Group":        func(r *Report) { r.Group(secret) },
		"Step":         func(r *Report) { r.Step(secret) },
		"Done":         func(r *Report) { r.Step("x").Done(secret) },
		"Fail":         func(r *Report) { r.Step("x").Fail(secret) },
		"Warn":         func(r *Report) { r.Warn("x", secret) },
		"Error title":  func(r *Report) { r.Error(secret, "x") },
		"Error":        func(r *Report) { r.Error("x", "line\r"+secret) },
		"control char": func(r *Report) { r.Info("hunt\x00er2_\x1b[K|x") },
		"Remote":       func(r *Report) { w := r.Remote("h"); _, _ = w.Write([]byte(secret)); _ = w.Close() },
	}
	for name, act := range prints {
		t.Run(name, func(t *testing.T) {
			r, log, _ := newTest(t)
			r.Mask(secret)
			log.Reset()
			act(r)
			if got := log.String(); strings.Contains(got, "hunter2") || !strings.Contains(got, "***") {
				t.Errorf("printed %q", got)
			}
		})
	}
}

func TestElapsed(t *testing.T) {
	tests := []struct {
		name string
		d    time.Duration
		want string
	}{
		{"a clock that went back", -time.Second, "0.0s"},
		{"nothing", 0, "0.0s"},
		{"tenths", 230 * time.Millisecond, "0.2s"},
		{"seconds", 12340 * time.Millisecond, "12.3s"},
		{"just below a minute", 59940 * time.Millisecond, "59.9s"},
		{"rounded to a minute", 59950 * time.Millisecond, "1m00s"},
		{"minutes", 65 * time.Second, "1m05s"},
		{"rounded to an hour", 59*time.Minute + 59600*time.Millisecond, "1h00m"},
		{"hours", 123 * time.Minute, "2h03m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { equal(t, Elapsed(tt.d), tt.want) })
	}
}

// oneWrite fails the test when a Write holds anything but whole lines.
type oneWrite struct {
	t  *testing.T
	mu sync.Mutex
	n  int
}

func (o *oneWrite) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !bytes.HasSuffix(p, []byte("\n")) {
		o.t.Errorf("not whole lines: %q", p)
	}
	for line := range strings.Lines(string(p)) {
		if i := strings.Index(line, "│"); i >= 0 && line[:i] != "h " || strings.Count(line, "│") > 1 {
			o.t.Errorf("lines run into each other: %q", line)
		}
		o.n++
	}
	return len(p), nil
}

func TestLinesOfSeveralGoroutinesStayWhole(t *testing.T) {
	out := &oneWrite{t: t}
	r := New(out, func(string) string { return "" })
	const each = 200
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			w := r.Remote("h")
			for range each {
				_, _ = w.Write([]byte("some "))
				_, _ = w.Write([]byte("words\n"))
			}
			_ = w.Close()
		})
		wg.Go(func() {
			for range each {
				r.Info("info")
				r.Mask("secret")
			}
		})
	}
	wg.Wait()
	equal(t, out.n, 4*each*2)
}
