package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

func TestRollbackPassesOverWhatNeverServed(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			first := w.Deploy(w.Commit(nil), nil).Outputs
			w.UnderLoad()
			second := w.Deploy(w.Commit(nil), nil).Outputs
			broken := w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "exit-at-boot"}), nil))
			world.Failed(t, broken, "failed", "health: ")

			back := w.Run(w.Job(w.Commit(nil), map[string]string{
				"operation":    "rollback",
				"before-start": "echo 'no such revision' >&2; exit 4",
			}))
			if back.ExitCode != 0 || back.Outputs["outcome"] != "rolled-back" ||
				back.Outputs["release"] != first["release"] || back.Outputs["previous-release"] != second["release"] {
				t.Fatalf("outputs %v\n%s", back.Outputs, back.Log())
			}
			w.Serves(first["release"])
			if !strings.Contains(back.Log(), "✓ choose: "+first["release"]) ||
				strings.Contains(back.Log(), "Building") {
				t.Errorf("log:\n%s", back.Log())
			}
			h := measured(t, back)
			t.Logf("rollback live after %d ms, of which the application's own boot %d ms", h.Live, h.Boot)

			forth := w.Run(w.Job(w.Commit(nil), map[string]string{
				"operation": "rollback",
				"release":   second["release"],
			}))
			if forth.ExitCode != 0 || forth.Outputs["outcome"] != "rolled-back" {
				t.Fatalf("outputs %v\n%s", forth.Outputs, forth.Log())
			}
			w.Serves(second["release"])
			again := w.Run(w.Job(w.Commit(nil), map[string]string{
				"operation": "rollback",
				"release":   second["release"],
			}))
			if again.Outputs["outcome"] != "unchanged" {
				t.Errorf("outputs %v", again.Outputs)
			}
			gone := w.Run(w.Job(w.Commit(nil), map[string]string{
				"operation": "rollback",
				"release":   "20200101T000000Z-1234567",
			}))
			world.Failed(t, gone, "failed", "choose: release 20200101T000000Z-1234567 is not on the host any more",
				first["release"], "site: unchanged")
		})
	}
}

func TestStatusAndCheck(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Exec("runuser -u ubuntu -- sudo -n true; touch /root/begun") // leaves sudo's own mark in the home folder
	before := w.Exec("find / -xdev -newer /root/begun -type f -not -path '/proc/*' -not -path '/var/log/*' -not " +
		"-path '/run/*' -not -path '/var/lib/systemd/*' | sort")
	check := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "check"}))
	if check.ExitCode != 0 || check.Outputs["outcome"] != "unchanged" {
		t.Errorf("check of a fit host:\n%s", check.Log())
	}
	for _, line := range []string{
		"ok: git", "ok: nginx configuration", "ok: venv module of python",
		"first deployment; it goes to port 8080",
	} {
		if !strings.Contains(check.Log(), line) {
			t.Errorf("check lacks %q:\n%s", line, check.Log())
		}
	}
	if after := w.Exec("find / -xdev -newer /root/begun -type f -not -path '/proc/*' -not -path '/var/log/*' " +
		"-not -path '/run/*' -not -path '/var/lib/systemd/*' | sort"); after != before {
		t.Errorf("check changed the host:\nbefore:\n%s\nafter:\n%s", before, after)
	}

	deployed := w.Deploy(w.Commit(nil), nil)
	release := deployed.Outputs["release"]
	if deployed.Outputs["url"] != "http://"+w.Host.IP+"/" {
		t.Errorf("outputs %v", deployed.Outputs)
	}
	for _, fact := range []string{"](http://" + w.Host.IP + "/)", ") version 2\n", "**Started by:** ada"} {
		if !strings.Contains(deployed.Summary, fact) {
			t.Errorf("the summary lacks %q:\n%s", fact, deployed.Summary)
		}
	}
	history := w.Exec("cat /home/ubuntu/shop/deploys.jsonl")
	status := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "status"}))
	if status.ExitCode != 0 || status.Outputs["outcome"] != "unchanged" || status.Outputs["active-port"] != "8080" {
		t.Errorf("outputs %v\n%s", status.Outputs, status.Log())
	}
	for _, text := range []string{status.Log(), status.Summary} {
		if !strings.Contains(text, release) || !strings.Contains(text, "active") || !strings.Contains(text, "ada") {
			t.Errorf("status lacks release, state or actor:\n%s", text)
		}
	}
	if after := w.Exec("cat /home/ubuntu/shop/deploys.jsonl"); after != history {
		t.Errorf("status wrote history:\n%s", after)
	}
	plan := w.Run(w.Job(w.Commit(nil), map[string]string{"dry-run": "true"}))
	if plan.ExitCode != 0 || plan.Outputs["outcome"] != "unchanged" ||
		!strings.Contains(plan.Summary, "rename the flag, so that requests go to port 8081 instead of 8080") {
		t.Errorf("dry run: outputs %v\n%s", plan.Outputs, plan.Summary)
	}
	if after := w.Exec("cat /home/ubuntu/shop/deploys.jsonl; " +
		"ls /home/ubuntu/shop/releases"); strings.TrimSpace(after) != history+"\n"+release {
		t.Errorf("the dry run changed the host:\n%s", after)
	}
	w.Exec("mv /usr/bin/git /usr/bin/git.gone")
	unfit := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "check", "setup": "never"}))
	world.Failed(t, unfit, "failed", "git is not installed: apt-get install -y git")
}
