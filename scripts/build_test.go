package scripts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// runCommand has a verb run a command of the user's in a release of its own, and returns its exit
// code and all it says.
func runCommand(t *testing.T, verb Verb, command string) (code int, out string) {
	t.Helper()
	return runCommandIn(t, verb, command, nil, "")
}

// runCommandIn is runCommand in a release with some files, and with a folder in front of PATH.
func runCommandIn(t *testing.T, verb Verb, command string, files map[string]string, bin string) (code int, out string) {
	t.Helper()
	dir := t.TempDir()
	release := filepath.Join(dir, "releases", "r", ".deploy-action")
	for _, err := range []error{
		os.MkdirAll(release, 0o700), os.WriteFile(filepath.Join(release, "environment"), []byte("export NAME=value\n"),
			0o600),
		os.WriteFile(filepath.Join(dir, ".lock.holder"), []byte("t\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "releases", "r", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := Compose(verb, Values{
		"app": "a", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "release": "r", "build": command,
		"command": command,
		"shared":  "", "clone": "", "port": "1", "ports": "1 2", "keep_releases": "2", "keep": "",
		"name": "before-start", "more": "no", "takes_socket": "no", "process_lines": "", "job_lines": "",
		"procfile": "no", "processes": "", "start_file": "", "environment": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin = bytes.NewReader(text)
	if bin != "" {
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	}
	all, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(string(all))
}

// A command that the host does not have is not a fault of the release's: what to do about it is
// said.
func TestACommandThatIsNotFoundIsSaidToBeMissing(t *testing.T) {
	const hint = " (a command or file in it was not found; if this host lacks it, name its package in the input " +
		"packages)"
	for _, tt := range []struct {
		verb    Verb
		command string
		want    string
		code    int
	}{
		{Build, "no-such-npm ci", "the build command exited with status 127" + hint, ExitBuild},
		{Build, "exit 7", "the build command exited with status 7", ExitBuild},
		{
			Hook, "no-such-npm run migrate", `the command of input "before-start" exited with status 127` + hint,
			ExitHook,
		},
		{Hook, "exit 7", `the command of input "before-start" exited with status 7`, ExitHook},
	} {
		t.Run(string(tt.verb)+" "+tt.command, func(t *testing.T) {
			code, out := runCommand(t, tt.verb, tt.command)
			lines := strings.Split(out, "\n")
			if last := lines[len(lines)-1]; last != tt.want || code != tt.code {
				t.Errorf("exit code %d, want %d; its last words:\n%s\nwant:\n%s\nall:\n%s", code, tt.code, last,
					tt.want, out)
			}
		})
	}
}

// A command of several lines is run as GitHub runs a step's: the first failure is the command's.
func TestACommandStopsAtItsFirstFailure(t *testing.T) {
	for _, verb := range []Verb{Build, Hook} {
		for _, tt := range []struct {
			name, command string
			fails         bool
		}{
			{"a line", "false\necho seeded", true},
			{"a line in the middle", "echo one\ncd /nowhere\necho seeded", true},
			{"a part of a pipe", "false | cat\necho seeded", true},
			{"a subshell", "(exit 3)\necho seeded", true},
			{"what is asked for", "if false; then exit 1; fi\nfalse || true\necho seeded", false},
			{"a line that is cut", "echo \\\n  seeded", false},
		} {
			t.Run(string(verb)+" "+tt.name, func(t *testing.T) {
				code, out := runCommand(t, verb, tt.command)
				if (code != 0) != tt.fails || strings.Contains(out, "seeded") == tt.fails {
					t.Errorf("exit code %d, fails: want %t\n%s", code, tt.fails, out)
				}
			})
		}
	}
}

// Commands see texts as the application does, which systemd starts with a locale of UTF-8; and they
// lose their memory first.
func TestWhatACommandIsGiven(t *testing.T) {
	base, err := strconv.Atoi(strings.TrimSpace(bash(t, "nice"))) // of this test, which may not be 0
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LC_ALL", "C") // as a login may have it
	score := fmt.Sprintf("score 1000, nice %d,", min(base+10, 19))
	for _, verb := range []Verb{Build, Hook} {
		code, out := runCommand(t, verb, `
			echo "locale ${LC_ALL-none} ${LANG,,}, score $(</proc/self/oom_score_adj), nice $(nice), NAME ${NAME-none}"
			[[ -z $(head -c 1) ]] && python3 -c 'import sys; open("name", "w").write("안녕"); `+
			`print(open("name").read(), sys.getfilesystemencoding())'`)
		for _, want := range []string{"locale none ", "utf", score, "안녕 utf-8"} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%s: exit code %d, want %q:\n%s", verb, code, want, out)
			}
		}
		if got, want := strings.Contains(out, "NAME value"), verb == Hook; got != want {
			t.Errorf("%s has the application's environment: %t, want %t", verb, got, want)
		}
	}
}
