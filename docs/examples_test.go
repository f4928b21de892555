package docs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// examplesTo is how .ci/lint gets the examples as workflow files, for actionlint.
var examplesTo = flag.String("examples", "", "write the examples of the documents to this folder, as workflows")

var (
	yamlBlock = regexp.MustCompile("(?ms)^ *```yaml\n(.*?)^ *```$")
	ours      = regexp.MustCompile(`^clothesme/deploy-action@(v1|[0-9a-f]{40})$`)
)

// frameworks have a folder and a workflow in examples, and a section in applications.md, of these names.
var frameworks = []string{"express", "django", "nextjs", "spring-boot"}

type workflow struct {
	Jobs map[string]struct {
		Steps []struct {
			Uses string            `yaml:"uses"`
			Run  string            `yaml:"run"`
			With map[string]string `yaml:"with"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

// TestExamples: every YAML example of a document is a workflow, or a part of one, and gives this
// action only inputs that it has.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile("../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct{ Inputs map[string]any }
	if err := yaml.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, document := range pages(t) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for n, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
			name := strings.NewReplacer("../", "", "/", "-", ".md", "").Replace(document)
			name = fmt.Sprintf("%s-%d.yml", strings.ToLower(name), n+1)
			whole := complete(block[1])
			var w workflow
			if err := yaml.Unmarshal([]byte(whole), &w); err != nil || len(w.Jobs) == 0 {
				t.Errorf("%s is no workflow: %v\n%s", name, err, whole)
				continue
			}
			for _, job := range w.Jobs {
				for _, step := range job.Steps {
					for input := range step.With {
						if _, ok := action.Inputs[input]; !ok && ours.MatchString(step.Uses) {
							t.Errorf("%s gives the input %q, which there is not", name, input)
						}
					}
				}
			}
			count++
			if *examplesTo != "" {
				if err := os.WriteFile(filepath.Join(*examplesTo, name), []byte(whole), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if count < 30 {
		t.Errorf("only %d examples were found", count)
	}
}

// TestExampleWorkflows: the workflows to be copied give this action only inputs that it has, and the
// form offers every operation.
func TestExampleWorkflows(t *testing.T) {
	text, err := os.ReadFile("../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct{ Inputs map[string]any }
	if err := yaml.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"autoscaling", "deploy", "fleet", "operation", "redeploy"}, frameworks...) {
		text, err := os.ReadFile("../examples/workflows/" + name + ".yml")
		if err != nil {
			t.Fatal(err)
		}
		var w struct {
			workflow `yaml:",inline"`
			On       struct {
				Form struct {
					Inputs struct {
						Operation struct{ Options []string }
					}
				} `yaml:"workflow_dispatch"`
			}
		}
		if err := yaml.Unmarshal(text, &w); err != nil || len(w.Jobs) == 0 {
			t.Fatalf("%s is no workflow: %v", name, err)
		}
		ran := 0
		for _, job := range w.Jobs {
			for _, step := range job.Steps {
				if !ours.MatchString(step.Uses) {
					continue
				}
				ran++
				for input := range step.With {
					if _, ok := action.Inputs[input]; !ok {
						t.Errorf("%s gives the input %q, which there is not", name, input)
					}
				}
			}
		}
		options := w.On.Form.Inputs.Operation.Options
		if name == "redeploy" {
			want := "check deploy logs maintenance off maintenance on remove restart rollback run setup status"
			if slices.Sort(options); strings.Join(options, " ") != want || ran != 0 {
				t.Errorf("the form offers %v, want %s", options, want)
			}
		} else if ran != 1 {
			t.Errorf("%s uses the action %d times", name, ran)
		}
	}
}

// TestFrameworksAreAsTheirWorkflows: what applications.md shows of a framework is what its workflow
// does, but for how the host is reached.
func TestFrameworksAreAsTheirWorkflows(t *testing.T) {
	page := readPage(t, "applications.md")
	for _, name := range frameworks {
		link := "(../examples/workflows/" + name + ".yml)"
		_, section, found := strings.Cut(page, link)
		block := yamlBlock.FindStringSubmatch(section)
		if !found || block == nil || !strings.Contains(page, "(../examples/"+name+")") {
			t.Errorf("applications.md has no section of %s", name)
			continue
		}
		var shown, whole workflow
		if err := yaml.Unmarshal([]byte(complete(block[1])), &shown); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(readPage(t, "../examples/workflows/"+name+".yml")), &whole); err != nil {
			t.Fatal(err)
		}
		steps := whole.Jobs["deploy"].Steps
		for _, input := range []string{"host", "key", "known-hosts"} {
			delete(steps[len(steps)-1].With, input)
		}
		if diff := cmp.Diff(steps, shown.Jobs["example"].Steps); diff != "" {
			t.Errorf("applications.md shows %s otherwise (-workflow +page):\n%s", name, diff)
		}
	}
}

// complete puts what an example leaves out around it: steps into a job, a job into a workflow.
func complete(example string) string {
	indent := len(example) - len(strings.TrimLeft(example, " "))
	var b strings.Builder
	for line := range strings.Lines(example) {
		b.WriteString(strings.TrimPrefix(line, strings.Repeat(" ", indent)))
	}
	text := b.String()
	if strings.HasPrefix(text, "- ") {
		text = "steps:\n" + nest(text)
	}
	if !strings.Contains("\n"+text, "\njobs:\n") && strings.Contains("\n"+text, "\nsteps:\n") {
		text = "jobs:\n  example:\n    runs-on: ubuntu-latest\n" + nest(nest(text))
	}
	if !strings.Contains("\n"+text, "\non:") {
		text = "on: push\n" + text
	}
	return text
}

func nest(text string) string {
	return strings.ReplaceAll("  "+strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}
