package layout

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fault is a place that breaks a rule.
type fault struct {
	at   token.Position
	text string
}

// mayChange are packages whose purpose is the one state of the process: early hears signals before main begins.
var mayChange = []string{"coinbench/cmd/coinbench/early"}

// No package has a variable that changes: what a program remembers is in values that it made, so that two of anything fit into one process.
func noVariablesThatChange(t *testing.T, all []pack) {
	for _, p := range all {
		if slices.Contains(mayChange, p.path) {
			continue
		}
		for _, f := range changes(p) {
			t.Errorf("%s: %s: hold it in a value that the program makes", f.at, f.text)
		}
	}
}

// The rule finds what the planted module marks with "want", and nothing besides.
func TestPlantedStateIsFound(t *testing.T) {
	want := map[string]string{}
	marks := regexp.MustCompile(`// want "(.*)"`)
	err := filepath.WalkDir(filepath.Join("testdata", "planted"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		source, err := os.ReadFile(path)
		for i, line := range strings.Split(string(source), "\n") {
			if m := marks.FindStringSubmatch(line); m != nil {
				want[fmt.Sprintf("%s:%d", filepath.Base(path), i+1)] = m[1]
			}
		}
		return err
	})
	if err != nil || len(want) < 20 {
		t.Fatalf("%d marks: %v", len(want), err)
	}
	for _, p := range load(t, filepath.Join("testdata", "planted")) {
		for _, f := range append(changes(p), effects(p)...) {
			at := fmt.Sprintf("%s:%d", filepath.Base(f.at.Filename), f.at.Line)
			if text, ok := want[at]; !ok || !strings.Contains(f.text, text) {
				t.Errorf("%s: %s; want %q", at, f.text, text)
			}
			delete(want, at)
		}
	}
	for at, text := range want {
		t.Errorf("%s: %q was not found", at, text)
	}
}

// changes finds what changes a variable of a package, its own or another's: an assignment to it or to a part of it, its address taken (by
// & or by a method on a pointer), an element deleted, a function of slices, sort or maps that changes its first argument. A variable
// that is made to change, a lock or a channel, is one where it is declared.
func changes(p pack) (all []fault) {
	say := func(n ast.Node, v *types.Var, how string) {
		all = append(all, fault{p.fset.Position(n.Pos()), fmt.Sprintf("%s %s", v.Name(), how)})
	}
	for _, name := range p.types.Scope().Names() {
		if v, ok := p.types.Scope().Lookup(name).(*types.Var); ok {
			if what := stateful(v.Type(), map[types.Type]bool{}); what != "" {
				all = append(all, fault{p.fset.Position(v.Pos()), v.Name() + " holds a " + what})
			}
		}
	}
	for _, file := range p.files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					if v := p.variable(e); v != nil && n.Tok != token.DEFINE {
						say(n, v, "is assigned to")
					}
				}
			case *ast.IncDecStmt:
				if v := p.variable(n.X); v != nil {
					say(n, v, "is assigned to")
				}
			case *ast.RangeStmt:
				for _, e := range []ast.Expr{n.Key, n.Value} {
					if v := p.variable(e); v != nil && n.Tok == token.ASSIGN {
						say(n, v, "is assigned to")
					}
				}
			case *ast.UnaryExpr:
				if v := p.variable(n.X); v != nil && n.Op == token.AND {
					say(n, v, "has its address taken")
				}
			case *ast.SliceExpr:
				if v := p.variable(n.X); v != nil {
					if _, array := p.info.TypeOf(n.X).Underlying().(*types.Array); array {
						say(n, v, "has its address taken")
					}
				}
			case *ast.SelectorExpr:
				// A method on a pointer, of a variable that is none.
				s := p.info.Selections[n]
				if s == nil || s.Kind() != types.MethodVal {
					break
				}
				_, byPointer := s.Obj().(*types.Func).Signature().Recv().Type().(*types.Pointer)
				_, isPointer := s.Recv().(*types.Pointer)
				if v := p.variable(n.X); v != nil && byPointer && !isPointer {
					say(n, v, "has its address taken by "+n.Sel.Name)
				}
			case *ast.CallExpr:
				if len(n.Args) == 0 {
					break
				}
				if v := p.variable(n.Args[0]); v != nil && p.changesFirst(n.Fun) {
					say(n, v, "is changed by a call")
				}
			}
			return true
		})
	}
	return all
}

// variable is the variable of one of the module's packages that an expression is, or is a part of; nil: there is none.
func (p pack) variable(e ast.Expr) *types.Var {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok {
				if _, qualified := p.info.Uses[id].(*types.PkgName); qualified {
					e = x.Sel
					continue
				}
			}
			e = x.X
		case *ast.Ident:
			v, ok := p.info.Uses[x].(*types.Var)
			if !ok || v.Pkg() == nil || v.Parent() != v.Pkg().Scope() || module(v.Pkg().Path()) != module(p.path) {
				return nil
			}
			return v
		default:
			return nil
		}
	}
}

// module is the first part of a package's path.
func module(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

// changesFirst says whether a function changes what its first argument refers to.
func (p pack) changesFirst(fun ast.Expr) bool {
	switch f := ast.Unparen(fun).(type) {
	case *ast.Ident:
		b, ok := p.info.Uses[f].(*types.Builtin)
		return ok && slices.Contains([]string{"delete", "clear", "copy", "close"}, b.Name())
	case *ast.SelectorExpr:
		o, ok := p.info.Uses[f.Sel].(*types.Func)
		if !ok || o.Pkg() == nil {
			return false
		}
		switch o.Pkg().Path() {
		case "sort":
			return !strings.HasPrefix(o.Name(), "Search") && !strings.Contains(o.Name(), "Sorted")
		case "slices":
			return slices.ContainsFunc([]string{"Sort", "Reverse", "Insert", "Delete", "Replace", "Compact", "Grow"},
				func(s string) bool { return strings.HasPrefix(o.Name(), s) }) && !strings.HasPrefix(o.Name(), "Sorted")
		case "maps":
			return slices.Contains([]string{"Copy", "DeleteFunc", "Insert"}, o.Name())
		}
	}
	return false
}

// stateful names what of a type is there to be changed; "": nothing is.
func stateful(t types.Type, seen map[types.Type]bool) string {
	if seen[t] {
		return ""
	}
	seen[t] = true
	if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() != nil {
		if path := n.Obj().Pkg().Path(); path == "sync" || path == "sync/atomic" {
			return path + "." + n.Obj().Name()
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Chan:
		return "channel"
	case *types.Struct:
		for f := range u.Fields() {
			if what := stateful(f.Type(), seen); what != "" {
				return what
			}
		}
	case *types.Array:
		return stateful(u.Elem(), seen)
	case *types.Pointer:
		if n, ok := types.Unalias(u.Elem()).(*types.Named); ok && n.Obj().Pkg() != nil && strings.HasPrefix(n.Obj().Pkg().Path(), "sync") {
			return stateful(n, seen)
		}
	}
	return ""
}
