package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The README shows what the command prints, alike to the byte.
func TestTournamentIsThatOfTheREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "all")
	if out, err := exec.Command("coinbench", "tournament", "--cluster", "sim", "--out", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	written, err := os.ReadFile(filepath.Join(dir, "tournament.md"))
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(written), "\n\n")
	if rows := strings.Count(table, "\n"); rows < 8 || !strings.Contains(string(readme), "\n\n"+strings.TrimSpace(table)+"\n\n") {
		t.Errorf("the README's table is another than this of %d rows; copy it, and tournament.png to docs/img:\n%s", rows, table)
	}
}
