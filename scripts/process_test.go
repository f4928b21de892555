package scripts

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhichPortsAreOpenToOthers(t *testing.T) {
	for _, tt := range []struct {
		address string
		want    string
	}{
		{"127.0.0.1:0", "no"},
		{"127.0.0.53:0", "no"},
		{"[::1]:0", "no"},
		{"0.0.0.0:0", "yes"},
		{"[::]:0", "yes"},
		{"", "no"}, // nothing listens
	} {
		t.Run(tt.address, func(t *testing.T) {
			port := "1"
			if tt.address != "" {
				l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", tt.address)
				if err != nil && strings.HasPrefix(tt.address, "[") {
					t.Skipf("no IPv6 here: %v", err)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				_, port, _ = net.SplitHostPort(l.Addr().String())
			}
			if got := bash(t, read(t, "lib/process.sh")+fmt.Sprintf("if open_to_others %s; then echo yes; else echo no; fi", port)); got != tt.want+"\n" {
				t.Errorf("open to others: %q, want %s", got, tt.want)
			}
		})
	}
}

// What the application has written last is what its developer looks for, not 40 lines of the health check's own requests.
func TestTheApplicationsLastLines(t *testing.T) {
	for _, tt := range []struct {
		name, log string
		offset    int
		want      []string // in this order
		not       string
	}{
		{"an access log", "boot\n" + strings.Repeat("127.0.0.1:4%d GET /healthy 404\n", 9) + "bye\n", 0, []string{"the application's last lines (", "| boot", "| 127.0.0.1:40 ", "| (7 more like it)\n", "| 127.0.0.1:46216 ", "| bye"}, ""},
		{"numbers that tell something", "exit code 0\nexit code 137\n", 0, []string{"| exit code 0\n", "| exit code 137\n"}, "more like it"},
		{"empty lines", "\n\n> shop@1.0 start\n", 0, []string{":\n  | \n  | \n  | > shop@1.0 start\n"}, "more like it"},
		{"long lines", strings.Repeat(strings.Repeat("x", 1<<20)+"\n", 8) + "the end\n", 0, []string{"| the end\n"}, strings.Repeat("x", 1<<19)},
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
			out := bash(t, "app=shop path="+path+"\n"+read(t, "lib/base.sh")+read(t, "lib/files.sh")+fmt.Sprintf("app_log 8081 %d 2>&1", tt.offset))
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
	if out := bash(t, read(t, "lib/process.sh")+read(t, "lib/inspect.sh")+"ports='65534 65535'\nspare_ports"); out != "" {
		t.Errorf("above the last port: %q", out)
	}
}

// A unit is another application's of this action only if this action wrote its template, and the unit is the port's instance of it.
func TestWhichApplicationAUnitIs(t *testing.T) {
	for unit, want := range map[string]string{
		"hello@8080.service": "hello", "hello@8081.service": "", "hello.service": "", "theirs@8080.service": "", "shop@8080.service": "", "": "",
	} {
		out := bash(t, read(t, "lib/inspect.sh")+`app=shop
grep() { case ${*: -1} in /etc/systemd/system/hello@.service | /etc/systemd/system/shop@.service) ;; *) return 1 ;; esac; }
app_of '`+unit+`' 8080`)
		if out != want {
			t.Errorf("unit %q is of %q, want %q", unit, out, want)
		}
	}
}
