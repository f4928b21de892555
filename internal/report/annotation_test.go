package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestAnAnnotationIsReadAsItWasWritten(t *testing.T) {
	tests := []struct {
		name, title, msg string
		want             live
	}{
		{
			"plain", "deploy failed", "it is down",
			live{"error", map[string]string{"title": "deploy failed"}, "it is down"},
		},
		{"several lines", "", "one\ntwo\r\nthree\rfour", live{"error", nil, "one\ntwo\nthree\nfour"}},
		{"percent", "50%", "100%25", live{"error", map[string]string{"title": "50%"}, "100%25"}},
		{
			"property separators", "a:b,c=d::e", "::1 refused",
			live{"error", map[string]string{"title": "a:b,c=d::e"}, "::1 refused"},
		},
		{
			"a command in it", "::x", "a\n::set-output name=x::y\n##[error]z",
			live{"error", map[string]string{"title": "::x"}, "a\n::set-output name=x::y\n##\\[error]z"},
		},
		{"colours", "\x1b[31mred", "\x1b[1mbold\x1b[0m", live{"error", map[string]string{"title": "red"}, "bold"}},
		{"format verbs", "%s", "%d %!", live{"error", map[string]string{"title": "%s"}, "%d %!"}},
		{"a title of lines", "a\nb", "c", live{"error", map[string]string{"title": "a b"}, "c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, log, _ := newTest(t)
			r.Error(tt.title, tt.msg)
			equal(t, liveCommands(log.String()), []live{tt.want})
		})
	}
}

func TestAnAnnotationIsCut(t *testing.T) {
	tests := []struct {
		name, s string
		limit   int
		want    string
	}{
		{"short", "abc", 4, "abc"},
		{"exact", "abcd", 4, "abcd"},
		{"long", "abcde", 4, "abc…"},
		{"a wide character counts twice", "a💥b💥", 5, "a💥b…"},
		{"never half of one", "aa💥💥", 4, "aa…"},
		{"empty", "", 4, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { equal(t, cut(tt.s, tt.limit), tt.want) })
	}
	r, log, _ := newTest(t)
	r.Warn(strings.Repeat("t", 300), strings.Repeat("💥", 3000))
	c := liveCommands(log.String())[0]
	if n := len(utf16.Encode([]rune(c.Data))); n > maxAnnotation || n < maxAnnotation-2 {
		t.Errorf("message of %d units, want %d", n, maxAnnotation)
	}
	if n := len([]rune(c.Properties["title"])); n != maxTitle {
		t.Errorf("title of %d characters, want %d", n, maxTitle)
	}
}

func TestANoticeIsNoWarning(t *testing.T) {
	r, log, _ := newTest(t)
	r.Notice("Idle time-out", "60 s")
	equal(t, liveCommands(log.String()), []live{{"notice", map[string]string{"title": "Idle time-out"}, "60 s"}})
}

// The rules are those of @actions/core, packages/core/src/command.ts.
func TestCommandsAreEncodedAsTheRunnerDecodesThem(t *testing.T) {
	tests := []struct{ title, msg, want string }{
		{"", "plain", "::error::plain\n"},
		{"a title", "100% of a:b,c", "::error title=a title::100%25 of a:b,c\n"},
		{"50%: a,b", "one\ntwo\r", "::error title=50%25%3A a%2Cb::one%0Atwo%0D\n"},
		{"", "%0A stays itself", "::error::%250A stays itself\n"},
		{"", "", "::error::\n"},
	}
	for _, tt := range tests {
		equal(t, New(nil, nil).command("error", tt.title, tt.msg), tt.want)
	}
}

// Of many hosts a warning that is about each is one.
func TestWarningsOfManyHosts(t *testing.T) {
	var log bytes.Buffer
	r := New(&log, func(string) string { return "" })
	r.Hosts("web-1", "web-2", "web-12")
	r.Warn("Before", "web-1 and more")
	s := r.Step("Checking")
	for _, name := range []string{"web-12", "web-1", "web-2"} {
		r.Warn("Memory of "+name, name+" has little")
	}
	r.Warn("Disk of web-1", "it is full")
	r.Warn("Something", "of none")
	s.Done("checked")
	want := "::warning title=Before::web-1 and more\n::group::Checking\n" +
		"::warning title=Memory of 3 hosts::web-1 has little%0AThese are web-1, web-12, web-2\n" +
		"::warning title=Disk of web-1::it is full\n::warning title=Something::of none\n::endgroup::\n✓ checked (0.0s)\n"
	if log.String() != want {
		t.Errorf("%s\nwant\n%s", log.String(), want)
	}
	log.Reset()
	s = r.Step("Building")
	r.WarnNow("Connection to web-2", "lost\nby chance")
	if want := "::group::Building\nConnection to web-2: lost by chance\n"; log.String() != want {
		t.Errorf("%s\nwant\n%s", log.String(), want)
	}
	s.Done("built")
	if want := "::warning title=Connection to web-2::lost%0Aby chance\n"; !strings.Contains(log.String(), want) {
		t.Errorf("%s\nlacks\n%s", log.String(), want)
	}
	log.Reset()
	r.Hosts()
	if r.WarnNow("Connection to web-2", "lost"); log.String() != "::warning title=Connection to web-2::lost\n" {
		t.Errorf("with few hosts: %s", log.String())
	}
	log.Reset()
	names := make([]string, 30)
	for i := range names {
		names[i] = fmt.Sprintf("10.0.0.%d", i)
	}
	r.Hosts(names...)
	s = r.Step("Checking")
	for _, name := range names {
		r.Warn("Memory", name+" has little")
	}
	s.Fail("checked")
	if n := strings.Count(log.String(), "::warning"); n != 1 || !strings.Contains(log.String(), " and 20 more\n") {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}
