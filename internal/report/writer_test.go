package report

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

// remoteLog is what is printed of chunks that a host wrote.
func remoteLog(t *testing.T, secrets []string, chunks ...string) string {
	t.Helper()
	r, log, _ := newTest(t)
	r.Mask(secrets...)
	log.Reset()
	w := r.Remote("h")
	for _, chunk := range chunks {
		if n, err := w.Write([]byte(chunk)); n != len(chunk) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", chunk, n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

func TestRemoteSplitsLines(t *testing.T) {
	tests := []struct {
		name   string
		chunks []string
		want   string
	}{
		{"nothing", nil, ""},
		{"one line", []string{"a\n"}, "h │ a\n"},
		{"no line break at the end", []string{"a\nb"}, "h │ a\nh │ b\n"},
		{"an empty line", []string{"a\n\nb\n"}, "h │ a\nh │\nh │ b\n"},
		{"Windows", []string{"a\r\nb\r\n\r\n"}, "h │ a\nh │ b\nh │\n"},
		{"Windows, cut", []string{"a\r", "\nb\r", "c"}, "h │ a\nh │ b\nh │ c\n"},
		{"progress", []string{"1%\r50%\r100%\n"}, "h │ 1%\nh │ 50%\nh │ 100%\n"},
		{"progress from the start of the line", []string{"\r1%\r2%\n"}, "h │ 1%\nh │ 2%\n"},
		{"several writes a line", []string{"a", "", "b", "c\nd"}, "h │ abc\nh │ d\n"},
		{"a character cut in two", []string{"\xc3", "\xbc\n"}, "h │ ü\n"},
		{"an escape sequence cut in two", []string{"\x1b[3", "1mred\x1b", "[0m\n"}, "h │ \x1b[31mred\x1b[0m\x1b[0m\n"},
		{"verbs", []string{"%s %d %!\n"}, "h │ %s %d %!\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { equal(t, remoteLog(t, nil, tt.chunks...), tt.want) })
	}
}

// hostile is what a host may print to give orders to the runner.
var hostile = []string{
	"::error::pwn",
	"::error title=pwn::pwn",
	"  \t\u00a0\u2028\v\f\u0085::set-output name=x::pwn",
	"progress\r::error::pwn",
	"progress\r\n::add-mask::pwn",
	"\n\n::stop-commands::pwn",
	"##[error]pwn",
	"text ##[set-output name=x]pwn",
	"####[group]pwn ##[##[error]pwn",
	"#\x00#[error]pwn",
	"#\u200b#\u00ad[error]pwn",
	"##\u2060[set-env name=PATH]pwn",
	"#\x1b[K#\x1b]0;t\a[error]pwn",
	"#\x1b[#[error]pwn",
	"\x1b[0m::error::pwn\x1b[0m##[error]pwn",
	"\x00::error::pwn",
	"\ufeff::error::pwn",
	"::ERROR::pwn ##[Error]pwn",
	"\xff::error::pwn",
	"::error::pwn", // without an end
	strings.Repeat("x", maxLine-3) + "##[error]pwn",
	strings.Repeat("x", maxLine) + "\r::error::pwn",
	strings.Repeat(" ", 2*maxLine) + "::error::pwn",
	"::set-env name=PATH::pwn",
	"::add-path::pwn",
	"::save-state name=x::pwn",
	"::endgroup::",
	"::internal-set-repo-path repoFullName=x;workspaceRepo=true::pwn",
	"EOF\nEOF\n::debug::pwn",
	"%0A::error::pwn%0D##[error]pwn",
}

func TestNoHostileOutputIsACommand(t *testing.T) {
	for _, text := range hostile {
		for split := 0; split <= min(len(text), 40); split++ {
			log := remoteLog(t, nil, text[:split], text[split:], "\n", text)
			if live := liveCommands(log); len(live) > 0 {
				t.Fatalf("%.60q split at %d gave %v", text, split, live)
			}
			checkLines(t, log, "h │")
		}
		prints := map[string]func(*Report){
			"Info":  func(r *Report) { r.Info(text) },
			"Debug": func(r *Report) { r.Debug(text) },
			"Group": func(r *Report) { r.Group(text) },
			"Done":  func(r *Report) { r.Step("x").Done(text) },
			"Fail":  func(r *Report) { r.Step(text).Fail(text) },
			"Warn":  func(r *Report) { r.Warn(text, text) },
			"Error": func(r *Report) { r.Error(text, text) },
			"host":  func(r *Report) { w := r.Remote(text); _, _ = w.Write([]byte("x")); _ = w.Close() },
		}
		own := map[string]int{"Info": 0, "Debug": 1, "Group": 1, "Done": 2, "Fail": 2, "Warn": 1, "Error": 1, "host": 0}
		for name, act := range prints {
			r, log, _ := newTest(t)
			act(r)
			if live := liveCommands(log.String()); len(live) != own[name] {
				t.Errorf("%s(%.60q) gave %v", name, text, live)
			}
		}
	}
}

// checkLines asserts what holds of every line printed for a host.
func checkLines(t *testing.T, log, prefix string) {
	t.Helper()
	for line := range strings.Lines(log) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), prefix)
		switch {
		case !ok:
			t.Fatalf("line without prefix: %q", line)
		case !utf8.ValidString(rest):
			t.Fatalf("invalid UTF-8: %q", line)
		case strings.Contains(rest, "##["):
			t.Fatalf("live marker: %q", line)
		case len(rest) > 3*maxLine/2+100: // defusing adds one byte to three
			t.Fatalf("%d bytes in a line", len(rest))
		}
		if i := strings.IndexFunc(withoutColours(rest), func(c rune) bool { return !visible(c) }); i >= 0 {
			t.Fatalf("invisible characters: %q", line)
		}
	}
}

func withoutColours(s string) string {
	for {
		before, after, ok := strings.Cut(s, "\x1b[")
		if !ok {
			return s
		}
		s = before + strings.TrimLeft(after, "0123456789;:")
	}
}

func TestASecretIsHiddenHoweverItIsCut(t *testing.T) {
	secrets := []string{"ghs_0123456789abcdef", "line one of a key\nline two of a key", "ümläut-pass"}
	const text = "token ghs_0123456789abcdef key line one of a key\nline two of a key\r\npass ümläut-pass."
	const want = "h │ token *** key ***\nh │ ***\nh │ pass ***.\n"
	for i := range len(text) + 1 {
		equal(t, remoteLog(t, secrets, text[:i], text[i:]), want)
		for j := i; j <= len(text); j += 7 {
			equal(t, remoteLog(t, secrets, text[:i], text[i:j], text[j:]), want)
		}
	}
	equal(t, remoteLog(t, secrets, strings.Split(text, "")...), want)
}

func TestASecretAcrossTheEndOfALongLineIsHidden(t *testing.T) {
	const secret = "ghs_0123456789abcdef"
	for _, filler := range []string{"x", "\x00", "\x1b[1mx"} {
		for at := maxLine - 2*len(secret); at <= maxLine+2*len(secret); at++ {
			fill := strings.Repeat(filler, at/len(filler))
			for _, more := range []string{"", strings.Repeat("y", maxLine)} {
				log := remoteLog(t, []string{secret}, fill+secret+more)
				if strings.Contains(log, secret[:6]) {
					t.Fatalf("filler %q, at %d: part of the secret in %q", filler, at, log[len(log)-80:])
				}
			}
		}
	}
}

func TestALongLineIsCut(t *testing.T) {
	whole := strings.Repeat("x", maxLine)
	equal(t, remoteLog(t, nil, whole+"\nnext\n"), "h │ "+whole+"\nh │ next\n")
	equal(t, remoteLog(t, nil, whole+"yz\nnext\n"), "h │ "+whole+" … (line cut, about 2 bytes more)\nh │ next\n")
	equal(t, remoteLog(t, nil, whole, "y", "z"), "h │ "+whole+" … (line cut, about 2 bytes more)\n")
	equal(t, remoteLog(t, nil, "\x1b[31m"+whole+"y\n"), "h │ "+whole[5:]+" … (line cut, about 6 bytes more)\n")
}

func TestAColourHidesNoSecret(t *testing.T) {
	equal(t, remoteLog(t, []string{"hunter22"}, "\x1b[32mpass \x1b[31mhun\x1b[0mter22\n\x1b[32mok\n"),
		"h │ pass ***\nh │ \x1b[32mok\x1b[0m\n")
	r, log, _ := newTest(t)
	r.Mask("hunter22")
	log.Reset()
	r.Info("hun\x1b[31mter22")
	equal(t, log.String(), "***\n")
}

func TestALineOfAGigabyteTakesNoMemory(t *testing.T) {
	r := New(io.Discard, func(string) string { return "" })
	r.Mask("some-secret")
	w := r.Remote("h")
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 1 << 30 / len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes allocated", used)
	}
}

func TestAWriteOfLineBreaksTakesLittleMemory(t *testing.T) {
	largest := 0
	r := New(writerFunc(func(p []byte) (int, error) { largest = max(largest, len(p)); return len(p), nil }),
		func(string) string { return "" })
	if _, err := r.Remote("h").Write(bytes.Repeat([]byte("\n"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if largest > flushAt+maxLine {
		t.Errorf("%d bytes in one Write", largest)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAClosedWriterRefuses(t *testing.T) {
	r, log, _ := newTest(t)
	w := r.Remote("h")
	_, _ = w.Write([]byte("a"))
	_ = w.Close()
	_ = w.Close()
	if _, err := w.Write([]byte("b")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	equal(t, log.String(), "h │ a\n")
}

func TestALogThatCannotBeWrittenStopsNothing(t *testing.T) {
	r := New(writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe }), func(string) string { return "" })
	r.Info("x")
	w := r.Remote("h")
	if n, err := w.Write([]byte("a\nb")); n != 3 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzRemote(f *testing.F) {
	for i, text := range hostile {
		f.Add([]byte(text), uint(i))
	}
	const secret = "ghs_0123456789abcdef"
	f.Add([]byte("token "+secret+"\n"), uint(9))
	f.Add([]byte("##["+secret+"##["), uint(5))
	f.Fuzz(func(t *testing.T, text []byte, split uint) {
		i := int(split % uint(len(text)+1))
		log := remoteLog(t, []string{secret, "line one\nline two"}, string(text[:i]), string(text[i:]))
		if live := liveCommands(log); len(live) > 0 {
			t.Fatalf("live: %v", live)
		}
		if strings.Contains(log, secret) || strings.Contains(log, "line one") {
			t.Fatalf("secret in %q", log)
		}
		checkLines(t, log, "h │")
		if one := remoteLog(t, []string{secret, "line one\nline two"}, string(text)); one != log {
			t.Fatalf("the split at %d shows:\n%q\n%q", i, one, log)
		}
		r, info, _ := newTest(t)
		r.Info(string(text))
		if live := liveCommands(info.String()); len(live) > 0 {
			t.Fatalf("live from Info: %v", live)
		}
	})
}

// A host that prints without an end fills neither the runner's disk nor its memory, and what comes
// after it is still printed.
func TestTheOutputOfAHostIsBounded(t *testing.T) {
	for _, tt := range []struct{ name, line string }{
		{"lines", strings.Repeat("x", 99) + "\n"},
		{"empty lines", "\n"},
		{"progress", "10%\r"},
		{"one line", "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, log, _ := newTest(t)
			chunk := []byte(strings.Repeat(tt.line, 1<<20/len(tt.line)))
			sent := 0
			for range 3 { // verbs
				w := r.Remote("web")
				for range 5 {
					_, _ = w.Write(chunk)
					sent += len(chunk)
				}
				_ = w.Close()
			}
			r.Info("the end")
			if size := log.Len(); size > 3*(maxOutput+maxLine+200) {
				t.Errorf("%d bytes of %d were printed", size, sent)
			}
			text := log.String()
			if more := strings.Count(text, " bytes more"); more != 3 || !strings.HasSuffix(text, "\nthe end\n") {
				t.Errorf("%d times that there is more; the end: %q", more, text[len(text)-100:])
			}
		})
	}
}

func TestTheOutputOfARunIsBounded(t *testing.T) {
	r, log, _ := newTest(t)
	chunk := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", maxOutput/100))
	for range maxOutputs/maxOutput + 4 {
		w := r.Remote("web")
		_, _ = w.Write(chunk)
		_ = w.Close()
	}
	if size := log.Len(); size > maxOutputs+maxOutput {
		t.Errorf("%d bytes were printed", size)
	}
}
