package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/analysis/suite/vet"
	"golang.org/x/tools/go/packages"

	"coinbench/internal/race"
)

// built is what the go command says of a package on another system, tests included.
type built struct {
	ImportPath, Dir, ForTest string
	GoFiles, Imports         []string
	ImportMap                map[string]string
	Module                   *packages.Module
}

// Everything compiles for the other systems that learners have, tests and tools too, and go vet's analyzers find nothing there. It is
// checked from source and types alone, without the bodies of what others wrote: a tenth of what go vet takes, which compiles the whole
// tree anew for each of them.
func TestOtherSystemsCompile(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the race detector makes it ten times as slow, and .ci/fast plays it without")
	}
	for _, system := range []string{"linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"} {
		goos, goarch, _ := strings.Cut(system, "/")
		t.Run(system, func(t *testing.T) { compiles(t, goos, goarch) })
	}
}

func compiles(t *testing.T, goos, goarch string) {
	list := exec.Command("go", "list", "-deps", "-test", "-json=ImportPath,Dir,ForTest,GoFiles,Imports,ImportMap,Module", "./...")
	list.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	list.Dir = filepath.Join("..", "..")
	var out, faults bytes.Buffer
	list.Stdout, list.Stderr = &out, &faults
	if err := list.Run(); err != nil {
		t.Fatalf("%v: %s", err, faults.String())
	}
	known := map[string]*types.Package{"unsafe": types.Unsafe}
	ours := map[string]*packages.Package{}
	sizes := types.SizesFor("gc", goarch)
	for d := json.NewDecoder(&out); ; { // what a package imports comes before it
		var p built
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath == "unsafe" || strings.HasSuffix(p.ImportPath, ".test") { // the second is generated
			continue
		}
		own := p.Module != nil && p.Module.Main
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range p.GoFiles {
			path := name
			if !filepath.IsAbs(name) {
				path = filepath.Join(p.Dir, name)
			}
			file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		info := &types.Info{}
		config := types.Config{IgnoreFuncBodies: !own, Sizes: sizes, FakeImportC: true,
			Importer: mapped{p.ImportMap, known}, Error: func(err error) {
				if own {
					t.Error(err)
				}
			}}
		analyzed := own && len(files) > 0
		if analyzed {
			info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
				Implicits: map[ast.Node]types.Object{}, Instances: map[*ast.Ident]types.Instance{}, Scopes: map[ast.Node]*types.Scope{},
				Selections: map[*ast.SelectorExpr]*types.Selection{}, FileVersions: map[*ast.File]string{}}
			config.GoVersion = "go" + p.Module.GoVersion
		}
		path, _, _ := strings.Cut(p.ImportPath, " ")
		checked, err := config.Check(path, fset, files, info)
		if err != nil && !own {
			t.Fatalf("%s: %v", p.ImportPath, err)
		}
		known[p.ImportPath] = checked
		if analyzed {
			imports := map[string]*packages.Package{}
			for _, name := range p.Imports {
				if of := ours[name]; of != nil { // what an analyzer learns of others' packages, go vet's printf knows for the standard ones
					imports[name] = of
				}
			}
			ours[p.ImportPath] = &packages.Package{ID: p.ImportPath, Name: checked.Name(), PkgPath: path, Fset: fset, Syntax: files,
				Types: checked, TypesInfo: info, TypesSizes: sizes, Module: p.Module, Imports: imports}
		}
	}
	if len(ours) < 60 {
		t.Errorf("only %d packages of ours were checked", len(ours))
	}
	vetted(t, slices.Collect(maps.Values(ours)))
}

// vetted runs go vet's analyzers on packages.
func vetted(t *testing.T, all []*packages.Package) {
	graph, err := checker.Analyze(vet.Suite, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range graph.Roots {
		if a.Err != nil {
			t.Errorf("%v: %v", a, a.Err)
		}
		for _, d := range a.Diagnostics {
			t.Errorf("%v: %s: %s", a.Package.Fset.Position(d.Pos), a.Analyzer, d.Message)
		}
	}
}

// mapped finds packages by the names that the go command gives them.
type mapped struct {
	names map[string]string
	known map[string]*types.Package
}

func (m mapped) Import(path string) (*types.Package, error) {
	if other, ok := m.names[path]; ok {
		path = other
	}
	if p := m.known[path]; p != nil {
		return p, nil
	}
	return nil, errors.New(path + " was not checked")
}
