package report

import (
	"strings"
	"testing"
)

func TestMarkdown(t *testing.T) {
	tests := []struct{ name, text, inline, code, block string }{
		{"plain", "web-1 ok", "web-1 ok", "`web-1 ok`", "```text\nweb-1 ok\n```\n"},
		{"empty", "", "", "", "```text\n\n```\n"},
		{"lines", "a\r\n  b\rc\n", "a b c", "`a b c`", "```text\na\n  b\nc\n```\n"},
		{
			"HTML", "<b onclick='x'>&lt;", "&lt;b onclick='x'&gt;&amp;lt;", "`<b onclick='x'>&lt;`",
			"```text\n<b onclick='x'>&lt;\n```\n",
		},
		{"a cell", "a|b", `a\|b`, "`a\\|b`", "```text\na|b\n```\n"},
		{
			"marks", `*a* _b_ [c](d) !# \`, `\*a\* \_b\_ \[c\]\(d\) \!\# \\`, "`*a* _b_ [c](d) !# \\`",
			"```text\n*a* _b_ [c](d) !# \\\n```\n",
		},
		{"links", "https://x @y", "https:<!-- -->//x @<!-- -->y", "`https://x @y`", "```text\nhttps://x @y\n```\n"},
		{"backticks", "a ``` b", "a \\`\\`\\` b", "````a ``` b````", "````text\na ``` b\n````\n"},
		{"a backtick at the end", "a`", "a\\`", "`` a` ``", "```text\na`\n```\n"},
		{"colours", "\x1b[31mred\x1b[0m", "red", "`red`", "```text\nred\n```\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			equal(t, MarkdownText(tt.text), tt.inline)
			equal(t, MarkdownCode(tt.text), tt.code)
			equal(t, MarkdownBlock(tt.text), tt.block)
		})
	}
}

func TestMarkdownLink(t *testing.T) {
	for target, want := range map[string]string{
		"https://github.com/o/r/commit/1a": `[a\|b](https://github.com/o/r/commit/1a)`,
		"":                                 `a\|b`,
		"javascript:alert(1)":              `a\|b`,
		"https://x/) [y](https://z":        `a\|b`,
		"https://x/\n# y":                  `a\|b`,
	} {
		equal(t, MarkdownLink("a|b", target), want)
	}
}

func TestABlockCannotBeLeft(t *testing.T) {
	for _, text := range []string{"```\n# out", "x\n`````\n~~~", strings.Repeat("`", 100)} {
		lines := strings.Split(strings.TrimSuffix(MarkdownBlock(text), "\n"), "\n")
		fence := lines[len(lines)-1]
		for _, line := range lines[1 : len(lines)-1] {
			if strings.Contains(line, fence) {
				t.Errorf("%q ends the block of %q", line, text)
			}
		}
	}
}
