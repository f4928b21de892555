package outcome

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/state"
)

// marks stand before the headline; GitHub's page shows them in colour.
var marks = map[Outcome]string{
	Deployed: "✅", RolledBack: "✅", Restarted: "✅", Ran: "✅", SetUp: "✅", Maintenance: "✅", Removed: "✅", Unchanged: "✅",
	Restored: "↩️", Failed: "❌",
}

// summary is the page of the run: what came of it, where, how long each part took, and what was
// before. Everything in it that comes from a host, a commit or an input is escaped.
func summary(r *Result, cause error) string {
	var b strings.Builder
	var failure *Failure
	errors.As(cause, &failure)
	fmt.Fprintf(&b, "### %s %s\n\n", marks[r.Outcome], report.MarkdownText(r.headline(failure)))
	if failure != nil {
		b.WriteString(failure.markdown())
	}
	b.WriteString(r.facts())
	if len(r.Hosts) > 0 {
		b.WriteString("| host | release | port | live after | of which its own boot | drained after | " +
			"outcome | serves now |\n|---|---|---|---|---|---|---|---|\n")
		b.WriteString(rows(r.Hosts))
	}
	if r.Details != "" {
		b.WriteString("\n" + r.Details)
	}
	chart := gantt(r.Begin, r.Timeline, r.live())
	if chart != "" && r.Operation != inputs.Status && r.Operation != inputs.Check && r.Operation != inputs.Logs &&
		r.Operation != inputs.RunIt {
		b.WriteString("\n" + chart)
	}
	if len(r.History) > 1 {
		b.WriteString("\n#### Last deployments\n\n" + pastTable(r.History, r.Server))
	}
	return b.String()
}

// facts are what people look for first, as far as they are known: where the site is, what was
// committed, and by whom the run was started.
func (r *Result) facts() string {
	var b strings.Builder
	if r.URL != "" {
		fmt.Fprintf(&b, "- **Site:** %s\n", report.MarkdownLink(r.URL, r.URL))
	}
	if len(r.Hosts) > 0 && r.Hosts[0].Subject != "" {
		h := r.Hosts[0]
		commit := "" // what was sent from the workspace is none of git's by its name
		if h.CommitURL != "" {
			commit = " " + report.MarkdownLink(fmt.Sprintf("%.7s", h.Commit), h.CommitURL)
		}
		fmt.Fprintf(&b, "- **Commit:**%s %s\n", commit, report.MarkdownText(h.Subject))
	}
	if r.Actor != "" {
		fmt.Fprintf(&b, "- **Started by:** %s\n", report.MarkdownText(r.Actor))
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

func (h HostResult) row() string {
	release, port, serves := report.MarkdownCode(h.Release), "-", h.serves("")
	if h.Commit != "" {
		release += " " + report.MarkdownLink(fmt.Sprintf("%.7s", h.Commit), h.CommitURL)
	}
	if h.SwitchedAt != nil {
		port = portText(h.ActivePort)
	}
	serves = strings.TrimSuffix(serves, " serves")
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |\n",
		report.MarkdownCode(h.Host), cmp.Or(release, "-"), port,
		tookText(h.Live), tookText(h.Boot), tookText(h.Drained), h.Outcome, report.MarkdownText(cmp.Or(serves, "-")))
}

// markdown are the four facts, in their order; the host's own words are folded.
func (f *Failure) markdown() string {
	var b strings.Builder
	if len(f.Hosts) == 0 { // then nothing but the inputs was looked at, and each fault has a line
		b.WriteString(report.MarkdownBlock(f.What) + "\n")
	} else {
		fmt.Fprintf(&b, "- **What failed:** %s\n", report.MarkdownText(f.What))
		fmt.Fprintf(&b, "- **Host:** %s\n", report.MarkdownCode(strings.Join(f.Hosts, ", ")))
	}
	fmt.Fprintf(&b, "- **The site now:** %s", f.Site)
	if f.Serving != "" {
		b.WriteString("; " + report.MarkdownText(f.Serving))
	}
	each := f.Each
	if len(each) > mostRows {
		each = alike(each)
	}
	for _, line := range each {
		b.WriteString("\n  - " + report.MarkdownText(line))
	}
	b.WriteString("\n")
	fmt.Fprintf(&b, "- **Next:** %s (%s)\n\n", report.MarkdownText(f.Next), report.MarkdownLink("more", f.Topic.URL()))
	if len(f.Evidence) > 0 {
		fmt.Fprintf(&b, "<details><summary>The host's own last lines</summary>\n\n%s\n</details>\n\n",
			report.MarkdownBlock(strings.Join(f.Evidence, "\n")))
	}
	return b.String()
}

// live is when the first host's new version was first proved to answer; zero when none was.
func (r *Result) live() time.Time {
	for _, h := range r.Hosts {
		if h.SwitchedAt != nil && h.Live > 0 {
			return r.Begin.Add(time.Duration(h.Live) * time.Millisecond)
		}
	}
	return time.Time{}
}

// pastTable lists deployments, newest first. Links go to the server of this run and nowhere else,
// whatever the history says.
func pastTable(all []state.Past, server string) string {
	var b strings.Builder
	b.WriteString("| time (UTC) | outcome | release | started by | took |\n|---|---|---|---|---|\n")
	for _, p := range all {
		if p.Outcome == "" {
			b.WriteString("| ? | ? | a line that is not this action's | ? | ? |\n")
			continue
		}
		url := p.Run
		if server == "" || !strings.HasPrefix(url, server+"/") {
			url = ""
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n",
			report.MarkdownLink(p.Time.UTC().Format(time.DateTime), url), report.MarkdownText(p.Outcome),
			cmp.Or(report.MarkdownCode(p.Release), "-"), report.MarkdownText(cmp.Or(p.Actor, "-")), tookText(p.Millis))
	}
	return b.String()
}

func tookText(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return report.Elapsed(time.Duration(ms) * time.Millisecond)
}
