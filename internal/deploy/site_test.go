package deploy

import (
	"strings"
	"testing"
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
