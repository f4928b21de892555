package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Without a runner nobody carries out commands, so there are none, and what is told is told in the
// same words but for what only GitHub has.
func TestOutsideNothingIsACommand(t *testing.T) {
	for debug, more := range map[string]string{"": "", "1": "debug: a line\n  for developers\n"} {
		var log bytes.Buffer
		now := time.Unix(0, 0)
		r := New(&log, func(name string) string { return map[string]string{"RUNNER_DEBUG": debug}[name] }, Outside(""),
			WithClock(func() time.Time { return now }))
		r.Mask("correct horse")
		s := r.Step("Checking the host")
		r.Debug("a line\nfor developers")
		s.Done("checked")
		r.Step("Starting").Fail("not started")
		r.Warn("Left to the post step", "drain was not done\nand correct horse")
		r.Error("Failed", "run this workflow again")
		r.Closing("Deployed", "on port 8080")
		if err := r.Output("active-port", "8080\ncorrect horse"); err != nil {
			t.Fatal(err)
		}
		want := "Checking the host\n" + more + "✓ checked (0.0s)\nStarting\n✗ not started (0.0s)\n" +
			"warning: Left to the end of this run\n  drain was not done\n  and ***\n" +
			"error: Failed\n  run this command again\n✓ Deployed\n  on port 8080\nDEPLOYED_ACTIVE_PORT=8080 ***\n"
		if log.String() != want {
			t.Errorf("log:\n%s\nwant:\n%s", &log, want)
		}
	}
}

func TestOutsideKeepsStateAndOutputs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "outputs")
	var log bytes.Buffer
	r := New(&log, func(string) string { return "" }, Outside(file))
	if err := r.Ready(); err != nil {
		t.Fatal(err)
	}
	for _, set := range []func(string, string) error{r.State, r.Output} {
		if err := set("begun", "yes"); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "DEPLOYED_BEGUN=yes\n" || r.Saved("begun") != "yes" || r.Saved("ended") != "" ||
		log.Len() > 0 {
		t.Errorf("file %q, error %v, log %q", text, err, &log)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.Output("url", "x"); err == nil || !strings.Contains(err.Error(), `write output "url": `) {
		t.Errorf("a file that can't be written: %v", err)
	}
}
