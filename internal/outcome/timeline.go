package outcome

import (
	"fmt"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/report"
)

// Span is a step as it ran, on all hosts together. Its words are this program's own, so they need
// no escaping.
type Span struct {
	Section    string // the phase, or "taking back"
	Name       string
	Start, End time.Time
	Failed     bool
}

// Sections of a timeline that have a colour of their own.
const (
	SectionCommit = "commit" // requests may go either way
	SectionRetire = "retire" // the site is the new version's
)

// tooShort is what a chart can't show.
const tooShort = 20 * time.Millisecond

// gantt draws the run as a chart that GitHub renders: a bar a step, the failed one marked, and a
// diamond where the new version was live. It returns nothing of a run that is over before there is
// anything to see.
func gantt(begin time.Time, spans []Span, live time.Time) string {
	var b strings.Builder
	section, bars := "", 0
	var end time.Time
	for _, s := range spans {
		if s.End.Sub(s.Start) < tooShort && !s.Failed {
			continue
		}
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(&b, "  section %s\n", section)
		}
		bars, end = bars+1, s.End
		fmt.Fprintf(&b, "  %s %s :%s%s, %dms\n", s.Name, report.Elapsed(s.End.Sub(s.Start)), bar(s),
			clock(s.Start.Sub(begin)), max(s.End.Sub(s.Start).Milliseconds(), 1))
		if s.Name == "verify" && !live.IsZero() {
			fmt.Fprintf(&b, "  live after %s :milestone, %s, 0ms\n", report.Elapsed(live.Sub(begin)),
				clock(live.Sub(begin)))
			live = time.Time{} // a verify for each batch of hosts may follow
		}
	}
	if bars < 2 {
		return ""
	}
	return "```mermaid\ngantt\n  dateFormat YYYY-MM-DD HH:mm:ss.SSS\n  axisFormat %M:%S\n  tickInterval " +
		ticks(end.Sub(begin)) + "\n" + b.String() + "```\n"
}

// ticks are whole steps of what the axis can name, a dozen of them at most.
func ticks(total time.Duration) string {
	for _, t := range []struct {
		name string
		step time.Duration
	}{
		{"1second", time.Second},
		{"5second", 5 * time.Second},
		{"15second", 15 * time.Second},
		{"1minute", time.Minute},
		{"5minute", 5 * time.Minute},
	} {
		if total <= 12*t.step {
			return t.name
		}
	}
	return "30minute"
}

// bar chooses the colour: red for what failed, a strong one while requests may go either way, a
// pale one once the site is the new version's.
func bar(s Span) string {
	switch {
	case s.Failed:
		return "crit, "
	case s.Section == SectionCommit:
		return "active, "
	case s.Section == SectionRetire:
		return "done, "
	}
	return ""
}

// clock writes a time since the run's begin as one of a day of its own, since mermaid knows no
// durations on its axis. Neither it nor its reader's time zone moves it: it is read and shown as
// the same local time.
func clock(d time.Duration) string {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(max(d, 0)).Format("2006-01-02 15:04:05.000")
}
