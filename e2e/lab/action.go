package lab

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// action is what the runner takes from an action.yml.
type action struct {
	Inputs map[string]struct {
		Default string `yaml:"default"`
	} `yaml:"inputs"`
	Runs struct {
		Using          string            `yaml:"using"`
		Entrypoint     string            `yaml:"entrypoint"`
		PostEntrypoint string            `yaml:"post-entrypoint"`
		Args           []string          `yaml:"args"`
		Env            map[string]string `yaml:"env"`
	} `yaml:"runs"`
}

func readAction(file string) (*action, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read action: %w", err)
	}
	a := new(action)
	if err := yaml.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("read action %q: %w", file, err)
	}
	if a.Runs.Using != "docker" {
		return nil, fmt.Errorf("read action %q: runs.using is %q, want docker", file, a.Runs.Using)
	}
	return a, nil
}

// inputEnv is the environment that the inputs become: every declared one is set, missing ones to
// their default or to nothing, and those not declared too. Hyphens stay (Handler.cs); nothing
// enforces `required`.
func (a *action) inputEnv(with map[string]string, context map[string]string) (env map[string]string,
	unexpected []string, err error,
) {
	env = make(map[string]string)
	for name, input := range a.Inputs {
		value, err := expand(input.Default, context)
		if err != nil {
			return nil, nil, fmt.Errorf("default of input %q: %w", name, err)
		}
		env[inputName(name)] = value
	}
	for name, value := range with {
		if _, ok := env[inputName(name)]; !ok {
			unexpected = append(unexpected, name)
		}
		env[inputName(name)] = value
	}
	return env, unexpected, nil
}

// inputName is the variable that carries an input: "health-path" is INPUT_HEALTH-PATH.
func inputName(name string) string {
	return "INPUT_" + strings.ToUpper(strings.ReplaceAll(name, " ", "_"))
}

var expression = regexp.MustCompile(`\$\{\{\s*(.*?)\s*\}\}`)

// expand replaces ${{ github.… }} and ${{ runner.… }}, the only expressions a default here may
// hold.
func expand(text string, context map[string]string) (string, error) {
	var unknown error
	out := expression.ReplaceAllStringFunc(text, func(found string) string {
		name := expression.FindStringSubmatch(found)[1]
		value, ok := context[name]
		if !ok {
			unknown = fmt.Errorf("expand %q: the lab knows no such value", found)
		}
		return value
	})
	return out, unknown
}
