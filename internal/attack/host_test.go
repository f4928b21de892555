package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/scripts"
)

// payloads are free text that a shell could take for its own.
var payloads = []struct{ name, text string }{
	{"a command substitution", "$(touch pwned)"},
	{"backticks", "`touch pwned`"},
	{"the end of a quotation", "'; touch pwned; '"},
	{"the end of both quotations", `"'"; touch pwned; "'"`},
	{"a line break and a command", "x\ntouch pwned\n"},
	{"an escaped quote", `\'; touch pwned #`},
	{"a here document's end", "END\ntouch pwned\nEOF"},
	{"an arithmetic subscript", "a[$(touch pwned)]"},
	{"a history expansion", "!!; touch pwned"},
	{"a tilde, a glob and braces", "~ * {a,b} ?[x]"},
	{"an option", "-n"},
	{"bytes that are no UTF-8", "\xff\xfe'$(touch pwned)"},
	{"ANSI-C quoting", `$'\'; touch pwned; \''`},
	{"specifiers and variables of systemd", "%i %h $HOME ${PORT} \\x20 %%"},
}

// onShell: values, variables and commands reach a real bash byte for byte, and nothing in them runs
// on the way.
func onShell(t *testing.T, table *Table) {
	t.Helper()
	for _, p := range payloads {
		table.Try(t, "value of a script", p.name, func(t *testing.T) string {
			text, err := scripts.Compose(scripts.Releases, scripts.Values{
				"path": p.text, "history": "0",
				"app": "shop",
			})
			if err != nil {
				t.Fatal(err)
			}
			head, _, found := strings.Cut(string(text), "#!/usr/bin/env bash")
			if !found {
				t.Fatal("no script after the values")
			}
			out, made := bash(t, head+"printf '%s.' \"$path\"\n}\n")
			if out != scripts.Begin+"\n"+p.text+"." || len(made) > 0 {
				t.Fatalf("arrived as %q, made %q", out, made)
			}
			return "arrives byte for byte; nothing runs"
		})
		table.Try(t, "variable of env", p.name, func(t *testing.T) string {
			out, made := bash(t, scripts.Environment([][2]string{{"VALUE", p.text}})+"printf '%s.' \"$VALUE\"\n")
			if out != p.text+"." || len(made) > 0 {
				t.Fatalf("arrived as %q, made %q", out, made)
			}
			return "arrives byte for byte; nothing runs"
		})
	}
	table.Try(t, "value of a script", "NUL, which cuts a string", func(t *testing.T) string {
		_, err := scripts.Compose(scripts.Releases, scripts.Values{"path": "/srv\x00; id"})
		if err == nil {
			t.Fatal("accepted")
		}
		return "refused: " + err.Error()
	})
	table.Try(t, "script", "a stream that is cut off half-way", func(t *testing.T) string {
		text, err := scripts.Compose(scripts.Prune, scripts.Values{"app": "shop", "path": "/nowhere"})
		if err != nil {
			t.Fatal(err)
		}
		for at := len(text) - len("}\n"); at > strings.Index(string(text), "\n{\n"); at -= len(text) / 50 {
			cmd := exec.CommandContext(t.Context(), "bash", "-s")
			cmd.Stdin, cmd.Dir = strings.NewReader(string(text[:at])), t.TempDir()
			out, _ := cmd.Output()
			made, err := os.ReadDir(cmd.Dir)
			if strings.TrimSpace(string(out)) != scripts.Begin || err != nil || len(made) > 0 {
				t.Fatalf("cut at %d of %d it says %q and makes %v (%v)", at, len(text), out, made, err)
			}
		}
		return "nothing runs: all of it stands between braces"
	})
}

// onSystemd: the unit as it is written for the widest names that inputs let through is sound to
// systemd itself.
func onSystemd(t *testing.T, table *Table) {
	t.Helper()
	app := scripts.App{
		Name: "a-" + strings.Repeat("z", 30), User: "_u-9", Path: "/srv/A.b_c-9/x..y",
		Ports: [2]uint16{8080, 65535}, StopSecs: 600,
	}
	table.Try(t, "unit", "the widest names that are let through", func(t *testing.T) string {
		unit := app.Unit()
		if strings.ContainsAny(strings.ReplaceAll(strings.ReplaceAll(unit, "%i", ""), "fs/coredump.c", ""), "%$\\") {
			t.Fatalf("specifiers, variables or escapes in\n%s", unit)
		}
		file := filepath.Join(t.TempDir(), app.Name+"@.service")
		write(t, file, strings.ReplaceAll(unit, "User=_u-9", "User=root"))
		if _, err := exec.LookPath("systemd-analyze"); err == nil {
			if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no",
				file).CombinedOutput(); err != nil || strings.Contains(string(out), app.Name) {
				t.Fatalf("systemd-analyze verify: %v\n%s", err, out)
			}
		} else if os.Getenv("CI") != "" {
			t.Fatal("there is no systemd-analyze to ask")
		}
		return "systemd-analyze verify finds nothing"
	})
	table.Try(t, "unit", "specifiers, variables and line breaks in the start command", func(t *testing.T) string {
		start := "serve %i $HOME \\x20\nExecStartPre=/bin/touch /pwned"
		if strings.Contains(app.Unit(), "serve") || strings.Contains(scripts.StartFile(start),
			"\nExecStartPre=/bin/touch /pwned\n") {
			t.Fatal("it is in the unit")
		}
		out, made := bash(t, strings.Replace(scripts.StartFile(start), " || . .deploy-action/environment\nexec bash -c ",
			" || :\nprintf '%s.' ", 1))
		if out != start+"." || len(made) > 0 {
			t.Fatalf("arrived as %q", out)
		}
		return "not in the unit, but quoted in a file of the release"
	})
}

// onGit: what a repository names as a submodule's URL, through the function that reads it.
func onGit(t *testing.T, table *Table) {
	t.Helper()
	library, err := os.ReadFile("../../scripts/lib/git.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, url string }{
		{"a transport that runs a command", "ext::sh -c 'touch pwned'"},
		{"a local folder", "file:///etc"},
		{"a path", "/etc"},
		{"an option for ssh", "ssh://-oProxyCommand=touch/x"},
		{"an option for git", "--upload-pack=touch pwned"},
		{"a second line", "https://evil.example/x\npassword=y"},
		{"another host over SSH, whose key is not here", "git@evil.example:o/r.git"},
		{"git's own protocol", "git://github.com/o/r"},
		{"up and away", "../../../../.."},
		{"credentials in the URL", "https://user:pw@github.com/o/r"},
	} {
		table.Try(t, "submodule", tt.name, func(t *testing.T) string {
			script := string(library) + fmt.Sprintf("\ngit_url=https://github.com/acme/shop.git "+
				"url=https://github.com/acme/shop.git\nif to=$(absolute %s); then printf 'taken for %%s' \"$to\"; "+
				"else printf refused; fi\n", quote(tt.url))
			out, made := bash(t, script)
			if len(made) > 0 || out != "refused" && !strings.HasPrefix(out, "taken for https://github.com/") {
				t.Fatalf("%q, made %q", out, made)
			}
			return out
		})
	}
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// onResults: standard output of a host that is not our script's.
func onResults(t *testing.T, table *Table) {
	t.Helper()
	for _, tt := range []struct{ name, output string }{
		{"a workflow command", "::set-output name=x::pwned\n"},
		{"a key that is a command", "$(id)=x\n"},
		{"a key twice, the second wins", "port=8080\nport=9090\n"},
		{"words between the results", "port=8080\nrm: cannot remove\n"},
		{"more than any script says", strings.Repeat("a=b", 1<<20)},
	} {
		table.Try(t, "results", tt.name, func(t *testing.T) string {
			var r scripts.Results
			_, _ = r.Write([]byte(scripts.Begin + "\n" + tt.output))
			if r.Err() == nil {
				t.Fatal("accepted")
			}
			return "refused: " + r.Err().Error()
		})
	}
	table.Try(t, "results", "results before ours, by a start-up file of the shell", func(t *testing.T) string {
		var r scripts.Results
		_, _ = r.Write([]byte("port=9090\n" + scripts.Begin + "\nport=8080\n"))
		if r.Text("port") != "8080" || r.Err() != nil {
			t.Fatal("taken for ours")
		}
		return "not read: results begin with a line of their own"
	})
}
