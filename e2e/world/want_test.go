package world

import (
	"strings"
	"testing"
)

func TestADocumentIsWrapped(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("of one ", 20)) // 139 columns
	for _, stays := range []string{
		"<!-- " + long + " -->\n# A title\n", "| a | " + long + " |\n|---|---|\n",
		"- says: `" + long + "`\n  - " + long + "\n",
	} {
		text := stays + "\n" + long + "\nof two.\n\n" + stays
		want := stays + "\n" + long[:118] + "\n" + long[119:] + " of two.\n\n" + stays
		if got := Wrapped(text); got != want {
			t.Errorf("%s\nbecame\n%s\nwant\n%s", text, got, want)
		} else if Wrapped(got) != got {
			t.Errorf("%s\nbecomes another", got)
		}
	}
}
