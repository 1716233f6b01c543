package layout

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/dependencies.md names every module that go.mod requires directly, and no other.
func TestDependenciesAreNamed(t *testing.T) {
	root := filepath.Join("..", "..")
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{}
	// indirect ones have a comment
	for _, m := range regexp.MustCompile(`(?m)^\s+(\S+\.\S+/\S+|\S+\.\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		required[m[1]] = true
	}
	if len(required) < 10 {
		t.Fatalf("only %d direct dependencies were found in go.mod", len(required))
	}
	named := map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		cell, ok := strings.CutPrefix(line, "| ")
		if !ok || strings.HasPrefix(cell, "module ") {
			continue
		}
		cell, _, _ = strings.Cut(cell, " |")
		for name := range strings.SplitSeq(cell, ", ") {
			named[strings.TrimSpace(name)] = true
		}
	}
	for name := range required {
		if !named[name] {
			t.Errorf("docs/dependencies.md does not name %s", name)
		}
	}
	for name := range named {
		if !required[name] {
			t.Errorf("docs/dependencies.md names %s, which go.mod does not require directly", name)
		}
	}
}
