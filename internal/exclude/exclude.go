// Package exclude says which files of a tree are left out, by patterns like those of gitignore(5),
// less what few people use of it: no negation, no comments, no escapes but those of path.Match.
package exclude

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// Patterns are what is left out. A pattern without a slash is a name at any depth; one with a slash
// before or in it is a path from the root of the tree; one that ends in a slash means folders only.
// Wildcards are those of path.Match, within a name, and ** between slashes for any number of
// folders.
type Patterns []string

// The faults of a pattern.
var (
	ErrNegated = errors.New("negated pattern")
	ErrForm    = errors.New("malformed pattern")
)

// Check returns what is wrong with one pattern.
func Check(pattern string) error {
	if strings.HasPrefix(pattern, "!") {
		return ErrNegated
	}
	for _, part := range strings.Split(strings.Trim(pattern, "/"), "/") {
		if _, err := path.Match(part, ""); err != nil || part == "" || part == "." || part == ".." {
			return ErrForm
		}
	}
	return nil
}

// Match reports whether a file or folder is left out. The name is its path from the root, with
// slashes. What is in a folder that is left out is not asked for.
func (p Patterns) Match(name string, folder bool) bool {
	return slices.ContainsFunc(p, func(pattern string) bool { return match(pattern, name, folder) })
}

func match(pattern, name string, folder bool) bool {
	rest, foldersOnly := strings.CutSuffix(pattern, "/")
	if foldersOnly && !folder {
		return false
	}
	if !strings.Contains(rest, "/") {
		name = path.Base(name)
	}
	return parts(strings.Split(strings.TrimPrefix(rest, "/"), "/"), strings.Split(name, "/"))
}

func parts(pattern, name []string) bool {
	switch {
	case len(pattern) == 0:
		return len(name) == 0
	case pattern[0] == "**" && len(pattern) == 1:
		return len(name) > 0
	case pattern[0] == "**":
		return parts(pattern[1:], name) || len(name) > 0 && parts(pattern, name[1:])
	case len(name) == 0:
		return false
	}
	ok, _ := path.Match(pattern[0], name[0]) // Check has seen the pattern
	return ok && parts(pattern[1:], name[1:])
}
