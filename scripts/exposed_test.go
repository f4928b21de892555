package scripts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Where root reads configuration, the login user must not be able to put any there, by whatever
// link or folder on the way.
func TestWhereTheUserMayWriteRootReadsNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("a file of root's takes root; docs/attacks.md has it on a real host")
		return
	}
	const nobody = 65534
	dir := t.TempDir()
	for at := dir; at != "/tmp" && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil { //nolint:gosec // for another user to look into
			t.Fatal(err)
		}
	}
	put := func(name string, mode os.FileMode, owner int) string {
		t.Helper()
		file := filepath.Join(dir, name)
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(file, 0o755) //nolint:gosec // see above
		} else {
			err = os.WriteFile(file, nil, 0o600)
		}
		for _, err := range []error{err, os.Chmod(file, mode), os.Chown(file, owner, owner)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return file
	}
	link := func(name, to string) string {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	put("root/", 0o755, 0)
	put("root/sub/", 0o755, 0)
	put("home/", 0o755, nobody)
	put("open/", 0o777, 0)
	put("sticky/", os.ModeSticky|0o777, 0)
	for _, tt := range []struct{ name, file, want string }{
		{"root's", put("root/sub/a.inc", 0o644, 0), ""},
		{"not there yet, in a folder of root's", filepath.Join(dir, "root/sub/none.inc"), ""},
		{"the user's own file in a folder of root's", put("root/sub/b.inc", 0o444, nobody), "root/sub/b.inc"},
		{"a file that all may write to", put("root/sub/c.inc", 0o666, 0), "root/sub/c.inc"},
		{"root's file in the user's home", put("home/d.inc", 0o644, 0), "home"},
		{"not there yet, in the user's home", filepath.Join(dir, "home/none.inc"), "home"},
		{"a folder on the way that all may write to", filepath.Join(dir, "open/sub/none.inc"), "open"},
		{"a link of root's into the home", link("root/sub/l.inc", filepath.Join(dir, "home/d.inc")), "home"},
		{
			"a folder that is a link into the home",
			filepath.Join(link("root/away", filepath.Join(dir, "home")), "d.inc"), "home",
		},
		{"root's file in a folder such as /tmp", put("sticky/e.inc", 0o644, 0), ""},
		{"not there yet, in a folder such as /tmp", filepath.Join(dir, "sticky/none.inc"), "sticky"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "app=a ports=\n" + read(t, "lib/base.sh") + read(t, "lib/root.sh") +
				fmt.Sprintf("\nfaults=()\njudge_rights %s\nprintf '%%s\\n' \"${faults[@]}\"", quote(tt.file))
			cmd := exec.CommandContext(t.Context(), "bash", "-s")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			cmd.Stdin, cmd.Dir = strings.NewReader(text), "/"
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got := strings.TrimSpace(string(out))
			if want := filepath.Join(dir, tt.want); tt.want == "" && got != "" ||
				tt.want != "" &&
					(!strings.Contains(got,
						" may write to "+want+", and root reads configuration there ("+tt.file+")") ||
						!strings.Contains(got, "sudo chown root:root "+want+" && sudo chmod go-w "+want+",")) {
				t.Errorf("said %q, want %s", got, want)
			}
		})
	}
	if out := bash(t, "app=a ports=\n"+read(t, "lib/base.sh")+read(t,
		"lib/root.sh")+"\nfaults=()\njudge_rights /none.inc\necho ${#faults[@]}"); out != "0\n" {
		t.Errorf("who is root may write everywhere: %q", out)
	}
}
