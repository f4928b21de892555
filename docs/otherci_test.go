package docs

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/clothesme/deploy-action/internal/report"
)

var (
	codeBlock   = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$")
	gitlabBlock = regexp.MustCompile("(?ms)^```yml\n(.*?)^```$")
	theProgram  = regexp.MustCompile(`(?:^|[ '])(?:\./|ghcr\.io/clothesme/)?deploy-action(?::[0-9.]+)? (--.*)$`)
	flags       = regexp.MustCompile(`(?:^| )--([a-z-]+)`)
	variables   = regexp.MustCompile(`\b(DEPLOY|DEPLOYED)_([A-Z_]+)\b`)
)

// TestOtherCI: other-ci.md gives the program only flags and variables that it has, and reads only
// outputs that there are.
func TestOtherCI(t *testing.T) {
	text, err := os.ReadFile("other-ci.md")
	if err != nil {
		t.Fatal(err)
	}
	action, err := os.ReadFile("../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var declared struct{ Inputs map[string]any }
	if err := yaml.Unmarshal(action, &declared); err != nil {
		t.Fatal(err)
	}
	isInput := func(name string) bool {
		_, ok := declared.Inputs[strings.TrimSuffix(name, "-file")]
		return ok || name == "output" || name == "help"
	}
	given := 0
	for _, block := range codeBlock.FindAllStringSubmatch(string(text), -1) {
		for command := range strings.SplitSeq(strings.ReplaceAll(block[1], "\\\n", " "), "\n") {
			started := theProgram.FindStringSubmatch(command)
			if started == nil {
				continue
			}
			for _, flag := range flags.FindAllStringSubmatch(started[1], -1) {
				given++
				if !isInput(flag[1]) {
					t.Errorf("there is no flag --%s:\n%s", flag[1], command)
				}
			}
		}
	}
	if given < 15 {
		t.Errorf("only %d flags were found", given)
	}
	for _, v := range variables.FindAllStringSubmatch(string(text), -1) {
		name := strings.ToLower(strings.ReplaceAll(v[2], "_", "-"))
		if v[1] == "DEPLOYED" && !slices.Contains(report.Outputs(), name) ||
			v[1] == "DEPLOY" && !isInput(name) && v[0] != "DEPLOY_ACTION_SHA" {
			t.Errorf("%s is neither an input nor an output", v[0])
		}
	}
	gitlab := gitlabBlock.FindSubmatch(text)
	if gitlab == nil {
		t.Fatal("no example for GitLab")
	}
	var jobs map[string]struct {
		Image  string
		Script []string
	}
	if err := yaml.Unmarshal(gitlab[1], &jobs); err != nil || len(jobs["deploy"].Script) == 0 ||
		jobs["deploy"].Image == "" {
		t.Errorf("the example for GitLab is no job: %v", err)
	}
}
