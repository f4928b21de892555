package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// watch looks at the host while a run goes on: at the arguments and the environment of every
// process there is, again and again, and, by standing in for the programs that the scripts call, at
// those of every one that is called. What it looks for it reads from files, so that it does not
// find itself.
const watch = `set -u
mkdir -p /run/watch; chmod 700 /run/watch; : >/run/watch/hits; : >/run/watch/calls; ` +
	`chmod 711 /run/watch; chmod 622 /run/watch/hits /run/watch/calls
cat >/usr/local/lib/stand-in <<'END'
#!/bin/bash
{ printf '%s\0' "$0" "$@"; printf '\n--environment--\n'; /bin/cat /proc/$$/environ; ` +
	`printf '\n--end--\n'; } >>/run/watch/calls 2>/dev/null
exec -a "$0" "/usr/bin/${0##*/}" "$@"
END
chmod 755 /usr/local/lib/stand-in
for name in git curl python3 nice sed awk tee mktemp mv ln find sync stat sudo ssh; ` +
	`do ln -sf /usr/local/lib/stand-in /usr/local/bin/$name; done
setsid bash -c 'while [ ! -e /run/watch/stop ]; do
  for dir in /proc/[0-9]*; do
    if /bin/grep -qaF -f /run/watch/all $dir/cmdline 2>/dev/null; ` +
	`then echo "arguments of $(tr "\0" " " <$dir/cmdline | head -c 60)" >>/run/watch/hits; fi
    if /bin/grep -qaF -f /run/watch/never $dir/environ 2>/dev/null; ` +
	`then echo "environment of $(tr "\0" " " <$dir/cmdline | head -c 60)" >>/run/watch/hits; fi
    if /bin/grep -qaF -f /run/watch/env $dir/environ 2>/dev/null && ! /bin/grep -qaz "^RELEASE=20" $dir/environ ` +
	`&& /bin/grep -qaF -f /run/watch/env $dir/environ 2>/dev/null; ` +
	`then echo "env in $(tr "\0" " " <$dir/cmdline | head -c 60)" >>/run/watch/hits; fi
  done
  /bin/grep -rlaF -f /run/watch/all /tmp /var/tmp /dev/shm >>/run/watch/hits 2>/dev/null
  echo >>/run/watch/rounds
done' >/dev/null 2>&1 </dev/null &`

// proof shows that the watch sees what it is there for, and forgets it again.
const proof = `secret=$(head -n 1 /run/watch/never); bash -c 'exec -a "shown $1" sleep 60' x "$secret" & first=$!; ` +
	`SHOWN=$secret sleep 60 & second=$!
until grep -q '^arguments' /run/watch/hits && grep -q '^environment' /run/watch/hits; do sleep 0.05; done
kill $first $second; wait; rounds=$(wc -l </run/watch/rounds); ` +
	`until (($(wc -l </run/watch/rounds) > rounds + 1)); do sleep 0.05; done
: >/run/watch/hits; : >/run/watch/calls`

// search looks for what the run has left: FILE of the patterns, then where not to look.
const search = `journalctl --sync; { journalctl --no-pager -o verbose | grep -aF -f /run/watch/%[1]s | ` +
	`head -n 3 | sed 's/^/journal: /'
grep -rlaF -f /run/watch/%[1]s --devices=skip --exclude-dir=watch ` +
	`/home /root /etc /var /run /tmp /opt /srv /dev/shm /usr/local 2>/dev/null; ` +
	`nginx -T 2>/dev/null | grep -aF -f /run/watch/%[1]s
systemctl cat 'shop@*' 2>/dev/null | grep -aF -f /run/watch/%[1]s; ` +
	`systemctl show 'shop@8080' | grep -aF -f /run/watch/%[1]s; } || true`

func TestSecretsAreNowhereOnTheHost(t *testing.T) {
	const passphrase = "correct-horse-battery-staple"
	locked, err := world.Shared.Lab.Key(t.Context(), lab.RSA, lab.OpenSSH, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	w := newModelWorld(t, 2*megabyte, lab.HostOptions{})
	token := w.Git.Token()
	never := []string{
		passphrase, token, base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token)),
		"X-Amz-Signature=", w.s3.Env()["AWS_SECRET_ACCESS_KEY"],
	}
	if session := w.s3.Env()["AWS_SESSION_TOKEN"]; session != "" {
		never = append(never, session)
	}
	for line := range strings.Lines(locked.Private) {
		// The key's own public half is in it, too.
		if line = strings.TrimSpace(line); len(line) > 20 && !strings.HasPrefix(line, "-----") &&
			!strings.Contains(locked.Public, line) {
			never = append(never, line)
		}
	}
	chain, tlsKey, _ := ownCertificate(t)
	never = append(never, strings.Split(tlsKey, "\n")[1])
	env := []string{"postgres-password-of-the-shop", "second-line-of-a-private-value"}
	list := func(texts []string) string { return strings.Join(texts, "\n") + "\n" }
	for name, texts := range map[string][]string{
		"never": never, "env": env,
		"all": append(append([]string{}, never...), env...),
	} {
		if err := w.Host.WriteFile(w.Ctx, "/run/watch/"+name, 0o600, "root", list(texts)); err != nil {
			t.Fatal(err)
		}
	}
	w.Exec(watch)
	w.Exec(proof)

	job := w.Job(w.Commit(map[string]string{"app.py": printer}), map[string]string{
		"key": locked.Private, "passphrase": passphrase, "tls-certificate": chain, "tls-key": tlsKey,
		"start":        "python3 app.py",
		"env":          "DATABASE_PASSWORD=" + env[0] + "\nLINES<<END\nfirst\n" + env[1] + "\nEND",
		"build":        "touch /tmp/building; until [ -e /tmp/go-on ]; do sleep 0.1; done; env",
		"before-start": "test \"$DATABASE_PASSWORD\" = " + env[0][:8] + "\"${DATABASE_PASSWORD:8}\"",
		"after-switch": "echo \"$DATABASE_PASSWORD\" \"$LINES\"",
	})
	running, err := w.Runner.Start(w.Ctx, job)
	if err != nil {
		t.Fatal(err)
	}
	w.Exec("until [ -e /tmp/building ]; do sleep 0.05; done")
	checkContainer(t, running.Container, append(never, env...))
	w.Exec("touch /tmp/go-on")
	result, err := running.Wait()
	if err != nil || result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		t.Fatalf("%v: outputs %v\n%s", err, result.Outputs, result.Log())
	}
	w.Exec("touch /run/watch/stop")

	if rounds := w.Exec("wc -l </run/watch/rounds; grep -c -- --end-- /run/watch/calls"); strings.HasPrefix(rounds,
		"0") || strings.HasSuffix(rounds, "\n0") {
		t.Errorf("nothing was watched: %s", rounds)
	} else {
		t.Logf("rounds of all processes, calls seen: %s", strings.ReplaceAll(rounds, "\n", ", "))
	}
	if hits := w.Exec("sort -u /run/watch/hits"); hits != "" {
		t.Errorf("seen during the run:\n%s", hits)
	}
	if calls := w.Exec("grep -caF -f /run/watch/never /run/watch/calls || true"); calls != "0" {
		t.Errorf("in the arguments or environment of a program that a script called:\n%s",
			w.Exec("grep -aF -f /run/watch/never /run/watch/calls | tr '\\0' ' '"))
	}
	// nginx has to read its key.
	here := strings.Split(w.Exec("find /var/lib/deploy-action/shop/tls -name '*.key' -user root -perm 600"), "\n")
	found := w.Exec(fmt.Sprintf(search, "never"))
	if found = strings.TrimSpace(strings.Replace(found, here[0], "", 1)); found != "" || len(here) != 1 || here[0] == "" {
		t.Errorf("left on the host:\n%s", found)
	}
	// The variables are in one file, for the application's user alone.
	file := "/home/ubuntu/shop/releases/" + result.Outputs["release"] + "/.deploy-action/environment"
	if found := w.Exec(fmt.Sprintf(search, "env")); found != file {
		t.Errorf("variables are in:\n%s\nwant them in\n%s", found, file)
	}
	if out := w.Exec("stat -c '%a %U' " + file + "; cat /proc/$(systemctl show -p MainPID --value " +
		"shop@8080)/environ | grep -czaF -f /run/watch/env"); out != "600 ubuntu\n2" {
		t.Errorf("the file's mode and owner, and what the application has of it: %s", out)
	}
	checkLog(t, result, append(never, env...))
}

// checkContainer looks at the runner's side: no argument list has a secret, nothing is written
// within the container, and it has one process.
func checkContainer(t *testing.T, container string, secrets []string) {
	t.Helper()
	docker := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if diff := docker("diff", container); strings.Contains(diff, "A /tmp/") || strings.Contains(diff, "A /root") {
		t.Errorf("written in the container:\n%s", diff)
	}
	if top := strings.Split(docker("top", container, "-o", "pid,args"), "\n"); len(top) != 2 ||
		!strings.HasSuffix(top[1], " /deploy-action") {
		t.Errorf("processes in the container:\n%s", strings.Join(top, "\n"))
	}
	inspect := docker("inspect", "--format", "{{.Path}} {{json .Args}} {{json .Config.Cmd}} {{json .Config.Labels}}",
		container)
	for _, secret := range secrets {
		if strings.Contains(inspect, secret) {
			t.Errorf("docker shows a secret: %s", inspect)
		}
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		text, _ := os.ReadFile(line)
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("the runner's machine shows a secret in %s: %.60q", line, text)
			}
		}
	}
}

// checkLog wants secrets in the commands that mask them and nowhere else: not in a line, an output,
// a state, the summary.
func checkLog(t *testing.T, result *lab.Result, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		for _, line := range result.Lines {
			if strings.Contains(line.Text, secret) && !strings.HasPrefix(line.Text, "::add-mask::") {
				t.Errorf("the log has a secret: %q", line.Text)
			}
		}
		if rest := fmt.Sprint(result.Outputs, result.State, result.Env, result.Summary); strings.Contains(rest,
			secret) {
			t.Errorf("outputs, state or summary have %q", secret)
		}
	}
}
