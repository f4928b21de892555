package outcome

import (
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/state"
)

// Short is Error for an annotation, of which the runner keeps so much: where there is more, what comes last
// is what each of many hosts serves, those that say what few say first.
func (f *Failure) Short() string {
	if whole := f.Error(); len(whole) <= annotationBytes {
		return whole
	}
	short := *f
	short.What, short.Hosts = state.CutText(f.What, shortWhat), []string{few(f.Hosts)}
	short.Each = alike(f.Each)
	return short.text(shortEvidence, true)
}

// What an annotation takes, in bytes, and so much of it may be what failed and the host's own lines.
const (
	annotationBytes = 4096
	shortWhat       = 1000
	shortEvidence   = 1200
)

// alike puts lines that say the same of several hosts together, the ones of few hosts first.
func alike(lines []string) []string {
	var said []string
	by := map[string][]string{}
	for _, line := range lines {
		host, text, _ := strings.Cut(line, ": ")
		if by[text] == nil {
			said = append(said, text)
		}
		by[text] = append(by[text], host)
	}
	slices.SortStableFunc(said, func(a, b string) int { return len(by[a]) - len(by[b]) })
	for i, text := range said {
		said[i] = few(by[text]) + ": " + text
	}
	return said
}

// few names the first of many hosts.
func few(hosts []string) string {
	named := hosts[:min(len(hosts), mostNames)]
	if more := len(hosts) - len(named); more > 0 {
		return fmt.Sprintf("%s, %d more", strings.Join(named, ", "), more)
	}
	return strings.Join(named, ", ")
}

// mostNames are as many hosts as a line names, mostRows as many as have one in the summary.
const (
	mostNames = 5
	mostRows  = 50
)

// rows are those of the summary's table. Where there are too many hosts it has those first of which little
// is said alike, such as what failed.
func rows(hosts []HostResult) string {
	var rest string
	if len(hosts) > mostRows {
		kind := func(h HostResult) string { return fmt.Sprint(h.Outcome, h.Release, h.ActivePort == 0) }
		of := map[string]int{}
		for _, h := range hosts {
			of[kind(h)]++
		}
		hosts = slices.Clone(hosts)
		slices.SortStableFunc(hosts, func(a, b HostResult) int { return of[kind(a)] - of[kind(b)] })
		var how []string
		for _, h := range hosts[mostRows:] {
			if !slices.Contains(how, string(h.Outcome)) {
				how = append(how, string(h.Outcome))
			}
		}
		rest = fmt.Sprintf("\nand %d more: %s\n", len(hosts)-mostRows, strings.Join(how, ", "))
		hosts = hosts[:mostRows]
	}
	var b strings.Builder
	for _, h := range hosts {
		b.WriteString(h.row())
	}
	return b.String() + rest
}
