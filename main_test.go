package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/deploy"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
)

// The post step has nothing to say where nothing was begun, or all was ended; where it can't tidy
// it warns, and never fails the job.
func TestPost(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"nothing begun", nil, ""},
		{"ended", map[string]string{"STATE_begun": "yes", "STATE_ended": "yes"}, ""},
		{
			"cut off, and not to be tidied",
			map[string]string{"STATE_begun": "yes"},
			"::warning title=The deployment was cut off::",
		},
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

// Of several hosts one that does not answer, or that another run has, leaves time for the others.
func TestNoHostTakesAllTheTimeOfThePostStep(t *testing.T) {
	in := &inputs.Inputs{
		Hosts: []remote.Host{{User: "ubuntu", Name: "web-1", Port: 22}}, ConnectTimeout: 10 * time.Minute,
		LockTimeout: time.Hour,
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody is dialled
	var log bytes.Buffer
	tidy(ctx, report.New(&log, func(string) string { return "" }), in, nil, time.Now(), func(name string) string {
		return map[string]string{deploy.StateBegun: "yes"}[name]
	})
	if in.ConnectTimeout > postLimit/4 || in.LockTimeout > postLimit/4 || in.Timeout != postLimit {
		t.Errorf("of %s in all it dials for %s, and waits for locks for %s", in.Timeout, in.ConnectTimeout, in.LockTimeout)
	}
}

// The version that the image's build gives to the linker is the log's first line, whatever becomes
// of the run.
func TestTheTitleNamesWhatFailed(t *testing.T) {
	for operation, want := range map[inputs.Operation]string{
		inputs.Deploy: "Deployment failed", inputs.Rollback: "Rollback failed", inputs.Remove: "Remove failed",
	} {
		if got := failedTitle(operation); got != want {
			t.Errorf("%s: %q, want %q", operation, got, want)
		}
	}
}

func TestVersionComesFirst(t *testing.T) {
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`-ldflags "([^"]*)"`).FindSubmatch(dockerfile)
	if flags == nil {
		t.Fatal("the Dockerfile has no -ldflags")
	}
	binary := filepath.Join(t.TempDir(), "deploy-action")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags",
		strings.Replace(string(flags[1]), "$VERSION", "v1.2.3", 1), "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), "GITHUB_ACTIONS=true")
	log, err := cmd.Output()
	if err == nil || !strings.HasPrefix(string(log), "deploy-action v1.2.3\n::error title=Invalid inputs::input "+
		"\"host\"") {
		t.Errorf("err %v, log:\n%s", err, log)
	}
}

// A run with wrong inputs has the four facts of every failure, too: rules for later steps can rest
// on site.
func TestWrongInputsLeaveTheSiteAsItIs(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{
		"INPUT_HOST": "", "GITHUB_REPOSITORY": "o/r",
		"GITHUB_OUTPUT": filepath.Join(dir, "output"), "GITHUB_STEP_SUMMARY": filepath.Join(dir, "summary"),
	}
	for _, file := range []string{"output", "summary"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	if code := run(t.Context(), func(name string) string { return env[name] }, &log, time.Now()); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(log.String(), "::error title=Invalid inputs::input \"host\": is required") ||
		!strings.Contains(log.String(),
			"%0Asite: unchanged; no host was dialled%0Anext: put right what is named above") {
		t.Errorf("log:\n%s", &log)
	}
	for file, words := range map[string][]string{
		"output": {"unchanged", "failed"},
		"summary": {
			"### ❌ Failed: nothing was begun", `input "host": is required`,
			"- **The site now:** unchanged; no host was dialled",
		},
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			if !strings.Contains(string(text), word) {
				t.Errorf("%s lacks %q:\n%s", file, word, text)
			}
		}
	}
}

func TestWhatIsTooLongForAnAnnotationIsInTheLog(t *testing.T) {
	f := &outcome.Failure{Step: "health", What: "no", Next: "look"}
	for range 100 {
		f.Each = append(f.Each, "web-1: "+strings.Repeat("r", 50))
	}
	var log bytes.Buffer
	tellFailure(report.New(&log, func(string) string { return "" }), inputs.Deploy, f)
	whole, annotation, _ := strings.Cut(log.String(), "::error title=Deployment failed%3A health::")
	if strings.Count(whole, "  web-1: rrr") != 100 || !strings.Contains(annotation, "next: look") ||
		strings.Contains(annotation, "…") {
		t.Errorf("the log is\n%s", &log)
	}
}
