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

const nobody = 65534

// folderForAll returns a folder that every user can look into.
func folderForAll(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for at := dir; at != "/tmp" && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil { //nolint:gosec // for another user to look into
			t.Fatal(err)
		}
	}
	return dir
}

// putFor puts a file there, or with a slash at its end a folder.
func putFor(t *testing.T, dir, name string, mode os.FileMode, owner int) string {
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

// asNobody runs a script as that user, and returns what it says.
func asNobody(t *testing.T, text string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Stdin, cmd.Dir = strings.NewReader(text), "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// Where root reads configuration, the login user must not be able to put any there, by whatever
// link or folder on the way.
func TestWhereTheUserMayWriteRootReadsNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("a file of root's takes root; docs/attacks.md has it on a real host")
		return
	}
	dir := folderForAll(t)
	put := func(name string, mode os.FileMode, owner int) string { return putFor(t, dir, name, mode, owner) }
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
			text := "app=a ports=\n" + read(t, "lib/base.sh") + read(t, "lib/root.sh") + read(t, "lib/rights.sh") +
				fmt.Sprintf("\nfaults=()\njudge_rights %s\nprintf '%%s\\n' \"${faults[@]}\"", quote(tt.file))
			got := asNobody(t, text)
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
		"lib/root.sh")+read(t, "lib/rights.sh")+"\nfaults=()\njudge_rights /none.inc\necho ${#faults[@]}"); out != "0\n" {
		t.Errorf("who is root may write everywhere: %q", out)
	}
}

// What the login user can't see would be taken for missing: the site would be written, and nginx told to
// reload, by every deployment, and a restored host would lose it.
func TestWhatCanNotBeSeenIsNotTakenForMissing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("another user's folder takes root")
		return
	}
	dir := folderForAll(t)
	for name, mode := range map[string]os.FileMode{"closed/": 0o750, "closed/in/": 0o755, "open/": 0o755} {
		putFor(t, dir, name, mode, 0)
	}
	for _, tt := range []struct{ name, files, want string }{
		{"in a folder that is closed", "closed/in/a.conf closed/b.conf", "can't look into DIR/closed, and what"},
		{"closed itself", filepath.Base(putFor(t, dir, "shut.conf", 0o640, 0)), "can't read DIR/shut.conf, by"},
		{"readable", "open/a.conf " + filepath.Base(putFor(t, dir, "a.conf", 0o644, 0)), ""},
		{"not there yet", "open/none.conf none/none.conf", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := asNobody(t, "app=a ports=\n"+read(t, "lib/base.sh")+read(t, "lib/rights.sh")+"\ncd "+quote(dir)+
				"\nfaults=()\njudge_reading $(printf \"$PWD/%s \" "+tt.files+")\nprintf '%s\\n' \"${faults[@]}\"")
			want := strings.ReplaceAll(tt.want, "DIR", dir)
			if !strings.Contains(got, want) || (want == "") != (got == "") || strings.Count(got, "sudo chmod") > 1 {
				t.Errorf("said %q, want %q", got, want)
			}
		})
	}
}

// Whoever may put another folder in the place of the deploy root has the login user start what he likes.
func TestThePlaceOfReleasesIsNobodyElses(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("another user's folder takes root")
		return
	}
	const www = 33
	dir := folderForAll(t)
	putFor(t, dir, "own/", 0o755, nobody)
	putFor(t, dir, "theirs/", 0o755, www)
	putFor(t, dir, "theirs/shop/", 0o755, nobody)
	putFor(t, dir, "given/", 0o775, www)
	putFor(t, dir, "all/", 0o777, 0)
	putFor(t, dir, "sticky/", os.ModeSticky|0o777, 0)
	putFor(t, dir, "sticky/shop/", 0o755, nobody)
	if err := os.Symlink(dir+"/theirs", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{"own", ""},
		{"own/sub/none", ""},
		{"sticky/shop", ""},
		{"none/shop", ""},
		{"theirs/shop", "note: others than nobody and root may put another folder in the place of DIR/theirs/shop, " +
			"since they may change DIR/theirs (www-data, drwxr-xr-x)"},
		{"link/shop", "note: others than nobody and root may put another folder in the place of DIR/link/shop"},
		{"all/none", "note: others than nobody and root may put another folder in the place of DIR/all/none"},
		{"given", "fault: others than nobody may change what is in DIR/given, which nobody starts: sudo chown -R nobody " +
			"DIR/given && sudo chmod go-w DIR/given"},
		{"all", "fault: others than nobody may change what is in DIR/all"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			got := asNobody(t, "app=a ports= path="+quote(filepath.Join(dir, tt.path))+"\n"+read(t, "lib/base.sh")+
				read(t, "lib/rights.sh")+`
faults=() notes=()
judge_place
if ((${#faults[@]} > 0)); then printf 'fault: %s\n' "${faults[@]}"; fi
if ((${#notes[@]} > 0)); then printf 'note: %s\n' "${notes[@]}"; fi`)
			want := strings.ReplaceAll(tt.want, "DIR", dir)
			if !strings.Contains(got, want) || (want == "") != (got == "") {
				t.Errorf("said %q, want %q", got, want)
			}
		})
	}
}

// Who has nothing but the rules may have nginx read its configuration again: all of it has to be others'.
func TestAllThatNginxReadsIsRootsWhereTheUserIsNot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("a file of root's takes root")
		return
	}
	dir := folderForAll(t)
	own := putFor(t, dir, "own.conf", 0o644, nobody)
	putFor(t, dir, "mine/", 0o755, nobody)
	for _, tt := range []struct{ name, rows, otherwise, want string }{
		{"root's", "file\t" + dir + "/none.conf", "", ""},
		{"a file of the user's", "file\t" + own, "", own},
		{
			"a folder of the user's", "include\t/etc/nginx/nginx.conf\t1\tno\thttp\t" + dir + "/mine/*.conf\t", "",
			dir + "/mine",
		},
		{"of a user who may become root", "file\t" + own, "free_root() { :; }", ""},
		{"of a user who has no rules", "file\t" + own, "rules_stand() { false; }", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := asNobody(t, "app=a ports= rows=$'"+tt.rows+"'\n"+read(t, "lib/base.sh")+read(t, "lib/nginx.sh")+
				read(t, "lib/rights.sh")+"\nrules_stand() { :; }; free_root() { false; }\n"+tt.otherwise+
				"\nfaults=()\nnginx_reads\njudge_texts\nprintf '%s\\n' \"${faults[@]}\"")
			if !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") {
				t.Errorf("said %q, want %q", got, tt.want)
			}
		})
	}
}
