package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

const rulesFile = "/etc/sudoers.d/deploy-action-shop"

// takeSudo takes general sudo away as docs/rights.md says. In group sudo or not, the user has no
// password: the group's rule makes sudo ask for one.
func takeSudo(w *world.World, groupToo bool) {
	w.T.Helper()
	w.Exec("rm /etc/sudoers.d/90-cloud-init-users")
	if groupToo {
		w.Exec("gpasswd -d ubuntu sudo")
	}
	w.Exec("! runuser -u ubuntu -- sudo -n id && ! runuser -u ubuntu -- sudo -n true")
}

func giveSudo(w *world.World) {
	w.T.Helper()
	w.Exec("echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users && chmod 0440 " +
		"/etc/sudoers.d/90-cloud-init-users")
}

// sudoLog returns the commands that sudo has run, and the lines of those it refused, since the
// boot.
func sudoLog(w *world.World) (ran, refused []string) {
	w.T.Helper()
	for _, line := range strings.Split(w.Exec("journalctl --sync; journalctl -o cat --no-pager _COMM=sudo | grep "+
		"COMMAND= || true"), "\n") {
		_, command, found := strings.Cut(line, " ; USER=root ; COMMAND=")
		switch {
		case !found:
		case strings.Count(line, " ; ") == 2:
			ran = append(ran, command)
		default: // the reason stands before it
			refused = append(refused, line)
		}
	}
	return ran, refused
}

// onlyRules wants every command that sudo ran, from the n-th on, to be one that the rules name, and
// none refused beyond the first m.
func onlyRules(w *world.World, n, m int) {
	w.T.Helper()
	allowed := map[string]bool{}
	for _, line := range strings.Split(w.Exec("cat "+rulesFile), "\n") {
		if _, command, found := strings.Cut(line, " ALL=(root) NOPASSWD: "); found {
			allowed[command] = true
		}
	}
	ran, refused := sudoLog(w)
	for _, command := range ran[n:] {
		if !allowed[command] {
			w.T.Errorf("sudo ran %q, which is not among the rules", command)
		}
	}
	if len(ran) == n || len(allowed) != 21 {
		w.T.Errorf("%d commands ran by %d rules: this proves nothing", len(ran)-n, len(allowed))
	}
	for _, line := range refused[m:] {
		w.T.Errorf("sudo refused: %s", line)
	}
}

func TestRoutineDeploymentsNeedNoGeneralSudo(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	sha := w.Commit(nil)
	first := w.Deploy(sha, nil).Outputs["release"]
	if out := w.Exec("stat -c '%a %U %G' " + rulesFile + "; ls /etc/sudoers.d | grep -c shop; visudo -c >/dev/null " +
		"&& echo sound"); out != "440 root root\n1\nsound" {
		t.Errorf("the rules: %s", out)
	}
	takeSudo(w, true)
	ran, refused := sudoLog(w)
	w.UnderLoad()

	second := w.Deploy(w.Commit(nil), nil)
	if measured(t, second).Reloaded || !strings.Contains(second.Log(), "✓ setup: already") {
		t.Errorf("log:\n%s", second.Log())
	}
	back := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "rollback"}))
	if back.Outputs["outcome"] != "rolled-back" || back.Outputs["release"] != first {
		t.Errorf("outputs %v\n%s", back.Outputs, back.Log())
	}
	if again := w.Run(w.Job(sha, nil)); again.Outputs["outcome"] != "unchanged" {
		t.Errorf("outputs %v\n%s", again.Outputs, again.Log())
	}
	world.Failed(t, w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "exit-at-boot"}), nil)), "failed", "health: ",
		first+" on port 8080 serves")
	world.Failed(t, w.Run(w.Job(w.Commit(map[string]string{"BROKEN": "bad-after=1"}),
		map[string]string{"watch-for": "20s"})), "restored", "verify: ", first+" on port 8080 serves")
	check := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "check"}))
	if check.ExitCode != 0 || !strings.Contains(check.Log(), "ok: the sudoers rules in "+rulesFile) {
		t.Errorf("check:\n%s", check.Log())
	}
	if status := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "status"})); status.ExitCode != 0 {
		t.Errorf("status:\n%s", status.Log())
	}
	if setup := w.Run(w.Job(w.Commit(nil),
		map[string]string{"operation": "setup"})); setup.Outputs["outcome"] != "unchanged" {
		t.Errorf("setup: outputs %v\n%s", setup.Outputs, setup.Log())
	}
	onlyRules(w, len(ran), len(refused))

	state := "find /etc /var/lib/deploy-action /home/ubuntu/shop/releases -type f -printf '%p %T@\\n' | sort | " +
		"sha256sum; ps -o pid= -C nginx"
	before := w.Exec(state)
	for _, tt := range []struct {
		name  string
		with  map[string]string
		words []string
	}{
		{
			"stop-timeout",
			map[string]string{"stop-timeout": "6s"},
			[]string{
				"setup: ubuntu has the rights for routine deployments only", "/etc/systemd/system/shop@.service",
				"put the inputs back", "operation: setup",
			},
		},
		{
			"server-name",
			map[string]string{"server-name": "shop.example"},
			[]string{
				"setup: ubuntu has the rights for routine deployments only", "/etc/nginx/conf.d/shop.conf",
				"operation: setup",
			},
		},
		{
			"ports",
			map[string]string{"ports": "8080,9000"},
			[]string{
				"check: ubuntu can't run commands as root without a password (sudo says: sudo: a password is " +
					"required), and " + rulesFile + ", which would be enough, is not there or is for other inputs " +
					"(app shop, ports 8080 9000)",
				"operation: setup",
			},
		},
		{
			"a package",
			map[string]string{"packages": "unzip"},
			[]string{"check: package unzip is not installed: apt-get install -y unzip"},
		},
	} {
		world.Failed(t, w.Run(w.Job(w.Commit(nil), tt.with)), "failed", append(tt.words, "site: unchanged")...)
	}
	if after := w.Exec(state); after != before {
		t.Errorf("the refused runs changed something: before\n%s\nafter\n%s", before, after)
	}
	w.Serves(first)
	w.EndLoad() // other ports take a reload

	// Root has no part in what a user may point elsewhere.
	// it may have ended by then
	w.Exec("runuser -u ubuntu -- bash -c 'cd /home/ubuntu/shop && rm logs/8081.log && ln -s /etc/cron.d/mine " +
		"logs/8081.log && { sudo -n -- systemctl -q restart -- shop@8081.service || :; }'")
	w.Exec("timeout 120 bash -c 'until journalctl --no-pager -u shop@8081 | grep -q \"mine: Permission denied\"; do " +
		"sleep 0.1; done'; test ! -e /etc/cron.d/mine && rm /home/ubuntu/shop/logs/8081.log && systemctl stop shop@8081")

	giveSudo(w)
	other := map[string]string{"stop-timeout": "6s", "ports": "8080,9000"}
	w.Deploy(w.Commit(nil), other)
	w.Exec("grep -q 'shop@9000.service' " + rulesFile + " && ! grep -q 'shop@8081.service' " + rulesFile)
	w.Exec("rm /etc/sudoers.d/90-cloud-init-users")
	w.Serves(w.Deploy(w.Commit(nil), other).Outputs["release"])
}

// A cloud image has its user in group sudo besides: whatever sudo then refuses for want of a
// password is an alert in its log.
func TestNothingIsRefusedWhereSudoWouldAskForAPassword(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	hiding := map[string]string{"app.py": "import ctypes\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n" + printer}
	w.Deploy(w.Commit(nil), nil)
	takeSudo(w, false)
	ran, refused := sudoLog(w)
	w.Deploy(w.Commit(nil), nil)
	w.Deploy(w.Commit(nil), nil)
	onlyRules(w, len(ran), len(refused))
	// Such a process shows its files to root only.
	for range 2 {
		w.Deploy(w.Commit(hiding), map[string]string{"build": "true", "start": "python3 app.py"})
	}
}

func TestAUserWithoutSudoIsTold(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	takeSudo(w, true)
	result := w.Run(w.Job(w.Commit(nil), nil))
	world.Failed(t, result, "failed", "check: ubuntu can't run commands as root without a password",
		"NOPASSWD rule for all commands", "operation: setup", "site: unchanged")
	w.Exec("test ! -e /var/lib/deploy-action && test ! -e /home/ubuntu/shop/releases && test ! -e " +
		"/etc/nginx/conf.d/shop.conf")
}

func TestRulesThatSudoRefusesAreNotLeftThere(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Exec("mv /usr/sbin/visudo /usr/sbin/visudo.real")
	sha := w.Commit(nil)
	for _, tt := range []struct{ name, visudo, words string }{
		{
			"the file alone", `case $* in *-cqf*) echo 'syntax error near line 1' >&2; exit 1 ;; esac`,
			"setup: sudo's own test refuses the rules for " + rulesFile,
		},
		{
			"with all that is there", `test ! -e ` + rulesFile,
			"setup: with the rules in " + rulesFile + " sudo's configuration is not sound any more",
		},
	} {
		w.Exec("printf '#!/bin/sh\\n%s\\n' \"" + tt.visudo + "\" >/usr/sbin/visudo; chmod +x /usr/sbin/visudo")
		world.Failed(t, w.Run(w.Job(sha, nil)), "failed", tt.words, "site: unchanged")
		if out := w.Exec("ls -A /etc/sudoers.d; " +
			"ls /var/lib/deploy-action/shop"); out != "90-cloud-init-users\nREADME\nactive" {
			t.Errorf("%s: left over:\n%s", tt.name, out)
		}
	}
	w.Exec("mv /usr/sbin/visudo.real /usr/sbin/visudo; cat /etc/sudoers.d/90-cloud-init-users >>/etc/sudoers; rm -r " +
		"/etc/sudoers.d; sed -i /includedir/d /etc/sudoers")
	if result := w.Deploy(sha, nil); !strings.Contains(result.Log(), "no sudoers rules are written") {
		t.Errorf("log:\n%s", result.Log())
	}
}
