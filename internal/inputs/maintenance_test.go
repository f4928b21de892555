package inputs

import (
	"strings"
	"testing"
)

func TestMaintenanceIsOnOrOff(t *testing.T) {
	key, _ := newKey(t, "")
	for value, want := range map[string]string{
		"on": "", "off": "",
		"":     `input "maintenance": is required for operation "maintenance": write "on" or "off"`,
		"true": `input "maintenance": must be "on" or "off" (got "true")`,
	} {
		in, err := Parse(with(runner(key), map[string]string{
			"operation": "maintenance", "maintenance": value, "maintenance-page": "./public//sorry.html",
			"maintenance-allow": "203.0.113.7, 2001:db8::/56",
		}))
		if want != "" {
			if err == nil || err.Error() != want {
				t.Errorf("%q: %v, want %s", value, err, want)
			}
			continue
		}
		if err != nil || in.Maintenance != (value == "on") || in.MaintenancePage != "public/sorry.html" ||
			strings.Join(in.MaintenanceAllow, " ") != "203.0.113.7/32 2001:db8::/56" {
			t.Errorf("%q: %v; %t, %q, %q", value, err, in.Maintenance, in.MaintenancePage, in.MaintenanceAllow)
		}
	}
}
