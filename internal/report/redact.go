package report

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	redacted  = "***" // as the runner writes it
	minSecret = 4     // bytes; shorter ones are in every other word
	noLimit   = -1
)

// redactor replaces secrets in cleaned text.
type redactor struct {
	known   map[string]bool
	secrets []string
	longest int // bytes
}

// add takes one line of a secret and tells whether it is new and worth hiding.
func (r *redactor) add(line string) bool {
	line = strings.TrimSpace(clean(line, dropColour)) // text is compared after cleaning
	if len(line) < minSecret || r.known[line] {
		return false
	}
	if r.known == nil {
		r.known = map[string]bool{}
	}
	r.known[line] = true
	r.secrets = append(r.secrets, line)
	r.longest = max(r.longest, len(line))
	return true
}

// redact replaces every secret in s, those that overlap by one mark for all. With a limit, the
// result covers s up to that many bytes, and cut tells how many were left off; a secret across that
// border is still replaced.
func (r *redactor) redact(s string, limit int) (text string, cutOff int) {
	end := len(s)
	if limit >= 0 && limit < end {
		end = limit
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
	}
	spans := find(s, r.secrets)
	if len(spans) == 0 {
		return s[:end], len(s) - end
	}
	var b strings.Builder
	at := 0
	for _, sp := range spans {
		if sp.from >= end {
			break
		}
		b.WriteString(s[at:sp.from])
		b.WriteString(redacted)
		at = sp.to
	}
	if at < end {
		b.WriteString(s[at:end])
		at = end
	}
	return b.String(), len(s) - at
}

// coloured cleans a line and keeps its colours, but for one with a secret in it: a colour in the
// middle of the secret, as grep sets it, would hide it from the comparison and from nobody's eyes.
func (r *redactor) coloured(line string) string {
	if len(r.secrets) > 0 && strings.IndexByte(line, esc) >= 0 {
		if plain := clean(line, dropColour); len(find(plain, r.secrets)) > 0 {
			return plain
		}
	}
	return clean(line, keepColour)
}

type span struct{ from, to int }

// find returns where in s the secrets are, in order, with overlapping and touching places joined.
func find(s string, secrets []string) []span {
	var all []span
	for _, secret := range secrets {
		for from := 0; ; {
			i := strings.Index(s[from:], secret)
			if i < 0 {
				break
			}
			all = append(all, span{from + i, from + i + len(secret)})
			from += i + 1
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	joined := all[:0]
	for _, sp := range all {
		if n := len(joined); n > 0 && sp.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, sp.to)
		} else {
			joined = append(joined, sp)
		}
	}
	return joined
}
