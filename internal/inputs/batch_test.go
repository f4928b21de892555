package inputs

import (
	"fmt"
	"strings"
	"testing"
)

func TestBatches(t *testing.T) {
	key, _ := newKey(t, "")
	for _, tt := range []struct{ strategy, batch, want, fault string }{
		{"", "", "[100%]", ""},
		{"", "1, 25%, 100%", "[1 25% 100%]", ""},
		{"", "2\n30%", "[2 30% 100%]", ""},
		{"", "100%", "[100%]", ""},
		{"in-place", "", "[1 2 3 100%]", ""},
		{"in-place", "2", "[2 100%]", ""},
		{"", "25%, 1", "[25% 1 100%]", ""}, // which of them is more depends on the hosts
		{"", "0", "", `must be a number of hosts such as "1", or a part of them such as "25%", from 1 (got "0")`},
		{"", "101%", "", `must be a number of hosts`},
		{"", "half", "", `must be a number of hosts`},
		{"", "-1", "", `must be a number of hosts`},
		{"", "2, 1", "", `must grow from one to the next`},
		{"", "25%, 25%", "", `must grow from one to the next`},
	} {
		in, err := Parse(with(runner(key), map[string]string{
			"strategy": tt.strategy, "batch": tt.batch, "host": "a.example.com,b.example.com,c.example.com",
			"insecure-skip-host-key-check": "true",
		}))
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), `input "batch": `+tt.fault) {
				t.Errorf("%q: %v, want %q", tt.batch, err, tt.fault)
			}
			continue
		}
		var got []string
		for _, s := range in.Batches {
			got = append(got, fmt.Sprint(s.Number)+map[bool]string{true: "%"}[s.Percent])
		}
		if err != nil || "["+strings.Join(got, " ")+"]" != tt.want {
			t.Errorf("%s %q: %v, %v; want %s", tt.strategy, tt.batch, got, err, tt.want)
		}
	}
}

func TestSkipUnreachable(t *testing.T) {
	key, _ := newKey(t, "")
	for _, tt := range []struct {
		value string
		of    int // three hosts may be left out
		fault string
	}{
		{"", 0, ""},
		{"0", 0, ""},
		{"0%", 0, ""},
		{"1", 1, ""},
		{"67%", 2, ""},
		{"33%", 0, ""},
		{"3", 0, "must leave a host that has to be reachable: there are 3"},
		{"100%", 0, "must leave a host that has to be reachable"},
		{"some", 0, "must be a number of hosts"},
	} {
		in, err := Parse(with(runner(key), map[string]string{
			"skip-unreachable": tt.value, "host": "a.example.com,b.example.com,c.example.com",
			"insecure-skip-host-key-check": "true",
		}))
		switch {
		case tt.fault != "":
			if err == nil || !strings.Contains(err.Error(), `input "skip-unreachable": `+tt.fault) {
				t.Errorf("%q: %v, want %q", tt.value, err, tt.fault)
			}
		case err != nil || in.SkipUnreachable.AtMost(3) != tt.of:
			t.Errorf("%q: %+v, %v", tt.value, in.SkipUnreachable, err)
		}
	}
}

func TestShares(t *testing.T) {
	for _, tt := range []struct {
		share         Share
		hosts, up, to int
	}{
		{Share{25, true}, 3, 1, 0},
		{Share{25, true}, 4, 1, 1},
		{Share{25, true}, 5, 2, 1},
		{Share{100, true}, 7, 7, 7},
		{Share{9, false}, 7, 7, 7},
		{Share{1, true}, 1, 1, 0},
	} {
		if up, down := tt.share.AtLeast(tt.hosts), tt.share.AtMost(tt.hosts); up != tt.up || down != tt.to {
			t.Errorf("%+v of %d: %d and %d", tt.share, tt.hosts, up, down)
		}
	}
}
