package state

import (
	"strings"
	"testing"
)

func TestChooseRelease(t *testing.T) {
	const (
		a = "20261120T000000Z-aaaaaaa"
		b = "20261121T000000Z-bbbbbbb"
		c = "20261122T000000Z-ccccccc"
		d = "20261123T000000Z-ddddddd"
	)
	// Newest first; c never served.
	all := []Release{{ID: d, Live: true}, {ID: c}, {ID: b, Live: true}, {ID: a, Live: true}}
	// The clock was set right after d.
	clock := []Release{
		{ID: d, Live: true, Turn: 1}, {ID: c}, {ID: b, Live: true, Turn: 3}, {ID: a, Live: true, Turn: 2},
	}
	for _, tt := range []struct {
		name, active, named string
		releases            []Release
		want, words         string
	}{
		{name: "the one before, over one that never served", active: d, releases: all, want: b, words: "served before"},
		{name: "again, one further back", active: b, releases: all, want: a, words: "served before"},
		{name: "a named one", active: d, named: a, releases: all, want: a, words: "asked for"},
		{name: "a named one that never served", active: d, named: c, releases: all, want: c, words: "never served"},
		{name: "forward by name", active: a, named: d, releases: all, want: d, words: "asked for"},
		{name: "the active one by name", active: d, named: d, releases: all, want: d, words: "asked for"},
		{name: "nothing older", active: a, releases: all, words: "no release older than " + a},
		{
			name:     "only one that never served",
			active:   d,
			releases: all[:2],
			words:    "has served before; other complete releases",
		},
		{name: "the one before, whatever the clock said", active: b, releases: clock, want: a, words: "served before"},
		{
			name:     "again, back to the time of the wrong clock",
			active:   a,
			releases: clock,
			want:     d,
			words:    "served before",
		},
		{name: "nothing before the first that served", active: d, releases: clock, words: "no release older than " + d},
		{
			name:     "the active one is not listed",
			active:   "20261124T000000Z-fffffff",
			releases: clock,
			want:     b,
			words:    "served before",
		},
		{
			name:     "a name that is gone",
			active:   d,
			named:    "20250101T000000Z-eeeeeee",
			releases: all,
			words:    "not on the host any more; other complete releases on the host: " + c,
		},
		{
			name: "the one before, over one that was gone back from", active: d, want: a, words: "served before",
			releases: []Release{
				{ID: d, Live: true, Turn: 3}, {ID: b, Live: true, Left: true, Turn: 2}, {ID: a, Live: true, Turn: 1},
			},
		},
		{
			name: "one that was gone back from, by name", active: d, named: b, want: b, words: "asked for",
			releases: []Release{{ID: d, Live: true, Turn: 3}, {ID: b, Live: true, Left: true, Turn: 2}},
		},
		{name: "nothing there", words: "no release is active"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, said, err := ChooseRelease(tt.releases, tt.active, tt.named)
			if err != nil {
				said = err.Error()
			}
			if got.ID != tt.want || (err == nil) != (tt.want != "") || !strings.Contains(said, tt.words) {
				t.Errorf("chooseRelease = %q, %q, %v; want %q and %q", got.ID, said, err, tt.want, tt.words)
			}
		})
	}
}
