package scripts

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// locker starts a run that wants the deploy lock of a folder. got is closed when it has it; leave
// closes its connection.
func locker(t *testing.T, dir, token string) (got chan struct{}, leave func()) {
	t.Helper()
	text, err := Compose(Lock, Values{
		"app": "a", "path": dir, "lock_token": token, "step_id": "", "undo": "no", "lock_note": "ada",
		"lock_timeout": "600", "beat": "600", "resume": "no",
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", Command(Lock))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, _ := cmd.StdinPipe()
	results, _ := cmd.StdoutPipe()
	words, _ := cmd.StderrPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(text); err != nil {
		t.Fatal(err)
	}
	got = make(chan struct{})
	waits := make(chan struct{})
	go func() {
		all := bufio.NewScanner(results)
		for all.Scan() {
			if all.Text() == "locked=yes" {
				close(got)
			}
		}
	}()
	go func() {
		all, said := bufio.NewScanner(words), false
		for all.Scan() {
			if strings.Contains(all.Text(), "waiting up to") && !said {
				said = true
				close(waits)
			}
		}
		if !said {
			close(waits)
		}
	}()
	select {
	case <-got:
	case <-waits:
	}
	return got, func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
}

// The lock of a removal takes its folder along when it ends, and who waits for it finds a new one.
func TestTheLockOfARemovalGoesWithIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	_, leave := locker(t, dir, "t-0")
	next, end := locker(t, dir, "u-0")
	for _, name := range []string{".lock.last", ".lock.run"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-next:
		t.Fatal("both have the lock")
	default:
	}
	leave()
	<-next
	holder, err := os.ReadFile(filepath.Join(dir, ".lock.holder"))
	_, last := os.Stat(filepath.Join(dir, ".lock.last"))
	if err != nil || !strings.HasPrefix(string(holder), "u-0\n") || last == nil {
		t.Errorf("the next one holds it as %q (%v), and the mark of the removal is there: %t", holder, err, last == nil)
	}
	end()
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the next one's folder: %v", err)
	}

	_, leave = locker(t, dir, "v-0")
	if err := os.WriteFile(filepath.Join(dir, ".lock.last"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, ".recipe-key")); err != nil { // as a removal has deleted it
		t.Fatal(err)
	}
	leave()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		left, _ := os.ReadDir(dir)
		t.Errorf("the folder is there: %v, %v", err, left)
	}
}

// What nobody can prove to be this action's is none of what goes.
func TestOnlyWhatIsProvedGoes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"releases/a/f": "", "notes": "", "shared/uploads/a": "", ".app": "shop\nacme/shop\n",
		"theirs/releases/a/f": "", "theirs/.app": "admin\n", "capistrano/releases/a/f": "",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ path, shared, mine, kept string }{
		{dir, "no", dir + "/releases", dir + "/shared, 1 MB"},
		{dir, "yes", dir + "/releases " + dir + "/shared " + dir + "/.app", ""},
		{dir + "/theirs", "yes", "", ""},
		{dir + "/capistrano", "yes", "", ""},
	} {
		libraries := ""
		for _, part := range []string{"base", "step", "root", "files", "nginx", "rotate", "remove"} {
			libraries += read(t, "lib/"+part+".sh")
		}
		out := bash(t, "app=shop path="+tt.path+" ports='8080 8081' sure=yes shared_too="+tt.shared+
			" nginx_include="+dir+"/notes\n"+libraries+
			"\nfiles=() units=() others=() mine=() kept=()\nfind_nginx\nfind_what_goes\necho \"${mine[*]}|${kept[*]}\"")
		if out != tt.mine+"|"+tt.kept+"\n" {
			t.Errorf("%s, shared %s: %q, want %q and %q", tt.path, tt.shared, out, tt.mine, tt.kept)
		}
	}
}

// A file of the user's that was made out of one of this action's has its first line, and is none of them.
func TestACopyOfTheSiteStays(t *testing.T) {
	dir := t.TempDir()
	const site = "# Written by deploy-action for shop.\nserver {}\n"
	const include = "# Written by deploy-action for shop; include it\n"
	for name, text := range map[string]string{
		"shop.conf": site, "shop.upstreams.conf": site, "blog.conf": site, "shop.conf.bak": site, "now.inc": include,
		"before.inc": include, "shop2.conf": strings.ReplaceAll(site, "shop", "shop2"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	libraries := ""
	for _, part := range []string{"base", "step", "root", "files", "nginx", "rotate", "remove"} {
		libraries += read(t, "lib/"+part+".sh")
	}
	out := bash(t, "app=shop path="+dir+" ports='8080 8081' sure=yes shared_too=no nginx_include="+dir+"/now.inc\n"+
		libraries+
		"\nfiles=() units=() others=() mine=() kept=()\nfind_nginx\nnginx_conf() { conf="+dir+"/nginx.conf; }\n"+
		"grep() { command grep \"${@/#\\/etc\\/nginx/"+dir+"}\"; }\nfind_what_goes\n"+
		"printf '%s\\n' \"${files[@]}\" \"${kept[@]}\"")
	const copied = ", a copy of this action's file by somebody else"
	var want strings.Builder
	for _, line := range []string{
		"before.inc", "shop.conf", "shop.upstreams.conf", "now.inc", "blog.conf" + copied, "shop.conf.bak" + copied,
	} {
		want.WriteString(dir + "/" + line + "\n")
	}
	if out != want.String() {
		t.Errorf("files and what stays:\n%s\nwant:\n%s", out, want.String())
	}
}
