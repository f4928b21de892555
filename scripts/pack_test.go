package scripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// packed feeds bash what a host gets.
func packed(t *testing.T, input string, env ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-s", "--", "verb")
	cmd.Stdin, cmd.Dir, cmd.Env = strings.NewReader(input), t.TempDir(), append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestAPackedScriptRunsAsItIs(t *testing.T) {
	script := "{\nread -r next\nprintf '%s:%s:%s' \"$1\" \"$next\" \"${script+left}\"\nexit 7\n}\n"
	for _, env := range []string{"A=b", "GZIP=--bogus", "script=theirs"} {
		out, code := packed(t, string(Pack([]byte(script)))+"what follows\nmore\n", env)
		if want := "verb:what follows:left"; out != want || code != 7 {
			t.Errorf("%s: %q and exit status %d, want %q and 7", env, out, code, want)
		}
		if out, _ := packed(t, string(Pack([]byte("bash -c 'printf %s \"${script-none}\"'\n"))), env); out != "none" {
			t.Errorf("%s: a child sees the script: %q", env, out)
		}
	}
}

func TestAPackedScriptThatIsCutOffRunsNothing(t *testing.T) {
	cutOff(t, Pack([]byte("{\n: >made\necho ran\n}\n"+strings.Repeat("# padding\n", 100))))
}

func cutOff(t *testing.T, whole []byte) {
	t.Helper()
	if out, code := packed(t, string(whole)); out != "ran\n" || code != 0 {
		t.Fatalf("whole: %q, exit status %d", out, code)
	}
	for n := range len(whole) {
		if out, _ := packed(t, string(whole[:n])); out != "" {
			t.Errorf("of the first %d of %d bytes came %q", n, len(whole), out)
		}
	}
	for n := bytes.IndexByte(whole, 0x1f); n < len(whole); n++ {
		damaged := bytes.Clone(whole)
		damaged[n] ^= 0xff
		if out, code := packed(t, string(damaged)); out != "" && code == 0 && n < len(whole)-8 &&
			n > bytes.IndexByte(whole, 0x1f)+9 {
			t.Errorf("byte %d damaged: %q", n, out)
		}
	}
}

// Comments are all that a host does not get: bash understands the same.
func TestBareScriptsAreTheSame(t *testing.T) {
	understood := func(text []byte) string {
		cmd := exec.CommandContext(t.Context(), "bash", "--pretty-print", "/dev/stdin")
		cmd.Stdin = bytes.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for _, verb := range verbs(t) {
		for _, file := range sources(verb) {
			text, err := files.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if less := bare(text); len(less) == len(text) || understood(less) != understood(text) {
				t.Errorf("%s is another script without its comments", file)
			}
		}
	}
}

// The image is built of the scripts as a host gets them.
func TestTheImageHasBareScripts(t *testing.T) {
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	strips := regexp.MustCompile(`(?m)^RUN (sed -i .* scripts/\*\.sh scripts/lib/\*\.sh)$`).FindSubmatch(dockerfile)
	if strips == nil {
		t.Fatal("the Dockerfile strips no scripts")
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "scripts"), files); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", string(strips[1]))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, verb := range verbs(t) {
		for _, file := range sources(verb) {
			text, err := files.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "scripts", file))
			if err != nil || !bytes.Equal(got, bare(text)) {
				t.Errorf("%s is another one in the image (%v)", file, err)
			}
		}
	}
}

// Far from the host, what does not fit into the first flights of a connection waits for an answer
// of the host: three of them take 102 KB, of which a run sends 80 at most.
func TestTheOpeningIsSmall(t *testing.T) {
	opening := Opening(time.Minute)
	t.Logf("%d bytes, of %d", len(opening), len(loop())+len(texts()))
	if len(opening) > 62_000 {
		t.Errorf("the opening is sent in %d bytes", len(opening))
	}
	// The loop feeds it to what holds the lock, and must not wait for that to read: a pipe takes 64
	// KB.
	text, err := Compose(Lock, Values{"lock_note": strings.Repeat("x", 4000), "path": strings.Repeat("x", 4000)})
	if err != nil || len(text) > 60_000 {
		t.Errorf("the lock's script has %d bytes (%v)", len(text), err)
	}
}
