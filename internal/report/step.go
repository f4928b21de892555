package report

import (
	"fmt"
	"time"
)

const (
	red   = "\x1b[31m"
	reset = "\x1b[0m"
)

// Step is a group whose outcome is one line below it, with the time it took.
type Step struct {
	r     *Report
	start time.Time
	ended bool
}

// Step opens a group for a step, titled by a present participle, such as "Checking the host".
func (r *Report) Step(title string) *Step {
	r.Group(title)
	return &Step{r: r, start: r.now()}
}

// Done closes the group and prints "✓ line (0.2s)". Only the first Done or Fail of a step counts, so that a
// deferred Fail is harmless.
func (s *Step) Done(line string) { s.end("✓ "+line, "", "") }

// Fail closes the group and prints "✗ line (0.2s)", in red. The annotation is Report.Error's.
func (s *Step) Fail(line string) { s.end("✗ "+line, red, reset) }

func (s *Step) end(line, colour, uncolour string) {
	took := s.r.now().Sub(s.start)
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	outcome := colour + oneLine(s.r.plain(line)) + " (" + Elapsed(took) + ")" + uncolour + "\n"
	s.r.write(append(s.r.endGroup(), outcome...))
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
