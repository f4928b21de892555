package lab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFileCommands(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string
		fails      bool
	}{
		{name: "nothing", want: map[string]string{}},
		{name: "lines", text: "a=1\n\nb=x=y<<z\r\nc=", want: map[string]string{"a": "1", "b": "x=y<<z", "c": ""}},
		{
			name: "several lines", text: "a<<END\n1\n END\n\n3\nEND\nb=2\n",
			want: map[string]string{"a": "1\n END\n\n3", "b": "2"},
		},
		{name: "an equals sign in the delimiter", text: "a<<E=D\n1\nE=D\n", want: map[string]string{"a": "1"}},
		{name: "the last one counts", text: "a=1\na=2\n", want: map[string]string{"a": "2"}},
		{name: "no delimiter line", text: "a<<END\n1\n", fails: true},
		{name: "no name", text: "=1\n", fails: true},
		{name: "neither form", text: "hello\n", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseFileCommands(tt.text)
			if (err != nil) != tt.fails {
				t.Fatalf("got error %v, want one: %t", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("want - got +\n%s", diff)
			}
		})
	}
}
