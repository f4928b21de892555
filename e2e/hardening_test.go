package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// confined is an application that says what it may do. It listens where LISTEN says.
const confined = `import http.server, json, os, resource, subprocess, sys, tempfile
def may(path):
    try:
        with open(path, "a") as f: f.write("")
        return True
    except OSError: return False
def facts():
    status = dict(l.split(":\t", 1) for l in open("/proc/self/status").read().splitlines() if ":\t" in l)
    with tempfile.NamedTemporaryFile() as f: temp = f.name.startswith("/tmp/")
    mode = os.stat("written").st_mode if may("written") else 0
    try:
        os.chmod("written", 0o4755); suid = True
    except OSError: suid = False
    return {"no_new_privs": status["NoNewPrivs"].strip(), "core": resource.getrlimit(resource.RLIMIT_CORE), ` +
	`"release": may("written"), "shared": may("uploads/file"),
        "temp": temp, "home": may(os.path.expanduser("~/note")), ` +
	`"their_tmp": os.path.exists("/tmp/of-the-host"), "suid": suid,
        "sudo": subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0, ` +
	`"child": subprocess.run(["/bin/echo"]).returncode == 0,
        "usr": os.access("/usr/share", os.W_OK) or not (os.statvfs("/usr").f_flag & os.ST_RDONLY), ` +
	`"etc": not (os.statvfs("/etc").f_flag & os.ST_RDONLY)}
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash": os.abort()
        body = json.dumps(facts()).encode() if self.path == "/facts" else b"ok"
        self.send_response(200); self.send_header("Content-Length", str(len(body))); ` +
	`self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer((os.environ.get("LISTEN", "127.0.0.1"), int(os.environ["PORT"])), H).serve_forever()
`

func TestTheUnitLetsAnApplicationDoWhatItNeeds(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Exec("touch /tmp/of-the-host")
	with := map[string]string{"start": "python3 app.py", "build": "true", "shared": "uploads"}
	result := w.Deploy(w.Commit(map[string]string{"app.py": confined}), with)
	if strings.Contains(result.Log(), "gets past nginx") {
		t.Errorf("a warning of an application that listens on 127.0.0.1:\n%s", result.Log())
	}
	got := map[string]any{}
	if err := json.Unmarshal([]byte(w.Exec("curl -fs http://127.0.0.1/facts")), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		// what it needs
		"no_new_privs": "1", "release": true, "shared": true, "temp": true, "home": true, "child": true,
		"their_tmp": false, "suid": false, "sudo": false, "usr": false, "etc": false, // what it needs not
	} {
		if got[name] != want {
			t.Errorf("%s: %v, want %v", name, got[name], want)
		}
	}
	if policy := w.Exec("systemctl show -p DevicePolicy -p DeviceAllow " +
		"shop@8080.service"); strings.TrimSpace(policy) != "DevicePolicy=auto\nDeviceAllow=" &&
		strings.TrimSpace(policy) != "DevicePolicy=auto" {
		t.Errorf("devices are taken away: %s", policy)
	}
	if core, err := json.Marshal(got["core"]); err != nil || string(core) != "[1,1]" {
		t.Errorf("core limit %s", core)
	}
	w.Exec("pattern=$(cat /proc/sys/kernel/core_pattern); curl -s http://127.0.0.1/crash; until curl -fs " +
		"http://127.0.0.1/health; do sleep 0.1; done; test -z \"$(find / -xdev -name 'core*' -newer " +
		"/tmp/of-the-host -size +20k -type f 2>/dev/null)\"")

	with["env"] = "LISTEN=0.0.0.0"
	open := w.Deploy(w.Commit(map[string]string{"app.py": confined}), with)
	world.Says(t, open, "::warning title=Port 8081 of "+w.Host.IP+"::the application listens on more than 127.0.0.1")
}
