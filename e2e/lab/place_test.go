package lab

import "testing"

// A verb is held where it was armed to be; other verbs, and what a verb starts, are not.
func TestPlaces(t *testing.T) {
	h := newHost(t, HostOptions{})
	if err := h.MakePlaces(t.Context()); err != nil {
		t.Fatal(err)
	}
	const verb = `result() { printf '%s\n' "$1"; }
		main() { echo begun; x=$(result none); bash -s -- build <<<'echo child'; ` +
		`bash ` + HoldScript + ` hook; result first; result second; }
		trap : EXIT
		main "$@"`
	if err := h.WriteFile(t.Context(), "/tmp/verb", 0o644, "root", verb); err != nil {
		t.Fatal(err)
	}
	run := func(verb string) string { return "BASH_ENV=" + HoldScript + " bash -s -- " + verb + " </tmp/verb" }
	const all = "begun\nchild\nfirst\nsecond"
	for _, tt := range []struct {
		name  string
		place Place
		said  string // when it is held
	}{
		{"before", Place{Verb: "build"}, ""},
		{"before the second", Place{Verb: "build", Nth: 1}, ""},
		{"inside", Place{Verb: "build", Inside: true}, "begun\nchild"},
		{"inside a hook", Place{Verb: "hook", Inside: true}, "begun\nchild"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := h.Arm(t.Context(), tt.place); err != nil {
				t.Fatal(err)
			}
			for range tt.place.Nth {
				if out := asUser(t, h, run("build")); out != all {
					t.Errorf("one too early said %q", out)
				}
			}
			if tt.place.Verb == "build" {
				if out := asUser(t, h, run("fetch")); out != all {
					t.Errorf("another verb said %q", out)
				}
			}
			asUser(t, h, "setsid sh -c '"+run("build")+"' >/tmp/said 2>&1 &")
			if err := h.WaitHeld(t.Context()); err != nil {
				t.Fatal(err)
			}
			if out := mustExec(t, h, "cat /tmp/said"); out != tt.said {
				t.Errorf("held after %q, want %q", out, tt.said)
			}
			if err := h.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			if out := mustExec(t, h, "timeout 60 sh -c 'until grep -q second /tmp/said; do sleep 0.02; done'; cat "+
				"/tmp/said"); out != all {
				t.Errorf("released, it said %q", out)
			}
		})
	}
}

func asUser(t *testing.T, h *Host, script string) string {
	t.Helper()
	out, err := h.ExecUser(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
