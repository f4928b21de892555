package deploy

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/scripts"
)

// A version that was stopped although nobody could tell whether it was drained is not said to have
// been.
func TestClosingAfterAFailedDrain(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Drain] = fault{kind: "error", code: 1, words: "ss: cannot open"}
	result, log, err := deployTo(t, f, testInputs())
	if err != nil || !strings.Contains(log, "Could not drain") {
		t.Fatalf("%v\n%s", err, log)
	}
	var end bytes.Buffer
	if err := outcome.Publish(report.New(&end, func(string) string { return "" }), result, nil); err != nil {
		t.Fatal(err)
	}
	const want = "was stopped; whether requests to it were still open is not known"
	if !strings.Contains(end.String(), want) || result.Hosts[0].Drained != 0 {
		t.Errorf("drained in %d ms:\n%s", result.Hosts[0].Drained, &end)
	}
}

// Of three hosts the first has what the run brings: it goes on serving that, whatever becomes of the others.
func TestWhatIsSaidWhereOneHostHasTheReleaseAlready(t *testing.T) {
	const has, older = "20261123T000000Z-bbbbbbb", "20261121T000000Z-9999999"
	bad := fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
	rollback := func(in *inputs.Inputs) { in.Operation, in.Release = inputs.Rollback, older }
	for _, tt := range []struct {
		name    string
		verb    scripts.Verb // at which the second host fails; "" for none
		fault   fault        // if not that it answers wrong
		do      func(*inputs.Inputs)
		has     string // the first host's release; "" for the one of the commit
		ailing  bool   // the others have it, too, and the second one is not healthy by it
		second  string // the second host has it under this id
		flags   string
		outcome outcome.Outcome
		site    outcome.Site
		hosts   string
		words   []string // of the failure
	}{
		{
			name: "all goes well", flags: "8080 8081 8081", outcome: outcome.Deployed,
			hosts: "unchanged 8080, deployed 8081, deployed 8081",
		},
		{
			name: "the others go back", verb: scripts.Verify, flags: "8080 8080 8080", outcome: outcome.Failed,
			site: outcome.SiteMixed, hosts: "unchanged 8080, restored 8080, restored 8080",
			words: []string{
				"site: mixed\n  ubuntu@web-1: " + has + " on port 8080 serves\n  ubuntu@web-2: " + oldRelease + " on port 8080 s",
				"; to bring what some hosts serve already to the others, too, once this run is over, and unless a newer one is " +
					"live by then: gh run rerun 7 --repo o/r; hosts that serve it are left as they are",
			},
		},
		{
			name: "the others go back in a rollback", verb: scripts.Verify, do: rollback, has: older,
			flags: "8080 8080 8080", outcome: outcome.Failed, site: outcome.SiteMixed,
			hosts: "unchanged 8080, restored 8080, restored 8080",
			words: []string{
				"site: mixed\n  ubuntu@web-1: " + older + " on port 8080 serves\n",
				"to the others, too, run the operation rollback again with the input \"release\": " + older + "; hosts that",
			},
		},
		{
			name: "one of the others is taken over", verb: scripts.Verify, fault: fault{kind: "overtaken"},
			flags: "8080 8081 8080", outcome: outcome.Failed, site: outcome.SiteMixed,
			hosts: "unchanged 8080, failed 0, restored 8080",
			words: []string{"web-2: it is in the hands of the other deployment"},
		},
		{
			name: "none is switched", verb: scripts.Health, flags: "8080 8080 8080", outcome: outcome.Failed,
			site: outcome.SiteUnchanged, hosts: "unchanged 8080, failed 8080, failed 8080",
		},
		{
			name: "the others had it before, too", verb: scripts.Verify, ailing: true, flags: "8080 8080 8080",
			outcome: outcome.Restored, site: outcome.SiteRestored, hosts: "unchanged 8080, restored 8080, unchanged 8080",
		},
		{
			name: "one had it before under another id", verb: scripts.Verify, ailing: true,
			second: "20261122T000000Z-bbbbbbb", flags: "8080 8080 8080", outcome: outcome.Restored,
			site: outcome.SiteRestored, hosts: "unchanged 8080, restored 8080, unchanged 8080",
		},
		{
			name: "one can't be asked for its health", verb: scripts.Confirm, ailing: true,
			fault: fault{kind: "error", code: scripts.ExitDisk, words: "the disk is full"},
			flags: "8080 8080 8080", outcome: outcome.Failed, site: outcome.SiteUnchanged,
			hosts: "unchanged 8080, failed 8080, unchanged 8080",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := newFleet(t, 3)
			in := fleet.inputs()
			in.Run.ServerURL, in.Run.Repository = "https://github.com", "o/r"
			if tt.do != nil {
				tt.do(in)
			}
			activeRecipe = assemble(&run{in: in}).recipe.of(&target{})
			t.Cleanup(func() { activeRecipe = "other" })
			for i, f := range fleet {
				if i == 0 || tt.ailing {
					f.commit, f.releases["8080"] = newCommit, cmp.Or(tt.has, has)
				}
			}
			if tt.ailing {
				fleet[1].faults[scripts.Confirm] = ails
			}
			if tt.second != "" {
				fleet[1].releases["8080"] = tt.second
			}
			if tt.verb != "" {
				fleet[1].faults[tt.verb] = cmp.Or(tt.fault, bad)
			}
			result, log, err := fleet.deploy(t, in)
			if result.Outcome != tt.outcome || fleet.flags() != tt.flags || (err == nil) != (tt.site == "") {
				t.Errorf("outcome %s, flags %s, %v\n%s", result.Outcome, fleet.flags(), err, log)
			}
			var hosts []string
			for i, h := range result.Hosts {
				hosts = append(hosts, fmt.Sprintf("%s %d", h.Outcome, h.ActivePort))
				if line := strings.Join(fleet[i].recorded, ""); line != "" &&
					!strings.Contains(line, fmt.Sprintf(`"outcome":%q`, h.Outcome)) {
					t.Errorf("%s is %s, and has written down %s", h.Host, h.Outcome, line)
				}
			}
			if got := strings.Join(hosts, ", "); got != tt.hosts {
				t.Errorf("hosts %s, want %s", got, tt.hosts)
			}
			saysOfFailure(t, err, tt.site, tt.words...)
			const goOn = "what some hosts serve already"
			if err != nil && strings.Contains(err.Error(), goOn) != (tt.site == outcome.SiteMixed) {
				t.Errorf("site %s:\n%v", tt.site, err)
			}
		})
	}
}
