package attack

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"

	"github.com/clothesme/deploy-action/internal/report"
)

// commands returns what the runner would take for its own in a log: it ends lines at \n, \r\n and
// \r, looks for "::" at a line's start and for "##[" anywhere, and overlooks what is not visible
// (ActionCommand.cs). This is stricter than the runner, which knows the names of its commands.
func commands(log string) []string {
	var found []string
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(log), "\n") {
		seen := strings.Map(func(r rune) rune {
			if unicode.In(r, unicode.Cf) || unicode.IsControl(r) && !unicode.IsSpace(r) {
				return -1
			}
			return r
		}, line)
		if strings.HasPrefix(strings.TrimSpace(seen), "::") || strings.Contains(seen, "##[") {
			found = append(found, line)
		}
	}
	return found
}

func newReport(env map[string]string) (*report.Report, *bytes.Buffer) {
	var log bytes.Buffer
	return report.New(&log, func(name string) string { return env[name] }), &log
}

// onLog: remote output, in as many writes as it has bytes and in one, is text with a prefix.
func onLog(t *testing.T, table *Table) {
	t.Helper()
	for _, tt := range []struct{ name, output string }{
		{"an error annotation", "::error::pwned"},
		{"an output", "::set-output name=release::pwned"},
		{"a variable for later steps", "::set-env name=PATH::/tmp"},
		{"a folder for the search path", "::add-path::/tmp"},
		{"a mask, to garble the log", "::add-mask::a"},
		{"an end of commands", "::stop-commands::x"},
		{"state for the post step", "::save-state name=isPost::x"},
		{"a problem matcher", "::add-matcher::/tmp/x.json"},
		{"behind blanks that .NET knows", " \t\u00a0\u2028\u0085::error::pwned"},
		{"behind a carriage return", "10%\r::error::pwned"},
		{"behind many carriage returns", "\r\r\r::error::pwned\r"},
		{"the older form, anywhere", "text ##[error]pwned"},
		{"the older form, doubled", "####[[error]pwned ##[##[group]"},
		{"a group's marker", "##[group]pwned\n##[endgroup]"},
		{"NUL between the signs", "#\x00#[error]pwned\n:\x00:error::pwned"},
		{"invisible characters between the signs", "#\u200b#\u2060[error]pwned\n\ufeff:\u00ad:error::pwned"},
		{"an escape sequence between the signs", "#\x1b[K#[error]pwned\n:\x1b[0m:error::pwned"},
		{"an operating system command, to set the title", "\x1b]0;pwned\a\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\"},
		{"the cursor, to write over lines", "\x1b[2A\x1b[2K\x1b[1G\x1b[?1049hpwned"},
		{"text turned around", "\u202e]rorre[##"},
		{"invalid UTF-8", "\xff\xfe::error::pwned\xc3"},
		{"overlong UTF-8 for a colon", "\xc0\xba\xc0\xba:error::pwned"},
		{"percent codes, which the runner decodes", "%0A::error::pwned%0D##%5Berror]"},
		{"the end of a file command", "EOF\n_GitHubActionsFileCommandDelimeter_\nrelease<<x"},
		{"a line of 1 MB, and a command at its end", strings.Repeat("x", 1<<20) + "##[error]pwned\r::error::pwned"},
		{"a million lines in one write", strings.Repeat("\n", 1<<20) + "::error::pwned"},
		{"a command without an end", "::error::pwned"},
	} {
		table.Try(t, "remote output", tt.name, func(t *testing.T) string {
			shown := ""
			for _, chunk := range []int{1, 7, len(tt.output)} {
				if chunk < 7 && len(tt.output) > 1<<18 {
					continue
				}
				r, log := newReport(nil)
				w := r.Remote("web")
				for text := tt.output; text != ""; {
					n := min(chunk, len(text))
					_, _ = w.Write([]byte(text[:n]))
					text = text[n:]
				}
				_ = w.Close()
				if live := commands(log.String()); len(live) > 0 {
					t.Fatalf("in writes of %d bytes the runner obeys %q", chunk, live)
				}
				for line := range strings.Lines(log.String()) {
					if !strings.HasPrefix(line, "web │") {
						t.Fatalf("a line without its prefix: %.80q", line)
					}
				}
				if strings.ContainsFunc(log.String(), func(r rune) bool {
					return r != '\n' && r != '\t' && r != 0x1b &&
						unicode.IsControl(r)
				}) {
					t.Fatalf("control characters in %.200q", log.String())
				}
				shown = log.String()
			}
			shown = strings.TrimRight(shown, "\n")
			return "printed: " + strings.ReplaceAll(strings.TrimSpace(shown[strings.LastIndexByte(shown, '\n')+1:]),
				"\x1b", "ESC")
		})
	}
	table.Try(t, "host name in the log", "a command as the name", func(t *testing.T) string {
		r, log := newReport(nil)
		w := r.Remote("::error::x\r##[error]")
		_, _ = w.Write([]byte("x\n"))
		_ = w.Close()
		if live := commands(log.String()); len(live) > 0 {
			t.Fatalf("the runner obeys %q", live)
		}
		return "printed: " + strings.TrimSpace(log.String())
	})
	table.Try(t, "error annotation", "further annotations in the host's last lines", func(t *testing.T) string {
		r, log := newReport(nil)
		r.Error("Deployment failed\n::error::x", "exit\r\n::error::pwned\n##[error]pwned%0A::error::x")
		// One line, whose breaks are encoded: what follows the command is its text.
		if lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n"); len(lines) != 1 ||
			!strings.HasPrefix(lines[0], "::error title=") || strings.Contains(lines[0], "##[") {
			t.Fatalf("%q", lines)
		}
		return "one annotation: " + strings.TrimSpace(log.String())
	})
}

// onFiles: what is written for the runner to read.
func onFiles(t *testing.T, table *Table) {
	t.Helper()
	files := func(t *testing.T) (*report.Report, func(string) string) {
		t.Helper()
		dir := t.TempDir()
		env := map[string]string{}
		for _, name := range []string{"GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"} {
			env[name] = filepath.Join(dir, name)
		}
		r, _ := newReport(env)
		return r, func(name string) string {
			text, err := os.ReadFile(env[name])
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
	table.Try(t, "output", "an output within an output", func(t *testing.T) string {
		r, read := files(t)
		if err := r.Output("release",
			"x\nEOF\noutcome<<EOF\ndeployed\nEOF\n_GitHubActionsFileCommandDelimeter_\noutcome=deployed"); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(read("GITHUB_OUTPUT"), "\n"), "\n")
		name, delimiter, _ := strings.Cut(lines[0], "<<")
		if name != "release" || len(delimiter) < 30 || lines[len(lines)-1] != delimiter ||
			strings.Count(read("GITHUB_OUTPUT"), delimiter) != 2 {
			t.Fatalf("%q", lines)
		}
		return "one output: its delimiter is random"
	})
	table.Try(t, "output", "a name that is a value", func(t *testing.T) string {
		r, _ := files(t)
		err := r.Output("x=1\nrelease", "y")
		if err == nil {
			t.Fatal("written")
		}
		return "refused: " + err.Error()
	})
	table.Try(t, "summary", "more than the runner takes, so that it takes nothing", func(t *testing.T) string {
		r, read := files(t)
		err := r.Summary(strings.Repeat("x\n", 1<<20))
		if size := len(read("GITHUB_STEP_SUMMARY")); err != nil || size >= 1<<20 || size < 1<<19 {
			t.Fatalf("%d bytes, %v", size, err)
		}
		return "cut, with a warning: the deployment does not fail"
	})
}

// onSecrets: a masked secret in the output of a host.
func onSecrets(t *testing.T, table *Table) {
	t.Helper()
	in, err := parse(t, map[string]string{
		"token": "ghs_0123456789abcdefghij", "passphrase": "correct horse battery",
		"env": "DB=postgres-password\nLINES<<E\nfirst-line-of-it\nsecond-line-of-it\nE",
	})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "ghs_0123456789abcdefghij"
	key := strings.Split(in.Key.Reveal(), "\n")[2]
	for _, tt := range []struct{ name, secret, output string }{
		{"in the middle of a line", secret, "token " + secret + " ok\n"},
		{"around the border of what is printed of a line", secret, strings.Repeat("x", 8<<10-9) + secret + "\n"},
		{"with colours in it", secret, "ghs_0123\x1b[31m456789\x1b[0mabcdefghij\n"},
		{"with invisible characters in it", secret, "ghs_0123\u200b456789\x00abcdefghij\n"},
		{"twice, overlapping", secret, "ghs_" + secret + secret[4:] + "\n"},
		{
			"as Basic authentication", base64.StdEncoding.EncodeToString([]byte("x-access-token:" + secret)),
			"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+secret)) + "\n",
		},
		{"a line of the private key", key, "-----BEGIN\n" + key + "\n"},
		{"the passphrase", "correct horse battery", "pass: correct horse battery\r"},
		{"a value of env", "postgres-password", "postgres://u:postgres-password@db\n"},
		{"one line of a value of several", "second-line-of-it", "x second-line-of-it\n"},
	} {
		table.Try(t, "secret in remote output", tt.name, func(t *testing.T) string {
			shown := ""
			for split := range min(len(tt.output), 64) {
				at := len(tt.output) * split / min(len(tt.output), 64)
				r, log := newReport(nil)
				r.Mask(in.Secrets()...)
				w := r.Remote("web")
				_, _ = w.Write([]byte(tt.output[:at]))
				_, _ = w.Write([]byte(tt.output[at:]))
				_ = w.Close()
				plain := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(log.String(), "")
				if strings.Contains(log.String(), tt.secret) || strings.Contains(plain, tt.secret) {
					t.Fatalf("split at %d it is in %.200q", at, log.String())
				}
				shown = strings.TrimRight(log.String(), "\n")
			}
			shown = shown[strings.LastIndexByte(shown, '\n')+1:]
			return "printed: " + strings.ReplaceAll(shown, "xxxxxxxx", "")
		})
	}
	table.Try(t, "secret", "any verb of fmt", func(t *testing.T) string {
		if text := sprint(in); strings.Contains(text, secret) || strings.Contains(text, "postgres") ||
			strings.Contains(text, "horse") {
			t.Fatal(text)
		}
		return "printed: ***"
	})
}

// noMarkup is what report puts between characters that GitHub would see as a link or an address
// together.
const noMarkup = "<!-- -->"

// links are what GitHub makes links of in text: addresses, and people.
var links = regexp.MustCompile(`://|www\.|(^|[^\w;])@\w`)

// rendered is Markdown as HTML, by a renderer of GitHub's dialect that lets HTML through.
func rendered(t *testing.T, markdown string) string {
	t.Helper()
	var page bytes.Buffer
	if err := goldmark.New(goldmark.WithExtensions(extension.GFM),
		goldmark.WithRendererOptions(html.WithUnsafe())).Convert([]byte(markdown), &page); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// onSummary: text of others in the Markdown of the summary.
func onSummary(t *testing.T, table *Table) {
	t.Helper()
	for _, tt := range []struct{ name, text string }{
		{"a script", "<script>alert(1)</script>"},
		{"an image from elsewhere, to see who reads", "![x](https://evil.example/x.png)<img src=x onerror=alert(1)>"},
		{"a link", "[log in](javascript:alert(1)) https://evil.example"},
		{"a mention", "@everyone @acme/admins #1"},
		{"a further cell and row", "x | deployed |\n| forged | row |"},
		{"a heading", "x\n\n### Deployment: deployed\n"},
		{"a comment that hides the rest", "<!-- "},
		{"a details element", "<details open><summary>x"},
		{"a formula", "$\\href{javascript:alert(1)}{x}$"},
		{"an entity", "&lt;script&gt;"},
	} {
		table.Try(t, "summary", tt.name, func(t *testing.T) string {
			text := report.MarkdownText(tt.text)
			if page := rendered(t, text); !regexp.MustCompile(`^<p>[^<\n]*</p>\n$`).MatchString(strings.ReplaceAll(page,
				noMarkup, "")) || links.MatchString(page) {
				t.Fatalf("written as %q, shown as %q", text, page)
			}
			return "written: " + text
		})
	}
	table.Try(t, "summary", "the end of a block of code", func(t *testing.T) string {
		block := report.MarkdownBlock("x\n```\n# forged\n`````\n")
		if !strings.HasPrefix(block, "``````text\n") || !strings.HasSuffix(block, "\n``````\n") {
			t.Fatal(block)
		}
		return "the block's fence is longer than any in it"
	})
	table.Try(t, "summary", "the end of a span of code, in a table", func(t *testing.T) string {
		code := report.MarkdownCode("x`` | <b> `")
		if !strings.HasPrefix(code, "``` ") || strings.Contains(strings.ReplaceAll(code, `\|`, ""), "|") {
			t.Fatal(code)
		}
		return "the span's fence is longer than any in it"
	})
}
