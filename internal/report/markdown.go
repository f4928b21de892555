package report

import (
	"regexp"
	"strings"
)

// MarkdownText makes text of others a piece of one line of Markdown, or one cell of a table, in
// which nothing is mark-up, HTML or a further line.
func MarkdownText(text string) string {
	return escapeMarkdown.Replace(oneLine(cleanLines(text)))
}

// comment is of no effect but to keep what stands before and after it from being seen together as a
// link or an address. (An entity would not: GitHub looks for links in what entities have become.)
const comment = "<!-- -->"

var escapeMarkdown = func() *strings.Replacer {
	pairs := []string{
		"&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@" + comment, "://", ":" + comment + "//", "www.",
		"www" + comment + ".",
	}
	for _, c := range "\\`*_{}[]()#+!|~$" {
		pairs = append(pairs, string(c), `\`+string(c))
	}
	return strings.NewReplacer(pairs...)
}()

// MarkdownCode makes text an inline code span of one line, also inside of a table.
func MarkdownCode(text string) string {
	text = escapeCode(oneLine(cleanLines(text)))
	if text == "" {
		return ""
	}
	fence := strings.Repeat("`", longestRun(text)+1)
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " " // taken off again by the reader (CommonMark 6.1)
	}
	return fence + text + fence
}

// MarkdownLink makes text a link, also inside of a table. A target that is no plain http or https
// URL is left out, and the text is no link.
func MarkdownLink(text, target string) string {
	if !plainURL.MatchString(target) {
		return MarkdownText(text)
	}
	return "[" + MarkdownText(text) + "](" + target + ")"
}

// plainURL: of characters that Markdown and HTML give no meaning to.
var plainURL = regexp.MustCompile(`^https?://[A-Za-z0-9.:/_~%?=+-]+(#[a-z0-9-]+)?$`)

// escapeCode escapes the one character that ends a table's cell even within code (GFM, tables
// extension).
func escapeCode(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// MarkdownBlock makes text, such as the last lines of a log, a block of code that ends with a line
// break.
func MarkdownBlock(text string) string {
	text = cleanLines(text)
	fence := strings.Repeat("`", max(3, longestRun(text)+1))
	return fence + "text\n" + text + "\n" + fence + "\n"
}

func cleanLines(text string) string {
	lines := splitLines(text)
	for i, line := range lines {
		lines[i] = clean(line, dropColour)
	}
	return strings.Join(lines, "\n")
}

// longestRun counts the backticks of the longest row of them.
func longestRun(text string) int {
	longest, run := 0, 0
	for _, c := range text {
		if c == '`' {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	return longest
}
