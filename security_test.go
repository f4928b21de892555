package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// more are the rights of the jobs that publish.
var more = map[string]map[string]string{
	"release.yml image":   {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
	"release.yml smoke":   {"packages": "read"},
	"release.yml publish": {"contents": "write"},
}

// onNode24 are the actions in use, with the first major version of each that runs on Node.js 24: GitHub's runners end
// support for a Node.js some months after its own end, and jobs whose actions want it then fail.
var onNode24 = map[string]int{
	"actions/checkout": 5, "actions/setup-go": 7, "docker/setup-buildx-action": 4, "actions/attest": 4,
	"actions/upload-artifact": 6, "actions/download-artifact": 7,
}

// pushesWith is how a checkout says that it leaves a key in the workspace, to push tags with. The key is a secret of an
// environment, which hands it to the main branch's jobs alone.
const pushesWith = "${{ secrets.RELEASE_KEY }}"

// Actions are other people's code with our rights: named by commit, whose tag a comment tells. Jobs
// may read the repository, and nothing else but where it is listed above.
func TestWorkflowsArePinnedAndMayDoLittle(t *testing.T) {
	files, err := filepath.Glob(".github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	pinned := regexp.MustCompile(`^([A-Za-z0-9_./-]+)@[0-9a-f]{40} # v([0-9]+)(\.[0-9]+)*$`)
	for _, file := range files {
		text := read(t, file)
		var workflow struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Permissions map[string]string
				Timeout     int `yaml:"timeout-minutes"`
				Environment string
				Steps       []struct {
					Uses, Run string
					With      map[string]string
				}
			}
		}
		if err := yaml.Unmarshal([]byte(text), &workflow); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if workflow.Permissions == nil || len(workflow.Permissions) > 0 {
			t.Errorf("%s: top-level permissions are %v, want {}", file, workflow.Permissions)
		}
		for name, job := range workflow.Jobs {
			want, listed := more[filepath.Base(file)+" "+name]
			if !listed {
				want = map[string]string{"contents": "read"}
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
				key := step.With["ssh-key"]
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != "false" &&
					(key != pushesWith || job.Environment != "release") {
					t.Errorf("%s: a checkout of job %s leaves its token in the workspace", file, name)
				}
			}
		}
		for line := range strings.Lines(text) {
			_, action, found := strings.Cut(strings.TrimSpace(line), "uses: ")
			if !found || action == "./" {
				continue
			}
			pin := pinned.FindStringSubmatch(action)
			if pin == nil {
				t.Errorf("%s: %q is not pinned by commit", file, action)
				continue
			}
			major, err := strconv.Atoi(pin[2])
			if first := onNode24[pin[1]]; err != nil || first == 0 || major < first {
				t.Errorf("%s: %s v%d is not known to run on Node.js 24; from v%d on it does", file, pin[1], major, first)
			}
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
	if !regexp.MustCompile(`^--platform=\$BUILDPLATFORM golang:1\.[0-9]+@sha256:[0-9a-f]{64} AS build$`).
		MatchString(froms[0][1]) {
		t.Errorf("FROM %s", froms[0][1])
	}
	if !regexp.MustCompile(`(?m)^  - package-ecosystem: docker\n    directory: /$`).
		MatchString(read(t, ".github/dependabot.yml")) {
		t.Error("nobody brings a newer one")
	}
}
