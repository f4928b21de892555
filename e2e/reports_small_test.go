package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// ballast makes the example take 380 MB and more.
var ballast = map[string]string{"controller/__init__.py": "ballast = b'x' * (380 << 20)\n"}

// On a host with memory for one version the kernel takes it from what is new, never from what
// serves, and the run says so.
func TestMemoryIsTakenFromWhatIsNew(t *testing.T) {
	w := world.New(t, lab.HostOptions{Memory: "700m"})
	w.Deploy(w.Commit(ballast), nil)
	serves := w.Exec("cat /proc/$(systemctl show -p MainPID --value shop@8080)/oom_score_adj; ls " +
		"/home/ubuntu/shop/slots")
	if serves != "0\n8080" {
		t.Errorf("the version that is proved is on trial: %q", serves)
	}
	w.UnderLoad()
	const takes = "python3 -c 'x = b\"x\" * (600 << 20)'"
	for _, tt := range []struct {
		name  string
		files map[string]string
		with  map[string]string
		words []string
	}{
		{"a good release", ballast, nil, []string{
			"health: the kernel ended the new version for want of memory: ", "the host has 700 MB of memory and no " +
				"swap, and the version that serves takes 4",
			`input "swap"`, "a bigger instance",
		}},
		{
			"a bad one", merged(ballast, map[string]string{"BROKEN": "health-500"}),
			map[string]string{"health-timeout": "30s"},
			[]string{"the kernel ended the new version"},
		},
		{"a build", nil, map[string]string{"build": takes + "\necho built"}, []string{
			"build: the host ran out of memory, and the kernel ended what the command had started: the host has 700 MB",
			`source "workspace"`,
		}},
		{"a hook", nil, map[string]string{"before-start": takes}, []string{"before-start: the host ran out of memory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			world.Failed(t, w.Run(w.Job(w.Commit(tt.files), tt.with)), "failed", append(tt.words, "site: unchanged")...)
		})
	}
	w.Deploy(w.Commit(nil), nil) // a small one fits
}

// The same host, with one version at a time: what does not fit beside it takes its place.
func TestAHostWithMemoryForOneVersion(t *testing.T) {
	w := world.New(t, lab.HostOptions{Memory: "700m"})
	w.Deploy(w.Commit(ballast), inPlace(nil))
	w.UnderLoad()
	good := w.Deploy(w.Commit(ballast), inPlace(nil)).Outputs["release"]
	bad := w.Run(w.Job(w.Commit(merged(ballast, map[string]string{"BROKEN": "health-500"})),
		inPlace(map[string]string{"health-timeout": "30s"})))
	world.Failed(t, bad, "restored", "replace: GET /health on port 808", "answered 500",
		"site: restored; "+good+" on port 808")
	build := w.Run(w.Job(w.Commit(ballast),
		inPlace(map[string]string{"build": "python3 -c 'x = b\"x\" * (600 << 20)'"})))
	world.Failed(t, build, "failed", "build: the host ran out of memory", "site: unchanged")
	w.Serves(good)
}

// On a small disk, with requirements that change each time, no deployment gets stuck: what is not
// needed goes before the next venv is made.
func TestADiskForAFewVenvs(t *testing.T) {
	w := world.New(t, lab.HostOptions{Tmpfs: map[string]string{"/srv": "size=700m,mode=1777"}})
	w.Exec(`cd "$(sed -n 's/^find-links = //p' /etc/pip.conf)" && python3 - <<'END'
import zipfile
with zipfile.ZipFile("big-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("big/data", b"\0" * (105 << 20))
    z.writestr("big-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: big\nVersion: 1.0\n")
    z.writestr("big-1.0.dist-info/WHEEL", ` +
		`"Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("big-1.0.dist-info/RECORD", "")
END`)
	with := map[string]string{
		"path": "/srv/shop", "start": "exec python3 app.py", "watch-for": "0s",
		"drain-timeout": "1s",
	}
	warned := 0
	for n := range 15 {
		result := w.Deploy(w.Commit(map[string]string{
			"app.py":           echoApp,
			"requirements.txt": fmt.Sprintf("big==1.0\n# %d\n", n),
		}), with)
		if strings.Contains(result.Log(), "the disk has no room for 5 releases besides a new one") {
			warned++
		}
	}
	if warned == 0 {
		t.Error("nobody was told that older releases had to go")
	}
	t.Log(w.Exec("df -m /srv; ls /srv/shop/releases /srv/shop/venvs"))
	result := w.Run(w.Job("", merged(with, map[string]string{"operation": "rollback"})))
	if result.ExitCode != 0 || result.Outputs["outcome"] != "rolled-back" {
		t.Errorf("rolling back: outcome %q\n%s", result.Outputs["outcome"], result.Log())
	}
}

// What people report of their builds, commands and hosts' settings.
func TestReportsSmall(t *testing.T) {
	tryReports(t, []report{
		{
			name: "a second repository with the same path", refused: []string{"/home/ubuntu/shop belongs to the " +
				"application shop on this host", `set the input app to "shop"`, "input path"},
			with: map[string]string{
				"app": "api", "path": "/home/ubuntu/shop", "ports": "8090,8091",
				"nginx-include": "/etc/nginx/conf.d/api.inc", "server-name": "api.example",
			},
		},
		{
			name: "the same, of a deploy root from before it had a mark", setup: "mv /home/ubuntu/shop/.app /tmp",
			undo:    "mv /tmp/.app /home/ubuntu/shop",
			refused: []string{"/home/ubuntu/shop belongs to the application shop on this host"},
			with: map[string]string{
				"app": "api", "path": "/home/ubuntu/shop", "ports": "8090,8091",
				"nginx-include": "/etc/nginx/conf.d/api.inc", "server-name": "api.example",
			},
		},
		{
			name: "another path than the application runs from", with: map[string]string{"path": "/srv/elsewhere"},
			refused: []string{
				`lock: shop runs on this host from /home/ubuntu/shop, and not from /srv/elsewhere: ` +
					`set the input path to "/home/ubuntu/shop"`,
			},
			check: func(w *world.World, _ *lab.Result) {
				for _, operation := range []string{"status", "check", "rollback", "setup"} {
					with := map[string]string{"operation": operation, "path": "/srv/elsewhere"}
					world.Failed(w.T, w.Run(w.Job("", with)), "failed", `set the input path to "/home/ubuntu/shop"`)
				}
				w.Exec("test ! -e /srv/elsewhere")
			},
		},
		{
			name: "a path through links in a circle", setup: "ln -s b /srv/a; ln -s a /srv/b", undo: "rm /srv/a /srv/b",
			with: map[string]string{
				"app": "api", "path": "/srv/a/api", "ports": "8090,8091",
				"nginx-include": "/etc/nginx/conf.d/api.inc", "server-name": "api.example",
			},
			refused: []string{"lock: can't create the deploy root /srv/a/api", "Too many levels of symbolic links"},
		},
		{
			name: "before-start stops both units, and the release is bad", asks: []ask{},
			with: map[string]string{"before-start": "sudo systemctl stop shop@8080 shop@8081; exit 1"},
			undo: "systemctl start shop@8080; timeout 120 bash -c 'until curl -fsS http://127.0.0.1/; do sleep " +
				"0.1; done' >/dev/null",
			failed: []string{"it is down (answered 502", "on port 8080 listens"},
			check: func(w *world.World, _ *lab.Result) {
				down := map[string]string{"operation": "status"}
				world.Failed(w.T, w.Run(w.Job("", down)), "failed",
					"up: the site is down: GET /health for localhost through nginx: answered 502",
					"sudo systemctl restart shop@8080", `input "allow-down"`)
				down["allow-down"] = "true"
				if result := w.Run(w.Job("", down)); result.ExitCode != 0 {
					w.T.Errorf("with allow-down:\n%s", result.Log())
				}
			},
		},
		{
			name: "the repository was renamed", with: map[string]string{"app": "store"},
			refused: []string{
				"that of the application shop",
				`if this is shop under a new name, as when its repository was renamed, ` +
					`set the input app to "shop" and the input path to "/home/ubuntu/shop"`,
			},
		},
		{
			name:   "a build that leaves a folder without write permission, and fails",
			with:   map[string]string{"build": "mkdir -p .go/x && touch .go/x/y && chmod a-w .go/x && exit 3"},
			failed: []string{"build: the build command exited with status 3"},
			check: func(w *world.World, _ *lab.Result) {
				left := w.Exec("ls -d /home/ubuntu/shop/releases/*/.go")
				w.Deploy(w.Commit(map[string]string{"app.py": echoApp}), echoing)
				if now := w.Exec("ls -d /home/ubuntu/shop/releases/*/.go 2>/dev/null || :"); now != "" || left == "" {
					w.T.Errorf("still there: %q, of %q", now, left)
				}
			},
		},
		{
			name: "another user's file in a release that goes", with: map[string]string{"keep-releases": "2"},
			setup: `dir=/home/ubuntu/shop/releases/20200101T000000Z-0000000; ` +
				`mkdir -p $dir/theirs && touch $dir/theirs/file && chown -R ubuntu: $dir && chown -R root: $dir/theirs`,
			undo: "rm -rf /home/ubuntu/shop/releases/20200101T000000Z-0000000*",
			check: func(w *world.World, _ *lab.Result) {
				if left := w.Exec("ls -d /home/ubuntu/shop/releases/20200101* 2>/dev/null || :"); left != "" {
					w.T.Errorf("still there, although the user may become root: %s", left)
				}
			},
		},
		{
			name:   "before-start: false on line 1, echo seeded on line 2",
			with:   map[string]string{"before-start": "false\necho seeded"},
			failed: []string{`before-start: the command of input "before-start" exited with status 1`},
		},
		{
			name: "build: a failure in a pipe, then more", with: map[string]string{"build": "no-such-compiler | tee " +
				"log\necho built"},
			failed: []string{"no-such-compiler: command not found", "build: the build command exited with status 127"},
		},
		{
			name: "build and before-start with Korean text", with: map[string]string{
				"build":        `python3 -c 'print("빌드", open("/proc/self/environ").read().count("LC_ALL"))'`,
				"before-start": `python3 -c 'print("마이그레이션")'`,
			},
			check: func(w *world.World, result *lab.Result) { world.Says(w.T, result, "빌드 0", "마이그레이션") },
		},
	})
}

// Start commands that are nearly right: what is said of each names the remedy.
func TestReportsStart(t *testing.T) {
	start := func(command string, words ...string) report {
		return report{
			name: command, failed: words, files: map[string]string{"app.py": echoApp},
			with: map[string]string{"start": command, "health-timeout": "2m"}, // they end long before
		}
	}
	stays := func(command string, words ...string) report { // until then, and must listen by then
		r := start(command, words...)
		r.with["health-timeout"] = "12s"
		return r
	}
	server := func(command, requirements string, words ...string) report {
		r := start(command, words...)
		r.with["build"] = ""
		r.files = map[string]string{
			"api/main.py":     "from fastapi import FastAPI\napp = FastAPI()\n",
			"api/__init__.py": "",
		}
		if requirements != "" {
			r.files["requirements.txt"] = requirements
		}
		return r
	}
	foreign := report{
		name: "a .venv in the repository", files: map[string]string{
			"app.py": echoApp, "requirements.txt": "gunicorn\n", ".venv/bin/python3": "#!/bin/sh\nexit 9\n",
			".venv/pyvenv.cfg": "home = /opt/theirs\n",
		}, with: map[string]string{"build": ""},
		check: func(w *world.World, result *lab.Result) {
			world.Says(w.T, result, "the .venv of the repository is not used, since it was made on another machine")
		},
	}
	six := stays("exec python3 -m http.server --bind ::1 $PORT")
	six.failed = []string{
		"health: GET /health on port 8081: ",
		"it listens on ::1 alone, and nginx asks 127.0.0.1: have the input start name that address",
	}
	// an engine's networks have none
	six.setup = "mount -o remount,rw /proc/sys; sysctl -qw net.ipv6.conf.lo.disable_ipv6=0"
	six.undo = "sysctl -qw net.ipv6.conf.lo.disable_ipv6=1"
	tryReports(t, []report{
		six,
		start("nohup python3 app.py &", "health: the application exited with status 0",
			"without & or nohup, and without --daemon"),
		start("python3 -c 'import os; os.fork() and os._exit(0); os.setsid(); os.execvp(\"python3\", [\"python3\", "+
			"\"app.py\"])'",
			"health: the application exited with status 0", "it must run as long as the application does"),
		stays("PORT=9999 exec python3 app.py", "did not listen on port 808", "it listens on 9999 instead"),
		start("exec no-such-server --port $PORT", "health: the application exited with status 127",
			"the command of the input start was not found: its package belongs in the input packages"),
		server("exec uvicorn api.main:app --port $PORT", "gunicorn\n",
			"the virtual environment of the release has no uvicorn: name it in requirements.txt"),
		start("exec uvicorn app:app --port $PORT", "the release has no virtual environment, since the input build "+
			"makes none"),
		server("exec uvicorn main:app --port $PORT", "fastapi\nuvicorn\n",
			"the input start names the module main, and the release has no main.py; the application looks to be in "+
				"api.main"),
		foreign,
	})
}

// What the host's own settings do to a run: it gets through, or says whose words they are.
func TestReportsSettings(t *testing.T) {
	const rc = "cp -p /home/ubuntu/.bashrc /tmp/rc; "
	tryReports(t, []report{
		{
			name: "the login's environment and ~/.gitconfig",
			with: map[string]string{"before-start": "[[ $TAR_OPTIONS == --frobnicate ]]"},
			setup: rc + `printf 'export TAR_OPTIONS=--frobnicate GREP_OPTIONS=-q CDPATH=/ GIT_DIR=/nowhere\n` +
				`awk() { false; }\nexport -f awk\n' | cat - /tmp/rc >/home/ubuntu/.bashrc
				printf '[url "git@nowhere.invalid:"]\n\tinsteadOf = http://\n' >/home/ubuntu/.gitconfig`,
			undo: "cp -p /tmp/rc /home/ubuntu/.bashrc; rm -f /home/ubuntu/.gitconfig",
		},
		{
			name: "a start-up file that execs another shell", setup: rc +
				"echo 'exec dash' | cat - /tmp/rc >/home/ubuntu/.bashrc", undo: "cp -p /tmp/rc /home/ubuntu/.bashrc",
			refused: []string{
				"the login of ubuntu does not run the commands that it is given: it ended with another shell than bash",
				"must not exec another shell",
			},
		},
		{
			name: "a start-up file that reads standard input", setup: rc +
				"echo 'cat >/dev/null' | cat - /tmp/rc >/home/ubuntu/.bashrc",
			undo: "cp -p /tmp/rc /home/ubuntu/.bashrc",
			with: map[string]string{"connect-timeout": "9s"},
			refused: []string{
				"the login shell of ubuntu has not run the commands that it was given within 10s",
				"reads standard input",
			},
		},
		{
			name: "an account without a shell", setup: "usermod -s /usr/sbin/nologin ubuntu",
			undo: "usermod -s /bin/bash ubuntu",
			refused: []string{
				"the login of ubuntu does not run the commands", "This account is currently not available",
				"getent passwd ubuntu",
			},
		},
		{
			name:  "MaxSessions 1",
			setup: "echo MaxSessions 1 >/etc/ssh/sshd_config.d/50-few.conf; systemctl reload ssh",
			undo:  "rm /etc/ssh/sshd_config.d/50-few.conf; systemctl reload ssh",
		},
		{
			name: "sshd is down for three seconds", setup: "systemctl stop ssh ssh.socket 2>/dev/null; systemd-run " +
				"-q --on-active=3 systemctl start ssh", undo: "systemctl start ssh",
		},
	})
}
