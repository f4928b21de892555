package inputs

import (
	"strings"
	"testing"
)

// Other servers than GitHub have groups in groups; the last part is the name there, too.
func TestARepositoryInAGroupOfAGroup(t *testing.T) {
	for value, app := range map[string]string{
		"group/project": "project", "group/sub.group/Deep_er/My.Project": "my-project",
		"group/../project": "", "group/sub/..": "", "group//project": "", "group/sub/": "", "group/sub/project.git": "",
		"/group/project": "", "https://gitlab.example/group/sub/project": "", "g/" + strings.Repeat("a", 199): "",
	} {
		p := &parser{
			in: &Inputs{ServerURL: "https://gitlab.example"}, values: map[string]string{"repository": value},
		}
		if err := setRepository(p, value); (err == nil) != (app != "") || err == nil && p.in.Repository != value {
			t.Errorf("%q is %q, %v", value, p.in.Repository, err)
		}
		if err := setApp(p, ""); err != nil || p.in.App != app {
			t.Errorf("%q is the application %q, %v; want %q", value, p.in.App, err, app)
		}
	}
}

func TestTheCommitThatIsLive(t *testing.T) {
	for value, live := range map[string]bool{"live": true, "refs/heads/live": false, "main": false, "Live": false} {
		p := &parser{in: &Inputs{}}
		if err := setRef(p, value); err != nil || p.in.Ref != value || p.in.RefLive != live {
			t.Errorf("%q is %+v, %v", value, p.in, err)
		}
	}
	p := &parser{in: &Inputs{}, values: map[string]string{"source": Workspace}}
	if err := setRef(p, "live"); err == nil ||
		!strings.Contains(err.Error(), "must not be live where the source is workspace") {
		t.Errorf("%v", err)
	}
}
