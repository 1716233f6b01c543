package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
)

// onLab returns a function that runs coinbench against a lab of three nodes.
func onLab(t *testing.T) func(args ...string) (string, error) {
	t.Helper()
	labtest.RequireLong(t)
	self, err := exec.LookPath("coinbench")
	if err != nil {
		t.Fatal(err)
	}
	l := labtest.Up(t, lab.Config{Name: "cmdtest", Nodes: 3, Registry: []string{self, "registry"}, Images: labtest.Images(t, "v0.1")})
	return func(args ...string) (string, error) {
		c := exec.Command("coinbench", args...)
		c.Env = append(os.Environ(), l.Env()...)
		out, err := c.CombinedOutput()
		return string(out), err
	}
}

// The scenarios have on a Swarm the verdicts that they have on this machine, as far as DNS round robin allows.
func TestScenariosOnASwarm(t *testing.T) {
	run := onLab(t)
	for name, args := range map[string][]string{
		"smoke":     {"--generators", "2"},
		"balancing": {"--set", "measure=5s", "--set", "requests=50"},
		"bottleneck": {"--set", "sweep=1,10", "--set", "measure=5s", "--set", "scaled_low=23", "--set", "scaled_high=33.5",
			"--set", "fast_low=27", "--set", "fast_high=48"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			out, err := run(append([]string{"run", name, "--cluster", "swarm", "--endpoint-mode", "dnsrr", "--out", dir}, args...)...)
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	out, err := run("up", "--endpoint-mode", "dnsrr", "--cluster", "swarm", "--publish", "webui=8000")
	if err != nil || !strings.Contains(out, "The web page: http://10.") {
		t.Fatalf("up: %v\n%s", err, out)
	}
	for _, step := range []struct{ args, want string }{
		{"scale rng=2", "rng: 2"},
		{"ps", "rng.2#"},
		{"update worker --env COIN_THINK=10ms --parallelism 0 --monitor 1s", ""},
		{"rollback worker", ""},
		{"logs hasher", "hasher.1#"},
		{"down", ""},
	} {
		if out, err := run(strings.Fields(step.args)...); err != nil || !strings.Contains(out, step.want) {
			t.Errorf("%s: %v\n%s", step.args, err, out)
		}
	}
	if out, err := run("ps"); err == nil || !strings.Contains(out, "coinbench up") {
		t.Errorf("after down: %v\n%s", err, out)
	}
}
