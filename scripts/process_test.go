package scripts

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestWhichPortsAreOpenToOthers(t *testing.T) {
	for _, tt := range []struct {
		address string
		want    string
	}{
		{"127.0.0.1", "no"},
		{"127.0.0.53", "no"},
		{"[::1]", "no"},
		{"0.0.0.0", "yes"},
		{"[::]", "yes"},
		{"", "no"}, // nothing listens
	} {
		t.Run(tt.address, func(t *testing.T) {
			port := "1"
			if tt.address != "" { // another process may listen at a port that Linux gives, at another address
				port = fmt.Sprint(spare(t))
				l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", tt.address+":"+port)
				if err != nil && strings.HasPrefix(tt.address, "[") {
					t.Skipf("no IPv6 here: %v", err)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
			}
			if got := bash(t, read(t, "lib/process.sh")+fmt.Sprintf("if open_to_others %s; then echo yes; else echo "+
				"no; fi", port)); got != tt.want+"\n" {
				t.Errorf("open to others: %q, want %s", got, tt.want)
			}
		})
	}
}

// What the application has written last is what its developer looks for, not 40 lines of the health
// check's own requests.
func TestTheApplicationsLastLines(t *testing.T) {
	for _, tt := range []struct {
		name, log string
		offset    int
		want      []string // in this order
		not       string
	}{
		{
			"an access log", "boot\n" + strings.Repeat("127.0.0.1:4%d GET /healthy 404\n", 9) + "bye\n", 0,
			[]string{
				"the application's last lines (", "| boot", "| 127.0.0.1:40 ", "| (7 more like it)\n",
				"| 127.0.0.1:46216 ", "| bye",
			},
			"",
		},
		{
			"numbers that tell something", "exit code 0\nexit code 137\n", 0,
			[]string{"| exit code 0\n", "| exit code 137\n"},
			"more like it",
		},
		{"empty lines", "\n\n> shop@1.0 start\n", 0, []string{":\n  | \n  | \n  | > shop@1.0 start\n"}, "more like it"},
		{
			"long lines", strings.Repeat(strings.Repeat("x", 1<<20)+"\n", 8) + "the end\n", 0,
			[]string{"| the end\n"},
			strings.Repeat("x", 1<<19),
		},
		{
			"a line that is cut", "key=" + strings.Repeat("s", 1<<18) + "ecret\nthe end\n", 0, []string{"| the end\n"}, "ecret",
		},
		{"cut short since the start", "anew\n", 700, []string{"last lines", "| anew"}, "nothing"},
		{"only since the start", "before\nafter\n", 7, []string{"last lines", "| after"}, "before"},
		{"nothing since the start", "before\n", 7, []string{"has written nothing to its log ("}, "before"},
		{"no log", "", 0, []string{"has written nothing to its log ("}, "last lines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := t.TempDir()
			if err := os.Mkdir(filepath.Join(path, "logs"), 0o755); err != nil {
				t.Fatal(err)
			}
			text := tt.log
			for n := 0; strings.Contains(text, "%d"); n++ {
				text = strings.Replace(text, "%d", fmt.Sprint(n*777), 1)
			}
			if err := os.WriteFile(filepath.Join(path, "logs", "8081.log"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out := bash(t, "app=shop path="+path+"\n"+read(t, "lib/base.sh")+read(t,
				"lib/files.sh")+fmt.Sprintf("app_log 8081 %d 2>&1", tt.offset))
			rest := out
			for _, want := range tt.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("%q is not there, or not in its place:\n%s", want, out)
				}
				rest = after
			}
			if tt.not != "" && strings.Contains(out, tt.not) {
				t.Errorf("%q is there:\n%s", tt.not, out)
			}
		})
	}
}

// Two ports to move to are such as nobody has.
func TestSparePortsAreFree(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := l.Addr().(*net.TCPAddr).Port // of the range that Linux gives out, which ends well before the last port
	for _, pair := range []string{fmt.Sprintf("%d %d", taken-1, taken-2), fmt.Sprintf("%d %d", taken-3, taken-2)} {
		out := bash(t, read(t, "lib/process.sh")+read(t, "lib/inspect.sh")+"ports='"+pair+"'\nspare_ports")
		var a, b int
		if _, err := fmt.Sscanf(out, "%d,%d", &a, &b); err != nil || a <= taken || b != a+1 {
			t.Errorf("for %s, with port %d taken: %q", pair, taken, out)
		}
	}
	if out := bash(t,
		read(t, "lib/process.sh")+read(t, "lib/inspect.sh")+"ports='65534 65535'\nspare_ports"); out != "" {
		t.Errorf("above the last port: %q", out)
	}
}

// A unit is another application's of this action only if this action wrote its template, and the
// unit is the port's instance of it.
func TestWhichApplicationAUnitIs(t *testing.T) {
	for unit, want := range map[string]string{
		"hello@8080.service": "hello", "hello@8081.service": "", "hello.service": "", "theirs@8080.service": "",
		"shop@8080.service": "", "": "",
	} {
		out := bash(t, read(t, "lib/inspect.sh")+`app=shop
written_by_us() { case $1 in /etc/systemd/system/hello@.service | /etc/systemd/system/shop@.service) ;; `+
			`*) return 1 ;; esac; }
app_of '`+unit+`' 8080`)
		if out != want {
			t.Errorf("unit %q is of %q, want %q", unit, out, want)
		}
	}
}

// A process is a slot's by the unit's own control group, not by a name in it, which a user's own
// manager may give to anything.
func TestWhichProcessesAreAUnits(t *testing.T) {
	const unit = "/system.slice/system-shop.slice/shop@8081.service"
	const users = "/user.slice/user-1001.slice/user@1001.service"
	pids := func(t *testing.T, uid, line string) string {
		t.Helper()
		return bash(t, read(t, "lib/process.sh")+fmt.Sprintf("pids=() group=%s user_id=%s\n", unit, uid)+
			fmt.Sprintf("said_in_group <<<\"/proc/$$/cgroup:\"%s; echo \"${pids[*]}\"", quote(line)))
	}
	for _, tt := range []struct {
		name, line string
		mine       bool
	}{
		{"the unit's", "0::" + unit, true},
		{"below it", "0::" + unit + "/workers", true},
		{"of version 1", "1:name=systemd:" + unit, true},
		{"a user's own unit of that name", "0::" + users + "/app.slice/app-shop.slice/shop@8081.service", false},
		{"with the whole path in it", "0::" + users + unit, false},
		{"a longer name", "0::" + unit + "x", false},
		{"a folder up", "0::/system.slice/system-shop.slice", false},
		{"a colon in the name", "0::/user.slice/x:" + unit, false},
		{"of another hierarchy", "4:memory:" + unit, false},
		{"with a name of its own making", "7:name=mine:" + unit, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := pids(t, "$EUID", tt.line)
			if mine := strings.TrimSpace(out) != ""; mine != tt.mine {
				t.Errorf("pids %q, want mine: %v", out, tt.mine)
			}
		})
	}
	if out := pids(t, "$((EUID + 1))", "0::"+unit); out != "\n" {
		t.Errorf("another user's process in the group: %q", out)
	}
}

// The group is what systemd says, with the backslash that it writes for a hyphen.
func TestTheGroupOfAUnit(t *testing.T) {
	const group = `/system.slice/system-a\x2db.slice/a-b@8080.service`
	for _, tt := range []struct{ name, said, want string }{
		{"running", "ControlGroup=" + group + `\nUser=root`, "0 " + group + "\n"},
		{"a number", `ControlGroup=/x\nUser=0`, "0 /x\n"},
		{"no user", `ControlGroup=/x\nUser=`, "0 /x\n"},
		{"stopped", `ControlGroup=\nUser=root`, "none\n"},
		{"a user who is gone", `ControlGroup=/x\nUser=nobody-at-all`, "none\n"},
		{"systemd does not answer", ``, "none\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := bash(t, "app=a-b ports=\n"+shared(t)+fmt.Sprintf(`
				systemctl() { printf '%%s\n' %s; }
				if unit_group 8080; then printf '%%s %%s\n' "$user_id" "$group"; else echo none; fi`,
				strings.ReplaceAll(quote(tt.said), `\n`, "' '")))
			if out != tt.want {
				t.Errorf("%q, want %q", out, tt.want)
			}
		})
	}
}

// shared is what finds out whose a process is, with what it needs.
func shared(t *testing.T) string {
	t.Helper()
	return read(t, "lib/base.sh") + read(t, "lib/root.sh") + read(t, "lib/process.sh") + read(t, "lib/container.sh")
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// What is sent to 127.0.0.1 goes to the sockets bound to it, else to those for any address; all of
// them must be the slot's.
func TestWhoTakesThePort(t *testing.T) {
	for _, tt := range []struct {
		name         string
		ours, theirs []string
		want         string
	}{
		{"ours", []string{"127.0.0.1"}, nil, "ours"},
		{"ours for any address", []string{"0.0.0.0"}, nil, "ours"},
		{"ours for both families", []string{"[::]"}, nil, "ours"},
		{"theirs", nil, []string{"127.0.0.1"}, "foreign"},
		{"theirs on another address", nil, []string{"127.0.0.2"}, "foreign"},
		{"theirs in front of ours", []string{"[::1]"}, []string{"127.0.0.1"}, "foreign"},
		{"theirs on another address, beside ours", []string{"127.0.0.1"}, []string{"127.0.0.2"}, "ours"},
		{"ours on an address that nginx does not ask", []string{"[::1]"}, nil, "ours"},
		{"nobody's", nil, nil, "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port := spare(t)
			mine := "$$" // a process that holds none of the sockets
			if len(tt.ours) > 0 {
				mine = holder(t, tt.ours, port)
			}
			holder(t, tt.theirs, port)
			out := bash(t, "app=a ports= path=/none\n"+shared(t)+
				fmt.Sprintf("has_systemd() { false; }\nmembers() { pids=(%s); }\nlistener %d; echo $owner", mine, port))
			if out != tt.want+"\n" {
				t.Errorf("%q, want %s", out, tt.want)
			}
		})
	}
}

// spare returns a port that nobody has, and that Linux gives to nobody who asks for any: those end
// at 60999.
func spare(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 61000 + rand.IntN(4000)
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free from 61000 on")
	return 0
}

// holder listens with a process of its own until the test ends, and returns its pid.
func holder(t *testing.T, addresses []string, port int) string {
	t.Helper()
	if len(addresses) == 0 {
		return ""
	}
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{"-c", `import socket, sys
held = []
for at in sys.argv[2:]:
    six = at.startswith("[")
    s = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
    s.bind((at.strip("[]"), int(sys.argv[1]))); s.listen(); held.append(s)
print("listens", flush=True)
sys.stdin.read()`, strconv.Itoa(port)}, addresses...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var words bytes.Buffer
	cmd.Stderr = &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "listens\n" {
		_ = in.Close()
		_ = cmd.Wait()
		t.Fatalf("it does not listen: %s", words.String())
	}
	return strconv.Itoa(cmd.Process.Pid)
}

// A foreign process is named by number, user and program. What else is on its command line may be a
// password.
func TestAForeignProcessIsNamedWithoutItsCommandLine(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	comm := strings.TrimSpace(read(t, "/proc/self/comm"))
	out := bash(t, "app=a ports= path=/none\n"+shared(t)+
		fmt.Sprintf("who_has %d", l.Addr().(*net.TCPAddr).Port))
	if want := fmt.Sprintf("pid %d, user root, program %s", os.Getpid(), comm); os.Getuid() == 0 && out != want {
		t.Errorf("%q, want %q", out, want)
	}
	if !strings.Contains(out, "program "+comm) || strings.Contains(out, "-test.") {
		t.Errorf("%q", out)
	}
	if out := bash(t, "app=a ports= path=/none\n"+shared(t)+"who_has 1"); out != "" {
		t.Errorf("of a port on which nothing listens: %q", out)
	}
}
