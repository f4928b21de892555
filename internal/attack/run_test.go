package attack

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/deploy"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"github.com/clothesme/deploy-action/scripts"
)

// answers are those of an honest, empty host, by verb.
func answers() map[string]string {
	slot := "flag_%[1]d=no\nlisten_%[1]d=none\npid_%[1]d=0\nrss_mb_%[1]d=0\nenabled_%[1]d=no\nproved_%[1]d=no\n" +
		"release_%[1]d=\nadopted_%[1]d=no\nby_%[1]d=\nclaimed_%[1]d=\nmine_%[1]d=yes\nsocket_%[1]d=no\ngroup_%[1]d=\n" +
		"processes_%[1]d=\ntimers_%[1]d=\nworkers_%[1]d=\n"
	commit := strings.Repeat("a", 40)
	return map[string]string{
		"lock": "machine=b\nopen=no\nwaited=0\nlocked=yes\n",
		"check": "installed=\ncoming=\nos=Debian\nsystemd=yes\nipv6=no\nsite_folder=/etc/nginx/conf.d\none_socket=\n" +
			"hostless=no\nrules=yes\ncertificate=\nsite_certificate=\nnginx=1.24.0\nrealip=yes\ndisk_mb=9000\n" +
			"disk_used=40\noccupied=\nmemory_mb=900\nmemory_total_mb=2000\nswap_mb=0\nskew=0\n",
		"port": "include=absent\ninclude_app=\ninclude_path=\nlast_repository=\nline_port=0\nsite=ours\nrouted=\n" +
			"strays=\nrecipe_key=\nboot=1\nclosed=\nsite_trial=\nschedule=\nfailed_jobs=\n" + fmt.Sprintf(slot, 8080) +
			fmt.Sprintf(slot, 8081),
		"setup": "changed=\n", "fetch": "commit=" + commit +
			"\nsubject=Fix\nrelease=20261123T101500Z-aaaaaaa\n", "build": "built=nothing\nprocesses=\ntimers=\n",
		"start": "log_offset=0\npid=7\nstarttime=7\ngroup=\n", "health": "boot_ms=5\ntries=1\nopen=no\n",
		"site": "reloaded=yes\nedited=no\n", "switch": "switched=yes\nswitched_at=1795400000000\n",
		"verify": "live=1795400000000\nprobes=1\ndenied=\n", "mark": "marked=yes\n", "stop": "stopped=yes\nstop_ms=1\n",
		"drain": "left=0\ndrain_ms=1\n", "prune": "pruned=0\nfreed_mb=0\nstuck=\n", "record": "recorded=yes\n",
		"ask": "answer=right\nsaid=answered " +
			"200\nnginx=\nhealth_8080=\nuptime_8080=\nrestarts_8080=\nhealth_8081=\nuptime_8081=\nrestarts_8081=\n",
		"releases": "release_0=20261122T000000Z-aaaaaaa " + commit + " 1\nmb_0=1\nsizes=releases 1 MB\nhistory_0={}\n",
	}
}

// fromHost: a whole run against a host in the wrong hands, over SSH. It may fail, and it may lie
// about itself; it must not get a word into the runner's ears, an output that a later step would
// stumble over, or mark-up into the summary.
func fromHost(t *testing.T, table *Table) {
	t.Helper()
	const evil = `$(touch pwned)`
	for _, tt := range []struct {
		name, operation, verb string
		output                string // in the place of the honest one
		words                 string // on standard error
		fails                 bool
	}{
		{"an honest host", "deploy", "", "", "", false},
		{
			"a command as the release's id", "deploy", "fetch",
			"commit=" + strings.Repeat("a", 40) + "\nsubject=Fix\nrelease=" + evil + "\n", "", true,
		},
		{
			"a path as the release's id", "deploy", "fetch",
			"commit=" + strings.Repeat("a", 40) + "\nsubject=Fix\nrelease=../../etc\n", "", true,
		},
		{
			"a command as the commit", "deploy", "fetch",
			"commit=" + evil + "\nsubject=Fix\nrelease=20261123T101500Z-aaaaaaa\n", "", true,
		},
		{
			"mark-up and commands as the first line of a commit's message", "deploy", "fetch",
			strings.Replace(answers()["fetch"], "Fix",
				"<script>alert(1)</script> | ![i](https://evil.example) ##[error]pwned", 1),
			"", false,
		},
		{
			"a command as the time since when the site is in maintenance", "deploy", "port",
			strings.Replace(answers()["port"], "closed=", "closed="+evil, 1), "", true,
		},
		{
			"a command as the release before", "deploy", "port",
			strings.Replace(answers()["port"], "release_8080=", "commit_8080=x\nrecipe_8080=x\nrelease_8080="+evil, 1),
			"", true,
		},
		{"a command as the pid", "deploy", "start", "log_offset=0\npid=" + evil + "\nstarttime=7\ngroup=\n", "", true},
		{
			"a port that is none", "deploy", "port",
			strings.Replace(answers()["port"], "line_port=0", "line_port=70000", 1), "", true,
		},
		{"workflow commands among the results", "deploy", "check", "::set-output name=outcome::deployed\n", "", true},
		{
			"workflow commands in what it says", "deploy", "build", answers()["build"],
			"x\r::error::pwned\n##[error]pwned\n::add-mask::e\n\x1b]0;pwned\a", false,
		},
		{
			"mark-up in its last words before it fails", "deploy", "build", "",
			"<script>alert(1)</script>\n```\n# pwned | x\n::error::pwned", true,
		},
		{
			"mark-up and commands in its history", "status", "releases",
			"release_0=20261122T000000Z-aaaaaaa " + strings.Repeat("a", 40) + " 1\n" +
				"history_0={\"outcome\":\"<img src=x>|::error::\",\"actor\":\"@all\",\"release\":\"`x\"}\n" +
				"history_1=<!--\n", "", false,
		},
		{
			"a release in its list that is a path", "status", "releases",
			"release_0=../../etc " + strings.Repeat("a", 40) + " 1\n", "", true,
		},
		{
			"colours and commands as its system's name", "deploy", "check",
			strings.Replace(answers()["check"], "os=Debian", "os=\x1b[2J##[error]pwned", 1), "", false,
		},
		{"a megabyte of results", "deploy", "check", strings.Repeat("a=b\n", 1<<19), "", true},
		{"a newer run that never was, with a command as its number", "deploy", "port", strings.NewReplacer(
			"flag_8080=no", "flag_8080=yes", "listen_8080=none", "listen_8080=ours", "release_8080=",
			"commit_8080="+strings.Repeat("b", 40)+"\nrecipe_8080=x\nrelease_8080=20261122T000000Z-bbbbbbb",
			"by_8080=", `by_8080={"run-id":"99999","run-number":"99","workflow":"::error::x\r##[error]","actor":"<b>"}`,
		).Replace(answers()["port"]), "", true},
	} {
		attempt := func(t *testing.T) string {
			t.Helper()
			server := sshtest.Start(t, sshtest.Options{Handle: func(e *sshtest.Exec) {
				sshtest.Converse(e, scripts.Begin, func(v *sshtest.Verb) {
					output, status := answers()[v.Name], 0
					if v.Name == tt.verb {
						output = tt.output
						_, _ = io.WriteString(v.Words, tt.words)
						if output == "" {
							status = scripts.ExitBuild
						}
					}
					_, _ = io.WriteString(v.Results, output)
					<-v.Closed
					v.End(status)
				})
			}})
			in, err := parse(t, map[string]string{
				"host":      fmt.Sprintf("ubuntu@127.0.0.1:%d", server.Port()),
				"operation": tt.operation, "watch-for": "0s", "known-hosts": server.KnownHosts(),
				"ref": "main", // whose commit, and so the release's id, the host tells
			},
				"GITHUB_RUN_ID", "4711", "GITHUB_RUN_NUMBER", "7")
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			env := map[string]string{
				"GITHUB_OUTPUT":       filepath.Join(dir, "output"),
				"GITHUB_STEP_SUMMARY": filepath.Join(dir, "summary"), "GITHUB_STATE": filepath.Join(dir, "state"),
			}
			r, log := newReport(env)
			dial := host.SSH(remote.Config{Signer: in.Signer, HostKeys: in.HostKeys}, nil)
			result, err := deploy.New(in, r, dial, nil, time.Now()).Run(t.Context())
			if (err != nil) != tt.fails {
				t.Fatalf("Run: %v\n%s", err, log)
			}
			if err != nil {
				r.Error("Deployment failed", err.Error())
			}
			if err := outcome.Publish(r, result, err); err != nil {
				t.Fatal(err)
			}
			for _, line := range commands(log.String()) {
				if !regexp.MustCompile(`^::(group|endgroup|warning title=[^:]*|error title=[^:]*|debug)::`).
					MatchString(line) || strings.Contains(line, "##[") {
					t.Errorf("the runner obeys %q", line)
				}
			}
			outputs := read(t, env["GITHUB_OUTPUT"])
			if strings.ContainsAny(outputs, "$`;|&'\x1b") || strings.Contains(outputs, "pwned") ||
				strings.Contains(outputs, "..") {
				t.Errorf("outputs:\n%s", outputs)
			}
			summary := read(t, env["GITHUB_STEP_SUMMARY"])
			if page := strings.ReplaceAll(rendered(t, summary), noMarkup, ""); ours.ReplaceAllString(page, "") !=
				foreign.ReplaceAllString(page, "") || strings.Contains(page, "\x1b") {
				t.Errorf("summary:\n%s\nshown as:\n%s", summary, page)
			}
			if err != nil {
				line, _, _ := strings.Cut(err.Error(), "\n")
				return fmt.Sprintf("outcome %s: %s", result.Outcome, strings.ReplaceAll(line, fmt.Sprint(server.Port()), "PORT"))
			}
			return fmt.Sprintf("outcome %s; text stays text", result.Outcome)
		}
		if tt.verb == "" { // the proof that it would come through
			t.Run(tt.name, func(t *testing.T) { attempt(t) })
			continue
		}
		table.Try(t, "a host in the wrong hands", tt.name, attempt)
	}
}

// ours are the elements that the summary consists of; foreign are all that there are.
var (
	ours = regexp.MustCompile(`</?(h[234]|p|ul|li|strong|em|code|pre|details|summary|table|thead|tbody|tr|th|td|a)>` +
		`|<(code class="language-(text|mermaid)"|a href="(https://github\.com/acme/shop/[a-z0-9/]*|http://127\.0\.0\.1/|` +
		`https://github\.com/clothesme/deploy-action/blob/v1/docs/troubleshooting\.md#[a-z-]+)")>`)
	foreign = regexp.MustCompile(`<[^>]*>`)
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
