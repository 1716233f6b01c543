// Package layout holds the project's own rules about its shape: who may import whom.
package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// may says which of the project's folders each folder may import, beside its own subfolders; a subfolder has a line of its own
// where it differs. The reason for the order is
// in docs/design.md: everything before the history has effects, everything after it is a pure function.
var may = map[string][]string{
	".":         {},
	"cmd":       {".", "scenarios", "reports", "cluster", "loadgen", "capacity", "history", "services", "internal"},
	"scenarios": {"cluster", "loadgen", "capacity", "history", "services/settings"},
	"reports":   {"capacity", "history", "internal/visible"},
	"cluster":   {"history", "services/settings", "internal/seeded"},
	"loadgen":   {"history", "internal/precise", "internal/visible"},
	"capacity":  {"history", "services/settings", "internal/seeded"},
	"history":   {},
	"services":  {"history", "internal/precise"}, // of history the names of the series only
	"internal":  {},

	"internal/benchpeers": {"loadgen", "history"},                                                                          // a program
	"internal/accuracy":   {".", "scenarios", "reports", "cluster", "loadgen", "capacity", "history", "services/settings"}, // a program
}

// besides are single packages that may import one thing more: the simulated cluster plays capacity's simulator.
var besides = map[string][]string{"cluster/sim": {"capacity/des"}}

// pure may not reach the network, the clock's goroutines or the log.
var pure = map[string][]string{
	"capacity": {"net", "net/http", "os/exec", "log", "log/slog", "sync"},
	"reports":  {"net", "net/http", "os/exec", "log", "log/slog", "sync"},
	"history":  {"net", "net/http", "os/exec", "log", "log/slog"},
}

func TestImportsRunDownwardsOnly(t *testing.T) {
	seen := 0
	eachFile(t, func(path string, file *ast.File) {
		dir := filepath.ToSlash(filepath.Dir(path))
		top, _, _ := strings.Cut(dir, "/")
		allowed, known := may[dir]
		if !known {
			allowed, known = may[top]
		}
		if !known {
			t.Errorf("%s: no rule for the folder %s: add it to the layout, and to docs/design.md", path, top)
			return
		}
		for _, spec := range file.Imports {
			seen++
			name, _ := strconv.Unquote(spec.Path.Value)
			if slices.Contains(pure[top], name) {
				t.Errorf("%s imports %s: %s is pure", path, name, top)
			}
			rest, ours := strings.CutPrefix(name, "coinbench/")
			if name == "coinbench" {
				rest, ours = ".", true
			}
			if !ours || rest == top || strings.HasPrefix(rest, top+"/") {
				continue
			}
			if slices.Contains(besides[dir], rest) {
				continue
			}
			if !slices.ContainsFunc(allowed, func(a string) bool { return rest == a || strings.HasPrefix(rest, a+"/") }) {
				t.Errorf("%s imports %s: %s may import %v only", path, name, top, allowed)
			}
		}
	})
	if seen < 50 {
		t.Errorf("only %d imports were seen: the walk missed the tree", seen)
	}
}

// Goroutines in pure packages would be effects; so would init functions and variables that change, anywhere.
func TestNoGoroutinesInPurePackagesAndNoInit(t *testing.T) {
	eachFile(t, func(path string, file *ast.File) {
		top, _, _ := strings.Cut(filepath.ToSlash(path), "/")
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: wire it where it is used", path)
			}
		}
		if pure[top] == nil {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: a goroutine in a pure package", path)
			}
			return true
		})
	})
}

// eachFile visits the Go files that are no tests, with paths from the root of the module.
func eachFile(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || name == "runs" || strings.HasPrefix(name, ".") && path != root && name != "..") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		visit(rel, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
