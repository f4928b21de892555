package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// The post step has nothing to say where nothing was begun, or all was ended; where it can't tidy it warns, and never fails the job.
func TestPost(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"nothing begun", nil, ""},
		{"ended", map[string]string{"STATE_begun": "yes", "STATE_ended": "yes"}, ""},
		{"cut off, and not to be tidied", map[string]string{"STATE_begun": "yes"}, "::warning title=The deployment was cut off::"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			code := post(t.Context(), func(name string) string { return tt.env[name] }, &log, time.Now())
			if code != exitOK || (tt.want == "") != (log.Len() == 0) || !strings.Contains(log.String(), tt.want) {
				t.Errorf("exit code %d, log %q", code, log.String())
			}
		})
	}
}
