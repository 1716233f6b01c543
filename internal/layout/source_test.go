package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// pack is one package of a module, with its types.
type pack struct {
	path  string
	deps  []string // all that it imports, by whatever way
	own   []string // what it imports itself
	files []*ast.File
	info  *types.Info
	types *types.Package
	fset  *token.FileSet
}

// listed is what the go command says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles, Deps, Imports  []string
	Module                  *struct{ Main bool }
}

// load reads the packages of the module in a folder, without tests, from source; what they import from what was compiled of it.
func load(t *testing.T, dir string) []pack {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,Deps,Imports,Module", "./...")
	var out, faults bytes.Buffer
	list.Dir, list.Stdout, list.Stderr = dir, &out, &faults
	if err := list.Run(); err != nil {
		t.Fatalf("%v: %s", err, faults.String())
	}
	var ours []listed
	compiled := map[string]string{}
	for d := json.NewDecoder(&out); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		compiled[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Main {
			ours = append(ours, p)
		}
	}
	fset := token.NewFileSet()
	open := func(path string) (io.ReadCloser, error) { return os.Open(compiled[path]) }
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", open)}
	var all []pack
	for _, p := range ours {
		one := pack{path: p.ImportPath, deps: p.Deps, own: p.Imports, fset: fset,
			info: &types.Info{Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
				Types: map[ast.Expr]types.TypeAndValue{}}}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			one.files = append(one.files, file)
		}
		var err error
		if one.types, err = config.Check(p.ImportPath, fset, one.files, one.info); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}
