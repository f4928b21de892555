package exclude

import (
	"errors"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		folder, want  bool
	}{
		{".git", ".git", true, true},
		{".git", "vendor/lib/.git", false, true},
		{".git", ".github", true, false},
		{"*.log", "a/b/c.log", false, true},
		{"*.log", "c.logs", false, false},
		{"/docs", "docs", true, true},
		{"/docs", "src/docs", true, false},
		{"src/*.o", "src/a.o", false, true},
		{"src/*.o", "src/deep/a.o", false, false},
		{"src/*.o", "other/src/a.o", false, false},
		{"cache/", "x/cache", true, true},
		{"cache/", "x/cache", false, false},
		{"a/**/z", "a/z", false, true},
		{"a/**/z", "a/b/c/z", false, true},
		{"a/**", "a", true, false},
		{"a/**", "a/b/c", false, true},
		{"**/z", "z", false, true},
		{"[ab]?.txt", "b1.txt", false, true},
		{`\*`, "*", false, true},
		{`\*`, "x", false, false},
	} {
		if got := (Patterns{"never", tt.pattern}).Match(tt.name, tt.folder); got != tt.want {
			t.Errorf("pattern %q, name %q, folder %t: %t, want %t", tt.pattern, tt.name, tt.folder, got, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for pattern, want := range map[string]error{
		".git": nil, "/a/b/": nil, "**/x": nil, "é*": nil,
		"!x": ErrNegated, "": ErrForm, "/": ErrForm, "a//b": ErrForm, "../x": ErrForm, "a/./b": ErrForm, "a[": ErrForm,
		`a\`: ErrForm,
	} {
		if err := Check(pattern); !errors.Is(err, want) {
			t.Errorf("Check(%q) = %v, want %v", pattern, err, want)
		}
	}
}
