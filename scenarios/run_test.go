package scenarios

import (
	"context"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

var update = flag.Bool("update", false, "write the expected files anew")

// golden compares with testdata/<name>.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (write it with -update):\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

const everyStep = `
name: every-step
seed: 7
steps:
  - deploy: {worker: 1, rng: {replicas: 1, environment: {COIN_DELAY: 100ms}, balance: random}, webui: 0}
  - sweep: {service: worker, replicas: [1, 10], settle: 1s, measure: 3s, name: up}
  - measure: {name: saturated, settle: 2s, for: 10s, probe: {service: rng, every: 500ms}}
  - scale: {rng: 5, worker: 0}
  - bench: {name: b, service: hasher, body_bytes: 10, clients: [1, 50], requests: 50}
  - scale: {worker: 10}
  - update: {service: worker, environment: {COIN_THINK: 10ms}, parallelism: 2, delay: 1s, order: start-first}
  - measure: {name: fast, for: 5s}
  - kill: {service: rng, replica: 2, down: 2s, in_rotation: true}
  - attack: {name: beside, service: rng, rate: 10/s, background: true}
  - update: {service: rng, image: "coinbench/rng:v0.2", strategy: serial}
  - rollback: {service: rng}
  - stop: {load: beside}
  - restart: {service: rng}
  - pause: {service: rng, replica: 2, for: 2s}
  - slow: {service: rng, replica: 2, delay: 10ms, for: 2s}
  - partition: {node: node2, service: rng, for: 2s}
  - drain: {node: node1, service: rng}
  - wait: 1500ms
`

func TestEveryStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := perform(t, t.Context(), everyStep, nil)
		if p.err != nil {
			t.Fatal(p.err)
		}
		golden(t, "every-step.log", p.log())
		golden(t, "every-step.calls", strings.Join(p.cluster.calls, "\n")+"\n")
		// A loop takes 0.3 s, and 0.21 s at last; at each edge every worker is within one.
		for name, of := range map[string]struct{ workers, want float64 }{"up/1": {1, 10}, "up/10": {10, 100}, "saturated": {10, 10 * 100 / 3.},
			"fast": {10, 5 * 10 / 0.21}} {
			if n, length := p.hashes(name); math.Abs(n-of.want) > of.workers {
				t.Errorf("%s: %.3f hashes in %s, want %.3f: the readings do not lie at the window's edges", name, n, length, of.want)
			}
		}
		if p.run.Status != history.Finished || p.cluster.removed() == 0 {
			t.Errorf("status %v, removed %d times", p.run.Status, p.cluster.removed())
		}
		if n := len(p.run.Loads); n != 4 {
			t.Errorf("%d loads, want the probe, two benches and the attack", n)
		}
	})
}

func TestLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := perform(t, t.Context(), everyStep, nil)
		if len(p.loads) != 4 {
			t.Fatalf("%d loads", len(p.loads))
		}
		probe, one, many := p.loads[0], p.loads[1], p.loads[2]
		if probe.Name != "probe-saturated" || probe.Schedule != "2/s" || probe.Requests != 20 || probe.Clients != 0 ||
			probe.Targets[0].URL != "http://rng.memory.invalid:80/" {
			t.Errorf("probe: %+v", probe)
		}
		if one.Name != "b/c1" || one.Clients != 1 || many.Name != "b/c50" || many.Clients != 50 || many.Requests != 50 || !many.Reuse.PerRequest {
			t.Errorf("benches: %+v, %+v", one, many)
		}
		if b := many.Targets[0]; b.Method != "POST" || len(b.Body) != 10 || string(b.Body) != string(one.Targets[0].Body) ||
			b.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("the bench's request: %+v", b)
		}
	})
}

func TestReadingsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := perform(t, t.Context(), "name: x\nsteps: [{deploy: }, {wait: 10s}]\n", nil)
		seen := map[int]bool{}
		for _, r := range p.run.Readings {
			seen[int(r.At.Round(time.Second)/time.Second)] = true
		}
		for s := 1; s <= 10; s++ {
			if !seen[s] {
				t.Errorf("no reading at %d s", s)
			}
		}
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := perform(t, t.Context(), everyStep, nil)
		before := Progress{}
		rated := false
		for _, now := range p.progress {
			if now.Fraction < before.Fraction || now.Fraction > 1 || now.Left < 0 {
				t.Errorf("from %+v to %+v", before, now)
			}
			if now.Doing == "measuring saturated" && now.Rated && math.Abs(now.HashRate-100/3.) < 1 {
				rated = true
			}
			before = now
		}
		if !before.Done || before.Fraction != 1 || before.Left != 0 || before.Step != before.Steps {
			t.Errorf("the last is %+v", before)
		}
		if !rated {
			t.Error("the hash rate of 33.3/s was never shown")
		}
	})
}

func TestInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5500*time.Millisecond, cancel)
		p := perform(t, ctx, "name: x\nsteps: [{deploy: {}}, {measure: {name: a, for: 1h}}, {wait: 1s}]\n", nil)
		if !errors.Is(p.err, context.Canceled) {
			t.Errorf("error %v", p.err)
		}
		if p.took > 6*time.Second {
			t.Errorf("it took %s", p.took)
		}
		end := p.run.Events[len(p.run.Events)-1]
		if p, ok := end.Payload.(event.RunEnd); !ok || p.Status != string(history.Interrupted) {
			t.Errorf("the record ends with %+v", end)
		}
		if last := p.run.Readings[len(p.run.Readings)-1]; last.At != 5500*time.Millisecond {
			t.Errorf("the last reading is of %s: what was counted since is lost", last.At)
		}
		if p.cluster.removed() != 1 {
			t.Errorf("removed %d times", p.cluster.removed())
		}
		for _, e := range p.run.Events {
			if e.Is(event.WindowEnd{}) || e.Step == 3 {
				t.Errorf("after the interruption: %+v", e)
			}
		}
	})
}

func TestStepFails(t *testing.T) {
	faults := map[string]func(*witness){
		"Deploy":               func(f *witness) { f.fail["Deploy"] = errors.New("broken") },
		"Scale":                func(f *witness) { f.fail["Scale worker"] = errors.New("broken") },
		"Address":              func(f *witness) { f.fail["Address rng"] = errors.New("broken") },
		"Kill":                 func(f *witness) { f.fail["Kill rng.1 {Down:0s InRotation:false}"] = errors.New("broken") },
		"Update":               func(f *witness) { f.fail["Update rng"] = errors.New("broken") },
		"a fault in coinbench": func(f *witness) { f.fail["Deploy"] = errPanics },
		"take the app down":    func(f *witness) { f.fail["Remove"] = errors.New("broken") },
	}
	const yaml = `
name: x
steps:
  - deploy: {}
  - scale: {worker: 2}
  - bench: {service: rng, requests: 1}
  - update: {service: rng, environment: {COIN_DELAY: 1ms}}
  - kill: {service: rng}
`
	for name, change := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := perform(t, t.Context(), yaml, change)
				end, _ := p.run.Events[len(p.run.Events)-1].Payload.(event.RunEnd)
				if p.err == nil || end.Status != string(history.RunFailed) || end.Error != p.err.Error() {
					t.Errorf("error %v, recorded %v", p.err, end)
				}
				if p.cluster.removed() != 1 {
					t.Errorf("removed %d times", p.cluster.removed())
				}
			})
		})
	}
}

func TestCountersThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := perform(t, t.Context(), "name: x\nsteps: [{deploy: }, {measure: {name: a, for: 3s}}, {measure: {name: b, for: 3s}}]\n",
			func(f *witness) { f.fail["Counters"] = errors.New("worker.1#1 does not answer") })
		if p.err != nil {
			t.Fatalf("a task that does not answer ended the run: %v", p.err)
		}
		warnings := 0
		for _, e := range p.run.Events {
			if e.Is(event.Warning{}) {
				warnings++
			}
		}
		if warnings != 1 {
			t.Errorf("%d warnings, want 1 for the same thing", warnings)
		}
	})
}

// A history that cannot be written ends the run at once: what is not recorded need not be done.
func TestWriterFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Parse("test.yaml", []byte("name: x\nsteps: [{deploy: }, {wait: 1h}]\n"), Options{App: dockercoins})
		if err != nil {
			t.Fatal(err)
		}
		var sink Sink
		f := newWitness(sink.Event)
		w, err := history.Create(t.TempDir(), history.Manifest{}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Second, func() { w.Close() })
		begun := time.Now()
		err = Run(t.Context(), s, Config{Cluster: f, Sink: &sink, Writer: w})
		if err == nil || !strings.Contains(err.Error(), "write the history") || time.Since(begun) > time.Minute || f.removed() != 1 {
			t.Errorf("after %s: %v, removed %d times", time.Since(begun), err, f.removed())
		}
	})
}

func TestCheckAsksTheCluster(t *testing.T) {
	s, err := Parse("test.yaml", []byte("name: x\nsteps: [{deploy: }, {kill: {service: rng}}]\n"), Options{App: dockercoins})
	if err != nil {
		t.Fatal(err)
	}
	f := newWitness(func(history.Event) {})
	f.fail["Check"] = errors.New("cannot run this app")
	err = Check(s, struct{ cluster.Cluster }{f})
	if err == nil || !strings.Contains(err.Error(), "test.yaml:2:") || !strings.Contains(err.Error(), "cannot run this app") {
		t.Errorf("want both faults, got %v", err)
	}
	f.fail["Check"] = nil
	if err := Check(s, f); err != nil {
		t.Error(err)
	}
}

// A cluster that is lost for good ends the run with what it says, and not at the end of a long step.
func TestTheClusterIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := perform(t, t.Context(), "name: x\nsteps: [{deploy: }, {measure: {name: a, for: 1h}}]\n", func(f *witness) {
			time.AfterFunc(10*time.Second, func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.fail["Lost"] = errors.New("the engine has not answered")
			})
		})
		if p.err == nil || !strings.Contains(p.err.Error(), "has not answered") || p.took > 12*time.Second {
			t.Errorf("after %s: %v", p.took, p.err)
		}
		if p.run.Status != history.RunFailed || p.cluster.removed() != 1 {
			t.Errorf("status %s, removed %d times", p.run.Status, p.cluster.removed())
		}
	})
}
