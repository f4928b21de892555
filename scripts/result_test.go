package scripts

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestResults(t *testing.T) {
	var r Results
	came := r.Came("live")
	for _, chunk := range []string{
		"Welcome!\nlast login=x\ndeploy-action:", "begin\npo",
		"rt=8080\nreloaded=no\nlive=12", "34\nvia=a=b\n",
	} {
		if n, err := r.Write([]byte(chunk)); n != len(chunk) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	select {
	case <-came:
	default:
		t.Error("Came is not closed though the key arrived")
	}
	if r.Int("port") != 8080 || r.Yes("reloaded") || r.Millis("live") != 1234*time.Millisecond ||
		r.Text("via") != "a=b" || r.Has("last login") {
		t.Errorf("results = %v", r.values)
	}
	if r.At("port").IsZero() || !r.At("never").IsZero() {
		t.Error("At tells arrival from absence wrongly")
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

func TestResultsDistrustTheHost(t *testing.T) {
	for _, tt := range []struct {
		name, output string
		read         func(*Results)
		want         string
	}{
		{"words among the results", "rm: cannot remove\n", nil, "unexpected output"},
		{"a key in capitals", "PORT=1\n", nil, "unexpected output"},
		{"a workflow command", "::error::x=y\n", nil, "unexpected output"},
		{"a key twice", "port=1\nport=2\n", nil, "came twice"},
		{"a missing key", "a=1\n", func(r *Results) { r.Text("port") }, `"port" is missing`},
		{"a number that is none", "port=80x\n", func(r *Results) { r.Int("port") }, "not a number"},
		{"a word out of place", "ok=maybe\n", func(r *Results) { r.Yes("ok") }, "not one of no, yes"},
		{
			"a text of another form", "release=$(id)\n",
			func(r *Results) { r.Form("release", regexp.MustCompile(`^[0-9a-f]+$`)) },
			`"release" is "$(id)", not of the form`,
		},
		{"a port that is none", "port=70000\n", func(r *Results) { r.Port("port") }, "not a port"},
		{"a port below zero", "port=-1\n", func(r *Results) { r.Port("port") }, "not a port"},
		{"too much", strings.Repeat("a", maxResults), nil, "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r Results
			if _, err := r.Write([]byte(Begin + "\n" + tt.output)); err != nil {
				t.Fatal(err)
			}
			if tt.read != nil {
				tt.read(&r)
			}
			if err := r.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Err = %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestPrivateResultsAreInNoLog(t *testing.T) {
	var r Results
	_, _ = r.Write([]byte(Begin + "\nrecipe_key=secret\nrecipe_8080=secret\nrelease_8080=x\n"))
	if got := r.String(); got != "release_8080=x" || r.Text("recipe_key") != "secret" {
		t.Errorf("%q", got)
	}
}
