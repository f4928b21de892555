package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
)

const rulesFile = "/etc/sudoers.d/deploy-action-shop"

// takeSudo takes general sudo away as the README says. In group sudo or not, the user has no password: the group's rule makes sudo ask for one.
func (w *world) takeSudo(groupToo bool) {
	w.t.Helper()
	w.exec("rm /etc/sudoers.d/90-cloud-init-users")
	if groupToo {
		w.exec("gpasswd -d ubuntu sudo")
	}
	w.exec("! runuser -u ubuntu -- sudo -n id && ! runuser -u ubuntu -- sudo -n true")
}

func (w *world) giveSudo() {
	w.t.Helper()
	w.exec("echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users && chmod 0440 /etc/sudoers.d/90-cloud-init-users")
}

// sudoLog returns the commands that sudo has run, and the lines of those it refused, since the boot.
func (w *world) sudoLog() (ran, refused []string) {
	w.t.Helper()
	for _, line := range strings.Split(w.exec("journalctl --sync; journalctl -o cat --no-pager _COMM=sudo | grep COMMAND= || true"), "\n") {
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

// onlyRules wants every command that sudo ran, from the n-th on, to be one that the rules name, and none refused beyond the first m.
func (w *world) onlyRules(n, m int) {
	w.t.Helper()
	allowed := map[string]bool{}
	for _, line := range strings.Split(w.exec("cat "+rulesFile), "\n") {
		if _, command, found := strings.Cut(line, " ALL=(root) NOPASSWD: "); found {
			allowed[command] = true
		}
	}
	ran, refused := w.sudoLog()
	for _, command := range ran[n:] {
		if !allowed[command] {
			w.t.Errorf("sudo ran %q, which is not among the rules", command)
		}
	}
	if len(ran) == n || len(allowed) != 13 {
		w.t.Errorf("%d commands ran by %d rules: this proves nothing", len(ran)-n, len(allowed))
	}
	for _, line := range refused[m:] {
		w.t.Errorf("sudo refused: %s", line)
	}
}

func TestRoutineDeploymentsNeedNoGeneralSudo(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	sha := w.commit(nil)
	first := w.deploy(sha, nil).Outputs["release"]
	if out := w.exec("stat -c '%a %U %G' " + rulesFile + "; ls /etc/sudoers.d | grep -c shop; visudo -c >/dev/null && echo sound"); out != "440 root root\n1\nsound" {
		t.Errorf("the rules: %s", out)
	}
	w.takeSudo(true)
	ran, refused := w.sudoLog()
	w.underLoad()

	second := w.deploy(w.commit(nil), nil)
	if measured(t, second).Reloaded || !strings.Contains(second.Log(), "✓ setup: already") {
		t.Errorf("log:\n%s", second.Log())
	}
	back := w.run(w.job(w.commit(nil), map[string]string{"operation": "rollback"}))
	if back.Outputs["outcome"] != "rolled-back" || back.Outputs["release"] != first {
		t.Errorf("outputs %v\n%s", back.Outputs, back.Log())
	}
	if again := w.run(w.job(sha, nil)); again.Outputs["outcome"] != "unchanged" {
		t.Errorf("outputs %v\n%s", again.Outputs, again.Log())
	}
	failed(t, w.run(w.job(w.commit(map[string]string{"BROKEN": "exit-at-boot"}), nil)), "failed", "health: ", first+" on port 8080 serves")
	failed(t, w.run(w.job(w.commit(map[string]string{"BROKEN": "bad-after=1"}), map[string]string{"watch-for": "20s"})), "restored", "verify: ", first+" on port 8080 serves")
	check := w.run(w.job(w.commit(nil), map[string]string{"operation": "check"}))
	if check.ExitCode != 0 || !strings.Contains(check.Log(), "ok: the sudoers rules in "+rulesFile) {
		t.Errorf("check:\n%s", check.Log())
	}
	if status := w.run(w.job(w.commit(nil), map[string]string{"operation": "status"})); status.ExitCode != 0 {
		t.Errorf("status:\n%s", status.Log())
	}
	if setup := w.run(w.job(w.commit(nil), map[string]string{"operation": "setup"})); setup.Outputs["outcome"] != "unchanged" {
		t.Errorf("setup: outputs %v\n%s", setup.Outputs, setup.Log())
	}
	w.onlyRules(len(ran), len(refused))

	state := "find /etc /var/lib/deploy-action /home/ubuntu/shop/releases -type f -printf '%p %T@\\n' | sort | sha256sum; ps -o pid= -C nginx"
	before := w.exec(state)
	for _, tt := range []struct {
		name  string
		with  map[string]string
		words []string
	}{
		{"stop-timeout", map[string]string{"stop-timeout": "6s"}, []string{"setup: ubuntu has the rights for routine deployments only", "/etc/systemd/system/shop@.service", "put the inputs back", "operation: setup"}},
		{"server-name", map[string]string{"server-name": "shop.example"}, []string{"setup: ubuntu has the rights for routine deployments only", "/etc/nginx/conf.d/shop.conf", "operation: setup"}},
		{"ports", map[string]string{"ports": "8080,9000"}, []string{"check: ubuntu can't run commands as root without a password, and " + rulesFile + ", which would be enough, is not there or is for other inputs (app shop, ports 8080 9000)", "operation: setup"}},
		{"a package", map[string]string{"packages": "unzip"}, []string{"check: package unzip is not installed: apt-get install -y unzip"}},
	} {
		failed(t, w.run(w.job(w.commit(nil), tt.with)), "failed", append(tt.words, "site: unchanged")...)
	}
	if after := w.exec(state); after != before {
		t.Errorf("the refused runs changed something: before\n%s\nafter\n%s", before, after)
	}
	w.serves(first)
	w.endLoad() // other ports take a reload

	// Root has no part in what a user may point elsewhere.
	w.exec("runuser -u ubuntu -- bash -c 'cd /home/ubuntu/shop && rm logs/8081.log && ln -s /etc/cron.d/mine logs/8081.log && sudo -n -- systemctl -q restart -- shop@8081.service'")
	w.exec("timeout 20 bash -c 'until journalctl --no-pager -u shop@8081 | grep -q \"mine: Permission denied\"; do sleep 0.1; done'; test ! -e /etc/cron.d/mine && rm /home/ubuntu/shop/logs/8081.log && systemctl stop shop@8081")

	w.giveSudo()
	other := map[string]string{"stop-timeout": "6s", "ports": "8080,9000"}
	w.deploy(w.commit(nil), other)
	w.exec("grep -q 'shop@9000.service' " + rulesFile + " && ! grep -q 'shop@8081.service' " + rulesFile)
	w.exec("rm /etc/sudoers.d/90-cloud-init-users")
	w.serves(w.deploy(w.commit(nil), other).Outputs["release"])
}

// A cloud image has its user in group sudo besides: whatever sudo then refuses for want of a password is an alert in its log.
func TestNothingIsRefusedWhereSudoWouldAskForAPassword(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	hiding := map[string]string{"app.py": "import ctypes\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n" + printer}
	w.deploy(w.commit(nil), nil)
	w.takeSudo(false)
	ran, refused := w.sudoLog()
	w.deploy(w.commit(nil), nil)
	w.deploy(w.commit(nil), nil)
	w.onlyRules(len(ran), len(refused))
	// Such a process shows its files to root only.
	for range 2 {
		w.deploy(w.commit(hiding), map[string]string{"build": "true", "start": "python3 app.py"})
	}
}

func TestAUserWithoutSudoIsTold(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.takeSudo(true)
	result := w.run(w.job(w.commit(nil), nil))
	failed(t, result, "failed", "check: ubuntu can't run commands as root without a password", "NOPASSWD rule for all commands", "operation: setup", "site: unchanged")
	w.exec("test ! -e /var/lib/deploy-action && test ! -e /home/ubuntu/shop/releases && test ! -e /etc/nginx/conf.d/shop.conf")
}

func TestRulesThatSudoRefusesAreNotLeftThere(t *testing.T) {
	w := newWorld(t, lab.HostOptions{})
	w.exec("mv /usr/sbin/visudo /usr/sbin/visudo.real")
	sha := w.commit(nil)
	for _, tt := range []struct{ name, visudo, words string }{
		{"the file alone", `case $* in *-cqf*) echo 'syntax error near line 1' >&2; exit 1 ;; esac`, "setup: sudo's own test refuses the rules for " + rulesFile},
		{"with all that is there", `test ! -e ` + rulesFile, "setup: with the rules in " + rulesFile + " sudo's configuration is not sound any more"},
	} {
		w.exec("printf '#!/bin/sh\\n%s\\n' \"" + tt.visudo + "\" >/usr/sbin/visudo; chmod +x /usr/sbin/visudo")
		failed(t, w.run(w.job(sha, nil)), "failed", tt.words, "site: unchanged")
		if out := w.exec("ls -A /etc/sudoers.d; ls /var/lib/deploy-action/shop"); out != "90-cloud-init-users\nREADME\nactive" {
			t.Errorf("%s: left over:\n%s", tt.name, out)
		}
	}
	w.exec("mv /usr/sbin/visudo.real /usr/sbin/visudo; cat /etc/sudoers.d/90-cloud-init-users >>/etc/sudoers; rm -r /etc/sudoers.d; sed -i /includedir/d /etc/sudoers")
	if result := w.deploy(sha, nil); !strings.Contains(result.Log(), "no sudoers rules are written") {
		t.Errorf("log:\n%s", result.Log())
	}
}
