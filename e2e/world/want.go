package world

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// Serves wants the answers that come from now on to be a release's, through nginx.
func (w *World) Serves(release string) {
	w.T.Helper()
	out, err := w.Host.Exec(w.Ctx, "curl -fsS -D - -o /dev/null http://127.0.0.1/version")
	if err != nil || !strings.Contains(strings.ToLower(out), "x-release: "+strings.ToLower(release)) {
		w.T.Errorf("want release %s to answer; got %v\n%s", release, err, out)
	}
}

// OneFlag wants exactly one flag, and on it the port.
func (w *World) OneFlag(port string) {
	w.T.Helper()
	if out := w.Exec("ls /var/lib/deploy-action/shop/active"); strings.TrimSpace(out) != port {
		w.T.Errorf("flags %q, want just %s", strings.TrimSpace(out), port)
	}
}

// Failed wants a step that failed and said so in one error annotation holding all of the words.
func Failed(tb testing.TB, result *lab.Result, outcome string, words ...string) {
	tb.Helper()
	if result.ExitCode == 0 || result.Outputs["outcome"] != outcome {
		tb.Errorf("exit code %d, outcome %q; want a failure with outcome %q\n%s",
			result.ExitCode, result.Outputs["outcome"], outcome, result.Log())
	}
	var errs []lab.Annotation
	for _, a := range result.Annotations() {
		if a.Level == "error" {
			errs = append(errs, a)
		}
	}
	if len(errs) != 1 {
		tb.Fatalf("%d error annotations, want 1\n%s", len(errs), result.Log())
	}
	for _, word := range words {
		if !strings.Contains(errs[0].Message, word) {
			tb.Errorf("the annotation lacks %q:\n%s", word, errs[0].Message)
		}
	}
}

// Says wants all of the words in a run's log.
func Says(tb testing.TB, result *lab.Result, words ...string) {
	tb.Helper()
	for _, word := range words {
		if !strings.Contains(result.Log(), word) {
			tb.Errorf("the log lacks %q:\n%s", word, result.Log())
		}
	}
}

// Thousands writes a number as tables have it: 2,256,194.
func Thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Prove writes a page of docs/proof.
func Prove(tb testing.TB, page, text string) {
	tb.Helper()
	file := filepath.Join(Shared.Root, "docs/proof", page)
	if err := os.WriteFile(file, []byte(Wrapped(text)), 0o644); err != nil { //nolint:gosec // a document
		tb.Fatal(err)
	}
}

// Wrapped is a document in Markdown whose paragraphs end their lines at 120 columns. Tables, headings,
// comments, and lists, which quote what runs say, stay as they are.
func Wrapped(text string) string {
	paragraphs := strings.SplitAfter(text, "\n\n")
	for i, paragraph := range paragraphs {
		words := strings.TrimRight(paragraph, "\n")
		if strings.IndexAny(words, "|#-< ") != 0 {
			paragraphs[i] = wrapped(words) + paragraph[len(words):]
		}
	}
	return strings.Join(paragraphs, "")
}

// wrapped is a paragraph with as many words in each line as fit there.
func wrapped(paragraph string) string {
	const most = 120
	var b strings.Builder
	width := 0
	for word := range strings.FieldsSeq(paragraph) {
		n := utf8.RuneCountInString(word)
		if width > 0 && width+1+n > most {
			b.WriteByte('\n')
			width = 0
		} else if width > 0 {
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += n
	}
	return b.String()
}

// Footprint is what a host has in use, the system's own logs aside.
type Footprint struct {
	Disk, Files, Processes, Failed int      // bytes; numbers; units that failed
	Units                          []string // names of loaded ones that did not come with the system
	Text                           string   // by folder, for people
}

// Footprint measures it, once no login is there any more: systemd forgets what was there for one some
// time after it has ended. The two slots of a pair count as one unit: systemd remembers until it is
// reloaded that the one which was flagged when it booted belongs to the system's start, and keeps it
// in memory, ended or not. What the system's own timers and calls load comes and goes as it likes.
func (w *World) Footprint() (f Footprint) {
	w.T.Helper()
	out := w.Exec(`timeout 60 bash -c 'while pgrep -f "^sshd: ubuntu" || ` +
		`systemctl list-units --all --no-legend "user*1000*" run-user-1000.mount | grep .; do sleep 0.1; done >/dev/null'
sync
du -xs --block-size=1 --exclude=/var/log / | cut -f1
find / -xdev -path /var/log -prune -o -print | wc -l
pgrep -c -u ubuntu
systemctl list-units --all --failed --no-legend | wc -l`)
	if _, err := fmt.Sscan(out, &f.Disk, &f.Files, &f.Processes, &f.Failed); err != nil {
		w.T.Fatalf("%v in %q", err, out)
	}
	f.Units = strings.Fields(w.Exec(`systemctl show -p Id,FragmentPath '*' | awk -F = '
		$1 == "Id" { id = $2 } $1 == "FragmentPath" { path = $2 }
		!NF { flush() } END { flush() }
		function flush() { if (path !~ "^(/usr)?/lib/" && id !~ /[.]scope$/) print id; id = path = "" }' |
		sed 's/@[0-9]*/@/' | sort -u`))
	f.Text = w.Exec("du -xs --block-size=1K /home/ubuntu/shop/* /var/lib/deploy-action /etc /tmp /var/tmp /var/lib " +
		"/home | tr '\\t\\n' ' ,'")
	return f
}

// NewUnits are those of last that were not there before.
func (f Footprint) NewUnits(last Footprint) []string {
	return slices.DeleteFunc(slices.Clone(last.Units), func(unit string) bool {
		return slices.Contains(f.Units, unit)
	})
}
