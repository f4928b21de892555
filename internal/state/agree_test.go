package state

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// has are releases that have served in this order, the last one newest; one in brackets never has.
func has(ids ...string) []Release {
	var all []Release
	for turn, id := range ids {
		bare := strings.Trim(id, "()")
		all = append(all, Release{ID: bare, Commit: "c" + bare, Live: bare == id, Turn: turn + 1})
	}
	return all
}

func TestOneRollbackForAllHosts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		members []Member
		named   string
		want    string
		err     string
		next    string
	}{
		{
			name: "all alike", want: "2",
			members: []Member{{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "2", "3")}},
		},
		{
			name: "one has skipped a release, and lacks it", err: "release 2, commit c2, is not on c, which has 1, 3",
			next: `with the input "ref" (c2)`,
			members: []Member{
				{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "2", "3")}, {"c", "3", has("1", "3")},
			},
		},
		{
			name: "one was left behind on the release that the others go back to", want: "2",
			members: []Member{
				{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "2", "3")}, {"c", "2", has("1", "2")},
			},
		},
		{
			name: "one has joined just now", err: "is not on b, which has 3", next: "deploy that commit",
			members: []Member{{"a", "3", has("2", "3")}, {"b", "3", has("3")}},
		},
		{
			name: "named", named: "1", want: "1",
			members: []Member{{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "(2)", "3")}},
		},
		{
			name: "named, and not there", named: "1", err: "is not on b, which has 2, 3", next: "that all have",
			members: []Member{{"a", "3", has("1", "2", "3")}, {"b", "3", has("2", "3")}},
		},
		{
			name: "nobody has an older one", err: "a: no release older than 3 has served before",
			next:    `with the input "ref"`,
			members: []Member{{"a", "3", has("3")}, {"b", "3", has("(2)", "3")}},
		},
		{
			name: "a draw goes to the newer one, which is then on all", want: "2",
			members: []Member{{"a", "3", has("1", "2", "3")}, {"b", "2", has("1", "2")}},
		},
	} {
		chosen, why, err := ChooseForAll(tt.members, tt.named)
		var none *ChoiceError
		switch {
		case tt.err == "":
			if err != nil || chosen.ID != tt.want || why == "" {
				t.Errorf("%s: %s (%s), %v; want %s", tt.name, chosen.ID, why, err, tt.want)
			}
		case err == nil || !strings.Contains(err.Error(), tt.err):
			t.Errorf("%s: %s, %v; want %s", tt.name, chosen.ID, err, tt.err)
		default:
			if !errorsAs(err, &none) || !strings.Contains(none.Next, tt.next) {
				t.Errorf("%s: next %v, want %s", tt.name, none, tt.next)
			}
		}
	}
}

func errorsAs(err error, to **ChoiceError) bool {
	none, ok := err.(*ChoiceError) //nolint:errorlint // as it is returned
	*to = none
	return ok
}

func TestWhatServesWhereIsSaidWhenItDiffers(t *testing.T) {
	same := []Member{{Host: "a", Active: "1"}, {Host: "b", Active: "1"}}
	if lines := Skew(same); lines != nil {
		t.Errorf("%v", lines)
	}
	skew := slices.Concat(same, []Member{
		{Host: "c"}, {Host: "d", Active: "2"}, {Host: "e", Active: "2"}, {Host: "f", Active: "2"},
	})
	want := []string{"2 on d, e, f", "1 on a, b", NoRelease + " on c"}
	if diff := cmp.Diff(want, Skew(skew)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
