package inputs

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Args is a command line: inputs as flags, for whoever runs the program without GitHub.
type Args struct {
	Help, Version bool
	Output        string // the file that gets the outputs; "": they end the log

	values map[string]string // by the names of the inputs
}

// ParseArgs reads a command line. An input is --NAME=VALUE or --NAME VALUE, or --NAME-file=FILE for
// what stands in a file; one that may be "true" needs no value. All faults are returned at once.
//
// A secret is taken from a file or from the environment alone: everybody on a machine may read the
// arguments of its processes.
func ParseArgs(args []string) (*Args, error) {
	a := &Args{values: map[string]string{}}
	known := map[string]field{}
	for _, f := range fields() {
		known[f.name] = f
	}
	var faults Errors
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, value, given := strings.Cut(arg, "=")
		name = strings.TrimPrefix(name, "--")
		f, ofFile := known[name], false
		if f.name == "" {
			f, ofFile = known[strings.TrimSuffix(name, "-file")], true
		}
		switch {
		case arg == "--help" || arg == "-h":
			a.Help = true
			continue
		case arg == "--version":
			a.Version = true
			continue
		case !strings.HasPrefix(arg, "--"):
			faults = append(faults, fmt.Errorf("an input is --NAME=VALUE, and this is none %s", got(arg)))
			continue
		case f.name == "" && name != "output":
			faults = append(faults, fmt.Errorf("there is no such flag: deploy-action --help lists all %s", got("--"+name)))
			continue
		case !given && f.def == "false" && !ofFile:
			value = "true"
		case !given && (len(args) == 0 || strings.HasPrefix(args[0], "--")):
			faults = append(faults, fmt.Errorf("--%s needs a value: write --%s=VALUE", name, name))
			continue
		case !given:
			value, args = args[0], args[1:]
		}
		if f.name == "" {
			a.Output = value
			continue
		}
		value, err := a.value(f, value, ofFile)
		if err != nil {
			faults = append(faults, err)
		}
		a.values[f.name] = value
	}
	if len(faults) > 0 {
		return a, faults
	}
	return a, nil
}

// value is that of an input, which may stand in a file.
func (a *Args) value(f field, value string, ofFile bool) (string, error) {
	switch {
	case !ofFile && f.shape.secret() && value != "":
		return "", fmt.Errorf("--%s would show a secret to everybody who may list the processes: write --%s-file=FILE, "+
			"or set the environment variable %s", f.name, f.name, variable(f.name))
	case !ofFile:
		return value, nil
	}
	text, err := os.ReadFile(value)
	if err != nil {
		return "", fmt.Errorf("--%s-file: %w", f.name, err)
	}
	if len(text) == 0 {
		return "", fmt.Errorf("--%s-file: %w", f.name, errors.New("the file is empty"))
	}
	return string(text), nil
}

// variable is the environment variable of an input outside of GitHub: shells take no hyphens in one.
func variable(name string) string {
	return "DEPLOY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Getenv returns an environment in which the flags stand as the runner passes inputs. Outside of
// GitHub an input may be a variable as well, and the folder that the program was started in is what
// there is to send.
func (a *Args) Getenv(getenv func(string) string, outside bool) func(string) string {
	env := map[string]string{}
	for _, f := range fields() {
		if value, ok := a.values[f.name]; ok {
			env["INPUT_"+strings.ToUpper(f.name)] = value
		} else if value := getenv(variable(f.name)); outside && value != "" &&
			getenv("INPUT_"+strings.ToUpper(f.name)) == "" {
			env["INPUT_"+strings.ToUpper(f.name)] = value
		}
	}
	if outside && getenv("GITHUB_WORKSPACE") == "" {
		if dir, err := os.Getwd(); err == nil && dir != "/" { // that of an image is no checkout
			env["GITHUB_WORKSPACE"] = dir
		}
	}
	return func(name string) string {
		if value, ok := env[name]; ok {
			return value
		}
		return getenv(name)
	}
}

// Variables are the environment variables that inputs are taken from: others may have meant
// something else by them.
func (a *Args) Variables(getenv func(string) string) []string {
	var names []string
	for _, f := range fields() {
		if _, ok := a.values[f.name]; !ok && getenv(variable(f.name)) != "" &&
			getenv("INPUT_"+strings.ToUpper(f.name)) == "" {
			names = append(names, variable(f.name))
		}
	}
	return names
}
