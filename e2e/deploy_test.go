package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

func TestFirstDeploymentAndTheNext(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			w.Cold = true
			first := w.Deploy(w.Commit(nil), nil)
			if first.Outputs["active-port"] != "8080" || first.Outputs["previous-port"] != "" {
				t.Errorf("outputs %v", first.Outputs)
			}
			w.Serves(first.Outputs["release"])
			w.UnderDenseLoad()

			second := w.Deploy(w.Commit(nil), nil)
			if second.Outputs["active-port"] != "8081" || second.Outputs["previous-port"] != "8080" ||
				second.Outputs["previous-release"] != first.Outputs["release"] || second.Outputs["switched-at"] == "" {
				t.Errorf("outputs %v", second.Outputs)
			}
			w.Serves(second.Outputs["release"])
			w.OneFlag("8081")
			if !strings.Contains(second.Log(), "venv reused") ||
				!strings.Contains(second.Log(), "renamed the flag, no reload") {
				t.Errorf("want the venv reused and no reload:\n%s", second.Log())
			}
			if out := w.Exec("ss -Hltn 'sport = :8080'"); out != "" {
				t.Errorf("the old version still listens: %s", out)
			}

			again := w.Run(w.Job(second.Outputs["release"], nil)) // not a commit: refused below
			world.Failed(t, again, "failed", "fetch: git could not fetch")
		})
	}
}

func TestSameCommitAgainChangesNothing(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	sha := w.Commit(nil)
	first := w.Deploy(sha, nil)
	w.UnderLoad()
	before := w.Exec("cat /proc/$(systemctl show -p MainPID --value shop@8080)/stat | cut -d' ' -f22; ls " +
		"/home/ubuntu/shop/releases")
	again := w.Run(w.Job(sha, nil))
	if again.ExitCode != 0 || again.Outputs["outcome"] != "unchanged" ||
		again.Outputs["release"] != first.Outputs["release"] || again.Outputs["active-port"] != "8080" {
		t.Errorf("exit code %d, outputs %v", again.ExitCode, again.Outputs)
	}
	if after := w.Exec("cat /proc/$(systemctl show -p MainPID --value shop@8080)/stat | cut -d' ' -f22; ls " +
		"/home/ubuntu/shop/releases"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	other := w.Deploy(sha, map[string]string{"start": "uvicorn controller.main:app --port $PORT --log-level warning"})
	if other.Outputs["active-port"] != "8081" {
		t.Errorf("the same commit started in another way is another release; outputs %v", other.Outputs)
	}
}

func TestRebootBringsBackTheActiveRelease(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			w.Deploy(w.Commit(nil), nil)
			second := w.Deploy(w.Commit(nil), nil)
			if err := w.Host.Restart(w.Ctx); err != nil {
				t.Fatal(err)
			}
			if err := w.Host.WaitReady(w.Ctx); err != nil {
				t.Fatal(err)
			}
			w.Exec("timeout 120 bash -c 'until curl -fs http://127.0.0.1/health; do sleep 0.2; done'")
			w.Serves(second.Outputs["release"])
			if out := w.Exec("ss -Hltn 'sport = :8080'"); out != "" {
				t.Errorf("the retired version came back with the reboot: %s", out)
			}
			w.Deploy(w.Commit(nil), nil)
		})
	}
}

func TestACrashedVersionIsStartedAgain(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	first := w.Deploy(w.Commit(nil), nil)
	w.Exec("systemctl kill -s KILL shop@8080; timeout 120 bash -c 'until curl -fs http://127.0.0.1/health; do sleep " +
		"0.1; done'")
	w.Serves(first.Outputs["release"])
}

func TestTheLogReadsLikeAReport(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	result := w.Deploy(w.Commit(nil), nil)
	for _, group := range result.Groups() {
		if !group.Closed {
			t.Errorf("group %q is not closed", group.Title)
		}
	}
	outside := strings.Join(result.Outside(), "\n")
	for _, step := range []string{
		"connect", "lock", "check", "detect", "order", "plan", "setup", "fetch", "build", "start", "health", "switch",
		"verify", "mark", "prune", "record", "unlock",
	} {
		if !strings.Contains(outside, "✓ "+step+": ") {
			t.Errorf("no line for step %s outside the groups:\n%s", step, outside)
		}
	}
	for _, c := range result.Commands() {
		if c.Name == "error" || c.Name == "warning" {
			t.Errorf("%s in the log of a good run: %s", c.Name, c.Data)
		}
	}
	if !strings.Contains(result.Summary, "### ✅ Deployed: ") ||
		!strings.Contains(result.Summary, result.Outputs["release"]) {
		t.Errorf("summary:\n%s", result.Summary)
	}
}

func TestRemoteOutputComesLiveAndDefused(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	build := `echo 'printed early'; ` +
		`printf 'progress\r::error::forged\n##[error]forged\n::set-output name=outcome::forged\n'
until [ -e /tmp/go-on ]; do sleep 0.05; done`
	running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil),
		map[string]string{"build": build, "start": "/usr/bin/python3 -m http.server $PORT", "health-path": "/"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := running.WaitLog(w.Ctx, "printed early"); err != nil {
		t.Fatal(err)
	}
	w.Exec("touch /tmp/go-on")
	result, err := running.Wait()
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("err %v\n%s", err, result.Log())
	}
	for _, c := range result.Commands("error", "set-output") {
		t.Errorf("the host forged a command: %+v", c)
	}
	if result.Outputs["outcome"] != "deployed" {
		t.Errorf("outcome %q", result.Outputs["outcome"])
	}
}

func TestAChattyShellDoesNotDisturb(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Exec(`printf 'echo Welcome to $(hostname)\necho port=1\n' | cat - /home/ubuntu/.bashrc >/tmp/rc && ` +
		`cp /tmp/rc /home/ubuntu/.bashrc`)
	w.Deploy(w.Commit(nil), nil)
}

func TestTheTokenRestsNowhere(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	result := w.Deploy(w.Commit(nil), nil)
	token := w.Git.Token()
	for _, place := range []string{"/home", "/etc", "/var", "/tmp", "/run/user", "/root"} {
		if out := w.Exec("grep -rlF -- " + token + " " + place + " 2>/dev/null || true"); out != "" {
			t.Errorf("the token lies in %s", out)
		}
	}
	if out := w.Exec("journalctl --no-pager 2>/dev/null | grep -cF -- " + token +
		" || true"); strings.TrimSpace(out) != "0" {
		t.Errorf("the token is in the journal %s times", out)
	}
	for _, line := range result.Lines {
		if line.Command == nil && strings.Contains(line.Text, token) {
			t.Errorf("the token is in the log: %s", line.Text)
		}
	}
}
