package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// more are the rights of the jobs that publish.
var more = map[string]map[string]string{
	"release.yml image":   {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
	"release.yml smoke":   {"packages": "read"},
	"release.yml publish": {"contents": "write"}, // its checkout leaves the token, to push the tag with
}

// Actions are other people's code with our rights: named by commit, whose tag a comment tells. Jobs
// may read the repository, and nothing else but where it is listed above.
func TestWorkflowsArePinnedAndMayDoLittle(t *testing.T) {
	files, err := filepath.Glob(".github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	pinned := regexp.MustCompile(`^[A-Za-z0-9_./-]+@[0-9a-f]{40} # v[0-9]+(\.[0-9]+)*$`)
	for _, file := range files {
		text := read(t, file)
		var workflow struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Permissions map[string]string
				Timeout     int `yaml:"timeout-minutes"`
				Steps       []struct{ Run string }
			}
		}
		if err := yaml.Unmarshal([]byte(text), &workflow); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if workflow.Permissions == nil || len(workflow.Permissions) > 0 {
			t.Errorf("%s: top-level permissions are %v, want {}", file, workflow.Permissions)
		}
		pushes := 0
		for name, job := range workflow.Jobs {
			want, listed := more[filepath.Base(file)+" "+name]
			if !listed {
				want = map[string]string{"contents": "read"}
			}
			if want["contents"] == "write" {
				pushes++
			}
			if !maps.Equal(job.Permissions, want) || job.Timeout == 0 {
				t.Errorf("%s: job %s has permissions %v and time-out %d, want %v and one", file, name, job.Permissions,
					job.Timeout, want)
			}
		}
		for name, job := range workflow.Jobs {
			for _, step := range job.Steps {
				if strings.Contains(step.Run, "${{") {
					t.Errorf("%s: job %s has an expression in a command: %s", file, name, step.Run)
				}
			}
		}
		for line := range strings.Lines(text) {
			_, action, found := strings.Cut(strings.TrimSpace(line), "uses: ")
			if found && action != "./" && !pinned.MatchString(action) {
				t.Errorf("%s: %q is not pinned by commit", file, action)
			}
		}
		if strings.Count(text, "actions/checkout@") != strings.Count(text, "persist-credentials: false")+pushes {
			t.Errorf("%s: a checkout leaves its token in the workspace", file)
		}
		if strings.Contains(text, "pull_request_target") {
			t.Errorf("%s: a workflow that gives strangers our secrets", file)
		}
	}
}

func TestSecurityTellsWhatEachInputExposes(t *testing.T) {
	var action struct {
		Inputs map[string]any
	}
	if err := yaml.Unmarshal([]byte(read(t, "action.yml")), &action); err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(read(t, "SECURITY.md"), "## What each input exposes")
	table, _, _ = strings.Cut(table, "\n## ")
	told := map[string]int{}
	for line := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, m := range regexp.MustCompile("`([a-z0-9-]+)`").FindAllStringSubmatch(cell, -1) {
			if strings.HasPrefix(line, "| `") {
				told[m[1]]++
			}
		}
	}
	for name := range action.Inputs {
		if told[name] != 1 {
			t.Errorf("SECURITY.md tells of input %q %d times, want once", name, told[name])
		}
		delete(told, name)
	}
	if len(told) > 0 {
		t.Errorf("SECURITY.md tells of what is no input: %v", told)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The base of the image is named by what is in it: a tag is whatever somebody puts there.
func TestTheImagesBaseIsPinned(t *testing.T) {
	froms := regexp.MustCompile(`(?m)^FROM (.*)$`).FindAllStringSubmatch(read(t, "Dockerfile"), -1)
	if len(froms) != 2 || froms[1][1] != "scratch" {
		t.Fatalf("stages %v", froms)
	}
	if !regexp.MustCompile(`^--platform=\$BUILDPLATFORM golang:1\.[0-9]+@sha256:[0-9a-f]{64} AS build$`).MatchString(froms[0][1]) {
		t.Errorf("FROM %s", froms[0][1])
	}
	if !regexp.MustCompile(`(?m)^  - package-ecosystem: docker\n    directory: /$`).MatchString(read(t, ".github/dependabot.yml")) {
		t.Error("nobody brings a newer one")
	}
}
