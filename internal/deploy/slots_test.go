package deploy

import (
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	live := func(port uint16, flag bool) slot {
		return slot{Port: port, Flag: flag, Listen: ours, PID: 7, Release: "r", Proved: true}
	}
	fresh := func(port uint16, flag bool) slot {
		return slot{Port: port, Flag: flag, Listen: ours, PID: 8, Release: "new"}
	}
	idle := func(port uint16, flag bool) slot { return slot{Port: port, Flag: flag, Listen: none} }
	theirs := func(port uint16) slot {
		return slot{Port: port, Listen: foreign, Process: process{Who: "pid 9", App: "hello"}}
	}
	const everything = `/etc/nginx/conf.d/service-url.inc exists and was not written for this application; choose another file with the input nginx-include
port 9000 is active, and not one of the pair; to move, deploy once with the input ports set to "9000,8080", and from then on with "8080,8081"
port 8080 is held by the application hello, which this action runs there (pid 9); it is left alone: choose two other ports with the input ports, such as "8082,8083"
port 8081 is held by the application hello,`
	for _, tt := range []struct {
		name   string
		facts  facts
		active uint16 // 0: none
		heal   *heal
		want   string // an error or a note
	}{
		{"a bare host", facts{Slots: [2]slot{idle(8080, false), idle(8081, false)}, Include: absent}, 0, nil, ""},
		{"first slot active", facts{Slots: [2]slot{live(8080, true), idle(8081, false)}, Include: ours, Routed: 8080}, 8080, nil, ""},
		{"second slot active, old one left over", facts{Slots: [2]slot{live(8080, false), live(8081, true)}, Include: ours, Routed: 8081}, 8081, nil, ""},
		{"active version crashed", facts{Slots: [2]slot{idle(8080, false), idle(8081, true)}, Include: ours, Routed: 8081}, 8081, nil, "site is down"},
		{"crashed, so the version before it serves again", facts{Slots: [2]slot{live(8080, false), idle(8081, true)}, Include: ours, Routed: 8081}, 8080, &heal{From: "8081", To: "8080"}, "serves and gets it back"},
		{"killed in verify: unproved, with the one before", facts{Slots: [2]slot{live(8080, false), fresh(8081, true)}, Include: ours, Routed: 8081}, 8080, &heal{From: "8081", To: "8080"}, "serves and gets it back"},
		{"killed in the first verify: unproved, nothing before", facts{Slots: [2]slot{fresh(8080, true), idle(8081, false)}, Include: ours, Routed: 8080}, 8080, nil, ""},
		{"proved, between two lives", facts{Slots: [2]slot{live(8080, false), {Port: 8081, Flag: true, Listen: none, PID: 9, Release: "r", Proved: true}}, Include: ours, Routed: 8081}, 8081, nil, "site is down"},
		{"another pair of ports", facts{Slots: [2]slot{idle(9000, false), idle(9001, false)}, Include: ours, Strays: []string{"8081"}}, 0, nil, `"8081,9000", and from then on with "9000,9001"`},
		{"several flags outside the pair", facts{Slots: [2]slot{idle(9000, false), idle(9001, false)}, Include: ours, Strays: []string{"8080", "8081"}}, 0, nil, "delete all but the one"},
		{"killed before the site was loaded", facts{Slots: [2]slot{live(8080, true), idle(8081, false)}, Include: ours}, 8080, nil, ""},
		{"killed before its first switch", facts{Slots: [2]slot{live(8080, false), idle(8081, false)}, Include: absent}, 0, nil, ""},
		{"flag and nginx disagree", facts{Slots: [2]slot{live(8080, true), live(8081, false)}, Include: ours, Routed: 8081}, 0, nil, "the flag names port 8080, but nginx sends requests to port 8081"},
		{"both flags", facts{Slots: [2]slot{live(8080, true), live(8081, true)}, Include: ours, Routed: 8081}, 8081, &heal{From: "8080", To: "8081"}, "both flags"},
		{"both flags, the second slot dead", facts{Slots: [2]slot{live(8080, true), idle(8081, true)}, Include: ours, Routed: 8081}, 8080, &heal{From: "8081", To: "8080"}, "both flags"},
		{"no flag, one slot runs", facts{Slots: [2]slot{idle(8080, false), live(8081, false)}, Include: ours}, 8081, &heal{From: "", To: "8081"}, "flag was gone"},
		{"no flag, both run, nginx falls back", facts{Slots: [2]slot{live(8080, false), live(8081, false)}, Include: ours, Routed: 8081}, 8081, &heal{From: "", To: "8081"}, "flag was gone"},
		{"no flag, both run, nginx silent", facts{Slots: [2]slot{live(8080, false), live(8081, false)}, Include: ours}, 0, nil, "create the right one by hand"},
		{"foreign process", facts{Slots: [2]slot{idle(8080, false), {Port: 8081, Listen: foreign, Process: process{Who: "pid 9, user bob, command x"}}}, Include: absent}, 0, nil, "pid 9, user bob, command x"},
		{"another application's process", facts{Slots: [2]slot{idle(8080, false), theirs(8081)}, Include: absent, Spare: "8084,8085"}, 0, nil, `port 8081 is held by the application hello, which this action runs there (pid 9); it is left alone: choose two other ports with the input ports, such as "8084,8085"`},
		{"a port of another application's pair, on which nothing listens", facts{Slots: [2]slot{idle(8080, false), {Port: 8081, Listen: none, Claimed: "hello"}}, Include: absent, Spare: "8084,8085"}, 0, nil, `port 8081 belongs to the pair of the application hello, which this action runs on this host: choose two other ports with the input ports, such as "8084,8085"; if that application is gone, delete what is left of it: sudo rm -r /var/lib/deploy-action/hello`},
		{"such a port that was of the pair before", facts{Slots: [2]slot{live(8080, true), {Port: 8081, Listen: none, Claimed: "hello", Mine: true}}, Include: ours, Routed: 8080}, 8080, nil, `port 8081 belongs to the pair of the application hello, too: the two will be in each other's way; give one of them two ports of its own with the input ports, such as "8090,8091"`},
		{"such a port on which that application listens", facts{Slots: [2]slot{live(8080, true), {Port: 8081, Listen: foreign, Claimed: "hello", Mine: true, Process: process{Who: "pid 9", App: "hello"}}}, Include: ours, Routed: 8080}, 0, nil, "port 8081 is held by the application hello"},
		{"all that is in the way", facts{Slots: [2]slot{theirs(8080), theirs(8081)}, Include: other, Strays: []string{"9000"}, Spare: "8082,8083"}, 0, nil, everything},
		{"somebody else's include", facts{Slots: [2]slot{idle(8080, false), idle(8081, false)}, Include: other}, 0, nil, "nginx-include"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := decide(&tt.facts, "/etc/nginx/conf.d/service-url.inc")
			said := strings.Join(p.Notes, "\n")
			if err != nil {
				said = err.Error()
				if tt.active != 0 || tt.want == "" {
					t.Fatalf("decide: %v", err)
				}
			}
			if !strings.Contains(said, tt.want) || tt.want == "" && said != "" {
				t.Errorf("said %q, want %q", said, tt.want)
			}
			var got uint16
			if p.Active != nil {
				got = p.Active.Port
				if p.Idle.Port == got {
					t.Errorf("idle and active are both %d", got)
				}
			}
			if got != tt.active {
				t.Errorf("active = %d, want %d", got, tt.active)
			}
			if (p.Heal == nil) != (tt.heal == nil) || p.Heal != nil && *p.Heal != *tt.heal {
				t.Errorf("heal = %+v, want %+v", p.Heal, tt.heal)
			}
		})
	}
}
