package inputs

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/clothesme/deploy-action/internal/report"
)

// The contract is written down three times: for the runner (action.yml), for people (README.md) and
// for the program.

type actionYML struct {
	Name, Description, Author string
	Branding                  struct{ Icon, Color string }
	Inputs                    yaml.Node
	Outputs                   yaml.Node
	Runs                      map[string]string
}

// readAction reads action.yml, in which nothing may stand that the runner does not know.
func readAction(t *testing.T) actionYML {
	t.Helper()
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action actionYML
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&action); err != nil {
		t.Fatal(err)
	}
	return action
}

type entry struct {
	name        string
	Description string
	Required    string
	Default     string
}

// entries returns a mapping of action.yml in its order.
func entries(t *testing.T, node yaml.Node) []entry {
	t.Helper()
	var all []entry
	for i := 0; i+1 < len(node.Content); i += 2 {
		e := entry{name: node.Content[i].Value}
		if err := node.Content[i+1].Decode(&e); err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		all = append(all, e)
	}
	return all
}

// tables returns the rows of all tables below a heading of a document, without their heads.
func tables(t *testing.T, document, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut("\n"+string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", document, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "|---"): // what stands above it was a head
			rows = rows[:len(rows)-1]
		case strings.HasPrefix(line, "|"):
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("no table below %q", heading)
	}
	return rows
}

// perName takes the names of a row apart, and returns for each its own one of so many values, or
// the value that all have.
func perName(row []string) map[string]string {
	names, values := strings.Split(row[0], ", "), strings.Split(row[1], ", ")
	all := map[string]string{}
	for i, name := range names {
		all[name] = row[1]
		if len(names) > 1 && len(values) == len(names) {
			all[name] = values[i]
		}
	}
	return all
}

// sentence is what a description has to be: whole sentences, not a keyword.
var sentence = regexp.MustCompile(`^[A-Z].{30,}\.$`)

// derived is how README.md writes the default of an input that depends on others; the rest without
// one has a "-".
var derived = map[string]string{
	"batch":       "`100%`",
	"ref":         "the workflow's commit",
	"app":         "name of the repository",
	"path":        "`/home/<username>/<app>`",
	"build":       "venv from `requirements.txt`, if any",
	"aws-region":  "`AWS_REGION`",
	"s3-endpoint": "`AWS_ENDPOINT_URL_S3` or AWS",
	"health-host": "first of `server-name`, or `localhost`",
	"release":     "the one that served before",
}

func TestInputsAreTheSameInCodeActionAndReadme(t *testing.T) {
	declared, listed := entries(t, readAction(t).Inputs), map[string]string{}
	for _, row := range tables(t, "README.md", "## Inputs") {
		if len(row) != 3 || row[2] == "" {
			t.Fatalf("README.md has %q", row)
		}
		for name, cell := range perName(row) {
			if _, twice := listed[name]; twice {
				t.Errorf("README.md has %q twice", name)
			}
			listed[name] = cell
		}
	}
	all := fields()
	if len(declared) != len(all) || len(listed) != len(all) {
		t.Fatalf("%d inputs in action.yml, %d in README.md, %d in the code", len(declared), len(listed), len(all))
	}
	for i, f := range all {
		t.Run(f.name, func(t *testing.T) {
			def, cell := f.def, "-"
			switch {
			case derived[f.name] != "":
				cell = derived[f.name]
			case f.context != "":
				def = "${{ " + f.context + " }}"
				cell = "`" + def + "`"
			case f.def != "":
				cell = "`" + def + "`"
			case f.required != "":
				cell = "required"
			}
			required := ""
			if f.required != "" && def == "" && f.context == "" {
				required = "true"
			}
			d := declared[i]
			equal(t, []string{d.name, d.Default, d.Required}, []string{f.name, def, required})
			if !sentence.MatchString(d.Description) {
				t.Errorf("action.yml describes it as %q", d.Description)
			}
			equal(t, listed[f.name], cell)
		})
	}
}

// README has the outputs in short, docs/outputs.md an example of each.
func TestOutputsAreTheSameInCodeActionAndReadme(t *testing.T) {
	declared, listed := entries(t, readAction(t).Outputs), tables(t, "docs/outputs.md", "# Outputs")
	short := map[string]int{}
	for _, row := range tables(t, "README.md", "## Outputs") {
		for name := range strings.SplitSeq(row[0], ", ") {
			short[name]++
		}
	}
	all := report.Outputs()
	if len(declared) != len(all) || len(listed) != len(all) || len(short) != len(all) {
		t.Fatalf("%d outputs in action.yml, %d in README.md, %d in docs/outputs.md, %d in the code", len(declared),
			len(short), len(listed), len(all))
	}
	for i, name := range all {
		t.Run(name, func(t *testing.T) {
			equal(t, declared[i].name, name)
			equal(t, short[name], 1)
			if !sentence.MatchString(declared[i].Description) {
				t.Errorf("action.yml describes it as %q", declared[i].Description)
			}
			if row := listed[i]; len(row) != 3 || row[0] != name || row[1] == "" ||
				!strings.Contains(row[2], "steps.deploy.outputs."+name) {
				t.Errorf("docs/outputs.md has %q", row)
			}
		})
	}
}

func TestActionRunsTheBinary(t *testing.T) {
	action := readAction(t)
	// No args: the runner's quoting loses values that end in a backslash. An entry point of its own
	// keeps callers and container hooks from needing one.
	equal(t, action.Runs, map[string]string{
		"using": "docker", "image": "Dockerfile", "entrypoint": "/deploy-action",
		"post-entrypoint": "/deploy-action-post",
	})
	equal(t, action.Branding.Icon+" "+action.Branding.Color, "upload-cloud green") // both on GitHub's lists
	if action.Name == "" || len(action.Description) > 125 || !sentence.MatchString(action.Description) {
		t.Errorf("name %q, description %q", action.Name, action.Description)
	}
}

func TestReadmeShowsTheExampleWorkflow(t *testing.T) {
	example, err := os.ReadFile("../../examples/workflows/deploy.yml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := strings.ReplaceAll("\n```yaml\n"+string(example)+"```\n", "\n", "\n   ") // in a list
	if !strings.Contains(string(readme), strings.TrimRight(shown, " ")) {
		t.Error("README.md does not show examples/workflows/deploy.yml as it is")
	}
}
