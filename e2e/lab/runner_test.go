package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newAction gives a runner whose action runs a script, or two: one for each stage.
func newAction(t *testing.T, scripts ...string) *Runner {
	t.Helper()
	r, err := shared.Runner(shared.hostImage)
	if err != nil {
		t.Fatal(err)
	}
	for i, script := range scripts {
		file := filepath.Join(r.Workspace, []string{"main.sh", "post.sh"}[i])
		if err := os.WriteFile(file, []byte("#!/bin/bash\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func mustRun(t *testing.T, r *Runner, job Job) *Result {
	t.Helper()
	result, err := r.Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestRunnerGivesTheEnvironmentOfGitHub(t *testing.T) {
	r := newAction(t,
		`env -0 | sort -z | tr '\0' '\n'; pwd; cat /proc/1/comm; id -u; `+
			`[ -t 1 ] || echo no terminal; cat; stat -c %u:%a "$GITHUB_OUTPUT"`)
	result := mustRun(t, r, Job{
		With: map[string]string{"health-path": "/up", "mistyped": "x"},
		Env: map[string]string{
			"AWS_REGION": "eu-west-1", "FROM_ACTION": "step", "HOME": "/root",
			"CHECKOUT": r.Workspace + "/src", "LINES_": "a\nb",
		},
		State: map[string]string{"left": "1"},
		GitHub: GitHub{
			Repository: "clothesme/x", SHA: "abc", Ref: "refs/tags/v1",
		},
		Debug: true,
	})
	log := "\n" + result.Log()
	for _, want := range []string{
		"INPUT_HEALTH-PATH=/up", "INPUT_REPOSITORY=clothesme/x at abc", "INPUT_A_NAME=", "INPUT_MISTYPED=x",
		"AWS_REGION=eu-west-1", "FROM_ACTION=step", "CI=no", "STATE_left=1", "LINES_=a\nb", "GITHUB_ACTIONS=true",
		"RUNNER_DEBUG=1",
		"HOME=/github/home", "GITHUB_WORKSPACE=/github/workspace", "CHECKOUT=/github/workspace/src", "GITHUB_SHA=abc",
		"GITHUB_REF_NAME=v1", "GITHUB_REF_TYPE=tag", "RUNNER_TEMP=/github/runner_temp", "RUNNER_OS=Linux",
		"/github/workspace", "main.sh", "0", "no terminal",
	} {
		if !strings.Contains(log, "\n"+want+"\n") {
			t.Errorf("the log lacks the line %q", want)
		}
	}
	if strings.Contains(log, "ghs_labToken") {
		t.Error("the token is in the environment, though no input asks for it")
	}
	if os.Geteuid() == 0 && !strings.Contains(log, "\n1001:644\n") {
		t.Error("the output file does not belong to the runner's user")
	}
	if diff := cmp.Diff([]string{"mistyped"}, result.Unexpected); diff != "" {
		t.Errorf("unexpected inputs: want - got +\n%s", diff)
	}
	if t.Failed() {
		t.Log(log)
	}
}

func TestRunnerReadsWhatAStepLeaves(t *testing.T) {
	r := newAction(t, `
		echo "kept" >"$HOME/note"
		printf 'outcome=failed\nlog<<EOF\n1\n2\nEOF\n' >>"$GITHUB_OUTPUT"
		echo lock=42 >>"$GITHUB_STATE"
		echo "# Summary" >>"$GITHUB_STEP_SUMMARY"
		printf '::add-mask::s3cret%%0Aother\n::group::Checking\ninside\rstill\n::endgroup::\noutside\n'
		printf '::error title=Deploy%%3A::it broke%%0Ahere'
		exit 3`, `echo "state $STATE_lock, home $(cat "$HOME/note"), outputs $(wc -c <"$GITHUB_OUTPUT")"; `+
		`touch "$GITHUB_WORKSPACE/root-owned"`)
	result := mustRun(t, r, Job{})
	if result.ExitCode != 3 || !result.Failed() {
		t.Errorf("got exit code %d, failed %t", result.ExitCode, result.Failed())
	}
	type shown struct {
		Outputs, State map[string]string
		Summary        string
		Annotations    []Annotation
		Masks, Outside []string
		Group          string
		Inside         []string
	}
	groups := result.Groups()
	if len(groups) != 1 || !groups[0].Closed {
		t.Fatalf("got groups %+v, want one that is closed", groups)
	}
	got := shown{
		Outputs: result.Outputs, State: result.State, Summary: result.Summary, Annotations: result.Annotations(),
		Masks: result.Masks(), Outside: result.Outside(), Group: groups[0].Title, Inside: groups[0].Lines,
	}
	want := shown{
		Outputs: map[string]string{"outcome": "failed", "log": "1\n2"}, State: map[string]string{"lock": "42"},
		Summary: "# Summary\n", Annotations: []Annotation{{
			Level: "error", Title: "Deploy:",
			Message: "it broke\nhere",
		}},
		Masks: []string{"s3cret\nother", "s3cret", "other"}, Outside: []string{"outside"},
		Group: "Checking", Inside: []string{"inside", "still"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}

	post := mustRun(t, r, Job{Stage: StagePost, State: result.State})
	if got, want := post.Log(), "state 42, home kept, outputs 0\n"; got != want {
		t.Errorf("post: got %q, want %q", got, want)
	}
}

func TestRunnerFailsAStepWithABrokenOutputFile(t *testing.T) {
	result := mustRun(t, newAction(t, `echo nonsense >>"$GITHUB_OUTPUT"`), Job{})
	if result.ExitCode != 0 || !result.Failed() || len(result.FileErrors) != 1 {
		t.Errorf("got exit code %d, failed %t, errors %v", result.ExitCode, result.Failed(), result.FileErrors)
	}
}

func TestRunnerReachesHosts(t *testing.T) {
	h := newHost(t, HostOptions{NoSystemd: true})
	result := mustRun(t, newAction(t, `curl -sSo /dev/null -w '%{http_code}' `+h.URL()), Job{})
	if got := result.Log(); got != "200\n" {
		t.Errorf("got %q, want 200", got)
	}
}

// startAction starts an action and waits until it says that it has begun.
func startAction(t *testing.T, script string) *Running {
	t.Helper()
	running, err := newAction(t, script).Start(t.Context(), Job{})
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(t.Context(), "begun"); err != nil {
		t.Fatal(err)
	}
	return running
}

func TestCancelIsInterruptThenTerminateThenNothingMore(t *testing.T) {
	// a signal that must not be needed is a minute away, however slow the machine is
	const long = time.Minute
	tests := []struct {
		name, script           string
		want                   string
		sigint, sigterm, least time.Duration
		alive                  bool
	}{
		{
			name: "ends at the interrupt", want: "begun\nint\n", sigint: long, sigterm: long,
			script: `trap 'echo int; exit 1' INT; echo begun; while :; do sleep infinity & wait $!; done`,
		},
		{
			name: "ends at the termination", want: "begun\nint\nterm\n", sigint: sigintGrace, sigterm: long,
			least:  sigintGrace,
			script: `trap 'echo int' INT; trap 'echo term; exit 1' TERM; echo begun; while :; do sleep infinity & wait $!; done`,
		},
		{
			name: "ignores both and lives on", want: "begun\n", sigint: sigintGrace, sigterm: sigtermGrace,
			least:  sigintGrace + sigtermGrace,
			script: `trap '' INT TERM; echo begun; while :; do sleep infinity & wait $!; done`, alive: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			running := startAction(t, tt.script)
			if running.sigint != sigintGrace || running.sigterm != sigtermGrace {
				t.Errorf("graces %s and %s", running.sigint, running.sigterm)
			}
			running.sigint, running.sigterm = tt.sigint, tt.sigterm
			start := time.Now()
			if err := running.Cancel(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < tt.least || took > long {
				t.Errorf("took %s, want %s to %s", took, tt.least, long)
			}
			if _, err := running.Wait(); err != nil {
				t.Error(err)
			}
			if got := running.Log(); got != tt.want {
				t.Errorf("got log %q, want %q", got, tt.want)
			}
			if got := running.Alive(t.Context()); got != tt.alive {
				t.Errorf("container alive: got %t, want %t", got, tt.alive)
			}
			if tt.alive {
				if err := running.Kill(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestEndOfContextKillsTheAction(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := newAction(t, `echo begun; exec sleep infinity`)
	running, err := r.Start(ctx, Job{})
	if err != nil {
		t.Fatal(err)
	}
	cancel() // the container may not even be there yet
	result, err := running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if result.ExitCode != 137 && result.ExitCode != 125 {
		t.Errorf("got exit code %d, want that of a kill", result.ExitCode)
	}
	if running.Alive(t.Context()) {
		t.Error("the container is still there")
	}
}

func TestWaitLogSaysThatTheStepEnded(t *testing.T) {
	running := startAction(t, "echo begun")
	err := running.WaitLog(t.Context(), "never")
	if err == nil || !strings.Contains(err.Error(), "ended without it") {
		t.Errorf("got %v", err)
	}
}

func TestRunnerWithoutAnAction(t *testing.T) {
	for _, text := range []string{"", "runs: {using: node20}", "inputs: ["} {
		file := filepath.Join(t.TempDir(), "action.yml")
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := readAction(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: got error %v, want one that names the file", text, err)
		}
	}
	a, err := readAction("testdata/action/action.yml")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.inputEnv(nil, nil); err == nil || !strings.Contains(err.Error(), "github.") {
		t.Errorf("unknown context: got %v", err)
	}
}
