package scripts

import (
	"bytes"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What arrives in one piece and what arrives in three is the same, and nothing but lines key=value
// becomes a result.
func FuzzResults(f *testing.F) {
	for _, seed := range []string{
		"banner\n" + Begin + "\na=1\nb=x=y\n", Begin + "\na=1\na=2\n", Begin + "\n::error::x\n", Begin +
			"\nA=1\n", Begin + "\na=\x00\r\xff\n", "a=1\n", Begin, Begin + "\r\na=1\n",
		Begin + "\na", "\n\n=\n", Begin + "\n" + strings.Repeat("x", 300) + "\n",
	} {
		f.Add([]byte(seed), uint(3), uint(9))
	}
	f.Fuzz(func(t *testing.T, text []byte, i, j uint) {
		i %= uint(len(text) + 1)
		j = i + j%uint(len(text)+1-int(i)) //nolint:gosec // i is at most the length
		var whole, parts Results
		came := whole.Came("a")
		_, _ = whole.Write(text)
		for _, part := range [][]byte{text[:i], text[i:j], text[j:]} {
			if n, err := parts.Write(part); n != len(part) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		if !maps.Equal(whole.values, parts.values) || (whole.err == nil) != (parts.err == nil) {
			t.Fatalf("in one piece %q, %v; in three %q, %v", whole.values, whole.err, parts.values, parts.err)
		}
		_, after, open := strings.Cut("\n"+string(text), "\n"+Begin+"\n")
		if !open && len(whole.values) > 0 {
			t.Fatalf("results without the line that opens them: %q", whole.values)
		}
		for key, value := range whole.values {
			if !name.MatchString(key) || strings.Contains(value, "\n") ||
				!strings.Contains("\n"+after, "\n"+key+"="+value+"\n") {
				t.Fatalf("result %q = %q", key, value)
			}
		}
		select {
		case <-came:
			if !whole.Has("a") {
				t.Fatal("a came, and is not there")
			}
		default:
			if whole.Has("a") {
				t.Fatal("a is there, and nobody was told")
			}
		}
		_, _, _, _ = whole.Int("a"), whole.Yes("b"), whole.Millis("c"), whole.OneOf("d", "x", "y")
		if err := whole.Err(); err == nil && !whole.Has("c") {
			t.Fatal("a missing result is no fault")
		} else if err != nil && len(err.Error()) > 1000 {
			t.Fatalf("a fault of %d bytes", len(err.Error()))
		}
	})
}

// The environment of an application and its start command go through a real bash: they arrive byte
// for byte, and nothing in them runs.
func FuzzEnvironmentArrivesByteForByte(f *testing.F) {
	for _, seed := range []string{
		"", "a b", `'"$(id)` + "`id`", "line\nbreak\n\n", "\x01\x7f\xff\xfe", "é漢字",
		"!{a,b}*?[~]", `\`, "#x", "--", "\r\n", "'\\''", "$'\\n'", "\n'; id; '",
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, value, second string) {
		if strings.ContainsRune(value+second, 0) {
			return
		}
		script := Environment([][2]string{{"FIRST", value}, {"SECOND", second}}) + "env -0\n"
		cmd := exec.CommandContext(t.Context(), "bash", "-s")
		cmd.Stdin, cmd.Dir = strings.NewReader(script), t.TempDir()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("bash: %v", err)
		}
		variables := bytes.Split(out, []byte{0})
		for _, want := range []string{"FIRST=" + value, "SECOND=" + second} {
			if !slices.ContainsFunc(variables, func(v []byte) bool { return string(v) == want }) {
				t.Errorf("%q did not arrive", want)
			}
		}
		// What the start file hands to bash -c is the command, to the letter.
		start := strings.Replace(StartFile(value), " || . .deploy-action/environment\nexec bash -c ", " || :\nprintf '%s.' ",
			1)
		if got := bash(t, start); got != value+"." {
			t.Errorf("start command %q arrived as %q", value, got)
		}
	})
}
