// Package layout holds the project's own rules about its shape: who may import whom.
package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// may says which of the project's folders each folder may import, besides its own subfolders; a subfolder has a line of its own
// where it differs. The reason for the order is
// in docs/design.md: everything before the history has effects, everything after it is a pure function.
var may = map[string][]string{
	".":         {},
	"cmd":       {".", "labs", "live", "scenarios", "reports", "cluster", "loadgen", "capacity", "history", "services", "internal"},
	"labs":      {"capacity", "history"},
	"live":      {"scenarios", "cluster", "capacity", "history", "services/settings", "internal/visible"},
	"scenarios": {"cluster", "loadgen", "capacity", "history", "services/settings", "internal/visible"},
	"reports":   {"capacity", "history", "internal/visible"},
	"cluster":   {"history", "services/settings", "internal/seeded"},
	"loadgen":   {"history", "internal/precise", "internal/visible"},
	"capacity":  {"history", "services/settings", "internal/seeded", "internal/visible"},
	"history":   {},
	"services":  {"history", "internal/precise"}, // of history the names of the series only
	"internal":  {},

	"labs/web":   {"live"},
	"labs/board": {"live", "capacity", "internal/visible"},

	"internal/benchpeers": {"loadgen", "history"},                                                                          // a program
	"internal/accuracy":   {".", "scenarios", "reports", "cluster", "loadgen", "capacity", "history", "services/settings"}, // a program
}

// besides are single packages that may import one thing more: the simulated cluster plays capacity's simulator, and the conformance suite
// the services, as replicas of a cluster.
var besides = map[string][]string{"cluster/sim": {"capacity/des"}, "cluster/clustertest": {"services"}}

// pure may not reach the network, the clock's goroutines or the log.
var pure = map[string][]string{
	"capacity": {"net", "net/http", "os/exec", "log", "log/slog", "sync"},
	"reports":  {"net", "net/http", "os/exec", "log", "log/slog", "sync"},
	"history":  {"net", "net/http", "os/exec", "log", "log/slog"},

	"live/frame": {"net", "net/http", "os/exec", "log", "log/slog", "sync"},
}

// purely are the rules of pure for a folder: its own, or those of the folder above all.
func purely(dir string) []string {
	if rules, own := pure[dir]; own {
		return rules
	}
	top, _, _ := strings.Cut(dir, "/")
	return pure[top]
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
			if slices.Contains(purely(dir), name) {
				t.Errorf("%s imports %s: %s is pure", path, name, dir)
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

// TestTypes holds the rules for which the packages' types must be known.
func TestTypes(t *testing.T) {
	all := load(t, filepath.Join("..", ".."))
	if len(all) < 30 {
		t.Fatalf("only %d packages were read", len(all))
	}
	t.Run("no variables that change", func(t *testing.T) { noVariablesThatChange(t, all) })
	t.Run("pure packages reach no effects", func(t *testing.T) { pureReachesNoEffects(t, all) })
}

// What capacity, history and reports reach, by whatever way, is as pure as they are: no network and no other process, in the libraries
// either; no log, no clock and no goroutine in what is ours. (A library that is reached, gonum's plot, can log what it cannot draw.)
func pureReachesNoEffects(t *testing.T, all []pack) {
	reached := map[string]bool{}
	for _, p := range all {
		if purely(strings.TrimPrefix(p.path, "coinbench/")) == nil {
			continue
		}
		reached[p.path] = true
		for _, d := range p.deps {
			reached[d] = true
			if slices.Contains([]string{"net", "net/http", "os/exec", "plugin"}, d) {
				t.Errorf("%s reaches %s", p.path, d)
			}
		}
	}
	seen := 0
	for _, p := range all {
		if !reached[p.path] {
			continue
		}
		seen++
		for _, d := range p.own {
			if d == "log" || d == "log/slog" {
				t.Errorf("%s imports %s, and pure packages reach it", p.path, d)
			}
		}
		for _, f := range effects(p) {
			t.Errorf("%s: %s in what pure packages reach", f.at, f.text)
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages were seen", seen)
	}
}

// effects finds goroutines, and what reads the clock or waits for it.
func effects(p pack) (all []fault) {
	for _, file := range p.files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				all = append(all, fault{p.fset.Position(n.Pos()), "a goroutine"})
			case *ast.Ident:
				f, ok := p.info.Uses[n].(*types.Func)
				if ok && f.Pkg() != nil && f.Pkg().Path() == "time" && f.Signature().Recv() == nil && slices.Contains(
					[]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, f.Name()) {
					all = append(all, fault{p.fset.Position(n.Pos()), "time." + f.Name()})
				}
			}
			return true
		})
	}
	return all
}

// An init function is wiring that no reader of main sees.
func TestNoInit(t *testing.T) {
	eachFile(t, func(path string, file *ast.File) {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: wire it where it is used", path)
			}
		}
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

// named are the services of DockerCoins, as words; a worker is also what a closed system's client is called, in code.
var (
	named     = regexp.MustCompile(`(?i)\b(workers?|rngs?|hashers?|redis|webui)\b`)
	namedCode = regexp.MustCompile(`(?i)(^|_)(rng|hasher|redis|webui)|[a-z](RNG|Rng|Hasher|Redis|WebUI|Webui)|RNG|Hasher|WebUI`)
)

// What is said and computed of every app names no service: it speaks of the driver, the stations and the store. What is known of
// DockerCoins alone is data, in one place.
func TestNoServiceIsNamed(t *testing.T) {
	seen := 0
	eachFile(t, func(path string, file *ast.File) {
		path = filepath.ToSlash(path)
		top, _, _ := strings.Cut(path, "/")
		if !slices.Contains([]string{"capacity", "reports", "scenarios"}, top) || strings.HasPrefix(path, "capacity/dockercoins/") ||
			strings.HasPrefix(path, "capacity/capacitytest/") {
			return
		}
		seen++
		for _, found := range namesIn(file) {
			t.Errorf("%s names %s: take it from the roles, or put it into capacity/dockercoins", path, found)
		}
	})
	if seen < 100 {
		t.Errorf("only %d files were seen", seen)
	}
}

// namesIn finds the services' names in a file's texts, its own identifiers, and the programs that it asks of settings.
func namesIn(file *ast.File) (found []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if name := named.FindString(n.Value); n.Kind == token.STRING && name != "" {
				found = append(found, name+" in "+n.Value)
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && x.Name == "settings" && slices.Contains([]string{"RNG", "Hasher", "Worker", "WebUI"}, n.Sel.Name) {
				found = append(found, "settings."+n.Sel.Name)
			}
			if ok && x.Name == "history" { // the names of series are those of the programs
				return false
			}
		case *ast.Ident:
			if namedCode.MatchString(n.Name) {
				found = append(found, n.Name)
			}
		}
		return true
	})
	return found
}

// The rule finds what it is for.
func TestNamesAreFound(t *testing.T) {
	for source, want := range map[string]int{
		`var a = "the workers wait"`: 1, "var a = `rng.1#1`": 1, `type a struct { b int "json:\"station_s\"" }`: 0,
		`type a struct { b int "json:\"redis\"" }`: 1,
		`var rngs = 1`: 1, `var maxRNG = 1`: 1, `var a = settings.Worker`: 1, `var a = history.RedisHashes`: 0, `var a = cluster.Redis`: 1,
		`var a = "the driver's replicas, hashed"`: 0, `var workers, storage, wrong = 1, 2, 3 // rng`: 0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a\n"+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if found := namesIn(file); len(found) != want {
			t.Errorf("%s: %q, want %d", source, found, want)
		}
	}
}
