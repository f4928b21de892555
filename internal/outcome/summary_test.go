package outcome

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/state"
)

var update = flag.Bool("update", false, "write testdata anew")

var began = time.Date(2026, 11, 23, 10, 15, 0, 0, time.UTC)

// ran is a step that began so many milliseconds after the run, and took so many.
func ran(section, name string, from, took int) Span {
	start := began.Add(time.Duration(from) * time.Millisecond)
	return Span{section, name, start, start.Add(time.Duration(took) * time.Millisecond), false}
}

func broke(s Span) Span {
	s.Failed = true
	return s
}

// examples are runs of each kind, as a real one leaves them behind.
func examples() map[string]struct {
	result *Result
	cause  error
} {
	const page = "https://github.com/clothesme/shop"
	commit := strings.Repeat("b", 40)
	at := began.Add(3200 * time.Millisecond)
	spans := []Span{
		ran("prepare", "connect", 10, 420), ran("prepare", "lock", 430, 90), ran("prepare", "order", 520, 0),
		ran("prepare", "fetch", 530, 900),
		ran("prepare", "start", 1500, 200), ran("prepare", "health", 1700, 1400),
	}
	last := len(spans) - 1
	switched := slices.Concat(spans, []Span{ran("commit", "switch", 3150, 60), ran("commit", "verify", 3210, 5040)})
	history := []state.Past{
		{
			Time: began.Add(9 * time.Second), Outcome: "deployed", Release: "20261123T101500Z-1a2b3c4", Actor: "ada",
			Run: page + "/actions/runs/42", Millis: 9100,
		},
		{},
		{
			Time: began.Add(-time.Hour), Outcome: "failed", Actor: "bob",
			Run: "https://elsewhere.example/actions/runs/41", Millis: 3000,
		},
	}
	host := HostResult{
		Host: "ubuntu@203.0.113.7", Outcome: Deployed, Release: "20261123T101500Z-1a2b3c4",
		Commit: commit, Subject: "Fix the basket", CommitURL: page + "/commit/" + commit,
		PreviousRelease: "20261122T090000Z-aaaaaaa", ActivePort: 8081, PreviousPort: 8080, SwitchedAt: &at,
		Live: 3300, Boot: 1380, Drained: 800,
		Serving: "20261123T101500Z-1a2b3c4 on port 8081 serves", Retired: "20261122T090000Z-aaaaaaa", WasDrained: true,
	}
	old := host
	old.Outcome, old.ActivePort, old.SwitchedAt, old.Live, old.Drained = Failed, 8080, nil, 0, 0
	old.Serving = "20261122T090000Z-aaaaaaa on port 8080 serves"
	back := old
	back.Outcome = Restored
	result := func(h HostResult, timeline []Span) *Result {
		return &Result{
			Outcome: h.Outcome, Duration: 9100 * time.Millisecond, Hosts: []HostResult{h}, Operation: "deploy",
			Server: "https://github.com", URL: "http://203.0.113.7/", Actor: "ada",
			Begin: began, Timeline: timeline, History: history,
		}
	}
	failed := &Failure{
		Outcome: Failed, Step: "health", What: "health: the application exited with status 3 before it was healthy",
		Evidence: []string{
			"the application's last lines (/home/ubuntu/shop/logs/8081.log):",
			"  | RuntimeError: DATABASE_URL is not set",
		},
		Hosts: []string{"ubuntu@203.0.113.7"}, Site: SiteUnchanged, Serving: old.Serving,
		Next: "fix the release and push again", Topic: TopicEnds,
	}
	restored := &Failure{
		Outcome: Restored, Step: "verify", What: "verify: GET /health through nginx: answered 500",
		Hosts: []string{"ubuntu@203.0.113.7"}, Site: SiteRestored, Serving: old.Serving, Next: "make it answer right",
		Topic: TopicAnswer,
	}
	retired := slices.Concat(switched, []Span{ran("retire", "drain", 8250, 800), ran("retire", "stop", 9050, 40)})
	unhealthy := slices.Concat(spans[:last], []Span{
		broke(ran("prepare", "health", 1700, 700)), ran("taking back", "start", 2400, 30),
	})
	unverified := slices.Concat(switched[:last+2], []Span{
		broke(ran("commit", "verify", 3210, 900)), ran("taking back", "switch", 4110, 50),
	})
	return map[string]struct {
		result *Result
		cause  error
	}{
		"deployed": {result(host, retired), nil},
		"failed":   {result(old, unhealthy), failed},
		"restored": {result(back, unverified), restored},
		"inputs":   {&Result{Outcome: Failed}, Refuse(errors.New(`input "key": is required`))},
	}
}

func TestSummaries(t *testing.T) {
	for name, x := range examples() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "summary-"+name+".md")
			got := summary(x.result, x.cause)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("summary (-want +got); `go test ./internal/outcome -update` writes it anew:\n%s", diff)
			}
		})
	}
}

// hostile is text that would like to be more than text, in every language that a summary is written
// in.
const hostile = "x\n```\n# head\n</details><img src=x onerror=alert(1)>|`</code><script>alert(1)</script>]" +
	"(javascript:alert(1)) [l](https://evil.example) ![i](https://evil.example/i.png) https://evil.example " +
	"www.evil.example a@evil.example <https://evil.example> &lt;b&gt; ~~s~~ **b** \\| %%{init:{}}%% " +
	";click x href \"javascript:0\"\r\n| a |\n|---|\n- [ ] t\n$`x`$"

func TestNothingOfOthersBecomesMarkup(t *testing.T) {
	for name, x := range examples() {
		t.Run(name, func(t *testing.T) {
			r := x.result
			for i := range r.Hosts {
				h := &r.Hosts[i]
				h.Host, h.Release, h.Commit, h.Serving, h.Retired = hostile, hostile, hostile, hostile, hostile
				h.Subject, r.Actor, r.URL = hostile, hostile, "http://"+hostile
				h.CommitURL = "https://github.com/" + hostile
			}
			for i := range r.History {
				p := &r.History[i]
				p.Outcome, p.Release, p.Actor, p.Run = hostile, hostile, hostile, r.Server+"/"+hostile
			}
			cause := x.cause
			var f *Failure
			if errors.As(cause, &f) {
				f.What, f.Serving, f.Next, f.Topic = hostile, hostile, hostile, hostile
				f.Evidence, f.Hosts = []string{hostile, "```", "~~~"}, []string{hostile, hostile}
			} else if cause != nil {
				cause = errors.New(hostile)
			}
			text := summary(r, cause)
			checkMarkup(t, render(t, text))
			checkCharts(t, text)
		})
	}
}

// ownMarkup is all the markup that a summary has.
var ownMarkup = regexp.MustCompile(
	`^</?(h3|h4|p|ul|li|strong|code|pre|table|thead|tbody|tr|th|td|details|summary)>$|` +
		`^<code class="language-(text|mermaid)">$|^<!--.*-->$`)

func checkMarkup(t *testing.T, page string) {
	t.Helper()
	for _, tag := range regexp.MustCompile(`(?s)<.*?>`).FindAllString(page, -1) {
		if !ownMarkup.MatchString(tag) {
			t.Errorf("the page has %s", tag)
		}
	}
	if head := strings.Count(page, "<h3"); head != 1 {
		t.Errorf("%d headlines", head)
	}
}

var chartLine = regexp.MustCompile(`^(gantt|  dateFormat [-A-Za-z :.]+|  axisFormat %M:%S|  tickInterval [0-9a-z]+|` +
	`  section [a-z ]+|  [a-z -]+ [0-9.hms]+ :((crit|active|done|milestone), )?[-0-9:. ]+, [0-9]+ms)$`)

func checkCharts(t *testing.T, text string) {
	t.Helper()
	for _, chart := range regexp.MustCompile("(?s)```mermaid\n(.*?)\n```").FindAllStringSubmatch(text, -1) {
		for line := range strings.SplitSeq(chart[1], "\n") {
			if !chartLine.MatchString(line) {
				t.Errorf("the chart has %q", line)
			}
		}
	}
}

// render is GitHub's dialect, with raw HTML let through: more than GitHub does, so nothing is
// excused by its sanitiser.
func render(t *testing.T, text string) string {
	t.Helper()
	var page bytes.Buffer
	github := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	if err := github.Convert([]byte(text), &page); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

func TestClosing(t *testing.T) {
	for name, want := range map[string]string{
		"deployed": "✓ Deployed: 20261123T101500Z-1a2b3c4 is live on port 8081\x1b[0m\n" +
			"  ubuntu@203.0.113.7: 20261123T101500Z-1a2b3c4 on port 8081 serves " +
			"since 10:15:03 UTC, 3.3s after this run began\n" +
			"  ubuntu@203.0.113.7: 20261122T090000Z-aaaaaaa was drained in 0.8s and stopped\n" +
			"  the site: http://203.0.113.7/\n" +
			"  the whole run took 9.1s\n",
		"failed": "",
	} {
		var log bytes.Buffer
		x := examples()[name]
		if err := Publish(report.New(&log, func(string) string { return "" }), x.result, x.cause); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, strings.TrimPrefix(log.String(), "\x1b[32m")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestHeadlineHasWhatItAnnounces(t *testing.T) {
	for text, want := range map[string]string{
		"put this line there:\n203.0.113.7 ssh-ed25519 AAAA\nand so on": "put this line there: " +
			"203.0.113.7 ssh-ed25519 AAAA",
		"no\nthe details": "no",
	} {
		if got := Headline([]error{nil, &StepError{Step: "connect", Err: errors.New(text)}}); got != want {
			t.Errorf("headline(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestTheSiteOfSeveralHosts(t *testing.T) {
	for _, tt := range []struct {
		hosts []Site
		want  Site
	}{
		{[]Site{SiteUnchanged, SiteUnchanged}, SiteUnchanged},
		{[]Site{SiteUnchanged, SiteRestored, SiteUnchanged}, SiteRestored},
		{[]Site{SiteRestored, SiteSwitched}, SiteMixed},
		{[]Site{SiteSwitched, SiteSwitched}, SiteSwitched},
		{[]Site{SiteUnknown, SiteRestored}, SiteMixed},
		{[]Site{SiteUnknown, SiteUnknown}, SiteUnknown},
		{[]Site{SiteSwitched, SiteUnknown, SiteUnknown}, SiteMixed},
		{[]Site{SiteSwitched, SiteUnchanged, SiteUnchanged}, SiteMixed},
		{[]Site{SiteAhead, SiteRestored, SiteRestored}, SiteMixed},
		{[]Site{SiteUnchanged, SiteRestored, SiteAhead}, SiteMixed},
		{[]Site{SiteAhead, SiteUnchanged}, SiteUnchanged},
		{[]Site{SiteSwitched, SiteAhead, SiteSwitched}, SiteSwitched},
		{[]Site{SiteAhead, SiteSwitched, SiteRestored}, SiteMixed},
		{[]Site{SiteAhead, SiteUnknown}, SiteMixed},
		{[]Site{SiteAhead, SiteRemoved}, SiteRemoved},
	} {
		if got := SiteOf(tt.hosts); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.hosts, got, tt.want)
		}
	}
}

// A headline is about all hosts, and names those that it is not about.
func TestHeadlinesOfSeveralHosts(t *testing.T) {
	on, off := HostResult{Release: "r2", Maintenance: true}, HostResult{Release: "r2"}
	third := []string{"u@web-3"}
	for _, tt := range []struct {
		want      string
		outcome   Outcome
		operation inputs.Operation
		hosts     []HostResult
		skipped   []string
	}{
		{
			want:    "Deployed: r2 is live on 2 hosts; left out: u@web-3",
			outcome: Deployed, operation: inputs.Deploy, hosts: []HostResult{off, off}, skipped: third,
		},
		{
			want:    "Deployed: r2 is live on 2 hosts, and the site in maintenance",
			outcome: Deployed, operation: inputs.Deploy, hosts: []HostResult{on, on},
		},
		{
			want:    "Deployed: r2 is live on 2 hosts, and 1 of them in maintenance",
			outcome: Deployed, operation: inputs.Deploy, hosts: []HostResult{off, on},
		},
		{
			want:    "Maintenance has begun: visitors get its page; left out: u@web-3",
			outcome: Maintenance, operation: inputs.Maintenance, hosts: []HostResult{on, on}, skipped: third,
		},
		{
			want:    "Maintenance has ended; left out: u@web-3",
			outcome: Maintenance, operation: inputs.Maintenance, hosts: []HostResult{off, off}, skipped: third,
		},
		{
			want:    "Unchanged: the site was in maintenance already; left out: u@web-3",
			outcome: Unchanged, operation: inputs.Maintenance, hosts: []HostResult{on, on}, skipped: third,
		},
		{
			want:    "Removed: the application is off all hosts; left out: u@web-3",
			outcome: Removed, operation: inputs.Remove, hosts: []HostResult{off, off}, skipped: third,
		},
		{
			want:    "Status: nothing was changed; left out: u@web-3",
			outcome: Unchanged, operation: inputs.Status, hosts: []HostResult{off, off}, skipped: third,
		},
		{
			want:    "Ran: the command succeeded in r2; left out: u@web-3",
			outcome: Ran, operation: inputs.RunIt, hosts: []HostResult{off}, skipped: third,
		},
		{
			want:    "Set up: the host is ready for deployments; left out: u@web-3",
			outcome: SetUp, operation: inputs.Setup, hosts: []HostResult{off}, skipped: third,
		},
	} {
		r := &Result{Outcome: tt.outcome, Operation: tt.operation, Hosts: tt.hosts, Skipped: tt.skipped}
		if got := r.headline(nil); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// Since when a release serves is said of the release, and not of the page that visitors get instead.
func TestWhatServesInMaintenance(t *testing.T) {
	r := examples()["deployed"].result
	r.Hosts[0].Maintenance = true
	const serves = "20261123T101500Z-1a2b3c4 on port 8081 serves"
	if got, want := r.closing()[0], "ubuntu@203.0.113.7: "+serves+" since 10:15:03 UTC, 3.3s after this run began"+
		InMaintenance; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if text := summary(r, nil); !strings.Contains(text, serves+InMaintenance) {
		t.Errorf("the summary lacks %q:\n%s", serves+InMaintenance, text)
	}
	r.Hosts[0].SwitchedAt = nil
	if got, want := r.closing()[0], "ubuntu@203.0.113.7: "+serves+InMaintenance; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What to do stands in the annotation, however many hosts there are, and those that differ are named.
func TestAFailureOfManyHostsSaysWhatIsNext(t *testing.T) {
	f := examples()["failed"].cause.(*Failure) //nolint:forcetypeassert,errorlint // it is one
	many := *f
	many.Hosts, many.Each, many.Serving = nil, nil, ""
	for i := range 100 {
		host, said := fmt.Sprintf("ubuntu@web-%d.example.com", i+1), "r1 on port 8080 serves"
		if i == 70 {
			said = "the flag on the host tells"
		}
		many.Hosts, many.Each = append(many.Hosts, host), append(many.Each, host+": "+said)
		many.Evidence = append(many.Evidence, strings.Repeat("x", 100))
	}
	for name, what := range map[string]string{
		"few words": "health: no", "many": strings.Repeat("web-1: connect: no\n", 500),
	} {
		many.What = what
		var log bytes.Buffer
		report.New(&log, func(string) string { return "" }).Error("Deployment failed", many.Short())
		for _, words := range []string{
			"%0Ahost: ubuntu@web-1.example.com, ", "web-5.example.com, 95 more%0Asite: unchanged%0Anext: " + f.Next,
			"%0A  ubuntu@web-71.example.com: the flag on the host tells%0A  ubuntu@web-1.example.com, ",
			"web-5.example.com, 94 more: r1 on port 8080 serves\n",
		} {
			if !strings.Contains(log.String(), words) {
				t.Errorf("%s: the annotation lacks %q:\n%.5000s", name, words, &log)
			}
		}
		for _, line := range slices.Concat(many.Hosts, many.Each) {
			if !strings.Contains(many.Error(), line) {
				t.Errorf("%s: the whole text lacks %s", name, line)
			}
		}
		if page := many.markdown(); strings.Count(page, "serves") != 1 {
			t.Errorf("%s: the summary says the same more than once:\n%.5000s", name, page)
		}
	}
	if f.Short() != f.Error() {
		t.Errorf("a short one is cut:\n%s", f.Short())
	}
}

func TestTheSummaryOfManyHostsHasThoseThatDifferFirst(t *testing.T) {
	r := *examples()["deployed"].result
	for i := range 120 {
		h := r.Hosts[0]
		if h.Host = fmt.Sprintf("web-%d", i+2); i == 99 {
			h.Outcome = Failed
		}
		r.Hosts = append(r.Hosts, h)
	}
	page := summary(&r, nil)
	odd, first := strings.Index(page, "| `web-101` "), strings.Index(page, "| `ubuntu@203.0.113.7` ")
	if odd < 0 || odd > first || strings.Count(page, "| `web-") != 49 ||
		!strings.Contains(page, "\nand 71 more: deployed\n") {
		t.Errorf("web-101 at %d, the first at %d, %d rows:\n%s", odd, first, strings.Count(page, "| `web-"), page)
	}
}
