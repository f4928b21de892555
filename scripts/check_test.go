package scripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A host that lacks nginx, git and unzip, whose apt knows them and bc.
const bareHost = `app=a https=no nginx_include=/etc/nginx/conf.d/service-url.inc ports="8080 8081" path=/ clock=0 ` +
	`list=yes needs="awk git nginx" packages="unzip" setup=auto may_install=no
as_root() { printf 'as root: %s\n' "$*" >&2; }
have() { [[ $1 != git && $1 != nginx ]]; }
installed() { false; }
rules_stand() { false; }
free_root() { true; }
apt_has_lists() { true; }
sockets() { :; }
apt-cache() { case ${*: -1} in git | nginx | unzip | bc) echo "Package: ${*: -1}" ;; *) return 100 ;; esac; }
`

// halfSetUp is a host where all commands are there, and dpkg was killed before it had set them all up.
const halfSetUp = `have() { :; }; packages=; nginx_test() { echo 'open() "nginx.conf" failed'; return 1; }
nginx_runs() { :; }; find_nginx() { nginx=(nginx) nginx_ignored=; }; look_at_nginx() { :; }; built_in() { built=; }
dpkg-query() {
  printf '%s\t%s\t%s,%s\t%s\n' installed libc6 '' '' '' \
    half-configured nginx '' 'libc6 (>= 2.34), libssl3:any | x' httpd \
    unpacked libssl3 libc6 '' '' installed git '' 'libc6' '' half-installed foreign '' nginx '' \
    half-installed mail libc6 '' 'z, mta (= 2)' \
    config-files gone '' foreign '' triggers-pending curl '' '' ''
}
`

// checkOn runs check.sh on the bare host with some things otherwise, and returns its results and
// words.
func checkOn(t *testing.T, otherwise string) (results, words string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	text := "EX_CHECK=64\n" + strings.Join([]string{
		"app=a", read(t, "lib/base.sh"), read(t, "lib/root.sh"), read(t, "lib/process.sh"), read(t,
			"lib/files.sh"), read(t, "lib/memory.sh"), read(t, "lib/packages.sh"),
		read(t, "lib/nginx.sh"), read(t, "lib/answers.sh"), read(t, "lib/front.sh"), read(t, "lib/rights.sh"),
		read(t, "lib/room.sh"),
	}, "\n")
	cmd.Dir = dpkgFolder(t, "half-configured", true)
	cmd.Stdin = strings.NewReader(text + "\ndpkg_folder=.\n" + bareHost + otherwise + "\n" + read(t, "check.sh"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// dpkgFolder has the files in which dpkg says that a package is like that: in its list, or in what was
// not merged into it yet.
func dpkgFolder(t *testing.T, state string, update bool) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "updates")
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"status": "Package: git\nStatus: install ok installed\n\nPackage: old\nStatus: deinstall ok config-files\n\n" +
			"Package: curl\nStatus: install ok triggers-pending\nDescription: is no\n Status: half-configured one\n",
	}
	if stanza := "Package: nginx\nStatus: install ok " + state + "\n"; update {
		texts["updates/0001"] = stanza
	} else if state != "" {
		texts["status"] += "\n" + stanza
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A text is what it is, whatever a power cut has left of it and however it ends.
func TestTheContentOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for text, want := range map[string]string{
		"": "", "one": "one", "one\ntwo\n": "one\ntwo", "one\n\n\n": "one", "on\x00e\x00\x00\ntwo": "one\ntwo",
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out := bash(t, "app=a\n"+read(t, "lib/base.sh")+"content "+file+"; printf '%s|' \"$there\"; content "+file+
			"-; printf '%s|' \"$there\"; has_text "+file+" \""+want+"\" && echo has")
		if out != want+"||has\n" {
			t.Errorf("%q: %q", text, out)
		}
	}
}

// Where dpkg has set up all that it has unpacked, one look at its files is enough.
func TestDpkgIsAskedWhereItWasCutOff(t *testing.T) {
	for _, tt := range []struct {
		state  string
		update bool
		asked  bool
	}{
		{"", false, false},
		{"installed", true, false},
		{"unpacked", false, true},
		{"half-configured", true, true},
		{"half-installed", false, true},
	} {
		out := bash(t, "needs=nginx packages=; have() { :; }; find_nginx() { nginx=(nginx); }\n"+
			"dpkg-query() { echo asked >&3; }\n"+read(t, "lib/packages.sh")+
			"dpkg_folder="+dpkgFolder(t, tt.state, tt.update)+"\n{ find_halfway; } 3>&1")
		if asked := out == "asked\n"; asked != tt.asked {
			t.Errorf("%q, not merged: %t: asked %t (%q)", tt.state, tt.update, asked, out)
		}
	}
}

func TestCheckLeavesToTheDeploymentWhatItInstalls(t *testing.T) {
	const unknown = "=apt's lists on this host have no package nosuchpkg: correct the input packages, or add the " +
		"source that has it and run sudo apt-get update\n"
	for _, tt := range []struct {
		name, otherwise string
		faults          int
		results         []string
		words           string
	}{
		{
			"auto", "", 0,
			[]string{"coming=git nginx unzip\n", "nginx=\n"},
			"missing, and installed by a deployment: git nginx unzip\n",
		},
		{
			"always", "setup=always", 0,
			[]string{"coming=git nginx unzip\n"},
			"missing, and installed by a deployment: git nginx unzip\n",
		},
		{"all there", "have() { [[ $1 != nginx ]]; }; needs=awk packages=", 0, []string{"coming=\n"}, "ok: awk\n"},
		{"never", "setup=never", 3, []string{
			"coming=\n", "fault_0=git is not installed: apt-get install -y git\n", "fault_1=nginx is not installed",
			"fault_2=package unzip is not installed: apt-get install -y unzip\n",
		}, "not fit"},
		{
			"never, with a name that apt does not know", "setup=never packages=nosuchpkg needs=", 1,
			[]string{"fault_0" + unknown},
			"not fit",
		},
		{
			"without the rights", "free_root() { false; }; needs=git; packages=", 2,
			[]string{"fault_0=git is not installed: apt-get install -y git\n"},
			"nothing can be installed",
		},
		{
			"a name that apt does not know", `packages="unzip nosuchpkg bc"`, 1,
			[]string{"coming=git nginx unzip nosuchpkg bc\nfault_0" + unknown},
			"missing, and installed by a deployment: git nginx unzip bc\n",
		},
		{
			"a command that apt does not know", "apt-cache() { return 100; }; needs=git; packages=", 1,
			[]string{"fault_0=apt's lists on this host have no package git: "},
			"not fit",
		},
		{
			"no lists yet", "apt_has_lists() { false; }; needs=; packages=nosuchpkg", 0,
			[]string{"coming=nosuchpkg\n"},
			"by a deployment: nosuchpkg (apt has fetched no lists yet, so it may not know all of them)\n",
		},
		{
			"port 80 is another program's",
			`sockets() { bound=("1 0 0100007F"); }; holders() { echo $$; }; service_of() { echo apache2.service; }; ` +
				`who_has() { echo "pid 7, user root, program bash"; }; may_install=yes`,
			1,
			[]string{
				"coming=git nginx unzip\nfault_0=port 80, which nginx needs, is another program's (pid ",
				"program bash): end it, with sudo systemctl disable --now apache2.service, or have it listen " +
					"elsewhere\n",
			},
			"not fit",
		},
		{
			"port 80 is a container's, and other containers are not to end with it",
			`sockets() { bound=("1 0 0100007F"); }; holders() { echo $$; }; service_of() { echo docker.service; }; ` +
				`who_has() { echo "program docker-proxy"; }; may_install=yes`,
			1,
			[]string{
				"(program docker-proxy): end it, with sudo docker rm -f and the name that sudo docker ps --filter publish=80 " +
					"shows, or have it listen elsewhere\n",
			},
			"not fit",
		},
		{
			"port 443 is another program's, and HTTPS is asked for",
			`https=yes; sockets() { bound=(); [[ $1 != 443 ]] || bound=("1 0 0100007F"); }; holders() { echo $$; }; ` +
				`service_of() { :; }; who_has() { echo "program bash"; }; may_install=yes`,
			1,
			[]string{
				"fault_0=port 443, which nginx needs, is another program's (program bash): end it, or have it listen " +
					"elsewhere\n",
			},
			"not fit",
		},
		{
			"port 443 is another program's, and nobody asks for it",
			`sockets() { bound=(); [[ $1 != 443 ]] || bound=("1 0 0100007F"); }; holders() { echo $$; }; needs=; packages=`,
			0, nil, "",
		},
		{
			"an nginx that is unpacked, and its dependency", halfSetUp, 0,
			[]string{"coming=nginx libssl3\n"},
			"not wholly installed, by an apt that was cut off or still runs: nginx (half-configured), libssl3 (unpacked)\n",
		},
		{
			"the same, and nothing is to be installed", halfSetUp + "setup=never", 1,
			[]string{
				"fault_0=nginx is not wholly installed, by an apt that was cut off or still runs: nginx " +
					"(half-configured), libssl3 (unpacked); " +
					"finish it on the host: sudo dpkg --configure -a && sudo apt-get install nginx\n",
			},
			"not fit",
		},
		{
			"an nginx that serves, though it is not set up", halfSetUp + "setup=never; nginx_test() { :; }", 0,
			[]string{"coming=\n"},
			"ok: nginx configuration\n",
		},
		{
			"another's package that is unpacked", halfSetUp + `needs="awk git"; nginx_test() { :; }`, 0,
			[]string{"coming=\n"},
			"",
		},
		{
			"nginx of a folder of its own, and a package that is unpacked",
			halfSetUp + "find_nginx() { nginx=(/srv/nginx/nginx) nginx_ignored=; }", 1,
			[]string{"coming=\n", "fault_0=nginx refuses its present configuration"},
			"",
		},
		{
			"a package that is wanted besides, by another's name",
			halfSetUp + `needs=awk; packages=mta; installed() { :; }; nginx_test() { :; }`, 0,
			[]string{"coming=mail\n"},
			"not wholly installed, by an apt that was cut off or still runs: mail (half-installed)\n",
		},
		{
			"a python3 that does not run", "needs=python3; packages=; python3() { return 127; }; setup=never", 1,
			[]string{"fault_0=python3 has no venv module: apt-get install -y python3-venv\n"},
			"not fit",
		},
		{
			"the same, and the module can be installed",
			"needs=python3; packages=; python3() { return 127; }; apt-cache() { echo known; }", 0,
			[]string{"coming=python3-venv\n"},
			"",
		},
		{
			"another system", "have() { case $1 in git | nginx | apt* | dpkg*) return 1 ;; esac; }", 3,
			[]string{"fault_0=git is not installed\n", "fault_2=package unzip can't be looked up"},
			"not fit",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			results, words, code := checkOn(t, tt.otherwise)
			if (code == 64) != (tt.faults > 0) || (code == 0) != (tt.faults == 0) ||
				!strings.Contains(words, tt.words) || strings.Count(results, "\nfault_") != tt.faults {
				t.Errorf("exit code %d, want %d faults with %q; results:\n%s\nwords:\n%s", code, tt.faults, tt.words,
					results, words)
			}
			for _, want := range tt.results {
				if !strings.Contains(results, want) {
					t.Errorf("results lack %q:\n%s\n%s", want, results, words)
				}
			}
			if strings.Contains(words, "as root: env") {
				t.Errorf("something is changed:\n%s", words)
			}
		})
	}
}

// What apt does is in the log, without the progress that dpkg draws on a terminal.
func TestAptIsGivenNoTerminal(t *testing.T) {
	_, words, _ := checkOn(t, `may_install=yes; apt() { printf 'apt: %s\n' "$*" >&2; }; versions() { :; }`)
	for _, command := range []string{"update", "install --yes --no-install-recommends -- git nginx unzip"} {
		if want := "apt: apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -o " +
			"APT::Cmd::Pattern-Only=true " + command + "\n"; !strings.Contains(words, want) {
			t.Errorf("the words lack %q:\n%s", want, words)
		}
	}
}

// What an installation that was cut off has left is set up first, without asking anybody; apt is
// asked only for what is not whole after that, and once where the host may do as it is.
func TestAnInstallationThatWasCutOffIsFinishedFirst(t *testing.T) {
	const apt = `may_install=yes; versions() { :; }; pause() { :; }
apt() {
  local all=$*
  case $all in
    dpkg*) echo "$1: ${all#* }"; done=$((${done-0} + 1)) ;;
    *update) echo 'apt: update' ;;
    *) echo "apt: ${all#*Pattern-Only=true }" ;;
  esac >&2
  [[ $all != *"${refused-nothing}"* ]]
}
`
	const setUp = "dpkg: --force-confold --configure -a\n"
	for _, tt := range []struct{ name, otherwise, words string }{
		{
			"dpkg gets through",
			`packages=; dpkg-query() { [[ -v done ]] || printf 'unpacked\tnginx\t,\t\n'; }`,
			"finishing nginx\n" + setUp,
		},
		{
			"of what nginx needs one is in another apt's hands",
			`refused=configure; packages=; dpkg-query() { printf 'unpacked\tlibssl3\t,\t\ninstalled\tnginx\t,libssl3\t\n'; }`,
			"finishing libssl3\n" + setUp,
		},
		{
			"dpkg does not",
			"refused=configure",
			"finishing nginx libssl3\n" + setUp + "installing nginx libssl3\napt: update\n" +
				"apt: install --yes --no-install-recommends -- nginx libssl3\n",
		},
		{
			"neither does apt",
			`refused=-`,
			"finishing nginx libssl3\n" + setUp + "installing nginx libssl3\napt: update\n" +
				"apt: install --yes --no-install-recommends -- nginx libssl3\napt did not get through (try 1 of 1)\n" + setUp +
				"apt: -o Dpkg::Options::=--force-confold install --yes --no-install-recommends --fix-broken --no-remove\n",
		},
		{
			"one is not even unpacked",
			`packages=; dpkg-query() { printf 'half-installed\tnginx\t,\t\n'; }`,
			"finishing nginx\n" + setUp + "installing nginx\napt: update\n" +
				"apt: install --yes --no-install-recommends --reinstall -- nginx\n" +
				"apt: install --yes --no-install-recommends -- nginx\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, words, _ := checkOn(t, halfSetUp+apt+tt.otherwise)
			_, words, _ = strings.Cut(words, "still runs: ")
			_, words, _ = strings.Cut(words, "\n")
			if got, _, _ := strings.Cut(words, "ok: "); got != tt.words {
				t.Errorf("words:\n%s\nwant:\n%s", got, tt.words)
			}
		})
	}
}
