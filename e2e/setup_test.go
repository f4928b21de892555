package e2e

import (
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// strip makes a host what a cloud image is: no nginx, no git, no curl, no venv module.
const strip = `systemctl stop nginx
DEBIAN_FRONTEND=noninteractive apt-get purge -y --auto-remove nginx nginx-common git curl ` +
	`$(dpkg-query -Wf '${Package} ' 'python3*-venv') python3-pip >/dev/null 2>&1
rm -rf /etc/nginx; ! command -v nginx && ! command -v git && ! command -v curl && ` +
	`! python3 -c 'import ensurepip' 2>/dev/null`

// Another apt holds the lock at first.
func TestABareHostIsDeployedToInOneRun(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			w.Cold = true
			venv := w.Exec(`python3 -c 'import sys; print("python3.%d-venv" % sys.version_info[1])'`)
			w.Exec(strip)
			for _, with := range []map[string]string{{"operation": "check"}, {"dry-run": "true"}} {
				with["packages"] = "unzip"
				looked := w.Run(w.Job(w.Commit(nil), with))
				if looked.ExitCode != 0 || looked.Outputs["outcome"] != "unchanged" {
					t.Errorf("%v: outputs %v\n%s", with, looked.Outputs, looked.Log())
				}
				for _, word := range []string{
					"missing, and installed by a deployment: ", "no nginx yet",
					"; the next deployment installs ", " " + venv +
						" unzip", "first deployment; it goes to port 8080",
				} {
					if !strings.Contains(looked.Log(), word) || strings.Contains(looked.Log(), "not found") {
						t.Errorf("%v: the log lacks %q, or misses a command:\n%s", with, word, looked.Log())
					}
				}
			}
			w.Exec("! command -v nginx && ! command -v git && ! command -v unzip" + `
cat >/tmp/hold.py <<'PY'
import fcntl, os, signal
f = open("/var/lib/dpkg/lock-frontend", "w"); fcntl.lockf(f, fcntl.LOCK_EX)
open("/tmp/held", "w").close()
signal.pause()
PY
setsid python3 /tmp/hold.py >/dev/null 2>&1 </dev/null & echo $! >/tmp/hold.pid
timeout 120 bash -c 'until [ -e /tmp/held ]; do sleep 0.05; done'`)
			running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil), map[string]string{"packages": "unzip"}))
			if err != nil {
				t.Fatal(err)
			}
			if err := running.WaitLog(w.Ctx, "Could not get lock /var/lib/dpkg/lock-frontend"); err != nil {
				w.Exec("kill $(cat /tmp/hold.pid)")
				t.Fatal(err)
			}
			w.Exec("kill $(cat /tmp/hold.pid)")
			first, err := running.Wait()
			if err != nil || first.ExitCode != 0 {
				t.Fatalf("err %v\n%s", err, first.Log())
			}
			for _, word := range []string{"; installed ", "nginx", "git", "curl", venv, "unzip"} {
				if !strings.Contains(strings.Join(first.Outside(), "\n"), word) {
					t.Errorf("the log does not say that %q was installed:\n%s", word,
						strings.Join(first.Outside(), "\n"))
				}
			}
			if n := strings.Count(first.Log(), "(Reading database"); n == 0 || n > 3 ||
				strings.Contains(first.Log(), "(Reading database ... 5%") {
				t.Errorf("%d lines of dpkg's progress in the log:\n%s", n, first.Log())
			}
			w.Serves(first.Outputs["release"])
			w.Exec("command -v unzip && systemctl is-enabled -q nginx")

			before := w.Exec("dpkg-query -W | sha256sum; find /etc/nginx /etc/systemd/system -type f -newer " +
				"/proc/1/cmdline | xargs ls -l --time-style=full-iso")
			second := w.Run(w.Job(w.Commit(nil), map[string]string{"packages": "unzip", "operation": "check"}))
			if second.ExitCode != 0 || strings.Contains(second.Log(), "installing") {
				t.Errorf("the second look finds something to install:\n%s", second.Log())
			}
			third := w.Deploy(w.Commit(nil), map[string]string{"packages": "unzip"})
			if strings.Contains(third.Log(), "installing") || !strings.Contains(third.Log(), "✓ setup: already") {
				t.Errorf("the second deployment sets up again:\n%s", third.Log())
			}
			after := w.Exec("dpkg-query -W | sha256sum; find /etc/nginx /etc/systemd/system -type f -newer " +
				"/proc/1/cmdline -not -name service-url.inc | xargs ls -l --time-style=full-iso")
			for _, line := range strings.Split(strings.TrimSpace(after), "\n") {
				if !strings.Contains(before, line) {
					t.Errorf("changed by the second deployment: %s", line)
				}
			}
		})
	}
}

func TestSetupNeverOnlyNamesWhatIsMissing(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Cold = true
	result := w.Run(w.Job(w.Commit(nil), map[string]string{"setup": "never", "packages": "unzip"}))
	world.Failed(t, result, "failed", "check: package unzip is not installed: apt-get install -y unzip",
		"site: unchanged")
	none := w.Run(w.Job(w.Commit(nil), map[string]string{"packages": "no-such-package-of-ours"}))
	world.Failed(t, none, "failed", "apt's lists on this host have no package no-such-package-of-ours: correct the "+
		"input packages", "site: unchanged")
}

// Setup makes all that takes root: what follows it, the first deployment included, does without.
func TestSetupAloneMakesTheHostReady(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Cold = true
	w.Exec(strip)
	job := w.Job(w.Commit(nil), map[string]string{"operation": "setup"})
	first := w.Run(job)
	if first.ExitCode != 0 || first.Outputs["outcome"] != "set-up" || first.Outputs["release"] != "" ||
		first.Outputs["active-port"] != "" {
		t.Fatalf("outputs %v\n%s", first.Outputs, first.Log())
	}
	for _, word := range []string{
		"; installed ", "✓ setup: wrote ", rulesFile,
		"✓ site: nginx has loaded the site; it answers 502 until the first deployment",
	} {
		if !strings.Contains(first.Log(), word) {
			t.Errorf("the log lacks %q:\n%s", word, first.Log())
		}
	}
	w.Exec("test \"$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/)\" = 502; test ! -e " +
		"/home/ubuntu/shop/deploys.jsonl")

	state := "timeout 60 bash -c 'while pgrep -f \"[s]hutting down\" >/dev/null; do sleep 0.1; done'; " +
		"dpkg-query -W | sha256sum; find /etc /var/lib/deploy-action /home/ubuntu/shop -not -path '*/.lock*' " +
		"-not -path /home/ubuntu/shop -printf '%p %m %u %T@ %l\\n' | sort; ps -o pid= -C nginx"
	before := w.Exec(state)
	second := w.Run(job)
	if second.Outputs["outcome"] != "unchanged" {
		t.Errorf("outputs %v\n%s", second.Outputs, second.Log())
	}
	for _, word := range []string{
		"all packages are there already", "✓ setup: already", "✓ site: already: nginx has the site loaded",
		"already there: the folders in /home/ubuntu/shop", "already there: /etc/systemd/system/shop@.service",
		"already there: /var/lib/deploy-action/shop/active", "already there: " + rulesFile,
	} {
		if !strings.Contains(second.Log(), word) {
			t.Errorf("the second log lacks %q:\n%s", word, second.Log())
		}
	}
	if after := w.Exec(state); after != before {
		t.Errorf("the second setup changed something: before\n%s\nafter\n%s", before, after)
	}

	takeSudo(w, true)
	ran, refused := sudoLog(w)
	w.Serves(w.Deploy(w.Commit(nil), nil).Outputs["release"])
	w.UnderLoad()
	w.Serves(w.Deploy(w.Commit(nil), nil).Outputs["release"])
	onlyRules(w, len(ran), len(refused))
}

func TestSetupAlwaysBringsUpToDate(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Cold = true
	w.Exec(`mkdir -p /repo /tmp/pkg/DEBIAN; cd /repo
for v in 1.0 2.0; do
  printf 'Package: ourlib\nVersion: %s\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: x\n' $v ` +
		`>/tmp/pkg/DEBIAN/control
  dpkg-deb -b /tmp/pkg ourlib_$v.deb >/dev/null
  cat /tmp/pkg/DEBIAN/control >Packages
  printf 'Filename: ./ourlib_%s.deb\nSize: %s\nSHA256: %s\n\n' $v $(stat -c %s ourlib_$v.deb) ` +
		`$(sha256sum ourlib_$v.deb | cut -d' ' -f1) >>Packages
done
dpkg -i ourlib_1.0.deb >/dev/null; rm -f /etc/apt/sources.list.d/*; ` +
		`echo 'deb [trusted=yes] file:/repo ./' >/etc/apt/sources.list`)
	for _, tt := range []struct{ mode, version, outcome string }{
		{"auto", "1.0", "set-up"},
		{"always", "2.0", "set-up"},
		{"always", "2.0", "unchanged"},
	} {
		result := w.Run(w.Job(w.Commit(nil), map[string]string{
			"operation": "setup", "packages": "ourlib",
			"setup": tt.mode,
		}))
		if result.ExitCode != 0 || result.Outputs["outcome"] != tt.outcome ||
			w.Exec("dpkg-query -W -f='${Version}' ourlib") != tt.version {
			t.Fatalf("setup %s: outputs %v\n%s", tt.mode, result.Outputs, result.Log())
		}
		if strings.Contains(result.Log(), "; installed ourlib") != (tt.mode == "always" && tt.outcome == "set-up") {
			t.Errorf("setup %s: log:\n%s", tt.mode, result.Log())
		}
	}
}

// dpkg was killed while it set a package up: it wants to be asked to go on before it does anything
// else.
func TestAnInstallationThatWasCutOffIsFinished(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Cold = true
	w.Exec(`mkdir -p /tmp/pkg/DEBIAN
printf 'Package: ourlib\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: x\n' ` +
		`>/tmp/pkg/DEBIAN/control
printf '#!/bin/sh\ntouch /tmp/configuring; until [ -e /tmp/go-on ]; do sleep 0.1; done\n' ` +
		`>/tmp/pkg/DEBIAN/postinst; chmod 755 /tmp/pkg/DEBIAN/postinst
dpkg-deb -b /tmp/pkg /tmp/ourlib.deb >/dev/null
setsid dpkg -i /tmp/ourlib.deb >/dev/null 2>&1 </dev/null &
timeout 120 bash -c 'until [ -e /tmp/configuring ]; do sleep 0.05; done'
kill -KILL $(pgrep -x 'dpkg|ourlib.postinst'); touch /tmp/go-on
test "$(dpkg-query -W -f='${db:Status-Status}' ourlib)" = half-configured`)
	result := w.Deploy(w.Commit(nil), map[string]string{"packages": "ourlib unzip"})
	if !strings.Contains(result.Log(), "not wholly installed, by an apt that was cut off or still runs: ourlib (half-") ||
		!strings.Contains(result.Log(), "finishing ourlib") || !strings.Contains(result.Log(), "installing unzip") ||
		strings.Contains(result.Log(), "dpkg was interrupted") {
		t.Errorf("log:\n%s", result.Log())
	}
	w.Exec("command -v unzip && test \"$(dpkg-query -W -f='${db:Status-Status}' ourlib)\" = installed")
}

// dpkg was killed when nginx had its command already, and not its configuration. The packages are the
// distribution's own.
func TestAnNginxWhoseInstallationWasCutOffIsFinished(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			w.Cold = true
			const state = "dpkg-query -W -f='${db:Status-Status}' nginx"
			const purge = `cd /tmp; export DEBIAN_FRONTEND=noninteractive; systemctl stop nginx
apt-get purge -y --auto-remove nginx nginx-common >/dev/null 2>&1; rm -rf /etc/nginx
`
			w.Exec(strip + "\napt-get update >/dev/null 2>&1; cd /tmp && apt-get download nginx nginx-common >/dev/null 2>&1")
			for _, tt := range []struct {
				name, leave, said string
				complete          bool // is its configuration
			}{
				{
					"half-configured", `dpkg -i nginx-common_*.deb >/dev/null 2>&1; dpkg-deb -R nginx_*.deb slow
printf '#!/bin/sh\ntouch /tmp/configuring; until [ -e /tmp/go-on ]; do sleep 0.1; done\n' >slow/DEBIAN/postinst
dpkg-deb -b slow slow.deb >/dev/null; setsid dpkg -i slow.deb >/dev/null 2>&1 </dev/null &
timeout 120 bash -c 'until [ -e /tmp/configuring ]; do sleep 0.05; done'
kill -KILL $(pgrep -x 'dpkg|nginx.postinst'); touch /tmp/go-on; rm -rf /tmp/slow*`, "nginx (half-configured)", true,
				},
				{
					"what it needs has not come", "dpkg --unpack nginx_*.deb >/dev/null 2>&1", "nginx (unpacked)", false,
				},
				{
					"half-installed", `dpkg --unpack nginx_*.deb nginx-common_*.deb >/dev/null 2>&1
sed -i '/^Package: nginx$/,/^$/s/^Status: .*/Status: install reinstreq half-installed/' /var/lib/dpkg/status`,
					"nginx (half-installed), nginx-common (unpacked)", false,
				},
				{
					"unpacked", "dpkg --unpack nginx_*.deb nginx-common_*.deb >/dev/null 2>&1",
					"nginx (unpacked), nginx-common (unpacked)", false,
				},
			} {
				w.Exec(purge + tt.leave + "\ncommand -v nginx")
				before := w.Exec("dpkg-query -W -f='${Package} ${Status}\n'; find /etc/nginx | sort")
				if !tt.complete {
					never := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "setup", "setup": "never"}))
					world.Failed(t, never, "failed", "nginx is not wholly installed, by an apt that was cut off or still "+
						"runs: "+tt.said+"; finish it on the host: sudo dpkg --configure -a && sudo apt-get install nginx")
				}
				for _, with := range []map[string]string{{"operation": "check"}, {"dry-run": "true"}} {
					looked := w.Run(w.Job(w.Commit(nil), with))
					if looked.ExitCode != 0 || looked.Outputs["outcome"] != "unchanged" ||
						!strings.Contains(looked.Log(), "not wholly installed, by an apt that was cut off or still runs: "+tt.said) ||
						!strings.Contains(looked.Log(), "; the next deployment installs ") {
						t.Errorf("%s, %v: outputs %v\n%s", tt.name, with, looked.Outputs, looked.Log())
					}
				}
				if after := w.Exec("dpkg-query -W -f='${Package} ${Status}\n'; find /etc/nginx | sort"); after != before {
					t.Errorf("%s: before a look\n%s\nafter\n%s", tt.name, before, after)
				}
				result := w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "setup"}))
				if result.ExitCode != 0 || !strings.Contains(result.Log(), "finishing nginx") ||
					w.Exec(state) != "installed" {
					t.Errorf("%s: outputs %v\n%s", tt.name, result.Outputs, result.Log())
				}
				w.Exec("nginx -t && systemctl is-active -q nginx")
			}
			w.Exec(purge + "dpkg --unpack nginx_*.deb nginx-common_*.deb >/dev/null 2>&1")
			w.Serves(w.Deploy(w.Commit(nil), nil).Outputs["release"])
			again := w.Deploy(w.Commit(nil), nil)
			if strings.Contains(again.Log(), "not wholly installed") || strings.Contains(again.Log(), "installing") {
				t.Errorf("there is something left:\n%s", again.Log())
			}
		})
	}
}

func TestAMirrorOutOfReachIsSaidInAptsWords(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Cold = true
	w.Exec(`rm -rf /var/lib/apt/lists/* /etc/apt/sources.list.d/*; ` +
		`echo 'deb http://127.0.0.1:9/debian bookworm main' >/etc/apt/sources.list
printf 'Acquire::http::Proxy "DIRECT";\n' >/etc/apt/apt.conf.d/zz-direct`)
	result := w.Run(w.Job(w.Commit(nil), map[string]string{"packages": "unzip"}))
	world.Failed(t, result, "failed", "install: apt did not get through: ", "127.0.0.1:9",
		"Unable to locate package unzip", "package unzip is not installed: apt-get install -y unzip", "site: unchanged")
	if strings.Count(result.Log(), "apt did not get through (try ") != 3 {
		t.Errorf("log:\n%s", result.Log())
	}
	// What is there already has no need of it.
	if well := w.Run(w.Job(w.Commit(nil), map[string]string{
		"operation": "setup",
		"setup":     "always",
	})); well.Outputs["outcome"] != "set-up" {
		t.Errorf("outputs %v\n%s", well.Outputs, well.Log())
	}
}

// On another system than Debian's all depends on what is there.
func TestWithoutAptWhatIsMissingIsNamed(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Cold = true
	w.Exec("cd /usr/bin && for f in apt-get apt dpkg dpkg-query; do mv $f $f.gone; done; mv git git.gone; mv " +
		"/usr/sbin/nginx /usr/sbin/nginx.gone")
	result := w.Run(w.Job(w.Commit(nil), map[string]string{"packages": "unzip"}))
	world.Failed(t, result, "failed", "check: nginx is not installed\ngit is not installed\npackage unzip can't be "+
		"looked up, since this host has no dpkg", "site: unchanged")
	w.Exec("mv /usr/bin/git.gone /usr/bin/git; mv /usr/sbin/nginx.gone /usr/sbin/nginx; rm " +
		"/etc/nginx/sites-enabled/default")
	w.Serves(w.Deploy(w.Commit(nil), nil).Outputs["release"])
}

// `nginx -t` passes and `nginx -s reload` exits 0, yet nginx keeps what it had: somebody else's
// port is taken, or another site has the name.
func TestASiteThatNginxDoesNotTakeUpIsPutBack(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Cold = true
	const state = "cd /etc/nginx && find . -type f -o -type l | sort | xargs ls -l && cat conf.d/* sites-enabled/* " +
		"2>/dev/null || true"
	const taken = "echo 'server { listen 8443; }' >/etc/nginx/conf.d/theirs.conf; setsid python3 -m http.server " +
		"8443 >/dev/null 2>&1 </dev/null & timeout 120 bash -c 'until curl -s http://127.0.0.1:8443/ >/dev/null; do " +
		"sleep 0.05; done'; nginx -t"
	w.Exec("echo 'server { listen 80; server_name shop.example; return 200 theirs; }' >/etc/nginx/conf.d/a.conf; " +
		"nginx -s reload")
	before := w.Exec(state)
	other := map[string]string{"server-name": "shop.example"}
	world.Failed(t, w.Run(w.Job(w.Commit(nil), other)), "failed",
		"check: /etc/nginx/conf.d/a.conf:1 (listen *:80; server_name shop.example) answers for the name "+
			"shop.example already", "site: unchanged", "server-name")
	if after := w.Exec(state); after != before {
		t.Errorf("nginx's files before:\n%s\nafter:\n%s", before, after)
	}
	w.Exec("rm /etc/nginx/conf.d/a.conf; nginx -s reload")

	good := w.Deploy(w.Commit(nil), nil).Outputs["release"]
	w.Exec(taken)
	w.UnderLoad()
	before = w.Exec(state)
	world.Failed(t, w.Run(w.Job(w.Commit(nil), other)), "failed", "switch: nginx was told to reload",
		"bind() to 0.0.0.0:8443 failed (98: Address already in use)", "site: unchanged", good+" on port 8080 serves")
	world.Failed(t, w.Run(w.Job(w.Commit(nil), map[string]string{"operation": "setup", "server-name": "shop.example"})),
		"failed", "site: nginx was told to reload", "Address already in use", "site: unchanged")
	if after := w.Exec(state); after != before {
		t.Errorf("nginx's files before:\n%s\nafter:\n%s", before, after)
	}
	w.Serves(good)
	w.EndLoad()
	w.Exec("rm /etc/nginx/conf.d/theirs.conf")
	w.Serves(w.Deploy(w.Commit(nil), nil).Outputs["release"])
}
