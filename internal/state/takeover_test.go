package state

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var oldProcess = Process{
	Who: "pid 812, user ubuntu, command uvicorn", Holders: "812:4711 813:4712", Folder: "/home/ubuntu/AI-Server",
	Clone: "/home/ubuntu/AI-Server", Head: strings.Repeat("a", 40),
}

const versionByHand = "the version started by hand (pid 812, /home/ubuntu/AI-Server at aaaaaaa)"

func TestDecideOnAHostSetUpByHand(t *testing.T) {
	idle := func(port uint16) Slot { return Slot{Port: port, Listen: none} }
	held := func(port uint16, change func(*Process)) Slot {
		p := oldProcess
		if change != nil {
			change(&p)
		}
		return Slot{Port: port, Listen: foreign, Process: p}
	}
	flagged := func(s Slot) Slot { s.Flag = true; return s }
	adopted := func(s Slot) Slot { s.adopt(); return s }
	fresh := Slot{Port: 8081, Listen: Ours, PID: 8, Release: "new"}
	proven := Slot{Port: 8081, Listen: Ours, PID: 8, Release: "new", Proved: true}
	elsewhere := func(p *Process) { p.Clone, p.Folder = "", "/srv/other" }
	for _, tt := range []struct {
		name   string
		facts  Facts
		active uint16 // 0: none
		adopt  bool
		heal   *Heal
		want   string // an error or a note
	}{
		{
			name:   "the old version on the first port",
			facts:  Facts{Slots: [2]Slot{held(8080, nil), idle(8081)}, Line: 8080},
			active: 8080,
			adopt:  true,
			heal:   &Heal{From: "", To: "8080"},
		},
		{
			name:   "the old version on the second port",
			facts:  Facts{Slots: [2]Slot{idle(8080), held(8081, nil)}, Line: 8081},
			active: 8081,
			adopt:  true,
			heal:   &Heal{From: "", To: "8081"},
		},
		{
			name:   "a run that died before the flag",
			facts:  Facts{Slots: [2]Slot{adopted(held(8080, nil)), idle(8081)}, Line: 8080},
			active: 8080,
			heal:   &Heal{From: "", To: "8080"},
		},
		{
			name:   "a run that died before the switch",
			facts:  Facts{Slots: [2]Slot{flagged(adopted(held(8080, nil))), fresh}, Line: 8080},
			active: 8080,
		},
		{
			name:   "a run that died in verify",
			facts:  Facts{Slots: [2]Slot{adopted(held(8080, nil)), flagged(fresh)}, Include: Ours, Routed: 8081},
			active: 8080,
			heal:   &Heal{From: "8081", To: "8080"},
			want:   versionByHand + " on port 8080 serves and gets it back",
		},
		{
			name:   "a run that died before it retired the old one",
			facts:  Facts{Slots: [2]Slot{adopted(held(8080, nil)), flagged(proven)}, Include: Ours, Routed: 8081},
			active: 8081,
		},
		{
			name:   "started anew by hand after a run that died",
			facts:  Facts{Slots: [2]Slot{flagged(held(8080, nil)), idle(8081)}, Line: 8080},
			active: 8080,
			adopt:  true,
		},
		{
			name:   "gone after a run that died",
			facts:  Facts{Slots: [2]Slot{flagged(idle(8080)), idle(8081)}, Line: 8080},
			active: 8080,
			want:   "site is down",
		},
		{
			name:   "both flags",
			facts:  Facts{Slots: [2]Slot{flagged(held(8080, nil)), flagged(fresh)}, Line: 8080},
			active: 8080,
			adopt:  true,
			heal:   &Heal{From: "8081", To: "8080"},
			want:   "both flags",
		},
		{
			name:   "the line put back over a release of ours",
			facts:  Facts{Slots: [2]Slot{flagged(proven), idle(8080)}, Line: 8081},
			active: 8081,
		},
		{
			name:  "the old scripts used again",
			facts: Facts{Slots: [2]Slot{held(8080, nil), flagged(proven)}, Line: 8080},
			want: "requests go to port 8080, by a line that somebody has put into " +
				"/etc/nginx/conf.d/service-url.inc, and not to new of this action on port 8081",
		},
		{
			name:  "works elsewhere",
			facts: Facts{Slots: [2]Slot{held(8080, elsewhere), idle(8081)}, Line: 8080, Spare: "8084,8085"},
			want: "(pid 812, user ubuntu, command uvicorn) is not taken over: " +
				"it works in /srv/other, which is in no clone of o/r of this user's. With other ports, such as " +
				"\"8084,8085\"",
		},
		{
			name: "run by a service",
			facts: Facts{
				Slots: [2]Slot{held(8080, func(p *Process) { p.Unit = "ai.service" }), idle(8081)},
				Line:  8080,
			},
			want: "ai.service runs it, and would start it again",
		},
		{
			name:  "an older version on the idle port",
			facts: Facts{Slots: [2]Slot{held(8080, nil), held(8081, nil)}, Line: 8080},
			want: "port 8081 is held by a version from /home/ubuntu/AI-Server that this action did not start (pid 812, user " +
				"ubuntu, command uvicorn), to which nginx sends no requests; it is left alone: if visitors come to " +
				"that port itself, choose two others with the input ports, such as \"8090,8091\"; if nobody does, " +
				"end it, with `kill 812`, and run",
		},
		{
			name: "an older version on the idle port, which a service has",
			facts: Facts{
				Slots: [2]Slot{held(8080, nil), held(8081, func(p *Process) { p.Unit = "ai.service" })}, Line: 8080,
			},
			want: "if nobody does, end it, by what runs it, ai.service, and run this workflow again",
		},
		{
			name:  "somebody else on the idle port",
			facts: Facts{Slots: [2]Slot{held(8080, nil), held(8081, elsewhere)}, Line: 8080},
			want:  "port 8081 is held by a process that is not this action's (pid 812, user ubuntu, command uvicorn)",
		},
		{
			name:  "the version that serves past nginx",
			facts: Facts{Slots: [2]Slot{held(8080, nil), idle(8081)}, Include: absent},
			want:  "it is left alone: if visitors come to that port itself, choose two others",
		},
		{
			name:  "another port",
			facts: Facts{Slots: [2]Slot{idle(8080), idle(8081)}, Line: 9000, Outside: &oldProcess},
			want: "port 9000, to which /etc/nginx/conf.d/service-url.inc sends requests, is not one of the pair: " +
				"its process (pid 812, user ubuntu, command uvicorn) serves until the switch, and goes on running " +
				"after it; end it then, with: kill 812, or by what would start it again, such as pm2",
		},
		{
			name: "another port, which a service has",
			facts: Facts{
				Slots: [2]Slot{idle(8080), idle(8081)}, Line: 3000,
				Outside: &Process{Who: "pid 900, user root, program docker-proxy", Holders: "900:1", Unit: "docker.service"},
			},
			want: "goes on running after it; end it then by what runs it, docker.service",
		},
		{
			name:  "another port, where nothing listens",
			facts: Facts{Slots: [2]Slot{idle(8080), idle(8081)}, Line: 9000},
			want:  "nothing listens on port 9000",
		},
		{name: "nothing listens", facts: Facts{Slots: [2]Slot{idle(8080), idle(8081)}, Line: 8080}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.facts.Include == "" {
				tt.facts.Include = oneLine
			}
			tt.facts.Repository = "o/r"
			p, err := Decide(&tt.facts, "/etc/nginx/conf.d/service-url.inc")
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
