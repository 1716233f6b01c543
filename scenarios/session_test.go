package scenarios

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/history"
)

// session plays one in memory; each of steps is asked for as soon as it can be, and then it ends.
func session(t *testing.T, steps []string, fails func(*witness)) (p performance, text string) {
	t.Helper()
	s, scenario, err := NewSession("session.yaml", []byte("name: play\nseed: 7\nsteps:\n  - deploy: {worker: 2, webui: 0}\n"), Options{App: dockercoins},
		time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var sink Sink
	p.cluster = newWitness(sink.Event)
	if fails != nil {
		fails(p.cluster)
	}
	dir := t.TempDir()
	w, err := history.Create(dir, history.Manifest{Scenario: scenario.Name, Start: p.cluster.start}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		ended <- Run(t.Context(), scenario, Config{Cluster: p.cluster, Sink: &sink, Writer: w, Start: p.cluster.start, Session: s, Play: instant(&p.loads)})
	}()
	for _, step := range steps {
		time.Sleep(1300 * time.Millisecond) // virtual
		for {
			_, _, err := s.Ask(step, "page")
			if err == nil {
				break
			}
			if !errors.Is(err, ErrBusy) {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				t.Fatalf("before %s: %v", step, err)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	time.Sleep(8 * time.Second) // the last step takes five
	if !s.End() {
		t.Error("a step is still being played")
	}
	p.err = <-ended
	w.Close()
	if p.run, err = history.Open(dir); err != nil {
		t.Fatal(err)
	}
	return p, string(s.YAML())
}

var asked = []string{
	"scale: {rng: 3}",
	"attack: {name: load-1, service: rng, rate: 20/s, background: true}",
	"kill: {service: rng, replica: 2}",
	`update: {service: worker, image: "coinbench/worker:v0.01", parallelism: 1}`,
	"stop: {load: load-1}",
	"rollback: {service: worker}",
	"restart: {service: hasher}",
	"bench: {name: load-2, service: hasher, clients: 3, background: true}",
	"scale: {rng: 1}",
	"measure: {name: last, for: 5s}",
}

// What a session did is a scenario that does the same, step by step, at the same times.
func TestSessionPlaysAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, text := session(t, asked, nil)
		if p.err != nil || p.run.Status != history.Finished {
			t.Fatal(p.err, p.run.Status)
		}
		again := perform(t, t.Context(), text, nil)
		same := func(log string) string { // a scenario knows how many steps there are, how long it waits, and nobody asked for them
			log = strings.NewReplacer(` by="page"`, "", `steps="0"`, "").Replace(log)
			lines := slices.DeleteFunc(strings.Split(log, "\n"), func(l string) bool {
				return strings.Contains(l, `verb="wait"`) && strings.Contains(l, "step.begin") || strings.Contains(l, "run.begin")
			})
			for i, l := range lines { // at one instant, what the cluster does and the end of a step come in any order
				if at, rest, ok := strings.Cut(l, "s "); ok {
					_, what, _ := strings.Cut(rest, " ")
					lines[i] = at + "s " + what
				}
			}
			slices.Sort(lines)
			return strings.Join(lines, "\n")
		}
		if a, b := same(p.log()), same(again.log()); a != b {
			t.Errorf("the session:\n%s\nplayed again:\n%s\nfrom\n%s", a, b, text)
		}
		if !slices.Equal(p.cluster.calls, again.cluster.calls) || len(p.run.Loads) != 2 {
			t.Errorf("%q, then %q", p.cluster.calls, again.cluster.calls)
		}
		if n := strings.Count(p.log(), `by="page"`); n != len(asked) {
			t.Errorf("%d steps are marked as asked for on the page", n)
		}
	})
}

// What cannot be is refused, and leaves no trace; so is a step while another is played.
func TestSessionRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, err := NewSession("session.yaml", []byte("name: play\nsteps:\n  - deploy: {}\n"), Options{App: dockercoins}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Ask("scale: {rng: 3}", "page"); !errors.Is(err, ErrBusy) {
			t.Errorf("before anything is deployed: %v", err)
		}
		s.on(newWitness(func(history.Event) {}))
		s.next(nil)
		if step, _ := s.next(nil); step.Verb != "wait" {
			t.Fatalf("after the deployment: %+v", step)
		}
		before := string(s.YAML())
		for _, step := range []string{"scale: {rng: 99999}", "scale: {nothing: 1}", "rollback: {service: rng}", "stop: {load: rng}",
			"kill: {service: rng, replica: 9}", "deploy: {}", "scale: {rng: 2}\n  - kill: {service: rng}", "scale: {rng: 2}\nname: other",
			"update: {service: rng, environment: {COIN_DELAY: soon}}", "", "fly: {}"} {
			if _, _, err := s.Ask(step, "page"); err == nil || errors.Is(err, ErrBusy) {
				t.Errorf("%q: %v", step, err)
			}
		}
		if after := string(s.YAML()); after != before {
			t.Errorf("what was refused is in the file:\n%s", after)
		}
	})
}

// A step that fails does not end a session, and is no step of the scenario.
func TestSessionGoesOnAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := errors.New("no task of it runs now")
		p, text := session(t, []string{"kill: {service: rng}", "scale: {rng: 2}"}, func(w *witness) {
			w.fail["Kill rng.1 {Down:0s InRotation:false}"] = failing
		})
		if p.err != nil || p.run.Status != history.Finished {
			t.Fatal(p.err)
		}
		if !strings.Contains(text, "# failed: ") || !strings.Contains(text, "# - kill: {service: rng}") {
			t.Errorf("the file:\n%s", text)
		}
		if again := perform(t, t.Context(), text, nil); again.err != nil {
			t.Error(again.err)
		}
	})
}

// One that is forgotten ends by itself, and its file does not wait for as long.
func TestSessionEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, scenario, err := NewSession("session.yaml", []byte("name: play\nsteps:\n  - deploy: {}\n"), Options{App: dockercoins}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var sink Sink
		c := newWitness(sink.Event)
		w, err := history.Create(t.TempDir(), history.Manifest{Start: c.start}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		begun := time.Now()
		if err := Run(context.Background(), scenario, Config{Cluster: c, Sink: &sink, Writer: w, Start: c.start, Session: s}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < time.Minute || took > 70*time.Second || !s.Forgotten() || strings.Contains(string(s.YAML()), "wait") {
			t.Errorf("it took %s:\n%s", took, s.YAML())
		}
	})
}
