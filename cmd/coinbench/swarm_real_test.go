package main

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"coinbench/capacity"
	machine "coinbench/cluster/host"
	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
	"coinbench/cmd/coinbench/early"
	"coinbench/history"
)

// theLab is a Swarm of three nodes for all tests of the package.
var theLab = &labtest.Shared{Config: lab.Config{Name: "cmdtest", Nodes: 3, Heartbeat: time.Second}, Tags: []string{"v0.1"}}

// withLab takes the lab down after the tests.
type withLab struct{ m *testing.M }

func (w withLab) Run() int {
	early.Stop() // Ctrl-C ends the tests
	return labtest.Main(w.m, theLab)
}

// onLab returns a function that runs coinbench against the lab, the very binary that its images hold: without the race detector,
// which would take the processors from what is measured.
func onLab(t *testing.T) func(args ...string) (string, error) {
	t.Helper()
	l := theLab.Lab(t)
	binary := labtest.Program(t)
	return func(args ...string) (string, error) {
		c := exec.Command(binary, args...)
		c.Env = append(os.Environ(), l.Env()...)
		out, err := c.CombinedOutput()
		return string(out), err
	}
}

// tries is how often a run is played that says of itself that it could not measure, or that went wrong on a machine whose
// processors others use: nothing was judged there.
const tries = 3

// crowded is the share of the time in which something waited for a processor from which on a machine is too busy to judge by.
const crowded = .6

// played runs a scenario until it is judged, and returns the judgement, which must be a pass.
func played(t *testing.T, run func(args ...string) (string, error), args ...string) *capacity.Analysis {
	t.Helper()
	for try := 1; ; try++ {
		dir := filepath.Join(t.TempDir(), "run")
		begun, before := time.Now(), machine.Counters()[history.HostPressure]
		out, err := run(append(append([]string{"run"}, args...), "--publish", "webui=0", "--out", dir)...)
		length := time.Since(begun)
		waited := (machine.Counters()[history.HostPressure] - before) / length.Seconds()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		a, aerr := analyse(dir)
		if aerr != nil {
			t.Fatalf("%v: %v\n%s", aerr, err, out)
		}
		t.Logf("%s: %s after %s, processes waited for a processor in %.0f %% of it: %s", a.Run.Cluster, a.Overall.Outcome,
			length.Round(time.Second), 100*waited, a.Overall.Why)
		if a.Overall.Outcome == capacity.OutcomePass && err == nil {
			return a
		}
		if try == tries || waited < crowded && a.Overall.Outcome != capacity.OutcomeInvalid {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// limits are the bottlenecks of a run's windows.
func limits(a *capacity.Analysis) map[string]string {
	found := map[string]string{}
	for _, w := range a.Windows {
		if w.Bottleneck != nil {
			found[w.Name] = w.Bottleneck.Limit
		}
	}
	return found
}

// The scenarios have on a Swarm the verdicts that they have in virtual time, and name the same bottlenecks; smoke on this machine too.
func TestScenariosOnASwarm(t *testing.T) {
	run := onLab(t)
	for _, c := range []struct {
		name       string
		generators string
		sets       []string
		same       []string // windows with the same bottleneck
	}{
		// Not with three workers: one rng serves as many, and a breath decides which of the two limits.
		{"smoke", "2", []string{"workers=5"}, []string{"mining"}},
		{"balancing", "1", []string{"balance=random", "measure=10s", "requests=40", "least=22"}, []string{"mining"}},
		{"bottleneck", "1", []string{"profile=random", "sweep=10", "measure=10s", "parallelism=0", "saturated_low=9", "saturated_high=10.5",
			"scaled_low=21", "fast_low=24"}, []string{"saturated", "scaled"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{c.name}
			for _, s := range c.sets {
				args = append(args, "--set", s)
			}
			elsewhere := "sim"
			if c.name == "smoke" {
				elsewhere = "local"
			}
			here := played(t, run, append(slices.Clone(args), "--cluster", elsewhere)...)
			there := played(t, run, append(args, "--cluster", "swarm", "--endpoint-mode", "dnsrr", "--generators", c.generators)...)
			a, b := limits(here), limits(there)
			for _, window := range c.same {
				// On a busy machine the one that limits may tie with the next.
				if a[window] == "" || !slices.Contains(strings.Split(b[window], "+"), a[window]) {
					t.Errorf("the bottleneck of %s is %q on %s, %q on the Swarm", window, a[window], elsewhere, b[window])
				}
			}
			// Clients that begin together each ask DNS for themselves.
			if l := there.Load("rng/c50"); l != nil && len(l.Replicas) < 4 {
				t.Errorf("50 clients met %v", l.Replicas)
			}
		})
	}
}

// Two generators on two nodes make one record: no request is missing or counted twice, and the percentiles are those of all
// requests together.
func TestTwoGeneratorsOnASwarm(t *testing.T) {
	run := onLab(t)
	seen := nodesOfJobs(t)
	dir := filepath.Join(t.TempDir(), "run")
	out, err := run("run", "testdata/two-generators.yaml", "--cluster", "swarm", "--endpoint-mode", "dnsrr", "--generators", "2", "--out", dir)
	if nodes := seen(); len(nodes) != 2 {
		t.Errorf("generators were seen on %v; want two nodes", nodes)
	}
	a, aerr := analyse(dir)
	if aerr != nil {
		t.Fatalf("%v: %v\n%s", aerr, err, out)
	}
	for _, why := range a.Validity.Invalid {
		if !strings.Contains(why, "sent late") && !strings.Contains(why, "CPU") { // rightly, on a machine that others use
			t.Errorf("INVALID: %s", why)
		}
	}
	record, err := history.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(record.Loads) != 1 || record.Loads[0].Closing == nil {
		t.Fatalf("%d loads, or one that was cut off\n%s", len(record.Loads), out)
	}
	const want = 2 * 1000 * 5
	load := record.Loads[0]
	total, end := load.Total(), load.Closing
	var failed int64
	for _, n := range total.Failures {
		failed += n
	}
	if end.Due != want || total.Due != want || total.OK+failed != want || end.OK != total.OK || end.Failed != failed {
		t.Errorf("%d due at the end, %d in the intervals, %d + %d of them answered and failed, %d + %d at the end; want %d", end.Due, total.Due,
			total.OK, failed, end.OK, end.Failed, want)
	}
	var response []time.Duration
	numbers := map[int64]bool{}
	for _, s := range load.Samples {
		if numbers[s.Seq] {
			t.Fatalf("two requests have the number %d", s.Seq)
		}
		numbers[s.Seq] = true
		if s.Class == history.OK {
			response = append(response, s.Done-s.Due)
		}
	}
	if len(numbers) != want || int64(len(response)) != total.OK {
		t.Fatalf("%d requests were kept, %d of them answered; want %d and %d", len(numbers), len(response), want, total.OK)
	}
	if total.OK == 0 {
		t.Fatalf("nothing was answered: %v", total.Failures)
	}
	slices.Sort(response)
	for _, p := range []float64{50, 90, 99, 99.9, 100} {
		exact := float64(response[max(0, int(math.Round(p/100*float64(len(response))))-1)])
		if got := float64(total.Response.ValueAtPercentile(p)); math.Abs(got-exact) > .001*exact+1 {
			t.Errorf("p%g is %g s of the histograms, %g s of the requests themselves", p, got/1e9, exact/1e9)
		}
	}
	t.Logf("%d requests, p50 %s, p99 %s; %s %s", want, response[len(response)/2], response[len(response)*99/100], a.Overall.Outcome,
		a.Overall.Why)
}

// nodesOfJobs looks on which nodes load generators run until the returned function is called.
func nodesOfJobs(t *testing.T) func() []string {
	t.Helper()
	engine, err := theLab.Lab(t).Client("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	found := make(chan map[string]bool, 1)
	go func() {
		defer engine.Close()
		nodes := map[string]bool{}
		defer func() { found <- nodes }()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			tasks, err := engine.TaskList(ctx, client.TaskListOptions{Filters: make(client.Filters).Add("label", "coinbench.part=job")})
			if err == nil {
				for _, x := range tasks.Items {
					if x.NodeID != "" {
						nodes[x.NodeID] = true
					}
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() []string {
		stop()
		return slices.Sorted(maps.Keys(<-found))
	}
}
