package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// elsewhere is a machine without a runner: a folder with a checkout, and the program, which is the
// very one of the image.
type elsewhere struct {
	w              *world.World
	binary, folder string
	outputs        string   // the file that gets them
	known          string   // known_hosts
	flags          []string // of whatever is done
}

func newElsewhere(w *world.World) *elsewhere {
	w.T.Helper()
	dir := w.T.(*testing.T).TempDir()
	e := &elsewhere{w: w, binary: filepath.Join(dir, "deploy-action"), folder: filepath.Join(dir, "checkout")}
	docker := func(args ...string) string {
		out, err := exec.CommandContext(w.Ctx, "docker", args...).CombinedOutput()
		if err != nil {
			w.T.Fatalf("docker %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	image := docker("create", world.ActionImage())
	defer docker("rm", image)
	docker("cp", image+":/deploy-action", e.binary)
	if err := os.Mkdir(e.folder, 0o755); err != nil { //nolint:gosec // as git makes one
		w.T.Fatal(err)
	}
	e.outputs, e.known = filepath.Join(dir, "outputs.env"), filepath.Join(dir, "known_hosts")
	writeFile(w.T, e.known, w.Host.KnownHosts())
	e.flags = []string{"--host=" + w.Host.IP, "--app=shop", "--repository=acme/shop", "--health-path=/"}
	return e
}

// deploys what is in the checkout, without any variable of the runner's, and interrupts the program
// once the log has a line.
func (e *elsewhere) deploys(interruptAt string, more ...string) (log, outputs string) {
	e.w.T.Helper()
	flags := slices.Concat(e.flags, []string{
		"--source=workspace", "--known-hosts-file=" + e.known, "--output", e.outputs, "--watch-for=0s",
		"--start=exec python3 -m http.server --bind 127.0.0.1 $PORT",
	}, more)
	cmd := exec.CommandContext(e.w.Ctx, e.binary, flags...) //nolint:gosec // it was built here
	cmd.Dir = e.folder
	cmd.Env = []string{"DEPLOY_KEY=" + world.Shared.Key.Private}
	out, err := cmd.StdoutPipe()
	if err != nil {
		e.w.T.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		e.w.T.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		log += lines.Text() + "\n"
		if lines.Text() == interruptAt {
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				e.w.T.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		e.w.T.Fatalf("%v\n%s", err, log)
	}
	for _, command := range []string{"::", "\x1b[3"} {
		if strings.Contains(log, command) {
			e.w.T.Errorf("%q in the log of a machine without a runner:\n%s", command, log)
		}
	}
	text, err := os.ReadFile(e.outputs)
	if err != nil {
		e.w.T.Fatal(err)
	}
	return log, string(text)
}

// Without GitHub the same program deploys, by flags and variables, as a command of a machine and as
// an image. What is left when somebody ends it is tidied up before it has ended: there is no post
// step.
func TestWithoutGitHub(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	e := newElsewhere(w)
	page := filepath.Join(e.folder, "index.html")
	serves := func(text, port string) {
		t.Helper()
		if out := w.Exec("curl -fsS http://127.0.0.1/"); out != text {
			t.Errorf("the site has %q, want %q", out, text)
		}
		w.OneFlag(port)
		if out := w.Exec("systemctl list-units --plain --no-legend 'shop@*' | " +
			"cut -d' ' -f1"); out != "shop@"+port+".service" {
			t.Errorf("running units: %s", out)
		}
	}
	writeFile(t, page, "one")
	log, outputs := e.deploys("", "--ref="+strings.Repeat("1", 40))
	if !strings.HasPrefix(outputs, "DEPLOYED_OUTCOME=deployed\nDEPLOYED_ACTIVE_PORT=8080\n") ||
		!strings.Contains(log, "\nfrom the environment: DEPLOY_KEY\n") {
		t.Errorf("outputs:\n%s\nlog:\n%s", outputs, log)
	}
	serves("one", "8080")

	writeFile(t, page, "two")
	log, outputs = e.deploys("Running after-switch", "--ref="+strings.Repeat("2", 40), "--after-switch=sleep 60")
	if !strings.HasPrefix(outputs, "DEPLOYED_OUTCOME=deployed\nDEPLOYED_ACTIVE_PORT=8081\n") ||
		!strings.Contains(log, "warning: Left to the end of this run\n") || !strings.Contains(log, " on port 8081 serves\n") {
		t.Errorf("outputs:\n%s\nlog:\n%s", outputs, log)
	}
	serves("two", "8081")

	args := append([]string{
		"run", "--rm", "--network", world.Shared.Lab.Network(), "-e", "DEPLOY_KEY", "-e", "DEPLOY_KNOWN_HOSTS", "-v",
		e.folder + ":/work", "-w", "/work", world.ActionImage(), "--operation=status", "--ref=main",
	}, e.flags...)
	cmd := exec.CommandContext(w.Ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DEPLOY_KEY="+world.Shared.Key.Private, "DEPLOY_KNOWN_HOSTS="+w.Host.KnownHosts())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\nfrom the environment: DEPLOY_KEY, DEPLOY_KNOWN_HOSTS\n") ||
		!strings.Contains(string(out), "\nDEPLOYED_OUTCOME=unchanged\n") {
		t.Errorf("%v\n%s", err, out)
	}
}
