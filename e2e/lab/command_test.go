package lab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommandsAreParsedAsTheRunnerDoes(t *testing.T) {
	none := map[string]string{}
	tests := []struct {
		name, line string
		want       *Command
	}{
		{name: "text", line: "deploying :: now"},
		{name: "new", line: "::error::broken", want: &Command{Name: "error", Data: "broken", Properties: none}},
		{
			name: "white space before it", line: " \t\u00a0::ERROR::broken",
			want: &Command{Name: "error", Data: "broken", Properties: none},
		},
		{name: "properties and escapes", line: "::warning title=a%2Cb%3A,file=x=y::1%0A2%250A", want: &Command{
			Name: "warning", Data: "1\n2%0A", Properties: map[string]string{"title": "a,b:", "file": "x=y"},
		}},
		{name: "text before it", line: "web-1 │ ::error::no"},
		{name: "unknown name", line: "::evil::no"},
		{name: "no end", line: "::error:no"},
		{name: "old, anywhere", line: "web-1 │ ##[error a=b;c=d%3B]broken%5D", want: &Command{
			Name: "error", Data: "broken]", Properties: map[string]string{"a": "b", "c": "d;"}, Old: true,
		}},
		{name: "old, defused", line: `web-1 │ ##\[error]no`},
		{name: "old, unknown", line: "##[section]no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, new(commandParser).parse(tt.line)); diff != "" {
				t.Errorf("want - got +\n%s", diff)
			}
		})
	}
}

func TestStoppedCommandsAreText(t *testing.T) {
	lines := []struct {
		line string
		live bool
	}{
		{line: "::stop-commands::Token", live: true},
		{line: "::error::forged"},
		{line: "##[error]forged"},
		{line: "::tokens::"},
		{line: "::token::", live: true},
		{line: "::error::real", live: true},
		{line: "::token::"},
	}
	var p commandParser
	for _, l := range lines {
		if got := p.parse(l.line) != nil; got != l.live {
			t.Errorf("%q: got live %t, want %t", l.line, got, l.live)
		}
	}
}
