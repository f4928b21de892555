package scripts

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A deploy root is one application's: by its mark and, from before there was one, by the service
// that works there.
func TestADeployRootHasOneOwner(t *testing.T) {
	for _, tt := range []struct{ name, setup, want string }{
		{"nobody's", ":", "fit"},
		{"ours", "printf 'shop\\nada/shop\\n' >$path/.app", "fit"},
		{
			"another's", "printf 'api\\nada/api\\n' >$path/.app",
			"belongs to the application api on this host: if this is api under a new name",
		},
		{"ours, without a mark", "printf 'WorkingDirectory=%s/slots/%%i\\n' $path >$units/shop@.service", "fit"},
		{
			"another's, without a mark", "printf 'WorkingDirectory=%s/slots/%%i\\n' $path >$units/api@.service",
			"belongs to the application api on this host",
		},
		{"another's, beside it", "printf 'WorkingDirectory=%s2/slots/%%i\\n' $path >$units/api@.service", "fit"},
		{"a mark that is not ours to read", "printf '../x\\n' >$path/.app", "fit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := strings.ReplaceAll(read(t, "lib/files.sh"), "/etc/systemd/system/", "$units/")
			out := bash(t, fmt.Sprintf("app=shop path=%q units=%q EX_CHECK=64\n: >$path/.lock\n", t.TempDir(),
				t.TempDir())+read(t, "lib/base.sh")+files+tt.setup+
				"\nset +e; (set -e; fit_root; echo fit) 2>&1; :")
			if !strings.Contains(out, tt.want) {
				t.Errorf("it says %q, want %q", out, tt.want)
			}
		})
	}
}

// The mark is written once, and anew when the repository has got another name.
func TestTheMarkOfADeployRoot(t *testing.T) {
	dir := t.TempDir()
	_, setup, _ := strings.Cut(read(t, "setup.sh"), "# mark_root:")
	setup, _, _ = strings.Cut("#"+setup, "main ")
	mark := func(repository string) string {
		bash(t, fmt.Sprintf("app=shop path=%q repository=%q\n", dir, repository)+read(t, "lib/base.sh")+read(t,
			"lib/files.sh")+setup+"mark_root")
		text, err := os.ReadFile(dir + "/.app")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, repository := range []string{"ada/shop", "ada/shop", "ada/store"} {
		if got, want := mark(repository), "shop\n"+repository+"\n"; got != want {
			t.Errorf("it is %q, want %q", got, want)
		}
	}
}
