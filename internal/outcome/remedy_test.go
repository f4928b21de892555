package outcome

import (
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/scripts"
)

func TestARemedyNamesThePlace(t *testing.T) {
	p := Place{SSH: "u@web-1", Path: "/srv/shop", Flags: "/run/flags", Repository: "o/r", LogPort: 8081}
	for code, want := range map[int]string{
		scripts.ExitFetch: `the token needs "contents: read" on o/r, and`,
		scripts.ExitDied: "fix the release or the input \"start\" and push again; " +
			"the whole log: ssh u@web-1 tail -n 100 /srv/shop/logs/8081.log",
		scripts.ExitNotRouted: "ssh u@web-1 sudo nginx -T",
		scripts.ExitFlag:      "see who else writes to /run/flags;",
		1:                     "see the lines above and run this workflow again",
	} {
		if got := p.Remedy(code); !strings.Contains(got, want) {
			t.Errorf("exit code %d: %q, want %q", code, got, want)
		}
	}
	p.Rollback = true
	if got := p.Remedy(scripts.ExitDied); !strings.HasPrefix(got, "choose another release") {
		t.Errorf("of a rollback: %q", got)
	}
	// Which section a check's is depends on what was checked; of a verb that did not begin no run
	// hears the code.
	without := []int{scripts.ExitCheck, scripts.ExitNotBegun}
	for _, exit := range scripts.Exits {
		if got := p.Remedy(exit.Code); strings.ContainsAny(got, "{}") {
			t.Errorf("%s: %q", exit.Name, got)
		}
		if (TopicOf(exit.Code) == "") != slices.Contains(without, exit.Code) {
			t.Errorf("%s: %q is its section in docs/troubleshooting.md", exit.Name, TopicOf(exit.Code))
		}
	}
	for code := range remedies {
		if code < scripts.Exits[0].Code || code > scripts.Exits[len(scripts.Exits)-1].Code {
			t.Errorf("%d is no script's exit code", code)
		}
	}
}
