package deploy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mostMethods are more than any part has, so that the next one asks whether it is two.
const mostMethods = 28

// Each part of a run knows those that it uses and none that uses it, and only what says in which
// order they go on knows all: else no part can be read, or changed, without the others.
func TestPartsUseNoneThatUsesThem(t *testing.T) {
	ofAll := []string{"deploy.go", "deployment.go", "operation.go", "relist.go", "tidy.go"}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	uses, methods := map[string][]string{}, map[string]int{}
	fset := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok && pointers(s, true)["run"] {
					for used := range pointers(s, false) {
						uses[n.Name.Name] = append(uses[n.Name.Name], used)
					}
					uses[n.Name.Name] = append(uses[n.Name.Name], "run")
				}
			case *ast.FuncDecl:
				if n.Recv != nil {
					methods[pointed(n.Recv.List[0].Type)]++
				}
			case *ast.Ident:
				if n.Name == "Deployment" && !slices.Contains(ofAll, file) {
					t.Errorf("%s: a part names what has all of them", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	delete(uses, "Deployment")
	if len(uses) < 20 {
		t.Fatalf("%d parts were found, which is not all", len(uses))
	}
	for part := range uses {
		if methods[part] > mostMethods {
			t.Errorf("%s has %d methods", part, methods[part])
		}
	}
	for len(uses) > 0 { // what uses none of those that are left is taken away
		before := len(uses)
		for part, used := range uses {
			if !slices.ContainsFunc(used, func(other string) bool { return uses[other] != nil }) {
				delete(uses, part)
			}
		}
		if len(uses) == before {
			t.Fatalf("these use each other in a circle, or one that does: %v", uses)
		}
	}
}

// pointers are the types that a struct's fields point to, of those that are embedded or of the
// others.
func pointers(s *ast.StructType, embedded bool) map[string]bool {
	all := map[string]bool{}
	for _, f := range s.Fields.List {
		if name := pointed(f.Type); name != "" && (len(f.Names) == 0) == embedded {
			all[name] = true
		}
	}
	return all
}

// pointed is the type's name of a pointer to one of this package, empty for other types.
func pointed(t ast.Expr) string {
	if star, ok := t.(*ast.StarExpr); ok {
		if id, ok := star.X.(*ast.Ident); ok {
			return id.Name
		}
	}
	return ""
}
