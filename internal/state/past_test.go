package state

import "testing"

// A word is not cut, as a part of it may be a part of a secret; but for a text of one word.
func TestCutText(t *testing.T) {
	for text, want := range map[string]string{
		"all of it": "all of it", "key: 5ecre7-0f-0ur5": "key:…", "5ecre7-0f-0ur5": "5ecre7-0f-…", "장장장장장": "장장장…",
	} {
		if got := CutText(text, 10); got != want {
			t.Errorf("of %q there is %q, want %q", text, got, want)
		}
	}
}
