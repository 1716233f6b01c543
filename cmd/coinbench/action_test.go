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

// ciStep is a piece of a CI system's job.
type ciStep struct {
	name, script string
	env          []string
	always       bool // it is played though one before has failed
	mayFail      bool
}

// playJobs plays a CI system's job twice in shells, as far as it can be without the system: one whose head is alike passes, and one whose
// head is slower fails, each with its outputs, and their blocks are on the shared branch. steps makes the job of a folder.
func playJobs(t *testing.T, env []string, steps func(flags, remote, work string) []ciStep, check func(work, verdict string)) {
	t.Helper()
	for _, tool := range []string{"bash", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("not run: the action, for want of %s", tool)
		}
	}
	dir := t.TempDir()
	shared := filepath.Join(dir, "shared.git")
	if out, err := exec.Command("git", "init", "-q", "--bare", shared).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, job := range []struct{ name, flags, verdict string }{
		{"alike", "--cluster sim --base v0.1 --head v0.2", "pass"},
		{"slower", "--cluster sim --base-set think=100ms --head-set think=110ms", "fail"},
	} {
		work := filepath.Join(dir, job.name)
		if err := os.Mkdir(work, 0o755); err != nil {
			t.Fatal(err)
		}
		failed := false
		for _, step := range steps(job.flags, shared, work) {
			if failed && !step.always {
				continue
			}
			c := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.script)
			c.Dir = work
			c.Env = append(append(append(os.Environ(), "HOME="+dir), env...), step.env...)
			out, err := c.CombinedOutput()
			if err != nil && (!step.mayFail || job.verdict == "pass") {
				t.Fatalf("%s: %s: %v\n%s", job.name, step.name, err, out)
			}
			failed = failed || err != nil
		}
		if failed != (job.verdict == "fail") {
			t.Errorf("%s: failed %t", job.name, failed)
		}
		check(work, job.verdict)
	}
	log, err := exec.Command("git", "-C", shared, "log", "--oneline", storeBranch).Output()
	if err != nil || strings.Count(string(log), "Add blocks") != 2 {
		t.Errorf("the shared branch: %q, %v", log, err)
	}
}

// readYAML reads a file of the project into v.
func readYAML(t *testing.T, v any, path ...string) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err == nil {
		err = yaml.Unmarshal(source, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The steps of action.yml are played as the shell commands that they are, but for the build.
func TestActionAsShell(t *testing.T) {
	t.Parallel()
	var action struct {
		Runs struct {
			Steps []struct {
				Name, Run, If string
				Env           map[string]string
			}
		}
	}
	readYAML(t, &action, "action.yml")
	if len(action.Runs.Steps) != 5 || !strings.Contains(action.Runs.Steps[0].Run, "go build") {
		t.Fatalf("steps: %+v", action.Runs.Steps)
	}
	coinbench, err := exec.LookPath("coinbench")
	if err != nil {
		t.Fatal(err)
	}
	input := regexp.MustCompile(`\$\{\{ inputs\.(\w+) \}\}`)
	playJobs(t, []string{"RUNNER_TEMP=" + filepath.Dir(coinbench), "GITHUB_ACTIONS=true"}, func(flags, remote, work string) (all []ciStep) {
		inputs := map[string]string{"scenario": "setting", "flags": flags, "remote": remote}
		for _, s := range action.Runs.Steps[1:] {
			step := ciStep{name: s.Name, script: s.Run, always: s.If == "always()", mayFail: s.Name == "Gate",
				env: []string{"GITHUB_OUTPUT=" + filepath.Join(work, "outputs"), "GITHUB_STEP_SUMMARY=" + filepath.Join(work, "summary")}}
			for k, v := range s.Env {
				step.env = append(step.env, k+"="+input.ReplaceAllStringFunc(v, func(m string) string {
					return inputs[input.FindStringSubmatch(m)[1]]
				}))
			}
			all = append(all, step)
		}
		return all
	}, func(work, verdict string) {
		outputs, err := os.ReadFile(filepath.Join(work, "outputs"))
		if err != nil || !strings.Contains(string(outputs), "verdict="+verdict) {
			t.Errorf("%s: outputs %q, %v", verdict, outputs, err)
		}
		if info, err := os.Stat(filepath.Join(work, "summary")); err != nil || info.Size() > 60_000 {
			t.Errorf("%s: no summary, or one that is too long: %v", verdict, err)
		}
	})
}

// GitLab's job is played as its runner does it: the lines of script in one shell, those of after_script in another, whatever came before.
func TestGitLabJobAsShell(t *testing.T) {
	t.Parallel()
	var file map[string]struct {
		Variables map[string]string
		Before    []string `yaml:"before_script"`
		Script    []string
		After     []string `yaml:"after_script"`
		Artifacts struct {
			When    string
			Paths   []string
			Reports map[string]string
		}
	}
	readYAML(t, &file, "integrations", "gitlab", "gate.yml")
	job, ok := file[".coinbench-gate"]
	if !ok || len(job.Script) == 0 || job.Artifacts.When != "always" || !strings.Contains(strings.Join(job.Before, "\n"), "go build") {
		t.Fatalf("the job: %+v", file)
	}
	playJobs(t, []string{"COINBENCH_SCENARIO=setting"}, func(flags, remote, _ string) []ciStep {
		env := []string{"COINBENCH_FLAGS=" + flags, "COINBENCH_REMOTE=" + remote}
		return []ciStep{
			{name: "script", script: strings.Join(job.Script, "\n"), env: env, mayFail: true},
			{name: "after_script", script: strings.Join(job.After, "\n"), env: env, always: true},
		}
	}, func(work, verdict string) {
		for _, path := range append(job.Artifacts.Paths, job.Artifacts.Reports["junit"], job.Artifacts.Reports["metrics"]) {
			if _, err := os.Stat(filepath.Join(work, path)); err != nil {
				t.Errorf("%s: the artifact %s: %v", verdict, path, err)
			}
		}
	})
}
