package e2e

import (
	"testing"

	"al.essio.dev/pkg/shellescape"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// The default path of a repository `shop` is ~/shop, which is where `git clone` has put it.
func TestAFolderThatIsNotOursIsNoDeployRoot(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	sha := w.Commit(nil)
	for _, tt := range []struct{ name, prepare, want string }{
		{"a clone", "git init -q shop", "/home/ubuntu/shop is a git work tree"},
		{
			"a folder in use", "mkdir shop && touch 'shop/my notes'",
			"/home/ubuntu/shop holds what is not this action's (my notes)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.In(t)
			w.Exec("cd /home/ubuntu && rm -rf shop && runuser -u ubuntu -- bash -c " + shellescape.Quote(tt.prepare))
			before := w.Exec("find /home/ubuntu/shop | sort")
			for _, with := range []map[string]string{
				nil,
				{"operation": "status"},
				{"operation": "check"},
				{"dry-run": "true"},
			} {
				world.Failed(t, w.Run(w.Job(sha, with)), "failed", tt.want, "the input path",
					"site: unchanged; nothing was touched")
			}
			if after := w.Exec("find /home/ubuntu/shop | sort"); after != before {
				t.Errorf("written to it:\n%s", after)
			}
		})
	}
	w.Exec("cd /home/ubuntu && rm -rf shop && runuser -u ubuntu -- mkdir -p shop/shared")
	w.Deploy(sha, nil)
}
