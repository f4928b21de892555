package deploy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

func commandInputs() *inputs.Inputs {
	in := testInputs()
	in.Operation, in.Command = inputs.RunIt, "echo $(id) 'x'"
	return in
}

func TestACommandNeedsNoLock(t *testing.T) {
	f := newFakeHost(t)
	f.holder = "another run"
	result, log, err := deployTo(t, f, commandInputs())
	if err != nil || strings.Join(f.calls, ",") != "port,run" || result.Outcome != outcome.Ran ||
		result.Hosts[0].Release != activeRelease {
		t.Fatalf("Run: %v, calls %v, %+v\n%s", err, f.calls, result, log)
	}
	v := f.sent[scripts.Run]
	if v["command"] != "echo $(id) 'x'" || v["release"] != activeRelease || v["port"] != "8080" || v["at_once"] != "no" {
		t.Errorf("values %v", v)
	}
}

func TestACommandThatFailsGivesTheRunItsStatus(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Run] = fault{
		kind: "error", code: scripts.ExitRun, words: "no such table\nthe command exited with status 7",
	}
	result, _, err := deployTo(t, f, commandInputs())
	var failure *outcome.Failure
	if !errors.As(err, &failure) || failure.ExitCode != 7 || failure.Site != outcome.SiteUnchanged ||
		result.Outcome != outcome.Failed || !strings.Contains(err.Error(), "run: the command exited with status 7") ||
		!strings.Contains(err.Error(), "no such table") {
		t.Errorf("%+v, outcome %s", err, result.Outcome)
	}
}

func TestACommandIsNotBegunASecondTime(t *testing.T) {
	for _, kind := range []string{"lost-before", "lost-after"} {
		f := newFakeHost(t)
		f.faults[scripts.Run] = fault{kind: kind}
		result, log, err := deployTo(t, f, commandInputs())
		if err == nil || !strings.Contains(err.Error(), "the connection was lost while the command ran") ||
			f.dials != 1 || result.Outcome != outcome.Failed {
			t.Errorf("%s: %v after %d dials\n%s", kind, err, f.dials, log)
		}
	}
}

func TestCommandsAndLogsNeedARelease(t *testing.T) {
	logs := testInputs()
	logs.Operation, logs.Logs = inputs.Logs, inputs.LogsOf{Of: []string{"app"}, Lines: 9}
	for _, in := range []*inputs.Inputs{commandInputs(), logs} {
		f := newFakeHost(t)
		f.flag, f.running, f.loaded = "", map[string]bool{}, false
		_, _, err := deployTo(t, f, in)
		if err == nil || !strings.Contains(err.Error(), "no release is active") || f.ran("run") || f.ran("logs") {
			t.Errorf("%s: %v, calls %v", in.Operation, err, f.calls)
		}
	}
}

func TestLogsTakeNoLockAndSayWhichLines(t *testing.T) {
	f := newFakeHost(t)
	f.holder = "another run"
	in := testInputs()
	in.Operation = inputs.Logs
	in.Logs = inputs.LogsOf{Of: []string{"app", "nginx"}, Lines: 9, Ago: 90 * time.Second, Filter: "5[0-9]", Regex: true}
	result, log, err := deployTo(t, f, in)
	if err != nil || strings.Join(f.calls, ",") != "port,logs" || result.Outcome != outcome.Unchanged ||
		!strings.Contains(log, "logs: 12 line(s)") {
		t.Fatalf("Run: %v, calls %v\n%s", err, f.calls, log)
	}
	v := f.sent[scripts.Logs]
	if v["of"] != "app nginx" || v["lines"] != "9" || v["ago"] != "90" || v["since"] != "" || v["filter"] != "5[0-9]" ||
		v["filter_kind"] != "regex" || v["port"] != "8080" {
		t.Errorf("values %v", v)
	}
}

func TestTheDryRunOfACommandRunsNothing(t *testing.T) {
	f := newFakeHost(t)
	in := commandInputs()
	in.DryRun = true
	result, _, err := deployTo(t, f, in)
	if err != nil || f.ran("run") || !strings.Contains(result.Details, "run in 20261122T000000Z-aaaaaaa") {
		t.Errorf("Run: %v, calls %v\n%s", err, f.calls, result.Details)
	}
}
