package deploy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

var oldProcess = process{
	Who: "pid 812, user ubuntu, command uvicorn", Holders: "812:4711 813:4712", Folder: "/home/ubuntu/AI-Server",
	Clone: "/home/ubuntu/AI-Server", Head: oldCommit,
}

const theVersionByHand = "the version started by hand (pid 812, /home/ubuntu/AI-Server at aaaaaaa)"

func TestDecideOnAHostSetUpByHand(t *testing.T) {
	idle := func(port uint16) slot { return slot{Port: port, Listen: none} }
	held := func(port uint16, change func(*process)) slot {
		p := oldProcess
		if change != nil {
			change(&p)
		}
		return slot{Port: port, Listen: foreign, Process: p}
	}
	flagged := func(s slot) slot { s.Flag = true; return s }
	adopted := func(s slot) slot { s.adopt(); return s }
	fresh := slot{Port: 8081, Listen: ours, PID: 8, Release: "new"}
	proven := slot{Port: 8081, Listen: ours, PID: 8, Release: "new", Proved: true}
	elsewhere := func(p *process) { p.Clone, p.Folder = "", "/srv/other" }
	for _, tt := range []struct {
		name   string
		facts  facts
		active uint16 // 0: none
		adopt  bool
		heal   *heal
		want   string // an error or a note
	}{
		{"the old version on the first port", facts{Slots: [2]slot{held(8080, nil), idle(8081)}, Line: 8080}, 8080, true, &heal{From: "", To: "8080"}, ""},
		{"the old version on the second port", facts{Slots: [2]slot{idle(8080), held(8081, nil)}, Line: 8081}, 8081, true, &heal{From: "", To: "8081"}, ""},
		{"a run that died before the flag", facts{Slots: [2]slot{adopted(held(8080, nil)), idle(8081)}, Line: 8080}, 8080, false, &heal{From: "", To: "8080"}, ""},
		{"a run that died before the switch", facts{Slots: [2]slot{flagged(adopted(held(8080, nil))), fresh}, Line: 8080}, 8080, false, nil, ""},
		{"a run that died in verify", facts{Slots: [2]slot{adopted(held(8080, nil)), flagged(fresh)}, Include: ours, Routed: 8081}, 8080, false, &heal{From: "8081", To: "8080"}, theVersionByHand + " on port 8080 serves and gets it back"},
		{"a run that died before it retired the old one", facts{Slots: [2]slot{adopted(held(8080, nil)), flagged(proven)}, Include: ours, Routed: 8081}, 8081, false, nil, ""},
		{"started anew by hand after a run that died", facts{Slots: [2]slot{flagged(held(8080, nil)), idle(8081)}, Line: 8080}, 8080, true, nil, ""},
		{"gone after a run that died", facts{Slots: [2]slot{flagged(idle(8080)), idle(8081)}, Line: 8080}, 8080, false, nil, "site is down"},
		{"both flags", facts{Slots: [2]slot{flagged(held(8080, nil)), flagged(fresh)}, Line: 8080}, 8080, true, &heal{From: "8081", To: "8080"}, "both flags"},
		{"the line put back over a release of ours", facts{Slots: [2]slot{flagged(proven), idle(8080)}, Line: 8081}, 8081, false, nil, ""},
		{"the old scripts used again", facts{Slots: [2]slot{held(8080, nil), flagged(proven)}, Line: 8080}, 0, false, nil, "requests go to port 8080, by a line that somebody has put into /etc/nginx/conf.d/service-url.inc, and not to new of this action on port 8081"},
		{"works elsewhere", facts{Slots: [2]slot{held(8080, elsewhere), idle(8081)}, Line: 8080, Spare: "8084,8085"}, 0, false, nil, `(pid 812, user ubuntu, command uvicorn) is not taken over: it works in /srv/other, which is in no clone of o/r of this user's. With other ports, such as "8084,8085"`},
		{"run by a service", facts{Slots: [2]slot{held(8080, func(p *process) { p.Unit = "ai.service" }), idle(8081)}, Line: 8080}, 0, false, nil, "ai.service runs it, and would start it again"},
		{"an older version on the idle port", facts{Slots: [2]slot{held(8080, nil), held(8081, nil)}, Line: 8080}, 0, false, nil, "port 8081 is held by a version started by hand from /home/ubuntu/AI-Server (pid 812, user ubuntu, command uvicorn), to which requests do not go; it is left alone: end it, with `kill 812`"},
		{"somebody else on the idle port", facts{Slots: [2]slot{held(8080, nil), held(8081, elsewhere)}, Line: 8080}, 0, false, nil, "port 8081 is held by a process that is not this action's (pid 812, user ubuntu, command uvicorn)"},
		{"the old version, not named by the include", facts{Slots: [2]slot{held(8080, nil), idle(8081)}, Include: absent}, 0, false, nil, "with `kill 812`"},
		{"another port", facts{Slots: [2]slot{idle(8080), idle(8081)}, Line: 9000, Outside: &oldProcess}, 0, false, nil, "port 9000, to which /etc/nginx/conf.d/service-url.inc sends requests, is not one of the pair: its process (pid 812, user ubuntu, command uvicorn) serves until the switch, and goes on running after it; end it then, with: kill 812"},
		{"another port, where nothing listens", facts{Slots: [2]slot{idle(8080), idle(8081)}, Line: 9000}, 0, false, nil, "nothing listens on port 9000"},
		{"nothing listens", facts{Slots: [2]slot{idle(8080), idle(8081)}, Line: 8080}, 0, false, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.facts.Include == "" {
				tt.facts.Include = oneLine
			}
			tt.facts.Repository = "o/r"
			p, err := decide(&tt.facts, "/etc/nginx/conf.d/service-url.inc")
			said := strings.Join(p.Notes, "\n")
			if err != nil {
				said = err.Error()
			}
			if !strings.Contains(said, tt.want) || tt.want == "" && said != "" {
				t.Errorf("said %q, want %q", said, tt.want)
			}
			var got uint16
			if p.Active != nil {
				got = p.Active.Port
			}
			if got != tt.active || p.Adopt != tt.adopt {
				t.Errorf("active = %d, adopt %t; want %d, %t", got, p.Adopt, tt.active, tt.adopt)
			}
			if diff := cmp.Diff(tt.heal, p.Heal); diff != "" {
				t.Errorf("heal (-want +got):\n%s", diff)
			}
		})
	}
}

func handMadeHost(t *testing.T) *fakeHost {
	t.Helper()
	f := newFakeHost(t)
	f.flag, f.byHand, f.loaded, f.proved = "", "8080", false, map[string]bool{}
	return f
}

func TestTakeoverIsThisList(t *testing.T) {
	f := handMadeHost(t)
	result, log, err := deployTo(t, f, testInputs())
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	want := []string{
		"lock", "check", "port", "setup", "adopt 8080", "switch >8080", "fetch", "build", "start 8081", "health", "site", "switch 8080>8081", "verify",
		"drain 8080", "stop 8080", "prune", "record",
	}
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	for _, words := range []string{"port 8080 is active with " + theVersionByHand, "(one reload, the last)", theVersionByHand + " on port 8080 is stopped"} {
		if !strings.Contains(log, words) {
			t.Errorf("the log lacks %q:\n%s", words, log)
		}
	}
	if h := result.Hosts[0]; h.ActivePort != 8081 || h.PreviousPort != 8080 || h.PreviousRelease != "" || !h.Reloaded {
		t.Errorf("host result %+v", h)
	}
}

// Whatever a takeover fails at: the old version serves or, from verify on, the new one, and the next run succeeds.
func TestTakeoverFailingInEveryWay(t *testing.T) {
	for _, verb := range []scripts.Verb{scripts.Setup, scripts.Adopt, scripts.Start, scripts.Site, scripts.Switch, scripts.Verify, scripts.Stop} {
		for _, kind := range []string{"error", "cancel", "lost-before", "lost-after", "gone-before", "gone-after"} {
			t.Run(fmt.Sprintf("%s/%s", verb, kind), func(t *testing.T) {
				f := handMadeHost(t)
				f.faults[verb] = fault{kind: kind, code: scripts.ExitUnhealthy, words: "the reason"}
				_, _, err := deployTo(t, f, testInputs())
				serving := f.flag
				if !f.loaded {
					serving = f.byHand
				}
				if !f.running[serving] {
					t.Errorf("the site is down: it goes to port %q, running %v", serving, f.running)
				}
				if err != nil && !f.gone && (f.loaded || f.running["8081"]) {
					t.Errorf("not taken back: loaded %t, running %v", f.loaded, f.running)
				}
				if verb == scripts.Verify && kind == "error" && !strings.Contains(err.Error(), "site: restored; "+theVersionByHand+" on port 8080 serves") {
					t.Errorf("message:\n%v", err)
				}
				f.gone, f.holder, f.faults, f.calls = false, "", map[scripts.Verb]fault{}, nil
				if _, log, err := deployTo(t, f, testInputs()); err != nil {
					t.Errorf("the next run: %v\n%s", err, log)
				}
				checkServing(t, f)
			})
		}
	}
}

func TestStatusAndPlanOfAHostSetUpByHand(t *testing.T) {
	f := handMadeHost(t)
	f.holder = "another run"
	in := testInputs()
	in.DryRun = true
	_, log, err := deployTo(t, f, in)
	for _, words := range []string{"reload nginx once, and send requests to port 8081", "drain port 8080 for 1s at most, and stop " + theVersionByHand} {
		if err != nil || !strings.Contains(log, words) {
			t.Errorf("err %v; the plan lacks %q:\n%s", err, words, log)
		}
	}
	in.DryRun, in.Operation = false, inputs.Status
	result, log, err := deployTo(t, f, in)
	if err != nil || !strings.Contains(result.Details, "| 8080 | active, started by hand | right | /home/ubuntu/AI-Server at aaaaaaa | 7 |") {
		t.Errorf("err %v; details:\n%s\n%s", err, result.Details, log)
	}
	in.Operation = inputs.Rollback
	f.holder = ""
	if _, _, err := deployTo(t, f, in); err == nil || !strings.Contains(err.Error(), "no release is active, so there is none before it\nhost: ubuntu@web-1\nsite: unchanged; "+theVersionByHand) || !strings.HasSuffix(err.Error(), "\nnext: deploy first") {
		t.Errorf("rollback: %v", err)
	}
}
