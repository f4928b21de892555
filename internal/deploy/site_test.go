package deploy

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

func TestTheAddressOfTheSite(t *testing.T) {
	for names, want := range map[string]string{
		"_":                             "http://web-1/",
		"www.example.com example.com":   "http://www.example.com/",
		"*.example.com .example.net":    "http://web-1/",
		"*.example.com a.example.com _": "http://a.example.com/",
	} {
		in := testInputs()
		in.ServerName = names
		result, log, err := deployTo(t, newFakeHost(t), in)
		if err != nil || result.URL != want || result.Hosts[0].Subject != "Fix the basket" || result.Actor != "ada" {
			t.Errorf("%s: %+v, %v\n%s", names, result, err, log)
		}
	}
	in := testInputs()
	in.Hosts[0].Name = "2001:db8::7"
	if got := siteURL(in, false); got != "http://[2001:db8::7]/" {
		t.Errorf("got %s", got)
	}
	in.Run.Commit, in.Run.Subject = newCommit, strings.Repeat("장", 100)
	result, _, err := deployTo(t, newFakeHost(t), in)
	if err != nil || !strings.HasPrefix(result.Hosts[0].Subject, "장장") || len(result.Hosts[0].Subject) > maxSubject+3 {
		t.Errorf("%v; subject %q", err, result.Hosts[0].Subject)
	}
}

// What a run that was killed has left of its site, the next one takes back, after the flag; where it
// can't, it goes on, and says so.
func TestTheSiteOfARunThatWasKilledComesBack(t *testing.T) {
	const unwell = "unwell"
	for _, tt := range []struct {
		name  string
		fault fault
		want  string
	}{
		{
			"it comes back",
			fault{},
			"the flag is on port 8080; the nginx site of before is back: GET /health through nginx answered 200",
		},
		{
			"it does not answer", fault{kind: unwell}, "the nginx site of before is back, and does not answer right: " +
				"GET /health for localhost through nginx: answered 502; the run goes on",
		},
		{
			"nginx refuses it",
			fault{kind: "error", code: scripts.ExitNginx, words: "nginx refuses it"},
			"stays until a deployment writes another: nginx refuses it",
		},
		{
			"the rights do not suffice",
			fault{kind: "error", code: scripts.ExitCheck, words: "lacks the rights"},
			"the flag is on port 8080; the nginx site stays as it is",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			f.flag, f.running["8081"], f.proved["8081"], f.releases["8081"] = "8081", true, false, "20261123T000000Z-ccccccc"
			f.siteTrial = "8081 20261123T000000Z-ccccccc 20261123T000000Z-ccccccc"
			f.faults[scripts.Restore] = tt.fault
			f.unwell = tt.fault.kind == unwell
			result, log, err := deployTo(t, f, testInputs())
			if err != nil || result.Outcome != outcome.Deployed || !strings.Contains(log, tt.want) {
				t.Errorf("Run: %v, %v\n%s", err, result.Outcome, log)
			}
			if sent := f.sent[scripts.Restore]["release"]; sent != "20261123T000000Z-ccccccc" {
				t.Errorf("%q was asked for", sent)
			}
			if trial := f.sent[scripts.Site]["trial"]; trial != "8081 "+result.Hosts[0].Release || f.siteTrial != "" {
				t.Errorf("the site was on trial for %q; left is %q", trial, f.siteTrial)
			}
		})
	}
}
