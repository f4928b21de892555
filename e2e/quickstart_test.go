package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// typed are the commands of README's quick start: a line of a block each, or a step's only one.
var typed = regexp.MustCompile("(?m)^ *((?:ssh|gh)[a-z-]* .*)$|: `((?:chmod|ssh-keygen) [^`]*)`$")

// gh is a stand-in for GitHub's command line: it keeps what a workflow gets from GitHub.
const gh = `#!/bin/bash
if [[ "$1 $2 $#" == "secret set 3" ]]; then cat >"$HOME/$3"; fi
if [[ "$1 $2 $4 $#" == "variable set -b 5" ]]; then printf '%s' "$5" >"$HOME/$3"; fi
`

// Who has a bare host and types what README says, to the letter, has a site: with the workflow that
// is shown there, so with three inputs and the defaults.
func TestQuickStart(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Quick start\n")
	section, _, _ = strings.Cut(section, "\n## ")
	commands := ""
	for _, m := range typed.FindAllStringSubmatch(section, -1) {
		commands += strings.ReplaceAll(m[1]+m[2], "203.0.113.7", w.Host.IP) + "\n"
	}
	if strings.Count(commands, "\n") != 6 {
		t.Fatalf("README.md has other commands:\n%s", commands)
	}
	// The newcomer's machine is the host itself. Who has compared the fingerprint types yes; and a
	// browser's download is readable for all.
	w.Exec("useradd --create-home --shell /bin/bash newcomer; " +
		"echo 'StrictHostKeyChecking accept-new' >/etc/ssh/ssh_config.d/yes.conf")
	for file, text := range map[string]string{
		"/usr/local/bin/gh": gh, "/home/newcomer/your.pem": world.Shared.Key.Private, "/home/newcomer/typed": commands,
	} {
		if err := w.Host.WriteFile(w.Ctx, file, 0o755, "newcomer", text); err != nil {
			t.Fatal(err)
		}
	}
	w.Exec("runuser - newcomer -c 'bash -euxo pipefail typed'")
	kept := func(name string) string { return w.Exec("cat /home/newcomer/" + name) }
	job := w.Job(w.Commit(nil), nil)
	job.With = map[string]string{
		"host": kept("DEPLOY_HOST"), "key": kept("DEPLOY_KEY"), "known-hosts": kept("DEPLOY_KNOWN_HOSTS"),
	}
	if job.With["key"] == world.Shared.Key.Private || !strings.HasPrefix(job.With["host"], "ubuntu@") {
		t.Fatalf("the workflow would get %v", job.With)
	}
	result := w.Run(job)
	if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		t.Fatalf("outputs %v\n%s", result.Outputs, result.Log())
	}
	w.Exec("curl -fsS " + result.Outputs["url"] + "health")
}
