package inputs

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhichLines(t *testing.T) {
	key, _ := newKey(t, "")
	for _, tt := range []struct {
		name  string
		given map[string]string
		want  LogsOf
	}{
		{"the default", nil, LogsOf{Of: []string{"app"}, Lines: 200}},
		{
			"by age and text",
			map[string]string{"log-of": "nginx\napp", "log-since": "90m", "log-filter": "GET / (5"},
			LogsOf{Of: []string{"nginx", "app"}, Lines: 200, Ago: 90 * time.Minute, Filter: "GET / (5"},
		},
		{
			"by time and expression",
			map[string]string{"log-lines": "5000", "log-since": "2026-11-23T10:15:00+09:00", "log-filter": "/ 50[0-9] /"},
			LogsOf{
				Of: []string{"app"}, Lines: 5000, At: time.Date(2026, 11, 23, 1, 15, 0, 0, time.UTC), Filter: " 50[0-9] ",
				Regex: true,
			},
		},
		{
			"a path is no expression",
			map[string]string{"log-filter": "/api"},
			LogsOf{Of: []string{"app"}, Lines: 200, Filter: "/api"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := runner(key)
			env["INPUT_INSECURE-SKIP-HOST-KEY-CHECK"], env["INPUT_OPERATION"] = "true", "logs"
			in, err := Parse(with(env, tt.given))
			if err != nil {
				t.Fatal(err)
			}
			in.Logs.At = in.Logs.At.UTC()
			if diff := cmp.Diff(tt.want, in.Logs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestACommandIsForTheOperationRun(t *testing.T) {
	key, _ := newKey(t, "")
	env := runner(key)
	env["INPUT_INSECURE-SKIP-HOST-KEY-CHECK"], env["INPUT_OPERATION"] = "true", "run"
	if _, err := Parse(with(env, map[string]string{"command": " \n"})); err == nil ||
		!strings.Contains(err.Error(), `input "command": is required for operation "run": write the command`) {
		t.Errorf("without a command: %v", err)
	}
	in, err := Parse(with(env, map[string]string{"command": "ls\r\nid", "run-at-once": "true"}))
	if err != nil || in.Command != "ls\nid" || !in.AtOnce {
		t.Errorf("%v: %+v", err, in)
	}
}
