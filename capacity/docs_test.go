package capacity_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"coinbench/capacity"
)

var update = flag.Bool("update", false, "write the table of metrics in docs/report.md anew")

// The table of metrics in docs/report.md is that of the language.
func TestMetricsInDocs(t *testing.T) {
	const path, head = "../docs/report.md", "| metric | value | what it is |\n|---|---|---|\n"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), head)
	_, after, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatalf("%s has no table of metrics", path)
	}
	var table strings.Builder
	for _, m := range capacity.Metrics() {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", m.Syntax, m.Unit, m.Doc)
	}
	want := before + head + table.String() + "\n" + after
	if want == string(data) {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s does not list the metrics as they are; go test ./capacity -run Docs -update", path)
}
