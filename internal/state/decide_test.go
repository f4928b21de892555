package state

import (
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	live := func(port uint16, flag bool) Slot {
		return Slot{Port: port, Flag: flag, Listen: Ours, PID: 7, Release: "r", Proved: true}
	}
	fresh := func(port uint16, flag bool) Slot {
		return Slot{Port: port, Flag: flag, Listen: Ours, PID: 8, Release: "new"}
	}
	idle := func(port uint16, flag bool) Slot { return Slot{Port: port, Flag: flag, Listen: none} }
	theirs := func(port uint16) Slot {
		return Slot{Port: port, Listen: foreign, Process: Process{Who: "pid 9", App: "hello"}}
	}
	const everything = "/etc/nginx/conf.d/service-url.inc exists and was not written for this application; " +
		"choose another file with the input nginx-include\n" +
		"port 9000 is active, and not one of the pair; to move, deploy once with the input ports set to " +
		"\"9000,8080\", and from then on with \"8080,8081\"\n" +
		"port 8080 is held by the application hello, which this action runs there (pid 9); it is left alone: " +
		"choose two other ports with the input ports, such as \"8082,8083\"\n" +
		"port 8081 is held by the application hello,"
	for _, tt := range []struct {
		name   string
		facts  Facts
		active uint16 // 0: none
		idle   uint16 // 0: that does not matter
		heal   *Heal
		want   string // an error or a note
	}{
		{
			name:  "a bare host",
			facts: Facts{Slots: [2]Slot{idle(8080, false), idle(8081, false)}, Include: absent}, idle: 8080,
		},
		{
			name:  "half removed, which ran on the first port",
			facts: Facts{Slots: [2]Slot{live(8080, false), idle(8081, false)}, Include: absent}, idle: 8080,
		},
		{
			name:  "half removed, which ran on the second port",
			facts: Facts{Slots: [2]Slot{idle(8080, false), live(8081, false)}, Include: absent}, idle: 8081,
		},
		{
			name:   "first slot active",
			facts:  Facts{Slots: [2]Slot{live(8080, true), idle(8081, false)}, Include: Ours, Routed: 8080},
			active: 8080,
		},
		{
			name:   "second slot active, old one left over",
			facts:  Facts{Slots: [2]Slot{live(8080, false), live(8081, true)}, Include: Ours, Routed: 8081},
			active: 8081,
		},
		{
			name:   "active version crashed",
			facts:  Facts{Slots: [2]Slot{idle(8080, false), idle(8081, true)}, Include: Ours, Routed: 8081},
			active: 8081,
			want:   "site is down",
		},
		{
			name:   "crashed, so the version before it serves again",
			facts:  Facts{Slots: [2]Slot{live(8080, false), idle(8081, true)}, Include: Ours, Routed: 8081},
			active: 8080,
			heal:   &Heal{From: "8081", To: "8080"},
			want:   "serves and gets it back",
		},
		{
			name:   "killed in verify: unproved, with the one before",
			facts:  Facts{Slots: [2]Slot{live(8080, false), fresh(8081, true)}, Include: Ours, Routed: 8081},
			active: 8080,
			heal:   &Heal{From: "8081", To: "8080"},
			want:   "serves and gets it back",
		},
		{
			name:   "killed in the first verify: unproved, nothing before",
			facts:  Facts{Slots: [2]Slot{fresh(8080, true), idle(8081, false)}, Include: Ours, Routed: 8080},
			active: 8080,
		},
		{
			name: "proved, between two lives",
			facts: Facts{
				Slots: [2]Slot{
					live(8080, false),
					{Port: 8081, Flag: true, Listen: none, PID: 9, Release: "r", Proved: true},
				},
				Include: Ours,
				Routed:  8081,
			},
			active: 8080,
			heal:   &Heal{From: "8081", To: "8080"},
			want:   "serves and gets it back",
		},
		{
			name: "proved, between two lives, and alone",
			facts: Facts{
				Slots: [2]Slot{
					idle(8080, false),
					{Port: 8081, Flag: true, Listen: none, PID: 9, Release: "r", Proved: true},
				},
				Include: Ours,
				Routed:  8081,
			},
			active: 8081,
			want:   "site is down",
		},
		{
			name: "proved, between two lives, and requests wait at its socket",
			facts: Facts{
				Slots: [2]Slot{
					idle(8080, false),
					{Port: 8081, Flag: true, Listen: held, PID: 9, Socket: true, Release: "r", Proved: true},
				},
				Include: Ours,
				Routed:  8081,
			},
			active: 8081,
			want:   "requests wait at its socket",
		},
		{
			name:  "another pair of ports",
			facts: Facts{Slots: [2]Slot{idle(9000, false), idle(9001, false)}, Include: Ours, Strays: []string{"8081"}},
			want:  `"8081,9000", and from then on with "9000,9001"`,
		},
		{
			name: "several flags outside the pair",
			facts: Facts{
				Slots:   [2]Slot{idle(9000, false), idle(9001, false)},
				Include: Ours,
				Strays:  []string{"8080", "8081"},
			},
			want: "delete all but the one",
		},
		{
			name:   "killed before the site was loaded",
			facts:  Facts{Slots: [2]Slot{live(8080, true), idle(8081, false)}, Include: Ours},
			active: 8080,
		},
		{
			name:  "killed before its first switch",
			facts: Facts{Slots: [2]Slot{live(8080, false), idle(8081, false)}, Include: absent},
		},
		{
			name:  "flag and nginx disagree",
			facts: Facts{Slots: [2]Slot{live(8080, true), live(8081, false)}, Include: Ours, Routed: 8081},
			want:  "the flag names port 8080, but nginx sends requests to port 8081",
		},
		{
			name:   "both flags",
			facts:  Facts{Slots: [2]Slot{live(8080, true), live(8081, true)}, Include: Ours, Routed: 8081},
			active: 8081,
			heal:   &Heal{From: "8080", To: "8081"},
			want:   "both flags",
		},
		{
			name:   "both flags, and nginx looks at the first before the second",
			facts:  Facts{Slots: [2]Slot{live(8080, true), live(8081, true)}, Include: Ours, Routed: 8080},
			active: 8080,
			heal:   &Heal{From: "8081", To: "8080"},
			want:   "both flags",
		},
		{
			name:   "both flags, the second slot dead",
			facts:  Facts{Slots: [2]Slot{live(8080, true), idle(8081, true)}, Include: Ours, Routed: 8081},
			active: 8080,
			heal:   &Heal{From: "8081", To: "8080"},
			want:   "both flags",
		},
		{
			name:   "no flag, one slot runs",
			facts:  Facts{Slots: [2]Slot{idle(8080, false), live(8081, false)}, Include: Ours},
			active: 8081,
			heal:   &Heal{From: "", To: "8081"},
			want:   "flag was gone",
		},
		{
			name:   "no flag, both run, nginx falls back",
			facts:  Facts{Slots: [2]Slot{live(8080, false), live(8081, false)}, Include: Ours, Routed: 8081},
			active: 8081,
			heal:   &Heal{From: "", To: "8081"},
			want:   "flag was gone",
		},
		{
			name:  "no flag, both run, nginx silent",
			facts: Facts{Slots: [2]Slot{live(8080, false), live(8081, false)}, Include: Ours},
			want:  "create the right one by hand",
		},
		{
			name: "foreign process",
			facts: Facts{
				Slots: [2]Slot{
					idle(8080, false),
					{Port: 8081, Listen: foreign, Process: Process{Who: "pid 9, user bob, command x"}},
				},
				Include: absent,
			},
			want: "pid 9, user bob, command x",
		},
		{
			name:  "another application's process",
			facts: Facts{Slots: [2]Slot{idle(8080, false), theirs(8081)}, Include: absent, Spare: "8084,8085"},
			want: "port 8081 is held by the application hello, which this action runs there (pid 9); " +
				"it is left alone: choose two other ports with the input ports, such as \"8084,8085\"",
		},
		{
			name: "a port of another application's pair, on which nothing listens",
			facts: Facts{
				Slots:   [2]Slot{idle(8080, false), {Port: 8081, Listen: none, Claimed: "hello"}},
				Include: absent,
				Spare:   "8084,8085",
			},
			want: "port 8081 belongs to the pair of the application hello, which this action runs on this host: " +
				"choose two other ports with the input ports, such as \"8084,8085\"; " +
				"if that application is gone, delete what is left of it: sudo rm -r /var/lib/deploy-action/hello",
		},
		{
			name: "such a port that was of the pair before",
			facts: Facts{
				Slots:   [2]Slot{live(8080, true), {Port: 8081, Listen: none, Claimed: "hello", Mine: true}},
				Include: Ours,
				Routed:  8080,
			},
			active: 8080,
			want: "port 8081 belongs to the pair of the application hello, too: " +
				"the two will be in each other's way; give one of them two ports of its own with the input ports, " +
				"such as \"8090,8091\"",
		},
		{
			name: "such a port on which that application listens",
			facts: Facts{
				Slots: [2]Slot{
					live(8080, true),
					{
						Port:    8081,
						Listen:  foreign,
						Claimed: "hello",
						Mine:    true,
						Process: Process{Who: "pid 9", App: "hello"},
					},
				},
				Include: Ours,
				Routed:  8080,
			},
			want: "port 8081 is held by the application hello",
		},
		{
			name: "all that is in the way",
			facts: Facts{
				Slots:   [2]Slot{theirs(8080), theirs(8081)},
				Include: other,
				Strays:  []string{"9000"},
				Spare:   "8082,8083",
			},
			want: everything,
		},
		{
			name:  "somebody else's include",
			facts: Facts{Slots: [2]Slot{idle(8080, false), idle(8081, false)}, Include: other},
			want:  "nginx-include",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Decide(&tt.facts, "/etc/nginx/conf.d/service-url.inc")
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
			if tt.idle != 0 && p.Idle.Port != tt.idle {
				t.Errorf("idle = %d, want %d", p.Idle.Port, tt.idle)
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

// The site of before comes back when the release for which another was written is not what serves.
func TestTheSiteOfBeforeComesBack(t *testing.T) {
	slot := func(port uint16, release string, flag, proved bool) Slot {
		return Slot{Port: port, Flag: flag, Listen: Ours, PID: 7, Release: release, Proved: proved}
	}
	gone := func(s Slot) Slot {
		s.Listen, s.PID = none, 0
		return s
	}
	socket := func(s Slot) Slot {
		s.Socket = true
		return s
	}
	const trial = "8081 new kept"
	for _, tt := range []struct {
		name  string
		trial string
		slots [2]Slot
		want  string
	}{
		{"nothing was cut off", "", [2]Slot{slot(8080, "old", true, true), gone(slot(8081, "", false, false))}, ""},
		{"before the switch", trial, [2]Slot{slot(8080, "old", true, true), slot(8081, "new", false, false)}, "kept"},
		{"on probation", trial, [2]Slot{slot(8080, "old", false, true), slot(8081, "new", true, false)}, "kept"},
		{
			"on probation, of a restart", "8081 old kept",
			[2]Slot{slot(8080, "old", false, true), slot(8081, "old", true, false)},
			"kept",
		},
		{"proved", trial, [2]Slot{slot(8080, "old", false, true), slot(8081, "new", true, true)}, ""},
		{"the old one is dead", trial, [2]Slot{gone(slot(8080, "old", false, true)), slot(8081, "new", true, false)}, ""},
		{"the first deployment", trial, [2]Slot{gone(slot(8080, "", false, false)), slot(8081, "new", true, false)}, ""},
		{
			"the first deployment, before the switch", trial,
			[2]Slot{gone(slot(8080, "", false, false)), gone(slot(8081, "new", false, false))},
			"kept",
		},
		{
			"a replacement, and the old one ended", trial,
			[2]Slot{gone(slot(8080, "old", false, true)), socket(slot(8081, "new", true, false))},
			"kept",
		},
		{
			"a replacement, and the old one was brought back to the port", trial,
			[2]Slot{gone(slot(8080, "old", false, true)), socket(slot(8081, "old", true, true))},
			"kept",
		},
		{
			"a replacement, proved", trial,
			[2]Slot{gone(slot(8080, "old", false, true)), socket(slot(8081, "new", true, true))},
			"",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Facts{Slots: tt.slots, Include: Ours, SiteTrial: tt.trial}
			p, err := Decide(&f, "/etc/nginx/conf.d/service-url.inc")
			if err != nil || p.SiteBack != tt.want {
				t.Errorf("Decide: %v, site %q, want %q", err, p.SiteBack, tt.want)
			}
			if told := strings.Contains(strings.Join(p.Notes, "\n"), "the site of before comes back"); told != (tt.want != "") {
				t.Errorf("notes %q", p.Notes)
			}
		})
	}
}

// Only a proved version that is about to listen again, beside one that stands in for it, is waited for.
func TestBetweenLives(t *testing.T) {
	down := Slot{Port: 8081, Flag: true, Listen: none, PID: 9, Release: "r", Proved: true}
	stands := Slot{Port: 8080, Listen: Ours, PID: 7, Release: "q", Proved: true}
	change := func(s Slot, do func(*Slot)) Slot {
		do(&s)
		return s
	}
	for name, tt := range map[string]struct {
		slots [2]Slot
		want  bool
	}{
		"booting":       {[2]Slot{stands, down}, true},
		"the other way": {[2]Slot{down, stands}, true},
		"in the second before its next start": {
			[2]Slot{stands, change(down, func(s *Slot) { s.PID, s.Enabled = 0, true })}, true,
		},
		"gone":                       {[2]Slot{stands, change(down, func(s *Slot) { s.PID = 0 })}, false},
		"listening":                  {[2]Slot{stands, change(down, func(s *Slot) { s.Listen = Ours })}, false},
		"visitors wait":              {[2]Slot{stands, change(down, func(s *Slot) { s.Listen = held })}, false},
		"not proved":                 {[2]Slot{stands, change(down, func(s *Slot) { s.Proved = false })}, false},
		"nobody stands in":           {[2]Slot{change(stands, func(s *Slot) { s.Listen = none }), down}, false},
		"by one not proved":          {[2]Slot{change(stands, func(s *Slot) { s.Proved = false }), down}, false},
		"with both flags":            {[2]Slot{change(stands, func(s *Slot) { s.Flag = true }), down}, false},
		"on a host that has nothing": {[2]Slot{{Port: 8080}, {Port: 8081}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Facts{Slots: tt.slots}
			if got := f.BetweenLives(); got != tt.want {
				t.Errorf("%t, want %t", got, tt.want)
			}
			if got := f.VisitorsWait(); got != (name == "visitors wait") {
				t.Errorf("visitors wait: %t", got)
			}
		})
	}
}
