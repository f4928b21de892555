package scripts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// What another user's process holds, which has had the file open since it could be read by all, is
// no run's lock.
func TestAStrangersHoldOfTheLockIsNone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be two users")
	}
	dir := t.TempDir()
	for folder := dir; folder != "/tmp" && folder != "/"; folder = filepath.Dir(folder) {
		if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // as an earlier version left it
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, ".lock")
	if err := os.WriteFile(file, []byte("t-0\n"), 0o644); err != nil { //nolint:gosec // as an earlier version left it
		t.Fatal(err)
	}
	stranger := exec.CommandContext(t.Context(), "setpriv", "--reuid=65534", "--clear-groups", "flock", file, "sh",
		"-c", "echo held; exec sleep 600")
	out, err := stranger.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the stranger does not hold it: %q", line)
	}
	text, err := Compose(Lock, Values{
		"app": "a", "path": dir, "lock_token": "t-1", "step_id": "", "undo": "no", "lock_note": "ada",
		"lock_timeout": "1", "beat": "600", "resume": "no",
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "setpriv", "--reuid=0", "bash", "-c", Command(Lock))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, _ := cmd.StdinPipe()
	results, _ := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(text); err != nil {
		t.Fatal(err)
	}
	all := bufio.NewScanner(results)
	locked := false
	for !locked && all.Scan() {
		locked = all.Text() == "locked=yes"
	}
	if !locked {
		t.Error("the run did not get its lock")
	}
	_ = in.Close() // before it has ended its listener, that ends it
	if err := cmd.Wait(); locked && err != nil &&
		cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Error(err)
	}
}

// Who waits for the deploy lock is ended with its run: it must not get the lock later, and take it
// from the record of a run that resumes.
func TestAWaiterForTheLockEndsWithItsRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timeout string // s
		leave   bool   // the connection closes
		code    int    // -1: by a signal
	}{
		{"the connection closes", "600", true, -1},
		{"the time is over", "1", false, ExitLockBusy},
		{"it has no time", "0", false, ExitLockBusy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			held, err := os.Create(filepath.Join(dir, ".lock"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = held.Close() }()
			if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			text, err := Compose(Lock, Values{
				"app": "a", "path": dir, "lock_token": "t-0", "step_id": "", "undo": "no", "lock_note": "ada",
				"lock_timeout": tt.timeout, "beat": "600", "resume": "no",
			})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-c", Command(Lock))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			in, _ := cmd.StdinPipe()
			words, _ := cmd.StderrPipe()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := in.Write(text); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(words)
			for waits := false; !waits && lines.Scan(); {
				waits = strings.Contains(lines.Text(), "the deploy lock is held by")
			}
			if tt.leave {
				_ = in.Close()
			}
			rest, _ := io.ReadAll(words) // until nobody of the session can write any more
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d; %s", code, tt.code, rest)
			}
			if left := bash(t, read(t, "lib/process.sh")+fmt.Sprintf(`for _ in {1..200}; do
				left=$(session %d); [[ -n $left ]] || break; sleep 0.05
			done; printf %%s "$left"`, cmd.Process.Pid)); left != "" {
				t.Errorf("still there: %s", left)
			}
			if text, err := os.ReadFile(held.Name()); err != nil || len(text) > 0 {
				t.Errorf("the lock's file says %q (%v)", text, err)
			}
		})
	}
}

// takeLock takes the deploy lock of a folder as a run does, lets go again, and returns what it was
// told.
func takeLock(t *testing.T, dir string, env ...string) string {
	t.Helper()
	text, err := Compose(Lock, Values{
		"app": "a", "path": dir, "ports": "8080 8081", "lock_token": "t-0", "step_id": "", "undo": "no",
		"lock_note": "ada", "lock_timeout": "5", "beat": "600", "resume": "no",
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", Command(Lock))
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	var words strings.Builder
	cmd.Stderr = &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(text); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for held := false; !held && lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		held = lines.Text() == "locked=yes"
	}
	_ = in.Close()
	// It may not have heard that it has the lock yet; then it ends as one whose run is gone.
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("lock: %v\n%s", err, words.String())
	}
	return said.String()
}

// What is in the deploy root is nobody else's on the host, on one that an earlier version has set
// up too.
func TestTheDeployRootIsClosedToOthers(t *testing.T) {
	reader := t.TempDir() // a grep that finds the deploy root in nginx's configuration
	program := "#!/bin/sh\n[ \"$1\" = -rsqF ]\n"
	// nolint:gosec // a program
	if err := os.WriteFile(filepath.Join(reader, "grep"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name         string
		before, want os.FileMode
		open         string
		env          []string
	}{
		{"a new one", 0, 0o700, "no", nil},
		{"one of an earlier version", 0o755, 0o750, "no", nil},
		{"one that everybody may write to", 0o777, 0o750, "no", nil},
		{"one that an administrator has closed", 0o700, 0o700, "no", nil},
		{"with a group of its own", 0o750 | os.ModeSetgid, 0o750 | os.ModeSetgid, "no", nil},
		{"nginx reads files of it", 0o755, 0o755, "yes", []string{"PATH=" + reader + ":" + os.Getenv("PATH")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "shop")
			if tt.before != 0 {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{".lock", ".lock.step", ".lock.leader", ".lock.holder"} {
					world(t, filepath.Join(dir, name))
				}
				if err := os.Chmod(dir, tt.before); err != nil {
					t.Fatal(err)
				}
			}
			if said := takeLock(t, dir, tt.env...); !strings.Contains(said, "\nopen="+tt.open+"\n") {
				t.Errorf("said %q, want open=%s", said, tt.open)
			}
			info, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if mode := info.Mode() &^ os.ModeDir; mode != tt.want {
				t.Errorf("the mode is %v, want %v", mode, tt.want)
			}
			if tt.before != 0o755 && tt.before != 0 {
				return
			}
			record(t, dir)
			names, err := filepath.Glob(filepath.Join(dir, ".lock*"))
			if err != nil || len(names) < 3 {
				t.Fatalf("%v, %v", names, err)
			}
			for _, name := range names {
				if info, err := os.Stat(name); err != nil || info.Mode()&0o077 != 0 {
					t.Errorf("others may open %s: %v, %v", name, info.Mode(), err)
				}
			}
		})
	}
}

// world makes a file that everybody may read, as earlier versions made their locks.
func world(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o644); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
}

// record runs a step under the lock that t-0 holds.
func record(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, ".lock.holder"), []byte("t-0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := Compose(Record, Values{
		"app": "a", "path": dir, "ports": "8080 8081", "lock_token": "t-0", "step_id": "", "undo": "no",
		"line": "{}", "history": "1", "gone_from": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin = strings.NewReader(string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("record: %v\n%s", err, out)
	}
}

// Whoever opened the step lock of an earlier version holds that file, and not the one by which
// steps go now.
func TestAnOldStepLockStopsNobody(t *testing.T) {
	dir := t.TempDir()
	world(t, filepath.Join(dir, ".lock.step"))
	old, err := os.Open(filepath.Join(dir, ".lock.step"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	if err := syscall.Flock(int(old.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	takeLock(t, dir)
	record(t, dir)
}

// The number of a step from before a reboot is somebody else's session now.
func TestALeaderFromBeforeARebootIsNotEnded(t *testing.T) {
	for _, tt := range []struct {
		name, leader string // with the number of a session, and when its leader began
		ended        bool
	}{
		{"this boot's", "PID START $(</proc/sys/kernel/random/boot_id)", true},
		{"another boot's", "PID START 00000000-0000-4000-8000-000000000000", false},
		{"one that is gone, of another boot", "PID 1 00000000-0000-4000-8000-000000000000", false},
		{"of an earlier version, which wrote no boot", "PID START", true},
		{"of an earlier version, and gone", "PID 1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			// The session's leader ends where the row is about one that is gone; a member goes on.
			cmd := exec.CommandContext(t.Context(), "bash", "-c", "tail -f /dev/null >/dev/null & echo $! $$; wait")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			out, _ := cmd.StdoutPipe()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var member, leader int
			if _, err := fmt.Fscan(bufio.NewReader(out), &member, &leader); err != nil {
				t.Fatal(err)
			}
			start := bash(t, read(t, "lib/process.sh")+fmt.Sprintf("starttime %d; printf %%s \"$began\"", leader))
			script := shared(t) + read(t, "lib/step.sh")
			line := strings.NewReplacer("PID", strconv.Itoa(leader), "START", start).Replace(tt.leader)
			gone := strings.Contains(tt.name, "gone")
			if gone {
				_ = syscall.Kill(leader, syscall.SIGKILL)
				_ = cmd.Wait()
			}
			bash(t, "app=a ports= path="+dir+"\n"+script+
				"\nprintf '%s\\n' \""+line+"\" >$path/.lock.leader\nend_cut_off 2>/dev/null")
			left := bash(t, read(t, "lib/process.sh")+fmt.Sprintf("session %d", leader))
			if ended := left == ""; ended != tt.ended {
				t.Errorf("left %q, want it ended: %v", left, tt.ended)
			}
			_ = syscall.Kill(member, syscall.SIGKILL)
			if !gone {
				_ = syscall.Kill(leader, syscall.SIGKILL)
				_ = cmd.Wait()
			}
		})
	}
}

// A link is nothing that an earlier run has made: it is not followed.
func TestALinkInThePlaceOfTheStepLockIsReplaced(t *testing.T) {
	dir, away := t.TempDir(), filepath.Join(t.TempDir(), "planted")
	if err := os.Symlink(away, filepath.Join(dir, ".lock.step")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	takeLock(t, dir)
	record(t, dir)
	if info, err := os.Lstat(filepath.Join(dir, ".lock.step")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Lstat(away); err == nil {
		t.Error("it was followed")
	}
}

// A step of a run that is gone may come to its end, and leave what it has found, at any moment: it
// is ended before anything of its run is taken away.
func TestAStepIsEndedBeforeItsResultsAreTakenAway(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".lock"), []byte("t-0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `mkdir "$0/.lock.steps" && echo $$
		for ((i = 0; ; i++)); do : >"$0/.lock.steps/$i"; done 2>/dev/null`, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	start := bash(t, read(t, "lib/process.sh")+fmt.Sprintf("starttime %d; printf %%s \"$began\"", cmd.Process.Pid))
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	leader := fmt.Sprintf("%d %s %s", cmd.Process.Pid, start, boot)
	if err := os.WriteFile(filepath.Join(dir, ".lock.leader"), []byte(leader), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := takeLock(t, dir); !strings.Contains(said, "locked=yes") {
		t.Errorf("the lock was not taken: %s", said)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".lock.steps", "[0-9]*")); err != nil || len(left) > 0 {
		t.Errorf("%d results are left, %v", len(left), err)
	}
}

// A run finds no results but its own, which it has none of yet; those of others go.
func TestResultsOfOtherRunsAreNobodys(t *testing.T) {
	for _, tt := range []struct {
		name, before string
	}{
		{"of runs that were cut off", "install -d -m 0700 .lock.steps"},
		{"where others may look", "install -d -m 0755 .lock.steps"},
		{"behind a link", "mkdir -m 0700 there; ln -s there .lock.steps"},
		{"a file", ": >.lock.steps"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			bash(t, "cd "+quote(dir)+"; : >.lock; printf 'x\\n' >.lock.holder; : >.lock.results; "+tt.before+
				"\nif [[ -d .lock.steps ]]; then touch .lock.steps/{7-a-1,t.7-a-1,u.7-a-1,tt.7-a-1,.t-3,.u-0}; fi")
			if said := takeLock(t, dir); !strings.Contains(said, "locked=yes") {
				t.Fatalf("the lock was not taken: %s", said)
			}
			out := bash(t, "cd "+quote(dir)+"; stat -c '%a %F' .lock.steps; ls -A .lock.steps .lock.results there 2>&1 || :")
			if !strings.HasPrefix(out, "700 directory\n") || !strings.Contains(out, "\n.t-0\n") ||
				strings.Contains(out, "-a-1") != strings.HasPrefix(tt.name, "behind") || strings.Contains(out, "\n.lock.results") {
				t.Errorf("there is %s", out)
			}
		})
	}
}

// What was sent along with what takes the lock begins once that is held, and not under another run's:
// soon it ends then, without a word, and the run asks again.
func TestWhatIsSentAlongWithTheLockWaitsForIt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin func(dir string)
		code  int
	}{
		{"it is held", func(dir string) { takeLock(t, dir) }, 0},
		{"it is taken meanwhile", func(dir string) {
			var lock sync.WaitGroup
			lock.Go(func() { takeLock(t, dir) })
			t.Cleanup(lock.Wait)
		}, 0},
		{"nobody takes it", func(string) {}, ExitLockBusy},
		{"another run has it", func(dir string) {
			takeLock(t, dir)
			marker := filepath.Join(dir, ".lock.steps", ".t-0")
			if err := os.Rename(marker, filepath.Join(dir, ".lock.steps", ".u-0")); err != nil {
				t.Fatal(err)
			}
		}, ExitLockBusy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.begin(dir)
			values, err := Assign(Check, Values{"app": "a", "path": dir, "lock_token": "t-0", "behind_lock": "yes"})
			if err != nil {
				t.Fatal(err)
			}
			exits, err := partText("exits")
			if err != nil {
				t.Fatal(err)
			}
			verb := string(values) + string(exits) + read(t, "lib/base.sh") + read(t, "lib/step.sh") +
				"await_lock; trap - EXIT; echo begun"
			cmd := bashCommand(t, verb)
			out, err := cmd.CombinedOutput()
			want := map[int]string{0: "begun\n"}[tt.code]
			if code := cmd.ProcessState.ExitCode(); code != tt.code || string(out) != want {
				t.Errorf("%v, status %d, want %d: %q, want %q", err, code, tt.code, out, want)
			}
		})
	}
}
