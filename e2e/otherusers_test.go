package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
	"github.com/clothesme/deploy-action/internal/attack"
)

// mallory may log in to the host, and is nobody there.
type mallory struct {
	w     *world.World
	table *attack.Table
	area  string
	path  string // the deploy root
	unit  bool   // there is systemd, and she has a manager of her own
}

// answering is what she would have visitors and the health check get. Its argument is a password
// that no log may have.
const answering = `import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "7"); ` +
	`self.send_header("X-Deploy-Action-Upstream", "127.0.0.1:" + sys.argv[1])
        self.end_headers(); self.wfile.write(b"mallory")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
`

// Other users of the host, on hosts whose homes are open and closed, with the application in the
// home and elsewhere, with and without systemd: what they read, hold, take and write.
func TestAttacksOfOtherUsersOfTheHost(t *testing.T) {
	t.Parallel()
	hosts := []struct {
		home, path string
		options    lab.HostOptions
	}{
		{"0755", "/home/ubuntu/shop", lab.HostOptions{}},
		{"0750", "/srv/shop", lab.HostOptions{}},
		{"0755", "/srv/shop", lab.HostOptions{NoSystemd: true}},
		{"0750", "/home/ubuntu/shop", lab.HostOptions{NoSystemd: true}},
	}
	tables := make([]*attack.Table, len(hosts))
	t.Run("hosts", func(t *testing.T) {
		for i, host := range hosts {
			area := "home " + host.home + ", " + host.path + ", systemd"
			if host.options.NoSystemd {
				area = "home " + host.home + ", " + host.path + ", no systemd"
			}
			tables[i] = &attack.Table{}
			t.Run(strings.ReplaceAll(area, "/", " "), func(t *testing.T) {
				w := world.New(t, host.options)
				w.Exec("useradd -m -s /bin/bash mallory && chmod " + host.home + " /home/ubuntu")
				write(t, w, "/home/mallory/answering.py", answering)
				m := &mallory{w: w, table: tables[i], area: area, path: host.path, unit: !host.options.NoSystemd}
				if m.unit {
					w.Exec("systemctl start user@$(id -u mallory).service")
				}
				m.attack(t)
			})
		}
	})
	all := &attack.Table{Section: "other users of the host"}
	for _, table := range tables {
		all.Add(table)
	}
	all.Check(t, "../docs/attacks.md", *update)
}

func write(t *testing.T, w *world.World, file, text string) {
	t.Helper()
	if err := w.Host.WriteFile(w.Ctx, file, 0o644, "mallory", text); err != nil {
		t.Fatal(err)
	}
}

// does runs a script as mallory.
func (m *mallory) does(script string) string {
	return m.w.Exec("cd /; runuser -u mallory -- bash -c " + quoted("export XDG_RUNTIME_DIR=/run/user/$UID; "+script) +
		" 2>&1 </dev/null || true")
}

// listens has her answer on a port once a command succeeds; stops is the way to end that. With
// systemd a unit of her own has the name of the application's.
func (m *mallory) listens(port, when string) (stops func()) {
	if m.unit {
		m.does(`mkdir -p ~/.config/systemd/user; ` +
			`printf '[Service]\nExecStart=/usr/bin/python3 /home/mallory/answering.py %%i --password=hunter2-hunter2\n' ` +
			`>~/.config/systemd/user/shop@.service; systemctl --user daemon-reload`)
		m.does("setsid bash -c " + quoted("until "+when+"; do sleep 0.05; done; systemctl --user start shop@"+port) +
			" >/dev/null 2>&1 &")
		return func() { m.does("systemctl --user stop shop@" + port) }
	}
	m.does("setsid bash -c " +
		quoted("until "+when+"; do sleep 0.05; done; "+
			"exec python3 /home/mallory/answering.py "+port+" --password=hunter2-hunter2") +
		" >/dev/null 2>&1 & echo $! >/tmp/mallory.pid")
	return func() { m.w.Exec("kill $(cat /tmp/mallory.pid) 2>/dev/null; rm -f /tmp/mallory.pid") }
}

func (m *mallory) tries(t *testing.T, name string, attempt func(t *testing.T) string) {
	t.Helper()
	m.table.Try(t, m.area, name, func(t *testing.T) string {
		t.Helper()
		w := m.w
		m.w = w.In(t)
		defer func() { m.w = w }()
		return attempt(t)
	})
}

func (m *mallory) deploy(with map[string]string) *lab.Result {
	return m.w.Deploy(m.w.Commit(nil), m.with(with))
}

func (m *mallory) with(with map[string]string) map[string]string {
	all := map[string]string{"path": m.path, "keep-releases": "2", "env": "PIN=271828"}
	for name, value := range with {
		all[name] = value
	}
	return all
}

func (m *mallory) attack(t *testing.T) {
	t.Helper()
	first := m.deploy(nil).Outputs["release"]
	own := m.path + "/releases/" + first + "/.deploy-action"
	for _, what := range []struct{ name, file string }{
		{"the code of a release", m.path + "/slots/8080/controller/main.py"},
		{"the application's log", m.path + "/logs/8080.log"},
		{"the history", m.path + "/deploys.jsonl"},
		{"the mirror of the repository", m.path + "/repo.git/HEAD"},
		{"the environment of a release", own + "/environment"},
		{"how a release was made, to find values of env by trying", own + "/recipe"},
		{"the key by which that is told", m.path + "/.recipe-key"},
	} {
		m.tries(t, "reads "+what.name, func(t *testing.T) string {
			t.Helper()
			m.w.Exec("test -e " + what.file)
			if out := m.does("cat -- " + what.file); !strings.Contains(out, "Permission denied") {
				t.Errorf("she reads %q", out)
			}
			return "permission denied"
		})
	}
	for _, lock := range []struct{ name, file string }{
		{"the deploy lock", ".lock"},
		{"the lock of steps, so that nothing is taken back", ".lock.step"},
	} {
		m.tries(t, "holds "+lock.name, func(t *testing.T) string {
			t.Helper()
			m.w.Exec("test -e " + m.path + "/" + lock.file)
			if out := m.does("flock -n " + m.path + "/" + lock.file + " echo held"); !strings.Contains(out,
				"Permission denied") {
				t.Errorf("%q", out)
			}
			return "permission denied"
		})
	}
	m.tries(t, "writes a flag, so that nginx asks her port", func(t *testing.T) string {
		t.Helper()
		flags := "/var/lib/deploy-action/shop/active"
		if out := m.does("touch " + flags + "/8081; mv " + flags + "/8080 " + flags + "/8081; ln -s " + flags +
			"/8080 " + flags + "/x"); strings.Count(out, "denied") != 3 {
			t.Errorf("%q", out)
		}
		m.w.OneFlag("8080")
		return "permission denied"
	})
	m.squats(t)
	m.wasThereBefore(t, first)
	m.tries(t, "takes the port that the old version has left", func(t *testing.T) string {
		t.Helper()
		idle := "8081"
		if m.w.Exec("ls /var/lib/deploy-action/shop/active") == "8081" {
			idle = "8080"
		}
		stop := m.listens(idle, "true")
		m.w.Exec(waitFor(idle))
		for range 20 {
			if out := m.w.Exec("curl -s http://127.0.0.1/version; " +
				"curl -s -d x http://127.0.0.1/echo"); strings.Contains(out, "mallory") {
				t.Fatalf("visitors get %q", out)
			}
		}
		stop()
		return "visitors get the application"
	})
}

func waitFor(port string) string {
	return "timeout 120 bash -c 'until ss -Hltn sport = :" + port + " | grep -q .; do sleep 0.05; done'"
}

// squats: the idle port, before a run and while the new version boots.
func (m *mallory) squats(t *testing.T) {
	t.Helper()
	named := regexp.MustCompile(`\(pid [0-9]+, user mallory, program python3\)`)
	check := func(t *testing.T, result *lab.Result) {
		t.Helper()
		if !named.MatchString(result.Log()) || strings.Contains(result.Log(), "hunter2") {
			t.Errorf("she is not named, or all of her command line is:\n%s", result.Log())
		}
	}
	m.tries(t, "takes the idle port before a run", func(t *testing.T) string {
		t.Helper()
		stop := m.listens("8081", "true")
		m.w.Exec(waitFor("8081"))
		result := m.w.Run(m.w.Job(m.w.Commit(nil), m.with(nil)))
		world.Failed(t, result, "failed", "detect: port 8081 is held by a process that is not this action's",
			"site: unchanged")
		check(t, result)
		stop()
		return "refused: she is named by pid, user and program; the site is unchanged"
	})
	m.tries(t, "takes it while the new version boots, and answers the health check", func(t *testing.T) string {
		t.Helper()
		stop := m.listens("8081", "pgrep -f \"[u]ntil ss -Hltn\" >/dev/null")
		late := map[string]string{"start": "until ss -Hltn \"sport = :$PORT\" | grep -q .; do sleep 0.1; done; " +
			"exec sleep 600"} // an application that would end at the port might be noticed by that
		result := m.w.Run(m.w.Job(m.w.Commit(nil), m.with(late)))
		world.Failed(t, result, "failed", "health: port 8081 is held by a process that does not belong to this release",
			"site: unchanged")
		check(t, result)
		stop()
		return "refused: she is named by pid, user and program; the site is unchanged"
	})
}

// wasThereBefore: she has been at a host that an earlier version set up, and has the locks and a
// command line from then.
func (m *mallory) wasThereBefore(t *testing.T, first string) {
	t.Helper()
	m.w.Exec(fmt.Sprintf("cd %s && chmod 0755 . && chmod 0644 .lock .lock.step .lock.holder 2>/dev/null; true", m.path))
	m.does("setsid flock " + m.path + "/.lock.step sleep 999 >/dev/null 2>&1 & setsid flock " + m.path +
		"/.lock sleep 997 >/dev/null 2>&1 & " +
		"[ ! -x " + m.path + " ] || timeout 60 bash -c 'until pgrep -f [s]leep.999 && pgrep -f [s]leep.997; do " +
		"sleep 0.05; done'")
	m.does("setsid bash -c " + quoted("exec -a "+m.path+"/releases/"+first+"/app sleep 998") +
		" >/dev/null 2>&1 & sleep 0.1")
	m.w.Exec(`setsid bash -c 'until [ -e /run/enough ]; do ls -A /tmp /var/tmp; sleep 0.05; done ` +
		`>/run/seen' >/dev/null 2>&1 </dev/null & true`)
	m.tries(t, "holds both locks of an earlier version since", func(t *testing.T) string {
		t.Helper()
		if strings.Contains(m.does("ls -d "+m.path), "Permission denied") { // by the home above it, as it always was
			m.deploy(nil)
			return "she has never had it open: the home is closed"
		}
		m.w.Exec("pgrep -f '[s]leep 999' && pgrep -f '[s]leep 997'")
		m.deploy(nil)
		if out := m.w.Exec("stat -c %a " + m.path + " " + m.path + "/.lock " + m.path +
			"/.lock.step"); out != "750\n600\n600" {
			t.Errorf("modes %q", out)
		}
		return "deployed: the locks are other files now, and the folder is closed"
	})
	m.tries(t, "has the name of a release on her command line, so that the disk fills", func(t *testing.T) string {
		t.Helper()
		m.deploy(nil)
		m.deploy(nil)
		m.w.Exec("pgrep -f '[s]leep 998\\|releases/" + first +
			"' >/dev/null || pgrep -x app >/dev/null || ps axo args | grep -q '[r]eleases/" + first + "/app'")
		if out := m.w.Exec("ls " + m.path + "/releases"); strings.Contains(out, first) {
			t.Errorf("it is still there:\n%s", out)
		}
		return "deleted: only the user's own processes keep one"
	})
	m.tries(t, "waits in /tmp for a name that she can foresee", func(t *testing.T) string {
		t.Helper()
		usual := `^(/tmp:|/var/tmp:|systemd-private-.*|pip-.*|tmp[a-z0-9_]{8}|mallory\.pid|\..*-unix|snap.*|)$`
		if out := m.w.Exec("touch /run/enough; sort -u /run/seen | grep -vE '" + usual + "' || true"); out != "" {
			t.Errorf("in /tmp there were\n%s", out)
		}
		return "none is made there"
	})
}
