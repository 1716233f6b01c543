package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// attached plays a scenario on an app that is up, whose rng has two replicas and an environment of its own.
func attached(t *testing.T, yaml string, flag bool, changes ...func(*witness)) performance {
	t.Helper()
	up, _ := dockercoins("")
	two := 2
	up, err := up.With("rng", &two, cluster.Change{Environment: map[string]string{"COIN_DELAY": "50ms"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse("test.yaml", []byte(yaml), Options{App: dockercoins, Attach: flag, Attached: func() (cluster.App, error) {
		return up,
			nil
	}})
	if err != nil {
		t.Fatalf("parse:\n%v", err)
	}
	var sink Sink
	p := performance{cluster: newWitness(sink.Event)}
	if err := p.cluster.Cluster.Deploy(t.Context(), up); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(p.cluster)
	}
	dir := t.TempDir()
	w, err := history.Create(dir, history.Manifest{Scenario: s.Name, Start: p.cluster.start}, s.Source, s.App.Source)
	if err != nil {
		t.Fatal(err)
	}
	p.err = Run(t.Context(), s, Config{Cluster: p.cluster, Sink: &sink, Writer: w, Start: p.cluster.start, Play: instant(&p.loads)})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if p.run, err = history.Open(dir); err != nil {
		t.Fatal(err)
	}
	if p.cluster.removed() > 0 {
		t.Error("the app was taken down")
	}
	return p
}

// What the deploy step names is changed, and nothing else; whatever happens, the app stays up.
func TestAttach(t *testing.T) {
	const measure = "  - measure: {name: m, settle: 1s, for: 2s}\n"
	for _, c := range []struct {
		name, yaml string
		flag       bool
		calls      string
	}{
		{"nothing is named", "steps:\n  - deploy: {attach: true}\n" + measure, false, ""},
		{"block style", "steps:\n  - deploy:\n      attach: true\n" + measure, false, ""},
		{"by the flag", "steps:\n  - deploy: {rng: 2}\n" + measure, true, ""},
		{"without a deploy step", "steps:\n" + measure, true, ""},
		{"replicas", "steps:\n  - deploy: {attach: true, worker: 3, rng: 1}\n" + measure, false, "Scale rng, Scale worker"},
		{"a parameter", "parameters: {n: 3, a: true}\nsteps:\n  - deploy: {worker: \"${n}\", attach: \"${a}\"}\n" + measure, false,
			"Scale worker"},
		{"an image", "steps:\n  - deploy: {attach: true, rng: {image: \"coinbench/rng:v2\"}}\n" + measure, false,
			"Scale rng, Update rng, Scale rng"},
		{"the same environment", "steps:\n  - deploy: {attach: true, rng: {environment: {COIN_DELAY: 50ms}}}\n" + measure, false, ""},
		{"a balance", "steps:\n  - deploy: {attach: true, rng: {balance: random}}\n" + measure, false, "Update rng"},
		{"a profile without a deploy step", "profiles: {p: {environment: {hasher: {COIN_DELAY: 1ms}}}}\nsteps:\n" + measure, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := attached(t, "name: x\n"+c.yaml, c.flag)
				if p.err != nil {
					t.Fatal(p.err)
				}
				var calls []string
				for _, call := range p.cluster.calls {
					words := strings.Fields(call)
					calls = append(calls, words[0]+" "+words[1])
				}
				if got := strings.Join(calls, ", "); got != c.calls {
					t.Errorf("calls are %q; want %q", got, c.calls)
				}
				all, _ := p.cluster.Status(t.Context())
				rng := all[slices.IndexFunc(all, func(s cluster.ServiceStatus) bool { return s.Name == "rng" })]
				if rng.Environment["COIN_DELAY"] != "50ms" {
					t.Errorf("the environment of rng became %v", rng.Environment)
				}
			})
		})
	}
}

func TestAttachFailsAndLeavesTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		p := attached(t, "name: x\nsteps:\n  - deploy: {attach: true}\n  - scale: {rng: 1}\n", false,
			func(f *witness) { f.fail["Scale rng"] = broken })
		if !errors.Is(p.err, broken) || p.run.Status != history.RunFailed {
			t.Errorf("the run ended with %v, status %s", p.err, p.run.Status)
		}
	})
	for yaml, want := range map[string]string{
		"app: a.yml\nsteps: [{deploy: {attach: true}}]\n":                      "brings none",
		"steps: [{deploy: {attach: true, web: 1}}]\n":                          `unknown service "web"`,
		"steps: [{deploy: {attach: maybe}}]\n":                                 `"maybe" is not true or false`,
		"steps: [{deploy: {attach: true}}, {deploy: {worker: 1}}]\n":           "deployed already",
		"steps: [{deploy: {attach: false}}, {wait: 1s}, {deploy: {rng: 1}}]\n": "deployed already",
	} {
		_, err := Parse("test.yaml", []byte("name: x\n"+yaml), Options{App: dockercoins})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", yaml, err, want)
		}
	}
	gone := errors.New("nothing is up")
	_, err := Parse("test.yaml", []byte("name: x\nsteps: [{wait: 1s}]\n"), Options{Attach: true,
		Attached: func() (cluster.App, error) { return cluster.App{}, gone }})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(gone)) {
		t.Errorf("without an app: %v", err)
	}
}

// The record says what is in force and which tasks are there, as if they had been deployed, and what they had counted before.
func TestAttachIsOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := attached(t, "name: x\nsteps:\n  - deploy: {attach: true, worker: 2}\n  - wait: 3s\n", false)
		if p.err != nil {
			t.Fatal(p.err)
		}
		log := p.log()
		begun := strings.Index(log, string(event.StepBegin{}.Kind()))
		for _, want := range []string{
			`service.deployed rng balance="round-robin" env.COIN_DELAY="50ms" image="coinbench/rng:v0.1" replicas="2"`,
			`task.started rng.2#1 address="rng.2#1.memory.invalid:80" image="coinbench/rng:v0.1" version="v0.1"`,
			`task.joined rng.2#1`,
		} {
			if i := strings.Index(log, want); i < 0 || i > begun {
				t.Errorf("before the first step there is no %s in\n%s", want, log)
			}
		}
		if len(p.run.Readings) == 0 || p.run.Readings[0].At > p.run.Events[len(p.run.Events)-1].At {
			t.Error("no counters were read before the first step")
		}
	})
}
