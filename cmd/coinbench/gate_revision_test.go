package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Revisions are built from clean checkouts, the working tree as it is; the same sources give the same binary; and nothing is left behind.
func TestRevisionsAreBuilt(t *testing.T) {
	for _, tool := range []string{"git", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("not run: a gate of two revisions, for want of %s", tool)
		}
	}
	repository, built := t.TempDir(), t.TempDir()
	t.Chdir(repository)
	main := filepath.Join("cmd", "coinbench", "main.go")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(says string) {
		t.Helper()
		write(main, "package main\n\nfunc main() { println(\""+says+"\") }\n")
		for _, args := range [][]string{{"add", "-A"}, {"-c", "user.name=n", "-c", "user.email=e@x", "commit", "-q", "-m", says}} {
			if _, err := git(".", args...); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := git(".", "init", "-q", "-b", "main"); err != nil {
		t.Fatal(err)
	}
	write("go.mod", "module coinbench\n")
	commit("one")
	commit("two")
	build := func(name string) revision {
		t.Helper()
		r, err := buildRevision(t.Context(), name, built, "")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	says := func(r revision) string {
		out, err := exec.Command(r.binary).CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	first, second, clean := build("git:main~1"), build("git:main"), build(".")
	if says(first) != "one" || says(second) != "two" || says(clean) != "two" {
		t.Errorf("%s, %s, %s", says(first), says(second), says(clean))
	}
	if second.subject.Digest != clean.subject.Digest || second.subject.Commit != clean.subject.Commit ||
		second.subject.Parents[0] != first.subject.Commit || first.subject.Digest == second.subject.Digest {
		t.Errorf("%+v, %+v, %+v", first.subject, second.subject, clean.subject)
	}
	write(main, "package main\n\nfunc main() { println(\"three\") }\n")
	changed := build(".")
	if says(changed) != "three" || changed.subject.Commit != "" || changed.subject.Parents[0] != second.subject.Commit {
		t.Errorf("the changed tree: %s, %+v", says(changed), changed.subject)
	}
	for _, name := range []string{"git:nowhere", "git:--all", "git:"} {
		if _, err := buildRevision(t.Context(), name, built, ""); err == nil || !strings.Contains(err.Error(), "accepted: a branch, tag") {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(main, "package main\n\nfunc main() { missing() }\n")
	if _, err := buildRevision(t.Context(), ".", built, ""); err == nil || !strings.Contains(err.Error(), "undefined: missing") {
		t.Errorf("sources that do not compile: %v", err)
	}
	if list, err := git(".", "worktree", "list"); err != nil || strings.Count(list, "\n") != 1 {
		t.Errorf("left behind: %s, %v", list, err)
	}
}
