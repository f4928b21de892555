package main

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
)

// The second act ends well only where the run was refused for the bad host alone, and no user of any
// host had another release or lost a request.
func TestDecided(t *testing.T) {
	hosts := []*lab.Host{{Name: "web-1", IP: "10.0.0.1"}, {Name: "web-2", IP: "10.0.0.2"}, {Name: "web-3", IP: "10.0.0.3"}}
	ended := func(outcome, host string) *lab.Result {
		return &lab.Result{Outputs: map[string]string{"outcome": outcome}, Lines: []lab.Line{{Command: &lab.Command{
			Name: "error", Data: "health: no\nhost: ubuntu@" + host + "\nsite: unchanged\n  and so on",
		}}}}
	}
	well := load.Report{Requests: 5, ByRelease: map[string]int{"good": 5}}
	for _, tt := range []struct {
		name   string
		result *lab.Result
		second load.Report
		want   string // of the error; empty: none
	}{
		{"none got it", ended("failed", "10.0.0.2"), well, ""},
		{"it went through", ended("deployed", "10.0.0.2"), well, `outcome "deployed"`},
		{"another host is blamed", ended("failed", "10.0.0.1, ubuntu@10.0.0.2"), well, "does not name web-2"},
		{
			"a user had it", ended("failed", "10.0.0.2"),
			load.Report{Requests: 5, ByRelease: map[string]int{"good": 4, "bad": 1}},
			"web-2: 1 answers came from another",
		},
		{
			"a request was lost", ended("failed", "10.0.0.2"),
			load.Report{Requests: 5, Failed: 1, ByRelease: map[string]int{"good": 4}},
			"web-2: 1 of 5 requests failed",
		},
		{"nobody came", ended("failed", "10.0.0.2"), load.Report{}, "web-2: 0 of 0 requests failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			d := &demo{out: &out}
			err := d.decided(hosts, "good", tt.result, []load.Report{well, tt.second, well})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if !strings.Contains(out.String(), "web-3              5           0       0  kept v5, since web-2 is bad\n") {
				t.Errorf("the table:\n%s", out.String())
			}
			if d.load.Requests != 10+tt.second.Requests || d.load.Failed != tt.second.Failed {
				t.Errorf("counted %d requests, %d failed", d.load.Requests, d.load.Failed)
			}
		})
	}
}
