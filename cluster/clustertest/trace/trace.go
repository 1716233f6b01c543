// Package trace plays tests that are written as a protocol: what is said, line by line, and below ---- what is answered.
//
//	# Two tasks are replaced, one after the other.
//	service replicas=2
//	----
//
//	update image=v2
//	----
//	     0s  stop 1
package trace

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what is answered now into the traces of testdata")

// Play plays testdata/*.trace, each as a test of its own, for which begin makes a player. say is given a line and where it is, and returns
// the lines of its answer. The flag -rewrite writes the answers into the files; read what has changed.
func Play(t *testing.T, begin func(t *testing.T) (say func(where, line string) []string)) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.trace"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".trace"), func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := played(file, string(source), begin(t))
			switch {
			case got == string(source):
			case *rewrite:
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			default:
				t.Errorf("the trace is now:\n%s", got)
			}
		})
	}
}

func played(file, source string, say func(where, line string) []string) string {
	var out strings.Builder
	answer := false
	for i, line := range strings.Split(source, "\n") {
		switch {
		case line == "":
			answer = false
		case line == "----":
			answer = true
		}
		if answer {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		out.WriteString("----\n")
		for _, said := range say(fmt.Sprintf("%s:%d", file, i+1), line) {
			out.WriteString(said + "\n")
		}
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}
