package scripts

import (
	"cmp"
	"strings"
	"testing"
)

// A hand may be at the flags while a slot is being stopped, up to the moment at which systemd is told
// to: what requests go to by then is not stopped, and comes back with the host.
func TestASlotThatGetsTheFlagWhileItIsStoppedIsKept(t *testing.T) {
	const kept, own, none = "disable,enable", "makes port 8081 the active slot", "no flag is in "
	for _, tt := range []struct {
		name, instead, when, hand string
		code                      int
		calls, says               string
	}{
		{name: "nobody is", instead: "8080", calls: "disable,stop,reset-failed", says: "stopped=yes"},
		{
			name: "before", instead: "8080", when: "main", hand: `touch "$flags/8081"`, code: ExitFlag, says: own,
		},
		{
			name: "while it is stood down", instead: "8080", when: "stand_down", hand: `touch "$flags/8081"`,
			code: ExitFlag, says: own,
		},
		{
			name: "while it is disabled", instead: "8080", when: "disable", hand: `touch "$flags/8081"`, code: ExitFlag,
			calls: kept, says: own,
		},
		{
			name: "while it is disabled, and systemd does not take that back", instead: "8080", when: "disable",
			hand: `touch "$flags/8081"; refuses=enable`, code: ExitFlag, calls: kept, says: own,
		},
		{
			name: "the other flag goes while it is disabled", instead: "8080", when: "disable", hand: `rm "$flags/8080"`,
			code: ExitFlag, calls: kept, says: none,
		},
		{
			name: "the folder goes while it is stood down", instead: "8080", when: "stand_down", hand: `rm -r "$flags"`,
			code: ExitFlag, says: none,
		},
		{
			name: "nothing serves in its place", when: "disable", hand: `rm -f "$flags/8080"`,
			calls: "disable,stop,reset-failed", says: "stopped=yes",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			bash(t, "cd "+quote(dir)+"; mkdir slots flags; touch flags/8080; echo t >.lock.holder")
			out, code := runWith(t, Stop, Values{
				"app": "shop", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "ports": "8080 8081", "processes": "",
				"port": "8081", "instead": tt.instead, "stop_timeout": "1",
			}, `
flags=$path/flags
hand() { if [[ $1 == '`+tt.when+`' ]]; then `+cmp.Or(tt.hand, ":")+`; fi; }
has_systemd() { return 0; }
runs=yes
members() { pids=(); [[ $runs == no ]] || pids=(1); }
listener() { owner=ours; }
stand_down() { hand stand_down; }
end_boxes() { :; }
end_workers() { :; }
close_socket() { :; }
unit() {
  printf '%s,' "$1" >>"$path/calls"
  if [[ $1 == stop ]]; then runs=no; fi
  hand "$1"
  [[ $1 != "${refuses-}" ]]
}
hand main
`)
			if code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.says, out)
			}
			calls := bash(t, "cat "+quote(dir+"/calls")+" 2>/dev/null || :")
			if got := strings.TrimSuffix(calls, ","); got != tt.calls {
				t.Errorf("systemd was told %q, want %q", got, tt.calls)
			}
		})
	}
}
