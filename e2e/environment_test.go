package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// printer is an application that shows its environment and what lies in its folder.
const printer = `import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"".join(k.encode() + b"=" + os.fsencode(v) + b"\0" for k, v in sorted(os.environ.items())) ` +
	`if self.path == "/env" else b"ok"
        self.send_response(200); self.send_header("Content-Length", str(len(body))); ` +
	`self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
`

func TestEnvironmentArrivesByteForByte(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			values := map[string]string{
				"QUOTES": `"a" 'b' \`, "SIGNS": "$HOME ${PATH} %i %% `id` $(id) !x", "BLANKS": "  a  b\t",
				"UTF8": "é漢字 🙂", "EMPTY": "", "LINES": "one\n  two=2\n\nthree",
			}
			var env strings.Builder
			for name, value := range values {
				if strings.Contains(value, "\n") {
					env.WriteString(name + "<<END\n" + value + "\nEND\n")
				} else {
					env.WriteString(name + "=" + value + "\n")
				}
			}
			env.WriteString("LAST=1")
			result := w.Deploy(w.Commit(map[string]string{"app.py": printer}), map[string]string{
				"env": env.String(), "start": "python3 app.py", "build": "test -z \"${QUOTES-}\"",
				"before-start": `test "$EMPTY" = "" && test "$UTF8" = 'é漢字 🙂' && echo "before on $PORT"`,
				"after-switch": "exit 5",
			})
			got := map[string]string{}
			for _, pair := range strings.Split(w.Exec("curl -fs http://127.0.0.1/env | tr '\\0\\n' '\\n\\001'"), "\n") {
				name, value, _ := strings.Cut(pair, "=")
				got[name] = strings.ReplaceAll(value, "\x01", "\n")
			}
			for name, value := range values {
				if got[name] != value {
					t.Errorf("%s = %q, want %q", name, got[name], value)
				}
			}
			if got["PORT"] != "8080" || got["RELEASE"] != result.Outputs["release"] {
				t.Errorf("PORT %q, RELEASE %q", got["PORT"], got["RELEASE"])
			}
			if !strings.Contains(result.Log(), "before on 8080") ||
				!strings.Contains(result.Log(), "after-switch\" exited with status 5") {
				t.Errorf("hooks:\n%s", result.Log())
			}
			if out := w.Exec("stat -c '%a %U' " +
				"/home/ubuntu/shop/releases/*/.deploy-action/environment"); strings.TrimSpace(out) != "600 ubuntu" {
				t.Errorf("environment file: %s", out)
			}
			refused := w.Run(w.Job(w.Commit(map[string]string{"app.py": printer}),
				map[string]string{
					"start":        "python3 app.py",
					"before-start": "echo migrating; echo 'no such table' >&2; exit 4",
				}))
			world.Failed(t, refused, "failed", `before-start: the command of input "before-start" exited with status 4`,
				"no such table", "site: unchanged")
			w.OneFlag("8080")
		})
	}
}

func TestSharedPathsSurviveReleases(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	with := map[string]string{"shared": "uploads, data/app.db, ai_models"}
	w.Deploy(w.Commit(map[string]string{"uploads/first.txt": "from the first release", "ai_models/README": "models"}),
		with)
	w.Exec("cd /home/ubuntu/shop/slots/8080 && runuser -u ubuntu -- sh -c 'echo user >uploads/user.txt; echo rows " +
		">data/app.db'")
	w.UnderLoad()
	w.Deploy(w.Commit(map[string]string{"uploads/second.txt": "from the second release"}), with)
	out := w.Exec("cd /home/ubuntu/shop/slots/8081 && cat uploads/first.txt uploads/user.txt data/app.db " +
		"ai_models/README; ls uploads; readlink uploads")
	if want := "from the first releaseuser\nrows\nmodels" +
		"first.txt\nuser.txt\n/home/ubuntu/shop/shared/uploads"; strings.TrimSpace(out) != want {
		t.Errorf("shared: %q, want %q", out, want)
	}
	evil := w.Run(w.Job(w.Commit(map[string]string{"data": "a file where a folder is wanted"}), with))
	if evil.ExitCode == 0 {
		t.Error("a file in the way of a shared path was accepted")
	}
	w.OneFlag("8081")
}
