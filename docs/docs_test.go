// Package docs holds the documents to what they describe: every error text has an entry, and every
// example is a workflow that runs.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sources are the folders whose errors reach people.
var sources = []string{
	"../internal/inputs", "../internal/state", "../internal/host", "../internal/outcome", "../internal/deploy",
	"../internal/cloud", "../internal/cloud/s3", "../internal/cloud/parameters", "../internal/cloud/query",
	"../internal/cloud/targets", "../internal/cloud/images",
	"../internal/cloud/instances", "../internal/cloud/group",
	"../internal/cloud/connect", "../internal/cloud/endpoint", "../internal/cloud/hostkeys", "../internal/workspace",
	"../internal/exclude", "../remote", "../scripts", "../scripts/lib",
}

// TestEveryErrorHasAnEntry: the text of every error that is made in Go or in a host's script stands
// in troubleshooting.md, with … for what differs from case to case.
func TestEveryErrorHasAnEntry(t *testing.T) {
	text, err := os.ReadFile("troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		listed[strings.TrimSpace(line)] = true
	}
	said := errorTexts(t)
	if len(said) < 200 {
		t.Fatalf("only %d error texts were found", len(said))
	}
	for _, text := range said {
		if !listed[text] {
			t.Errorf("no entry for\n%s", text)
		}
	}
	for _, block := range regexp.MustCompile("(?s)```text\n(.*?)\n```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.SplitSeq(block[1], "\n") {
			if !slices.Contains(said, strings.TrimSpace(line)) {
				t.Errorf("an entry for what nothing says any more:\n%s", line)
			}
		}
	}
}

func errorTexts(t *testing.T) []string {
	t.Helper()
	var texts []string
	for _, dir := range sources {
		files, err := filepath.Glob(dir + "/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			switch {
			case strings.HasSuffix(file, "_test.go"):
			case strings.HasSuffix(file, ".go"):
				texts = append(texts, goTexts(t, file)...)
			case strings.HasSuffix(file, ".sh"):
				texts = append(texts, shellTexts(t, file)...)
			}
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// goTexts returns the texts of errors.New and fmt.Errorf. Those that only say where another error
// happened have nothing to look up.
func goTexts(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	add := func(x ast.Expr) {
		text, ok := literal(x)
		if !ok {
			return
		}
		text = normal(strings.ReplaceAll(verbs.ReplaceAllString(text, "…"), "%%", "%"))
		if says(text) && !isPrefix(text) && !strings.HasPrefix(text, bug) {
			texts = append(texts, text)
		}
	}
	explains := false // within a method Error
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			explains = n.Recv != nil && n.Name.Name == "Error"
		case *ast.KeyValueExpr: // of a field of the inputs
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "required" {
				add(n.Value)
			}
		case *ast.CallExpr:
			fun, ok := n.Fun.(*ast.SelectorExpr)
			if ok && len(n.Args) > 0 && (fun.Sel.Name == "Errorf" || fun.Sel.Name == "New" &&
				isPackage(fun.X, "errors") || explains && fun.Sel.Name == "Sprintf") {
				add(n.Args[0])
			}
		}
		return true
	})
	return texts
}

func isPackage(x ast.Expr, name string) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == name
}

// literal evaluates a string, or a sum of strings of which some may not be known.
func literal(x ast.Expr) (string, bool) {
	switch x := x.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, ok := literal(x.X)
		right, ok2 := literal(x.Y)
		if !ok2 {
			right = "…"
		}
		return left + right, ok
	}
	return "", false
}

var (
	verbs = regexp.MustCompile(`%[-+# 0-9.]*(\[[0-9]+\])?[a-zA-Z]`)
	dies  = regexp.MustCompile(`\bdie ("[^"]*"|[$A-Za-z0-9_]+) "|\bfaults\+=\("`)
)

// bug begins a text that nobody can meet unless this program itself is wrong, so it has no entry: it
// says what it is. No scenario with a host may ever see one (world.Run looks). A script's has the
// exit code 1, which is none of the protocol's; every other text of a script has one of those.
const bug = "bug in deploy-action: "

func shellTexts(t *testing.T, file string) []string {
	t.Helper()
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, found := range dies.FindAllSubmatchIndex(script, -1) {
		text := normal(quoted(string(script[found[1]:])))
		internal := found[2] >= 0 && string(script[found[2]:found[3]]) == "1"
		if internal != strings.HasPrefix(text, bug) {
			t.Errorf("%s: a text begins with %q if, and only if, its exit code is 1: %s", file, bug, text)
		}
		if says(text) && !internal {
			texts = append(texts, text)
		}
	}
	return texts
}

// quoted reads a text in double quotes up to its end, with … in the place of variables and of what
// commands print.
func quoted(rest string) string {
	var b strings.Builder
	for rest != "" {
		if more := goesOn.FindString(rest); more != "" { // die and say put a blank between their words
			b.WriteByte(' ')
			rest = rest[len(more):]
			continue
		}
		if rest[0] == '"' {
			break
		}
		n := 1
		switch {
		case strings.HasPrefix(rest, "\\\n"): // the text goes on in the next line
			n = 2
		case rest[0] == '\\':
			n = 2
			b.WriteByte(rest[1])
		case strings.HasPrefix(rest, "$("):
			n = closing(rest)
			b.WriteString("…")
		case strings.HasPrefix(rest, "${"):
			n = strings.IndexByte(rest, '}') + 1
			b.WriteString("…")
		case rest[0] == '$':
			n = len(variable.FindString(rest))
			b.WriteString("…")
		default:
			b.WriteByte(rest[0])
		}
		rest = rest[n:]
	}
	return b.String()
}

// goesOn is a text that ends with the line, and another one on the next.
var goesOn = regexp.MustCompile(`^" \\\n *"`)

var variable = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z_0-9]*|[0-9?*@#])`)

// closing measures a $(…) with what is nested in it.
func closing(text string) int {
	depth := 0
	for i := range text {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// isPrefix tells a text that only says where another error happened: there is nothing to look up.
func isPrefix(text string) bool {
	return strings.HasSuffix(text, ": …") && len(strings.Fields(text)) < 6
}

var rows = regexp.MustCompile(`…(\s*…)+`)

func normal(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return strings.TrimSpace(rows.ReplaceAllString(text, "…"))
}

// says tells whether a text has words of its own that could be looked up: three at least. Fewer, such
// as in "… within …", are part of a longer one, or say all there is to say.
func says(text string) bool { return len(words.FindAllString(text, -1)) >= 3 }

var words = regexp.MustCompile(`[A-Za-z]*[a-z][A-Za-z'-]*`)
