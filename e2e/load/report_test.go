package load

import (
	"strings"
	"testing"
	"time"
)

func TestLoadLatency(t *testing.T) {
	tests := []struct {
		name string
		n    int
		want Latency
	}{
		{"none", 0, Latency{}},
		{"one", 1, Latency{P50: 1, P95: 1, P99: 1, Max: 1}},
		{"two", 2, Latency{P50: 1, P95: 2, P99: 2, Max: 2}},
		{"a hundred", 100, Latency{P50: 50, P95: 95, P99: 99, Max: 100}},
		{"a thousand", 1000, Latency{P50: 500, P95: 950, P99: 990, Max: 1000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			took := make([]time.Duration, tt.n)
			for i := range took {
				took[i] = time.Duration(tt.n - i)
			}
			if got := latencyOf(took); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestLoadReportText(t *testing.T) {
	rec := newRecorder()
	rec.answered(KindGet, "v1", time.Millisecond)
	rec.answered(KindPost, "v2", time.Millisecond)
	if got := rec.report().Details(); got != "" {
		t.Errorf("details without a failure: %q", got)
	}
	for range maxFailures + 5 {
		rec.fail(Failure{Kind: KindPost, Conn: 3, Nth: 7, Cause: CauseStatus, Detail: "status 502", Status: 502})
	}
	r := rec.report()
	if got, want := r.String(),
		"requests=27 failed=25 echoes=0 releases=[v1:1 v2:1] p50=1ms p99=1ms"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	details := r.Details()
	if got := strings.Count(details, "\n"); got != maxFailures {
		t.Errorf("%d lines of failures, want %d", got, maxFailures)
	}
	for _, want := range []string{"failed by cause: status:25", "post #3.7 status", `last release "v2": status 502`} {
		if !strings.Contains(details, want) {
			t.Errorf("details lack %q:\n%s", want, details)
		}
	}
}
