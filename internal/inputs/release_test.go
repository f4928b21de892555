package inputs

import (
	"strings"
	"testing"
)

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
