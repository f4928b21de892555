package scripts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func verbs(t *testing.T) []Verb {
	t.Helper()
	names, err := filepath.Glob("*.sh")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	all := make([]Verb, len(names))
	for i, name := range names {
		all[i] = Verb(strings.TrimSuffix(name, ".sh"))
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var comment = regexp.MustCompile(`\([^)]*\)`)

// declared returns the values a file's header names.
func declared(t *testing.T, file string) []string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, file), "\n# Values: ")
	if !found {
		t.Fatalf("%s: the header names no values", file)
	}
	var text string
	for i, line := range strings.Split(rest, "\n") {
		if i > 0 && !strings.HasPrefix(line, "#         ") {
			break
		}
		text += strings.TrimPrefix(line, "#")
	}
	text = strings.ReplaceAll(comment.ReplaceAllString(text, ""), " and ", ",")
	var names []string
	for _, name := range strings.Split(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// A script as the host gets it, with just the values that its header and those of the shared files
// name, has no undefined variable, no unused value, and nothing else that shellcheck finds.
func TestComposedScriptsPassShellcheck(t *testing.T) {
	for _, verb := range verbs(t) {
		t.Run(string(verb), func(t *testing.T) {
			t.Parallel()
			values := Values{}
			for _, file := range sources(verb) {
				for _, name := range declared(t, file) {
					values[name] = "x"
				}
			}
			text, err := Assign(verb, values)
			if err != nil {
				t.Fatal(err)
			}
			text = append([]byte("echo "+Begin+"\n"), text...)
			text = append(text, ofNoFile("exits")...)
			for _, file := range sources(verb) { // whole, in the order in which people read them
				if file == string(verb)+".sh" {
					for _, part := range begins(verb) {
						text = append(text, ofNoFile(part)...)
					}
				}
				more, err := bareFile(file)
				if err != nil {
					t.Fatal(err)
				}
				text = append(text, more...)
			}
			text = append(text, ofNoFile("end")...)
			// What one verb does not use of the shared part is no fault of its own.
			cmd := exec.CommandContext(t.Context(), "shellcheck", "--shell=bash", "--exclude=SC2034,SC2317",
				"--format=gcc", "-")
			cmd.Stdin = bytes.NewReader(text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("shellcheck: %v\n%s", err, out)
			}
		})
	}
}

func TestScriptsFollowTheHabits(t *testing.T) {
	for _, verb := range verbs(t) {
		text := read(t, string(verb)+".sh")
		if n := strings.Count(text, "\n"); n > 100 {
			t.Errorf("%s.sh has %d lines, want at most 100", verb, n)
		}
		if !strings.HasSuffix(text, "\nmain \"$@\" </dev/null\n") && verb != Lock {
			t.Errorf("%s.sh does not end in main with no input", verb)
		}
		if !strings.HasPrefix(text, "#!/usr/bin/env bash\n# ") || !strings.Contains(text, "\n# Prints: ") {
			t.Errorf("%s.sh has no header with purpose, values and results", verb)
		}
		if strings.Contains(text, "EPOCH") || regexp.MustCompile(`\$\(\(.*\bepoch_ms`).MatchString(text) {
			t.Errorf("%s.sh waits by a clock that may jump", verb)
		}
		if regexp.MustCompile(`(?m)\bsleep [0-9]|\beval\b|\bp?killall?\b -|\bpkill\b`).MatchString(text) {
			t.Errorf("%s.sh sleeps, evaluates, or kills by name", verb)
		}
	}
}

func TestExitCodesAreSharedWithTheScripts(t *testing.T) {
	known, used := map[string]bool{}, map[string]bool{}
	codes := map[int]string{}
	for _, exit := range Exits {
		known[exit.Name] = true
		if codes[exit.Code] != "" {
			t.Errorf("%s and %s are both %d", exit.Name, codes[exit.Code], exit.Code)
		}
		codes[exit.Code] = exit.Name
	}
	var files []string
	for _, verb := range verbs(t) {
		files = append(files, sources(verb)...)
	}
	for _, file := range files {
		for _, name := range regexp.MustCompile(`\bEX_[A-Z_]+`).FindAllString(read(t, file), -1) {
			used[name] = used[name] || strings.Contains(read(t, file), `"$`+name+`"`)
			if !known[name] {
				t.Errorf("%s uses %s, which Go does not know", file, name)
			}
		}
	}
	for name := range known {
		if !used[name] {
			t.Errorf("no script exits with %s", name)
		}
	}
}

func TestEveryVerbIsListed(t *testing.T) {
	there, listed := slices.Sorted(slices.Values(verbs(t))), slices.Sorted(slices.Values(Verbs))
	if !slices.Equal(there, listed) {
		t.Errorf("there are %v, and Verbs has %v", there, listed)
	}
}

func TestComposeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		verb   Verb
		values Values
		want   string
	}{
		{"a variable name with a command", Stop, Values{"a;rm": "x"}, "bad variable name"},
		{"a NUL", Stop, Values{"port": "80\x0080"}, "NUL"},
		{"an unknown verb", "dance", nil, "dance"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Compose(tt.verb, tt.values); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Compose = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// bash runs a text as the host would, with the tail of a script that only prints a variable.
func bash(t *testing.T, text string) (stdout string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin = strings.NewReader(text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, stderr.String())
	}
	return string(out)
}

func FuzzValuesArriveByteForByte(f *testing.F) {
	for _, seed := range []string{
		"", "a b", `'"$(id)` + "`id`", "line\nbreak\n\n", "\x01\x7f\xff\xfe", "é漢字",
		"!{a,b}*?[~]", `\`, "#x", "--", "\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsRune(value, 0) {
			return
		}
		text, err := Compose(Switch, Values{"from": value})
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\nunset -v from; from=")
		assignment, _, _ := strings.Cut(rest, "\n#!/usr/bin/env bash\n")
		if got := bash(t, "from="+assignment+"\nprintf '%s.' \"$from\""); got != value+"." {
			t.Errorf("value %q arrived as %q", value, got)
		}
	})
}

// A pid that another process has meanwhile, or that does not listen on the port, is not written
// down as the old version's.
func TestAdoptRefusesAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "slots"), 0o700),
		os.WriteFile(filepath.Join(dir, ".lock.holder"), []byte("t\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	for _, holder := range []string{"1:1", fmt.Sprintf("%d:%s", os.Getpid(), strings.Fields(after)[19])} {
		text, err := Compose(Adopt, Values{
			"app": "a", "path": dir, "lock_token": "t", "step_id": "", "undo": "no",
			"port": "1", "holders": holder, "clone": "/nowhere",
		})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-s")
		cmd.Stdin = bytes.NewReader(text)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != ExitCheck || !strings.Contains(string(out),
			"has ended or changed meanwhile") {
			t.Errorf("%s: %v\n%s", holder, err, out)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "slots", "*")); len(found) > 0 {
		t.Errorf("written: %v", found)
	}
}

// A stream that is cut off anywhere before its end must do nothing, not even the beginning of a
// word that is a command, too, such as "as" of as_root. Whole, the script writes.
func TestACutOffScriptRunsNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".lock.holder"), []byte("t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := Compose(Record, Values{
		"app": "a", "path": dir, "lock_token": "t", "step_id": "", "undo": "no",
		"line": "{}", "gone_from": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	home, bin := t.TempDir(), t.TempDir()
	// beginnings of names in the script, as commands
	for _, word := range []string{"as", "ma", "mai", "su", "sa", "di", "lea", "keep"} {
		// nolint:gosec // a command
		if err := os.WriteFile(filepath.Join(bin, word), []byte("#!/bin/sh\n: >"+word+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	wrote := func(text []byte) bool {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", Command(Record))
		cmd.Stdin, cmd.Dir, cmd.Env = bytes.NewReader(text), home, append(os.Environ(),
			"PATH="+bin+":"+os.Getenv("PATH"))
		_ = cmd.Run() // what is cut off is a syntax error
		_, err := os.Stat(filepath.Join(dir, "deploys.jsonl"))
		made, _ := os.ReadDir(home)
		return err == nil || len(made) > 0
	}
	end := len("}\n")
	cuts := []int{bytes.Index(text, []byte("\nas_root")) + len("\nas")}
	for cut := len(text) - end; cut > 0; cut -= 97 {
		cuts = append(cuts, cut)
	}
	for cut := len(text) - end; cut > len(text)-60; cut-- {
		cuts = append(cuts, cut)
	}
	for _, cut := range cuts {
		if wrote(text[:cut]) {
			t.Fatalf("cut off at %d of %d bytes, the script still did something: %q", cut, len(text),
				text[max(0, cut-40):cut])
		}
	}
	if !wrote(text) {
		t.Error("the whole script did not write, so the rest of this test proves nothing")
	}
}

// A step that fails on a full disk says so, whatever its own words are; one that fails with room
// left keeps its own code, and so does one whose code decides what the run does next.
func TestAFullDiskIsBlamed(t *testing.T) {
	for _, tt := range []struct {
		df     string
		status string
		want   string
	}{
		{
			"stat() { echo 100 50 12 1024 9999 9998; }",
			"3", "80",
		},
		{
			"stat() { echo 100 50 12 1024 9999 9998; }",
			"70", "80",
		},
		{
			"stat() { echo 100 50 12 1024 9999 9998; }",
			"71", "80",
		},
		{
			"stat() { echo 100 50 12 1024 9999 9998; }",
			"66", "66",
		},
		{
			"stat() { echo 100 50 12 1024 9999 9998; }",
			"0", "0",
		},
		{
			"stat() { echo 100000 99999 99999 1024 9999 1; }",
			"3", "80",
		},
		{
			"stat() { echo 100000 99999 99999 1024 0 0; }",
			"3", "3",
		},
	} {
		out := bash(t,
			"app=a EX_CHECK=64 EX_LOCK_LOST=66 EX_HALT=90 EX_FETCH=68 EX_RECEIVE=69 EX_BUILD=70 EX_DIED=71 EX_DISK=80\n"+read(t,
				"lib/base.sh")+read(t, "lib/files.sh")+read(t, "lib/step.sh")+"has_systemd() { false; }\n"+tt.df+
				"\nset +e; (trap leave EXIT; path=$(mktemp -d); exit "+tt.status+") 2>/dev/null; printf '%s' \"$?\"")
		if out != tt.want {
			t.Errorf("%s became %s, want %s", tt.status, out, tt.want)
		}
	}
}

// So does one that fails on a file system that is read-only, whichever of the two it is.
func TestAReadOnlyDiskIsBlamed(t *testing.T) {
	for _, tt := range []struct{ mounts, status, want string }{
		{"/ ro,relatime", "1", "the file system of /srv/a, mounted at /, is read-only\n87"},
		{"/ rw,errors=remount-ro", "1", "1"},
		{"", "1", "1"}, // no findmnt
		{"/ ro", "71", "the file system of /srv/a, mounted at /, is read-only\n87"},
		{"/ ro", "69", "the file system of /srv/a, mounted at /, is read-only\n87"},
		{"/ ro", "66", "66"},
		{"/ ro", "0", "0"},
	} {
		out := bash(t, "app=a EX_CHECK=64 EX_LOCK_LOST=66 EX_HALT=90 EX_FETCH=68 EX_RECEIVE=69 EX_BUILD=70 "+
			"EX_DIED=71 EX_DISK=80 EX_READ_ONLY=87\n"+read(t, "lib/base.sh")+read(t, "lib/files.sh")+read(t, "lib/step.sh")+
			"has_systemd() { false; }\nfindmnt() { printf '%s' '"+tt.mounts+"'; }\ndf() { return 1; }\nrm() { "+
			"return 1; }\ncleanup() { rm x; }\nset +e; (set -e; trap leave EXIT; path=/srv/a; "+
			"exit "+tt.status+") 2>&1; printf '%s' \"$?\"")
		if out != tt.want {
			t.Errorf("%q, %s: it says %q, want %q", tt.mounts, tt.status, out, tt.want)
		}
	}
}

// On a host that is being shut down no release is to blame, whatever a step has met.
func TestAHostThatGoesDownIsBlamed(t *testing.T) {
	libraries := "app=a EX_CHECK=64 EX_LOCK_LOST=66 EX_FETCH=68 EX_RECEIVE=69 EX_BUILD=70 EX_DIED=71 EX_HALT=90\n" +
		read(t, "lib/base.sh") + read(t, "lib/files.sh") + read(t, "lib/turn.sh") + read(t, "lib/step.sh")
	begin, err := partText("begin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ state, status, want string }{
		{"stopping", "74", "the host is being shut down or restarted\n90"},
		{"stopping", "1", "the host is being shut down or restarted\n90"},
		{"stopping", "66", "66"}, // another run has the lock
		{"stopping", "0", "0"},
		{"running", "74", "74"},
		{"degraded", "74", "74"},
		{"", "74", "74"}, // no systemd
	} {
		stubs := "has_systemd() { [[ -n '" + tt.state + "' ]]; }\nsystemctl() { echo '" + tt.state +
			"'; return 1; }\n" +
			"disk() { return 1; }\nread_only() { return 1; }\nrm() { :; }\npath=/srv/a flags=/srv/a\n"
		for name, script := range map[string]string{
			"a step that holds the step lock":             "trap leave EXIT\n",
			"a verb that only asks, as health and verify": string(begin),
		} {
			// A verb is a shell of its own, whose end its traps see.
			cmd := exec.CommandContext(t.Context(), "bash", "-c", libraries+stubs+script+"exit "+tt.status)
			out, err := cmd.CombinedOutput()
			if err != nil && cmd.ProcessState == nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%s%d", out, cmd.ProcessState.ExitCode()); got != tt.want {
				t.Errorf("%s, %s, %s: it says %q, want %q", name, tt.state, tt.status, got, tt.want)
			}
		}
	}
}

// Without the rights to make the flags' folder again, whoever reads it is told how.
func TestAFlagThatCannotBePutBack(t *testing.T) {
	out := bash(t, "app=a EX_CHECK=64\n"+read(t, "lib/base.sh")+read(t, "lib/files.sh")+
		"flags=/nowhere/active\nfree_root() { false; }\nset +e; (put_flag 8080) 2>&1; printf '%s' \"$?\"")
	if !strings.HasSuffix(out, "64") || !strings.Contains(out, "the folder /nowhere/active is gone") ||
		!strings.Contains(out, "sudo install -d -o ") {
		t.Errorf("it says %q", out)
	}
}

// A function of one shared file must not take the place of another's, in any verb that has both.
func TestNoFunctionTakesAnothersPlace(t *testing.T) {
	defines := regexp.MustCompile(`(?m)^([a-z_]+)\(\)`)
	for _, verb := range verbs(t) {
		of := map[string]string{}
		for _, file := range sources(verb) {
			for _, m := range defines.FindAllStringSubmatch(read(t, file), -1) {
				if other, found := of[m[1]]; found {
					t.Errorf("%s: %s is defined in %s and in %s", verb, m[1], other, file)
				}
				of[m[1]] = file
			}
		}
	}
}

// A bus that is gone tells nothing: it is asked until it says, or the time is over.
func TestAHostThatIsShutDownIsBlamed(t *testing.T) {
	for _, tt := range []struct{ answers, status, want string }{
		{"stopping", "1", "the host is being shut down or restarted\n90"},
		{"- unknown - stopping", "1", "the host is being shut down or restarted\n90"},
		{"- degraded", "1", "1"},
		{"running", "70", "70"},
		{"stopping", "0", "0"},
		{"stopping", "66", "66"},
		{strings.Repeat("- ", 100), "1", "1"},
	} {
		out := bash(t, "app=a EX_CHECK=64 EX_LOCK_LOST=66 EX_HALT=90 EX_FETCH=68 EX_RECEIVE=69 EX_BUILD=70 EX_DIED=71 "+
			"EX_DIED=71 EX_DISK=80 EX_READ_ONLY=87\n"+read(t, "lib/base.sh")+read(t, "lib/files.sh")+read(t, "lib/step.sh")+
			"answers=$(mktemp); printf '%s\\n' "+tt.answers+" >\"$answers\"; has_systemd() { true; }\n"+
			"systemctl() { local say; say=$(head -n 1 \"$answers\"); sed -i 1d \"$answers\"; "+
			"if [[ $say == - ]]; then return 1; fi\n"+
			"printf '%s\\n' \"$say\"; }\nfindmnt() { :; }\ndf() { return 1; }\n"+
			"set +e; (set -e; trap leave EXIT; path=$(mktemp -d); exit "+tt.status+") 2>&1; printf '%s' \"$?\"")
		if out != tt.want {
			t.Errorf("%.30q, %s: it says %q, want %q", tt.answers, tt.status, out, tt.want)
		}
	}
}

// runWith runs a verb, with what stands in for what the host has, and returns all that it prints.
func runWith(t *testing.T, verb Verb, values Values, host string) (out string, code int) {
	t.Helper()
	const last = "main \"$@\" </dev/null\n"
	text, err := Compose(verb, values)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin = strings.NewReader(strings.Replace(string(text), last, host+last, 1))
	said, _ := cmd.CombinedOutput()
	return string(said), cmd.ProcessState.ExitCode()
}
