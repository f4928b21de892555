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
		all = append(all, Release{ID: bare, Commit: "c" + bare + strings.Repeat("0", 38), Live: bare == id, Turn: turn + 1})
	}
	return all
}

// of gives a release the commit that another one has.
func of(commit, id string, all []Release) []Release {
	for i := range all {
		if all[i].ID == id {
			all[i].Commit = has(commit)[0].Commit
		}
	}
	return all
}

func left(id string, all []Release) []Release {
	for i := range all {
		all[i].Left = all[i].Left || all[i].ID == id
	}
	return all
}

func TestOneRollbackForAllHosts(t *testing.T) {
	for _, tt := range []struct {
		name      string
		members   []Member
		named     string
		workspace bool // is where the release came from
		want      string
		lack      string
		own       string
		err       string
		next      string
	}{
		{
			name: "all alike", want: "2",
			members: []Member{{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "2", "3")}},
		},
		{
			name: "one has skipped a release, and fetches it", want: "2", lack: "c",
			members: []Member{
				{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "2", "3")}, {"c", "3", has("1", "3")},
			},
		},
		{
			name: "one has skipped a release, and can't fetch it", workspace: true,
			err: "release 2, commit c200000, is not on c, and what came from a workspace can't be fetched there: " +
				"a has 1, 2, 3; b has 1, 2, 3; c has 1, 3",
			next: `that all have with the input "release"`,
			members: []Member{
				{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "2", "3")}, {"c", "3", has("1", "3")},
			},
		},
		{
			name: "all have what came from a workspace", workspace: true, want: "2",
			members: []Member{{"a", "3", has("2", "3")}, {"b", "3", has("2", "3")}},
		},
		{
			name: "most have skipped a release", want: "1",
			members: []Member{
				{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "3")}, {"c", "3", has("1", "3")},
			},
		},
		{
			name: "one was left behind on the release that the others go back to", want: "2",
			members: []Member{
				{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "2", "3")}, {"c", "2", has("1", "2")},
			},
		},
		{
			name: "over one that they went back from", want: "1",
			members: []Member{{"a", "3", left("2", has("1", "2", "3"))}, {"b", "3", has("1", "2", "3")}},
		},
		{
			name: "one has joined just now", want: "2", lack: "b",
			members: []Member{{"a", "3", has("2", "3")}, {"b", "3", has("3")}},
		},
		{
			name: "one is new", want: "2", lack: "c",
			members: []Member{{"a", "3", has("2", "3")}, {"b", "3", has("2", "3")}, {"c", "", nil}},
		},
		{
			name: "most have joined just now", err: "no release older than 3 has served on at least half of the hosts: " +
				"a has 2, 3; b has 3; c has 3", next: `with the input "ref"`,
			members: []Member{{"a", "3", has("2", "3")}, {"b", "3", has("3")}, {"c", "3", has("3")}},
		},
		{
			name: "the active one is one that was gone back to", want: "1",
			members: []Member{{"a", "2", has("1", "2", "3")}, {"b", "2", has("1", "2", "3")}},
		},
		{
			name: "ids are of another order than that in which they served", want: "3",
			members: []Member{{"a", "2", has("1", "3", "2")}, {"b", "2", has("1", "3", "2")}},
		},
		{
			name: "one has missed it and got it later, under another id", workspace: true, want: "2", own: "c has 5",
			members: []Member{
				{"a", "7", has("1", "2", "7")}, {"b", "7", has("1", "2", "7")}, {"c", "7", of("2", "5", has("1", "5", "7"))},
			},
		},
		{
			name: "all go back from what one has under another id", workspace: true, want: "1",
			members: []Member{
				{"a", "2", has("1", "2")}, {"b", "5", of("2", "5", has("1", "5"))},
			},
		},
		{
			name: "what one has under another id was gone back from", want: "1",
			members: []Member{
				{"a", "7", has("1", "2", "7")},
				{"b", "7", has("1", "2", "7")},
				{"c", "7", left("5", of("2", "5", has("1", "5", "7")))},
			},
		},
		{
			name: "the commit was deployed twice, and one has it once", want: "2", lack: "c",
			members: []Member{
				{"a", "3", of("3", "2", has("1", "2", "3"))},
				{"b", "3", of("3", "2", has("1", "2", "3"))},
				{"c", "3", has("1", "3")},
			},
		},
		{
			name: "the commit was deployed twice, and one has it under a third id", want: "3", lack: "c",
			members: []Member{
				{"a", "7", of("2", "3", has("2", "3", "7"))},
				{"b", "7", of("2", "3", has("2", "3", "7"))},
				{"c", "7", of("2", "5", has("5", "7"))},
			},
		},
		{
			name: "named by the id of one", named: "5", want: "2", own: "c has 5",
			members: []Member{
				{"a", "7", has("2", "7")}, {"b", "7", has("2", "7")}, {"c", "7", of("2", "5", has("5", "7"))},
			},
		},
		{
			name: "named", named: "1", want: "1",
			members: []Member{{"a", "3", has("1", "2", "3")}, {"b", "3", has("1", "(2)", "3")}},
		},
		{
			name: "named, and not everywhere", named: "1", want: "1", lack: "b",
			members: []Member{{"a", "3", has("1", "2", "3")}, {"b", "3", has("2", "3")}},
		},
		{
			name: "named, and nowhere", named: "7", err: "release 7 is not on any of the hosts any more: a has 3; b has none",
			next: `with the input "release"`, members: []Member{{"a", "3", has("3")}, {"b", "", nil}},
		},
		{
			name: "nobody has an older one that served", err: "no release older than 3 has served",
			next:    `with the input "ref"`,
			members: []Member{{"a", "3", has("3")}, {"b", "3", has("(2)", "3")}},
		},
		{
			name: "none is active", err: "no release is active", next: "deploy first",
			members: []Member{{"a", "", has("1")}, {"b", "", has("1")}},
		},
		{
			name: "a draw goes to the newer one, which is then taken back", want: "2",
			members: []Member{{"a", "2", has("1", "2")}, {"b", "3", has("1", "2", "3")}},
		},
	} {
		chosen, err := ChooseForAll(tt.members, tt.named, !tt.workspace)
		var none *ChoiceError
		switch {
		case tt.err == "":
			var own []string
			for host, id := range chosen.Own {
				own = append(own, host+" has "+id)
			}
			if got := strings.Join(own, " "); got != tt.own {
				t.Errorf("%s: %s; want %s", tt.name, got, tt.own)
			}
			if lack := strings.Join(chosen.Lack, " "); err != nil || chosen.ID != tt.want || lack != tt.lack ||
				chosen.Why == "" || !chosen.Live {
				t.Errorf("%s: %+v, %v; want %s, lacked by %q", tt.name, chosen, err, tt.want, tt.lack)
			}
		case err == nil || !strings.Contains(err.Error(), tt.err):
			t.Errorf("%s: %+v, %v; want %s", tt.name, chosen, err, tt.err)
		default:
			if !errorsAs(err, &none) || !strings.Contains(none.Next, tt.next) {
				t.Errorf("%s: next %v, want %s", tt.name, none, tt.next)
			}
		}
	}
	named := []Member{{"a", "3", has("(1)", "3")}, {"b", "3", has("3")}}
	if chosen, err := ChooseForAll(named, "1", true); err != nil || chosen.Live || len(chosen.Lack) != 1 {
		t.Errorf("%+v, %v", chosen, err)
	}
	named[0].Releases[0].Commit = strings.Repeat("c", 64)
	if chosen, err := ChooseForAll(named, "1", true); err == nil {
		t.Errorf("%+v: what came from a workspace would be fetched by git", chosen)
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
