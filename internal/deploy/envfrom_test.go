package deploy

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/cloud/parameters"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/scripts"
)

// fakeParameters has variables by where they are.
type fakeParameters map[string][]parameters.Variable

func (f fakeParameters) Below(_ context.Context, path string) ([]parameters.Variable, error) {
	return f.find("ssm:" + path)
}

func (f fakeParameters) Secret(_ context.Context, name string) ([]parameters.Variable, error) {
	return f.find("secretsmanager:" + name)
}

func (f fakeParameters) find(place string) ([]parameters.Variable, error) {
	found, ok := f[place]
	if !ok {
		return nil, errors.New(place + ": denied")
	}
	return found, nil
}

func envFrom(t *testing.T, f *fakeHost, in *inputs.Inputs, from fakeParameters) (*outcome.Result, string, error) {
	t.Helper()
	var log bytes.Buffer
	env := map[string]string{"GITHUB_ACTIONS": "true"}
	d := New(in, report.New(&log, func(name string) string { return env[name] }), f.dial, f.open, time.Now())
	d.recipe.openParameters = func(_ context.Context, account *cloud.Account) (Parameters, error) {
		if account.Region == "" {
			return nil, errors.New("no AWS region")
		}
		return from, nil
	}
	result, err := d.Run(t.Context())
	return result, log.String(), err
}

func withEnvFrom() *inputs.Inputs {
	in := testInputs()
	in.AWSRegion = "eu-central-1"
	in.EnvFrom = []inputs.EnvSource{{Parameters: "/all/"}, {Secret: "shop"}}
	in.Env = []inputs.Variable{{Name: "B", Value: "of env"}}
	return in
}

// A host that joins while the run is under way gets the variables that the others have; else a newer
// value would make another release of it, for all of them.
func TestAHostThatJoinsGetsTheSameVariables(t *testing.T) {
	fl, in := newFleet(t, 3), findInputs()
	in.Strategy, in.AWSRegion, in.EnvFrom = inputs.BlueGreen, "eu-central-1", []inputs.EnvSource{{Parameters: "/all/"}}
	remembered(t, fl, in)
	had := assemble(&run{in: in})
	had.recipe.fromAWS = []inputs.Variable{{Name: "A", Value: "was"}}
	activeRecipe = had.recipe.of(&target{})
	var log bytes.Buffer
	d := New(in, report.New(&log, func(string) string { return "" }), fl.dial, fl[0].open, time.Now())
	from := &fakeInstances{answers: []*instances.Found{foundAs(1, 2), foundAs(1, 2, 3)}}
	d.roster.openInstances = func(context.Context, *cloud.Account) (Instances, error) { return from, nil }
	value := "was"
	d.recipe.openParameters = func(context.Context, *cloud.Account) (Parameters, error) {
		found := fakeParameters{"ssm:/all/": {{Name: "A", Value: value, From: "ssm:/all/A"}}}
		value = "is"
		return found, nil
	}
	if _, err := d.Run(t.Context()); err != nil || fl.flags() != "8081 8081 8081" {
		t.Fatalf("%v, flags %s\n%s", err, fl.flags(), &log)
	}
	for i, f := range fl {
		if got := f.sent[scripts.Build]["environment"]; !strings.HasSuffix(got, "export A=was\n") {
			t.Errorf("web-%d has the environment\n%s", i+1, got)
		}
	}
}

func TestVariablesFromAWS(t *testing.T) {
	f := newFakeHost(t)
	from := fakeParameters{
		"ssm:/all/": {
			{Name: "A", Value: "first secret\nsecond secret", From: "ssm:/all/A"},
			{Name: "B", Value: "of a parameter", From: "ssm:/all/B"},
			{Name: "C", Value: "1", From: "ssm:/all/C"},
		},
		"secretsmanager:shop": {{Name: "C", Value: "2", From: "secretsmanager:shop"}},
	}
	_, log, err := envFrom(t, f, withEnvFrom(), from)
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	want := "export A='first secret\nsecond secret'\nexport C=2\nexport B='of env'\n"
	if !strings.HasSuffix(f.sent[scripts.Build]["environment"], want) {
		t.Errorf("the environment is\n%s", f.sent[scripts.Build]["environment"])
	}
	if !strings.Contains(log, "::add-mask::first secret\n") || !strings.Contains(log, "::add-mask::second secret\n") ||
		!strings.Contains(log, "✓ env-from: A, B, C; 1 of them as the input env has them") {
		t.Errorf("log:\n%s", log)
	}
	recipe := f.sent[scripts.Fetch]["recipe"]
	f.calls, from["secretsmanager:shop"][0].Value = nil, "3"
	if _, log, err := envFrom(t, f, withEnvFrom(), from); err != nil || f.sent[scripts.Fetch]["recipe"] == recipe {
		t.Errorf("another value makes no other release: %v\n%s", err, log)
	}
}

func TestNothingIsTouchedBeforeTheVariablesWereRead(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*inputs.Inputs, fakeParameters)
		want   string
	}{
		"denied": {
			func(_ *inputs.Inputs, from fakeParameters) {
				delete(from, "ssm:/all/")
				delete(from, "secretsmanager:shop")
			},
			"env-from: ssm:/all/: denied\nsecretsmanager:shop: denied",
		},
		"no region": {func(in *inputs.Inputs, _ fakeParameters) { in.AWSRegion = "" }, "env-from: no AWS region"},
		"a name that is none": {func(_ *inputs.Inputs, from fakeParameters) {
			from["ssm:/all/"] = []parameters.Variable{{Name: "db-url", Value: "hunter2!", From: "ssm:/all/db-url"}}
		}, `ssm:/all/db-url: "db-url" can't be a variable: the name must have only letters, digits and _`},
		"a name of the action's": {func(_ *inputs.Inputs, from fakeParameters) {
			from["ssm:/all/"] = []parameters.Variable{{Name: "PORT", Value: "hunter2!", From: "ssm:/all/PORT"}}
		}, `ssm:/all/PORT: "PORT" can't be a variable: PORT is set by the action`},
		"a value that is none": {func(_ *inputs.Inputs, from fakeParameters) {
			from["ssm:/all/"] = []parameters.Variable{{Name: "A", Value: "hunter2!\x00", From: "ssm:/all/A"}}
		}, "ssm:/all/A: the value of A has a NUL in it"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeHost(t)
			from := fakeParameters{"ssm:/all/": {}, "secretsmanager:shop": {}}
			in := withEnvFrom()
			tt.change(in, from)
			result, log, err := envFrom(t, f, in, from)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
			if result.Outcome != outcome.Failed || f.dials > 0 || len(f.calls) > 0 ||
				!strings.Contains(err.Error(), "site: unchanged") || !strings.Contains(err.Error(), "put right what is named") {
				t.Errorf("%d connections, calls %v, %v\n%s", f.dials, f.calls, err, log)
			}
		})
	}
}

func TestWhoMakesNoReleaseReadsNoVariables(t *testing.T) {
	for operation, reads := range map[inputs.Operation]bool{
		inputs.Rollback: false, inputs.Setup: false, inputs.Status: false, inputs.Maintenance: false, inputs.Logs: false,
		inputs.Check: true, inputs.Restart: true,
	} {
		in := withEnvFrom()
		in.Operation = operation
		_, log, err := envFrom(t, newFakeHost(t), in, fakeParameters{})
		if (err != nil) != reads {
			t.Errorf("%s: %v\n%s", operation, err, log)
		}
	}
	in := withEnvFrom()
	in.DryRun = true
	if _, log, err := envFrom(t, newFakeHost(t), in, fakeParameters{}); err == nil {
		t.Errorf("a dry run does not say that AWS denies them:\n%s", log)
	}
}

func TestARestartReadsThemAnew(t *testing.T) {
	f := newFakeHost(t)
	in := withEnvFrom()
	in.Operation, in.Env = inputs.Restart, nil
	_, log, err := envFrom(t, f, in, fakeParameters{
		"ssm:/all/": {{Name: "A", Value: "a secret that changed", From: "ssm:/all/A"}}, "secretsmanager:shop": {},
	})
	if err != nil || !strings.Contains(log, "with the environment of this run") ||
		!strings.HasSuffix(f.sent[scripts.Start]["environment"], "export A='a secret that changed'\n") {
		t.Errorf("Run: %v, %q\n%s", err, f.sent[scripts.Start]["environment"], log)
	}
}
