package state

import (
	"strings"
	"testing"
)

func TestTwoAddressesOfOneMachine(t *testing.T) {
	for _, tt := range []struct {
		hosts [][2]string
		want  string // words of the refusal
	}{
		{hosts: [][2]string{{"a", "1"}, {"b", "2"}, {"c", "3"}}},
		{hosts: [][2]string{{"a", "1"}, {"b", ""}, {"c", ""}}},
		{hosts: [][2]string{{"a", "1"}, {"b", "2"}, {"c", "1"}}, want: "a and c are one machine"},
	} {
		err := SameMachine(tt.hosts)
		if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.hosts, err, tt.want)
		}
	}
}
