package report

import "testing"

func TestClean(t *testing.T) {
	tests := []struct{ name, line, want, plain string }{
		{"text", "hello\tworld ü ✓ 💥", "hello\tworld ü ✓ 💥", "hello\tworld ü ✓ 💥"},
		{"control characters", "a\x00b\x07c\x08d\x7fe\u0085f", "abcdef", "abcdef"},
		{"colour", "\x1b[31mred\x1b[m.", "\x1b[31mred\x1b[m.\x1b[0m", "red."},
		{"true colour", "\x1b[38;2;1;2;3mx\x1b[38:5:1my", "\x1b[38;2;1;2;3mx\x1b[38:5:1my\x1b[0m", "xy"},
		{"cursor and screen", "\x1b[2J\x1b[1;1H\x1b[?25lx\x1b[K", "x", "x"},
		{"an m that is no colour", "\x1b[>4;2mx\x1b[?1my\x1b[ mz", "xyz", "xyz"},
		{"title, by BEL", "\x1b]0;title\ax", "x", "x"},
		{"link, by ST", "\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\.", "text.", "text."},
		{"device control", "\x1bPq#0\x1b\\x", "x", "x"},
		{"string without an end", "\x1b]0;title \x1b]1;x", "0;title 1;x", "0;title 1;x"},
		{"character set", "\x1b(B\x1b)0x", "x", "x"},
		{"two bytes", "\x1b7\x1bMx", "x", "x"},
		{"broken colour", "\x1b[31\x1b[0mx", "31\x1b[0mx\x1b[0m", "31x"},
		{"escape at the end", "x\x1b", "x", "x"},
		{"half a colour at the end", "x\x1b[3", "x3", "x3"},
		{"eight-bit introducer", "\u009b31mx", "31mx", "31mx"},
		{
			"invalid UTF-8", "a\xff\xc3b\xed\xa0\x80", "a\ufffd\ufffdb\ufffd\ufffd\ufffd",
			"a\ufffd\ufffdb\ufffd\ufffd\ufffd",
		},
		{"turned around", "a\u202eb\u2066c\u200bd\ufeffe\u2028f", "abcdef", "abcdef"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			equal(t, clean(tt.line, keepColour), tt.want)
			equal(t, clean(tt.line, dropColour), tt.plain)
		})
	}
}

func TestRedact(t *testing.T) {
	tests := []struct {
		name    string
		secrets []string
		text    string
		limit   int
		want    string
		more    int
	}{
		{"none known", nil, "text", noLimit, "text", 0},
		{"none there", []string{"secret"}, "secre", noLimit, "secre", 0},
		{"twice", []string{"secret"}, "a secret, secret", noLimit, "a ***, ***", 0},
		{"side by side", []string{"secret"}, "secretsecret", noLimit, "***", 0},
		{"overlapping itself", []string{"abab"}, "xababab.", noLimit, "x***.", 0},
		{"overlapping another", []string{"abcd", "cdef"}, "xabcdef.", noLimit, "x***.", 0},
		{"one in another", []string{"abcd", "xabcdx"}, ".xabcdx.", noLimit, ".***.", 0},
		{"cut behind", []string{"secret"}, "a secret b", 9, "a *** ", 1},
		{"cut through", []string{"secret"}, "a secret b", 4, "a ***", 2},
		{"cut before", []string{"secret"}, "a secret b", 2, "a ", 8},
		{"cut at a character", nil, "aüb", 2, "a", 3},
		{"cut at nothing", nil, "ab", 0, "", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r redactor
			for _, s := range tt.secrets {
				r.add(s)
			}
			got, more := r.redact(tt.text, tt.limit)
			equal(t, got, tt.want)
			equal(t, more, tt.more)
		})
	}
}
