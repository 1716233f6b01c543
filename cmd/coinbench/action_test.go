package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The steps of action.yml are played as the shell commands that they are, but for the build: a job that is alike passes, and one that is
// slower
// fails, each with its outputs and its blocks on the shared branch.
func TestActionAsShell(t *testing.T) {
	for _, tool := range []string{"bash", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s", tool)
		}
	}
	source, err := os.ReadFile(filepath.Join("..", "..", "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Runs struct {
			Steps []struct {
				Name, Run, If string
				Env           map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(source, &action); err != nil {
		t.Fatal(err)
	}
	if len(action.Runs.Steps) != 5 || !strings.Contains(action.Runs.Steps[0].Run, "go build") {
		t.Fatalf("steps: %+v", action.Runs.Steps)
	}
	coinbench, err := exec.LookPath("coinbench")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	shared := filepath.Join(dir, "shared.git")
	if out, err := exec.Command("git", "init", "-q", "--bare", shared).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	input := regexp.MustCompile(`\$\{\{ inputs\.(\w+) \}\}`)
	for _, job := range []struct {
		name, flags, verdict string
		fails                bool
	}{
		{"alike", "--cluster sim --base v0.1 --head v0.2", "verdict=pass", false},
		{"slower", "--cluster sim --base-set think=100ms --head-set think=110ms", "verdict=fail", true},
	} {
		work := filepath.Join(dir, job.name)
		if err := os.Mkdir(work, 0o755); err != nil {
			t.Fatal(err)
		}
		inputs := map[string]string{"scenario": "setting", "flags": job.flags, "remote": shared}
		failed := false
		for _, step := range action.Runs.Steps[1:] {
			if failed && step.If != "always()" {
				continue
			}
			c := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.Run)
			c.Dir = work
			c.Env = append(os.Environ(), "RUNNER_TEMP="+filepath.Dir(coinbench), "HOME="+dir, "GITHUB_ACTIONS=true",
				"GITHUB_OUTPUT="+filepath.Join(work, "outputs"), "GITHUB_STEP_SUMMARY="+filepath.Join(work, "summary"))
			for k, v := range step.Env {
				c.Env = append(c.Env, k+"="+input.ReplaceAllStringFunc(v, func(m string) string { return inputs[input.FindStringSubmatch(m)[1]] }))
			}
			out, err := c.CombinedOutput()
			if err != nil && (step.Name != "Gate" || !job.fails) {
				t.Fatalf("%s: %s: %v\n%s", job.name, step.Name, err, out)
			}
			failed = failed || err != nil
		}
		outputs, err := os.ReadFile(filepath.Join(work, "outputs"))
		if err != nil || failed != job.fails || !strings.Contains(string(outputs), job.verdict) {
			t.Errorf("%s: failed %t, outputs %q, %v", job.name, failed, outputs, err)
		}
		if info, err := os.Stat(filepath.Join(work, "summary")); err != nil || info.Size() > 60_000 {
			t.Errorf("%s: no summary, or one that is too long: %v", job.name, err)
		}
	}
	log, err := exec.Command("git", "-C", shared, "log", "--oneline", storeBranch).Output()
	if err != nil || strings.Count(string(log), "Add blocks") != 2 {
		t.Errorf("the shared branch: %q, %v", log, err)
	}
}
