package report

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	reset = "\x1b[0m"
)

// signOfLife is how long a step may be silent until it says that it is still at it.
const signOfLife = 30 * time.Second

// Step is a group whose outcome is one line below it, with the time it took. While nothing is
// printed for half a minute it prints a line itself: a build may be silent for long, and a log that
// stands still looks like a hang.
type Step struct {
	r     *Report
	title string
	start time.Time
	ended bool
	over  chan struct{}
}

// Step opens a group for a step, titled by a present participle, such as "Checking the host".
// Without a title it opens none: what the step prints is for everybody to see.
func (r *Report) Step(title string) *Step {
	if title == "" {
		r.EndGroup()
	} else {
		r.Group(title)
	}
	s := &Step{r: r, title: title, start: r.now(), over: make(chan struct{})}
	r.mu.Lock()
	printed := r.printed
	r.inStep = true
	r.mu.Unlock()
	go s.live(printed)
	return s
}

// live watches for silence since so much was printed.
func (s *Step) live(printed int64) {
	tick := time.NewTicker(signOfLife)
	defer tick.Stop()
	for {
		select {
		case <-s.over:
			return
		case <-tick.C:
		}
		s.r.mu.Lock()
		if !s.ended && s.r.printed == printed {
			s.r.write([]byte("… still " + lowerFirst(s.r.plain(s.title)) + " (" + Elapsed(s.r.now().Sub(s.start)) +
				")\n"))
		}
		printed = s.r.printed
		s.r.mu.Unlock()
	}
}

func lowerFirst(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(first)) + s[size:]
}

// Done closes the group and prints "✓ line (0.2s)". Only the first Done or Fail of a step counts,
// so that a deferred Fail is harmless.
func (s *Step) Done(line string) { s.end("✓ "+line, "", "") }

// Fail closes the group and prints "✗ line (0.2s)", in red. The annotation is Report.Error's.
func (s *Step) Fail(line string) { s.end("✗ "+line, red, reset) }

func (s *Step) end(line, colour, uncolour string) {
	took := s.r.now().Sub(s.start)
	colour, uncolour = s.r.colour(colour), s.r.colour(uncolour)
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	close(s.over)
	outcome := colour + cut(oneLine(s.r.plain(line)), maxLine) + " (" + Elapsed(took) + ")" + uncolour + "\n"
	s.r.inStep = false
	s.r.write(append(append(s.r.keptWarnings(), s.r.endGroup()...), outcome...))
}

// Closing ends the log: a headline in green and what belongs to it.
func (r *Report) Closing(headline string, lines ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := append(r.endGroup(), r.colour(green)+"✓ "+oneLine(r.plain(headline))+r.colour(reset)+"\n"...)
	for _, line := range lines {
		out = append(out, "  "+cut(oneLine(r.plain(line)), maxLine)+"\n"...)
	}
	r.write(out)
}

// Elapsed writes a duration for people: "0.2s", "12.3s", "1m05s", "2h03m".
func Elapsed(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute-50*time.Millisecond: // what would be rounded up to 60.0s is a minute
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour-500*time.Millisecond:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
}
