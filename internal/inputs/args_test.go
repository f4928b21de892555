package inputs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestArgsAreInputs(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("the key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"DEPLOY_KNOWN_HOSTS": "web.example.com ssh-ed25519 AAAA", "DEPLOY_HOST": "other.example.com", "DEPLOY_APP": "shop",
		"INPUT_APP": "store", "GITHUB_SHA": "abc",
	}
	getenv := func(name string) string { return env[name] }
	a, err := ParseArgs([]string{
		"--host=web.example.com", "--key-file", key, "--dry-run", "--start", "exec x --port $PORT", "--allow-older=false",
		"--output=out.env",
	})
	if err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, variable string
		outside        bool
		want           string
	}{
		{"a flag goes before a variable", "INPUT_HOST", true, "web.example.com"},
		{"a file", "INPUT_KEY", true, "the key\n"},
		{"true without a value", "INPUT_DRY-RUN", true, "true"},
		{"a value of its own", "INPUT_START", true, "exec x --port $PORT"},
		{"false", "INPUT_ALLOW-OLDER", true, "false"},
		{"a variable", "INPUT_KNOWN-HOSTS", true, env["DEPLOY_KNOWN_HOSTS"]},
		{"a variable on GitHub, where inputs come from the workflow alone", "INPUT_KNOWN-HOSTS", false, ""},
		{"the runner's own variable goes before", "INPUT_APP", true, "store"},
		{"what is no input", "GITHUB_SHA", true, "abc"},
		{"the folder it was started in", "GITHUB_WORKSPACE", true, wd},
		{"not on GitHub", "GITHUB_WORKSPACE", false, ""},
	} {
		if got := a.Getenv(getenv, tt.outside)(tt.variable); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if names := strings.Join(a.Variables(getenv), " "); a.Output != "out.env" || names != "DEPLOY_KNOWN_HOSTS" {
		t.Errorf("output %q, variables %q", a.Output, names)
	}
}

// The working folder of an image is its root, which is no checkout.
func TestTheRootFolderIsNotSent(t *testing.T) {
	t.Chdir("/")
	a, err := ParseArgs([]string{"--source=workspace"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ParseOutside(a.Getenv(func(string) string { return "" }, true))
	if err == nil || !strings.Contains(err.Error(), `--source (or DEPLOY_SOURCE): must be "git" in the root folder`) {
		t.Errorf("error %v", err)
	}
}

func TestArgsThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--hots=web"}, `there is no such flag: deploy-action --help lists all (got "--hots")`},
		{[]string{"--hots-file=web"}, `(got "--hots-file")`},
		{[]string{"web"}, `an input is --NAME=VALUE, and this is none (got "web")`},
		{[]string{"-host=web"}, "an input is --NAME=VALUE"},
		{[]string{"-----BEGIN OPENSSH PRIVATE KEY-----"}, "(got a private key)"},
		{[]string{"--host", "--app=shop"}, "--host needs a value: write --host=VALUE"},
		{[]string{"--output"}, "--output needs a value"},
		{
			[]string{"--key=secret"},
			"--key would show a secret to everybody who may list the processes: write --key-file=FILE, " +
				"or set the environment variable DEPLOY_KEY",
		},
		{[]string{"--tls-key", "secret"}, "DEPLOY_TLS_KEY"},
		{[]string{"--token=secret"}, "--token-file=FILE"},
		{[]string{"--env", "A=secret"}, "--env-file=FILE"},
		{[]string{"--key-file=/none"}, "--key-file: open /none: "},
		{[]string{"--key-file=/dev/null"}, "--key-file: the file is empty"},
		{[]string{"--app-file"}, "--app-file needs a value"},
	} {
		_, err := ParseArgs(append(tt.args, "--no-such"))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret\n") ||
			!strings.Contains(err.Error(), `(got "--no-such")`) {
			t.Errorf("%v: error %v", tt.args, err)
		}
	}
}

// Without GitHub a fault names the flag, and says nothing of what only GitHub has.
func TestFaultsOutsideNameTheFlag(t *testing.T) {
	_, err := ParseOutside(func(string) string { return "" })
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"--host (or DEPLOY_HOST): is required, ",
		"--key (or DEPLOY_KEY): is required: name the file of the private key with --key-file",
		"--repository (or DEPLOY_REPOSITORY): is required: ", "--ref (or DEPLOY_REF): is required: ",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	for _, operation := range operations {
		asked := operation == Deploy
		_, err := ParseOutside(func(name string) string {
			return map[string]string{"INPUT_OPERATION": string(operation)}[name]
		})
		if err == nil || strings.Contains(err.Error(), "--ref (or DEPLOY_REF)") != asked {
			t.Errorf("with %s a commit is to be asked for: %t; got\n%v", operation, asked, err)
		}
	}
	key, _ := newKey(t, "a passphrase")
	env := map[string]string{"INPUT_KEY": key}
	_, passphrase := ParseOutside(func(name string) string { return env[name] })
	if passphrase == nil || !strings.Contains(passphrase.Error(), "--passphrase (or DEPLOY_PASSPHRASE): is required: "+
		"the private key is encrypted; set the environment variable") {
		t.Errorf("error %v", passphrase)
	}
	for _, text := range []string{err.Error(), passphrase.Error()} {
		for _, words := range []string{"${{", "workflow"} {
			if strings.Contains(text, words) {
				t.Errorf("%q in\n%s", words, text)
			}
		}
	}
}

// The help is the table of action.yml: each input, with its default and all that is said of it.
func TestHelpIsTheTable(t *testing.T) {
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	help := Help(string(text))
	words := strings.Join(strings.Fields(help), " ") + " --"
	action := readAction(t)
	if !strings.HasPrefix(help, action.Description+"\n\nUsage: ") {
		t.Errorf("the help begins with %.200s", help)
	}
	for i, e := range entries(t, action.Inputs) {
		f := fields()[i]
		flag := "--" + f.name + "=VALUE"
		if f.shape.secret() {
			flag = "--" + f.name + "-file=FILE"
		}
		if f.required != "" {
			flag += " (required)"
		} else if f.def != "" {
			flag += " (" + f.def + ")"
		}
		said := strings.Join(strings.Fields(e.Description), " ")
		if want := " " + flag + " " + said + " --"; !strings.Contains(words, want) {
			t.Errorf("the help has no%s", want)
		}
	}
	for line := range strings.Lines(help) {
		if strings.HasPrefix(line, " ") && len([]rune(line)) > helpWidth+1 {
			t.Errorf("wider than %d: %s", helpWidth, line)
		}
	}
}
