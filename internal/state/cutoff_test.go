package state

import "testing"

// The runner died in the middle: the next run finds what serves, or starts it again where visitors
// wait.
func TestAReplacementThatWasCutOff(t *testing.T) {
	before := Slot{Port: 8080, Listen: none, Release: "old", Proved: true, Processes: "mailer", Timers: "nightly.a"}
	serving := before
	serving.Listen, serving.PID = Ours, 7
	waiting := Slot{Port: 8081, Flag: true, Listen: held, PID: 9, Socket: true, Release: "new", Timers: "nightly.b"}
	ailing := waiting
	ailing.Listen = Ours
	for _, tt := range []struct {
		name   string
		slots  [2]Slot
		active uint16
		back   string
	}{
		{"the old version still runs", [2]Slot{serving, waiting}, 8080, "old"},
		{"nothing runs", [2]Slot{before, waiting}, 8081, "old"},
		{"the new version has not proved itself", [2]Slot{before, ailing}, 8081, "old"},
		{"there was none before", [2]Slot{{Port: 8080, Listen: none}, ailing}, 8081, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Decide(&Facts{Slots: tt.slots, Include: Ours, Routed: 8081}, "/etc/nginx/conf.d/service-url.inc")
			if err != nil || p.Active == nil || p.Active.Port != tt.active {
				t.Fatalf("position %+v, %v", p, err)
			}
			switch {
			case tt.back == "" && p.Heal != nil:
				t.Errorf("heal %+v", p.Heal)
			case tt.back == "":
			case p.Heal == nil || *p.Heal != Heal{From: "8081", To: "8080", Back: tt.back}:
				t.Errorf("heal %+v", p.Heal)
			case p.Active.Release != tt.back || !p.Active.Serves(),
				p.Active.Processes != before.Processes, p.Active.Timers != before.Timers:
				t.Errorf("active %+v", p.Active)
			}
		})
	}
}
