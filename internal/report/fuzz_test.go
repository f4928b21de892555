package report

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var plainSecret = regexp.MustCompile(`^[A-Za-z0-9/+=_.-]{4,200}$`)

// Secrets of any form, in any text, over three writes: none is in the log, and the log does not
// depend on where the writes were split.
func FuzzRedaction(f *testing.F) {
	f.Add("hunter22", "abababab", []byte("x hunter22hunter22 y\n"), uint(4), uint(3))
	f.Add("abab", "baba", []byte("ababababab\r\nabab"), uint(2), uint(1))
	f.Add("secret-one", "et-one-and-two", []byte("a secret-one-and-two b\r"), uint(8), uint(2))
	f.Add("0123456789abcdef", "xxxx", []byte(strings.Repeat("x", maxLine-8)+"0123456789abcdef\n"), uint(maxLine),
		uint(3))
	f.Add("tok_en", "tok", []byte("\x1b[31mtok\x1b[0m_en\x00tok_en"), uint(3), uint(9))
	f.Fuzz(func(t *testing.T, one, two string, text []byte, i, j uint) {
		secrets := slices.DeleteFunc([]string{one, two}, func(s string) bool { return !plainSecret.MatchString(s) })
		i %= uint(len(text) + 1)
		j = i + j%uint(len(text)+1-int(i)) //nolint:gosec // i is at most the length
		whole := remoteLog(t, secrets, string(text))
		if parts := remoteLog(t, secrets, string(text[:i]), string(text[i:j]), string(text[j:])); parts != whole {
			t.Fatalf("in one write:\n%q\nin three:\n%q", whole, parts)
		}
		r, log, _ := newTest(t)
		r.Mask(secrets...)
		log.Reset()
		r.Info(string(text))
		r.Error(string(text), string(text))
		seen := regexp.MustCompile(`\x1b\[[0-9;:]*m`).ReplaceAllString(whole+log.String(), "") // what eyes see
		for _, got := range []string{whole, log.String(), seen, MarkdownBlock(redactedText(secrets, string(text)))} {
			for _, secret := range secrets {
				// Words that we print ourselves are no leak.
				if strings.Contains(got, secret) && strings.Contains(string(text), secret) && !partOfOurs(secret) {
					t.Fatalf("%q is in\n%q", secret, got)
				}
			}
		}
	})
}

// partOfOurs: could the words that are printed around a host's own hold it?
func partOfOurs(secret string) bool {
	for _, ours := range []string{"error title=", "text", "line cut", "about", "bytes", "more"} {
		if strings.Contains(ours, secret) {
			return true
		}
	}
	return strings.Trim(secret, "0123456789") == ""
}

func redactedText(secrets []string, text string) string {
	var r redactor
	for _, secret := range secrets {
		r.add(secret)
	}
	lines := splitLines(text)
	for i, line := range lines {
		lines[i], _ = r.redact(clean(line, dropColour), noLimit)
	}
	return strings.Join(lines, "\n")
}

// Whatever others write, it stays one line of text, one span of code, or one block in the summary.
func FuzzMarkdown(f *testing.F) {
	for _, text := range append(slices.Clone(hostile), "```\n# out", "<script>", "a|b\n|c|", "[x](javascript:alert(1))",
		"![](x)", "<!--", "@team #1 GH-1 https://x", "$$x$$", "`` ` ``", "\\`") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		inline := MarkdownText(text)
		if regexp.MustCompile(`@[^<]|://|www\.`).MatchString(inline) {
			t.Fatalf("MarkdownText(%q) = %q, which has an address", text, inline)
		}
		unescaped := strings.ReplaceAll(inline, comment, "")
		if strings.ContainsAny(unescaped, "\r\n<>") {
			t.Fatalf("MarkdownText(%q) = %q", text, inline)
		}
		unescaped = regexp.MustCompile(`\\.|&[a-z#0-9]+;`).ReplaceAllString(unescaped, "")
		if strings.ContainsAny(unescaped, "`*_[]()!|~$#") {
			t.Fatalf("MarkdownText(%q) = %q, which has mark-up", text, inline)
		}
		code := MarkdownCode(text)
		if strings.ContainsAny(code, "\r\n") || strings.Contains(strings.ReplaceAll(code, `\|`, ""), "|") {
			t.Fatalf("MarkdownCode(%q) = %q", text, code)
		}
		if code != "" {
			fence := code[:len(code)-len(strings.TrimLeft(code, "`"))]
			inner := code[len(fence) : len(code)-len(fence)]
			if !strings.HasSuffix(code, fence) || longestRun(inner) >= len(fence) && strings.Contains(inner, fence) {
				t.Fatalf("MarkdownCode(%q) = %q ends early", text, code)
			}
		}
		block := strings.Split(strings.TrimSuffix(MarkdownBlock(text), "\n"), "\n")
		fence := block[len(block)-1]
		for _, line := range block[1 : len(block)-1] {
			if strings.Contains(line, fence) {
				t.Fatalf("%q ends the block of %q", line, text)
			}
		}
	})
}
