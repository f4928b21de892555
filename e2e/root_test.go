package e2e

import (
	"testing"

	"al.essio.dev/pkg/shellescape"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// The default path of a repository `shop` is ~/shop, which is where `git clone` has put it.
func TestAFolderThatIsNotOursIsNoDeployRoot(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	sha := w.commit(nil)
	for _, tt := range []struct{ name, prepare, want string }{
		{"a clone", "git init -q shop", "/home/ubuntu/shop is a git work tree"},
		{"a folder in use", "mkdir shop && touch 'shop/my notes'", "/home/ubuntu/shop holds what is not this action's (my notes)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := *w
			w.t, w.ctx = t, t.Context()
			w.exec("cd /home/ubuntu && rm -rf shop && runuser -u ubuntu -- bash -c " + shellescape.Quote(tt.prepare))
			before := w.exec("find /home/ubuntu/shop | sort")
			for _, with := range []map[string]string{nil, {"operation": "status"}, {"operation": "check"}, {"dry-run": "true"}} {
				failed(t, w.run(w.job(sha, with)), "failed", tt.want, "the input path", "site: unchanged; nothing was touched")
			}
			if after := w.exec("find /home/ubuntu/shop | sort"); after != before {
				t.Errorf("written to it:\n%s", after)
			}
		})
	}
	w.exec("cd /home/ubuntu && rm -rf shop && runuser -u ubuntu -- mkdir -p shop/shared")
	w.deploy(sha, nil)
}
