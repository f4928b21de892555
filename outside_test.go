package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
)

// runsOutside runs the program where there is no runner.
func runsOutside(t *testing.T, env map[string]string, args ...string) (code int, log string) {
	t.Helper()
	flags, err := inputs.ParseArgs(args)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code = runOutside(t.Context(), flags, func(name string) string { return env[name] }, &out, time.Now())
	return code, out.String()
}

func TestOutsideOfGitHubTheLogIsPlain(t *testing.T) {
	env := map[string]string{"DEPLOY_PORT": "none", "DEPLOY_TOKEN": "a secret token"}
	code, log := runsOutside(t, env, "--host=web.example.com", "--app=a secret token")
	if code != exitFailed || !strings.HasPrefix(log, "deploy-action dev\n"+
		"from the environment: DEPLOY_PORT, DEPLOY_TOKEN\nerror: Invalid inputs\n  --port (or DEPLOY_PORT): must be ") ||
		!strings.Contains(log, "\n  next: put right what is named above and run this command again; more: "+
			"https://github.com/clothesme/deploy-action/blob/v1/docs/troubleshooting.md#the-inputs-are-refused\n"+
			"DEPLOYED_OUTCOME=failed\n") ||
		!strings.Contains(log, "\nDEPLOYED_SITE=unchanged\n") {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
	for _, words := range []string{"::", "\x1b", "a secret token", "workflow"} {
		if strings.Contains(log, words) {
			t.Errorf("%q in the log:\n%s", words, log)
		}
	}
}

// What an earlier run wrote into the file of the outputs must not be read as this one's.
func TestOutputsGoToAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "outputs.env")
	if err := os.WriteFile(file, []byte("DEPLOYED_OUTCOME=deployed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, log := runsOutside(t, nil, "--output="+file)
	text := read(t, file)
	if code != exitFailed || strings.Contains(log, "DEPLOYED_") ||
		!strings.HasPrefix(text, "DEPLOYED_OUTCOME=failed\nDEPLOYED_ACTIVE_PORT=\n") {
		t.Errorf("exit code %d, outputs:\n%s\nlog:\n%s", code, text, log)
	}
	code, log = runsOutside(t, nil, "--output="+filepath.Join(file, "below"))
	if code != exitUsage || !strings.Contains(log, "--output: ") || strings.Contains(log, "--host") {
		t.Errorf("a file that can't be written: exit code %d, log:\n%s", code, log)
	}
}

func TestTell(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, exitOK, "\n  --host=VALUE\n      The host to deploy to, as [user@]host[:port]"},
		{[]string{"--version", "--host=web"}, exitOK, "deploy-action dev\n"},
		{[]string{"--hots=web"}, exitUsage, "error: wrong command line\n  there is no such flag: "},
	} {
		flags, err := inputs.ParseArgs(tt.args)
		var out bytes.Buffer
		if code := tell(flags, err, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%v: exit code %d, says\n%s", tt.args, code, &out)
		}
	}
}

// Who asks a second time does not wait for what is being taken back.
func TestTheSecondSignalEndsIt(t *testing.T) {
	signals, ended := make(chan os.Signal), make(chan struct{})
	go atTheSecond(signals, func() { close(ended) })
	signals <- os.Interrupt
	select {
	case <-ended:
		t.Fatal("the first one ended it")
	default:
	}
	signals <- os.Interrupt
	<-ended
}
