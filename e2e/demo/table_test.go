package main

import (
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/load"
)

func TestTable(t *testing.T) {
	tests := []struct {
		name string
		rows []row
		want []string
	}{
		{"no deployment", nil, []string{
			"release  port  live after  of which app boot  drained after  outcome",
			"-------  ----  ----------  -----------------  -------------  -------",
		}},
		{"deployed and refused", []row{
			{"v1", 8080, 12340 * time.Millisecond, 830 * time.Millisecond, 0, "deployed"},
			{"v2", 8081, 1526 * time.Millisecond, 804 * time.Millisecond, 8200 * time.Millisecond, "deployed"},
			{"v4-broken", 0, 0, 0, 0, "failed: the app exited with status 3 · v3 serves"},
		}, []string{
			"release    port  live after  of which app boot  drained after  outcome",
			"---------  ----  ----------  -----------------  -------------  " +
				"------------------------------------------------",
			"v1         8080      12.34s              0.83s              -  deployed",
			"v2         8081       1.53s              0.80s          8.20s  deployed",
			"v4-broken     -           -                  -              -  failed: the app exited with status 3 · " +
				"v3 serves",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := strings.Join(tt.want, "\n") + "\n"
			if got := table(columns, (&demo{rows: tt.rows}).cells()); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestStillOpen(t *testing.T) {
	open, ended := load.WebSocketSession{}, load.WebSocketSession{Ended: time.Unix(1, 0)}
	for _, tt := range []struct {
		name     string
		sessions []load.WebSocketSession
		want     string
	}{
		{"none was cut", []load.WebSocketSession{open}, ""},
		{"one", []load.WebSocketSession{ended, open}, "it was cut once, when"},
		{"several", []load.WebSocketSession{ended, ended, open}, "it was cut 2 times, when"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := stillOpen(tt.sessions); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("got %q, want %q in it", got, tt.want)
			}
		})
	}
}

func TestClosing(t *testing.T) {
	if got, want := closing(4, 12345, 0), "demo: deploys=4 requests=12345 failed=0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
