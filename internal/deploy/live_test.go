package deploy

import (
	"strings"
	"testing"
)

func TestTheCommitThatIsLive(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	for _, tt := range []struct {
		name    string
		commits []string // that hosts serve, "" for the files of a workspace, "-" for nothing
		want    string
	}{
		{"all serve the same", []string{a, a}, a},
		{"most do", []string{a, b, b}, b},
		{"of equally many the first", []string{b, a, a, b}, b},
		{"one that joins", []string{"-", a}, a},
		{"one of a workspace", []string{"", a}, a},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl := newFleet(t, len(tt.commits))
			in := fl.inputs()
			in.Ref, in.RefLive = "live", true
			for i, commit := range tt.commits {
				switch fl[i].commit = commit; commit {
				case "":
					fl[i].commit = strings.Repeat("c", 64)
				case "-":
					fl[i].flag, fl[i].commit = "", ""
					delete(fl[i].running, "8080")
				}
			}
			result, log, err := fl.deploy(t, in)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			for _, h := range result.Hosts {
				if h.Commit != tt.want {
					t.Errorf("%s got %s, want %s\n%s", h.Host, h.Commit, tt.want, log)
				}
			}
		})
	}
	fl := newFleet(t, 1)
	fl[0].flag = ""
	delete(fl[0].running, "8080")
	in := fl.inputs()
	in.Ref, in.RefLive = "live", true
	if _, log, err := fl.deploy(t, in); err == nil ||
		!strings.Contains(err.Error(), "live: the input \"ref\" is live, and no host") {
		t.Errorf("%v\n%s", err, log)
	}
}
