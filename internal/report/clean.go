package report

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	keepColour = true
	dropColour = false
)

// eitherBreak ends a line in the runner: .NET's StreamReader.ReadLine takes \n, \r\n and a lone \r,
// so that "progress\r::error::x" is two lines there.
var eitherBreak = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// splitLines splits text as the runner does. A line break at the end makes no further line.
func splitLines(text string) []string {
	return strings.Split(strings.TrimSuffix(eitherBreak.Replace(text), "\n"), "\n")
}

// oneLine joins lines by blanks.
func oneLine(text string) string {
	return strings.Join(strings.Fields(eitherBreak.Replace(text)), " ")
}

// clean returns the visible part of one line: valid UTF-8 without control characters (but tabs),
// without invisible and direction-changing ones, and without escape sequences. Colours (SGR) stay
// when asked for, and are then switched off at the end.
func clean(line string, colour bool) string {
	if printable(line) {
		return line
	}
	var b strings.Builder
	b.Grow(len(line))
	coloured := false
	unended := false // a string sequence was found without an end, so there is none further on either
	for i := 0; i < len(line); {
		if line[i] == esc {
			n, sgr := sequence(line[i:], &unended)
			if sgr && colour {
				b.WriteString(line[i : i+n])
				coloured = true
			}
			i += n
			continue
		}
		c, n := utf8.DecodeRuneInString(line[i:]) // an invalid byte is U+FFFD, which is what we want to print
		if visible(c) {
			b.WriteRune(c)
		}
		i += n
	}
	if coloured {
		b.WriteString(reset)
	}
	return b.String()
}

// printable tells of most lines that there is nothing to clean: they are ASCII without control
// characters.
func printable(line string) bool {
	for i := range len(line) {
		if c := line[i]; c != '\t' && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}

// visible tells what may be printed. Format characters go because they can turn a line around
// before the reader's eyes, and because the runner compares text culture-sensitively, which
// overlooks them.
func visible(c rune) bool {
	return c == '\t' || c >= ' ' && c <= '~' || c > '~' && !unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl,
		unicode.Zp)
}

const esc = '\x1b'

// sequence measures the escape sequence (ECMA-48) at the start of s, at least one byte, and tells
// whether it only sets colours. What is malformed is dropped no further than its introducer: rather
// show rubbish than hide text.
func sequence(s string, unended *bool) (n int, sgr bool) {
	if len(s) < 2 {
		return 1, false
	}
	switch c := s[1]; {
	case c == '[':
		return controlSequence(s)
	case strings.IndexByte("]PX^_", c) >= 0: // OSC, DCS, SOS, PM, APC: a string up to BEL or ESC \
		if !*unended {
			for i := 2; i < len(s); i++ {
				if s[i] == '\a' {
					return i + 1, false
				}
				if s[i] == esc && i+1 < len(s) && s[i+1] == '\\' {
					return i + 2, false
				}
			}
			*unended = true
		}
		return 2, false
	case c >= 0x20 && c <= 0x2F: // intermediates and one final byte, such as the choice of a character set
		i := 2
		for i < len(s) && s[i] >= 0x20 && s[i] <= 0x2F {
			i++
		}
		if i < len(s) && s[i] >= 0x30 && s[i] <= 0x7E {
			i++
		}
		return i, false
	case c >= 0x30 && c <= 0x7E:
		return 2, false
	default:
		return 1, false
	}
}

// controlSequence measures ESC [ parameters intermediates final.
func controlSequence(s string) (n int, sgr bool) {
	i, digits := 2, true
	for i < len(s) && s[i] >= 0x20 && s[i] <= 0x3F {
		digits = digits && (s[i] >= '0' && s[i] <= '9' || s[i] == ';' || s[i] == ':')
		i++
	}
	if i < len(s) && s[i] >= 0x40 && s[i] <= 0x7E {
		return i + 1, digits && s[i] == 'm'
	}
	return 2, false
}

// defuse takes the life out of cleaned text: "##[" is a command anywhere in a line, and a marker
// for the web page. A backslash is the runner's own way of doing it (OutputManager.cs).
func defuse(line string) string { return strings.ReplaceAll(line, "##[", `##\[`) }

// defuseStart does the same for "::", which is a command at the start of a line, after any white
// space.
func defuseStart(line string) string {
	if start := strings.TrimLeftFunc(line, unicode.IsSpace); strings.HasPrefix(start, "::") {
		return line[:len(line)-len(start)] + `\` + start
	}
	return line
}
