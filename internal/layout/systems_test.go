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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"coinbench/internal/race"
)

// built is what the go command says of a package on another system, tests included.
type built struct {
	ImportPath, Dir, ForTest string
	GoFiles                  []string
	ImportMap                map[string]string
	Module                   *struct{ Main bool }
}

// Everything compiles for the other systems that learners have, tests and tools too. It is checked from source and types alone, without
// the bodies of what others wrote: a tenth of what go vet takes, which compiles the whole tree anew for each of them.
func TestOtherSystemsCompile(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the race detector makes it ten times as slow, and .ci/fast plays it without")
	}
	for _, system := range []string{"windows/arm64", "darwin/arm64"} { // of the processors only sizes differ, and those are the same
		goos, goarch, _ := strings.Cut(system, "/")
		t.Run(goos, func(t *testing.T) { compiles(t, goos, goarch) })
	}
}

func compiles(t *testing.T, goos, goarch string) {
	list := exec.Command("go", "list", "-deps", "-test", "-json=ImportPath,Dir,ForTest,GoFiles,ImportMap,Module", "./...")
	list.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	list.Dir = filepath.Join("..", "..")
	var out, faults bytes.Buffer
	list.Stdout, list.Stderr = &out, &faults
	if err := list.Run(); err != nil {
		t.Fatalf("%v: %s", err, faults.String())
	}
	known := map[string]*types.Package{"unsafe": types.Unsafe}
	ours := 0
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
		if own {
			ours++
		}
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
		config := types.Config{IgnoreFuncBodies: !own, Sizes: types.SizesFor("gc", goarch), FakeImportC: true,
			Importer: mapped{p.ImportMap, known}, Error: func(err error) {
				if own {
					t.Error(err)
				}
			}}
		path, _, _ := strings.Cut(p.ImportPath, " ")
		checked, err := config.Check(path, fset, files, nil)
		if err != nil && !own {
			t.Fatalf("%s: %v", p.ImportPath, err)
		}
		known[p.ImportPath] = checked
	}
	if ours < 60 {
		t.Errorf("only %d packages of ours were checked", ours)
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
