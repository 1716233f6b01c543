package scenarios

import (
	"testing"
	"time"
)

// A block has the app as it is when its window begins: what was scaled and updated before it, and nothing of what comes after.
func TestBlockIsOneWindowOfTheAppAsItIsThen(t *testing.T) {
	source, err := Load("bottleneck")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse("bottleneck.yaml", source, Options{App: dockercoins})
	if err != nil {
		t.Fatal(err)
	}
	for window, want := range map[string]struct {
		workers, rng int
		think        string
	}{"": {10, 1, ""}, "saturated": {10, 1, ""}, "scaled": {10, 5, ""}, "fast": {10, 5, "10ms"}} {
		b, name, err := s.Block(window, 2*time.Second, 10*time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		if window == "" && name != "saturated" {
			t.Errorf("the first window is %s", name)
		}
		worker, _ := b.App.Service("worker")
		rng, _ := b.App.Service("rng")
		if worker.Replicas != want.workers || rng.Replicas != want.rng || worker.Environment["COIN_THINK"] != want.think {
			t.Errorf("%s: %d workers, %d rng, think %q", window, worker.Replicas, rng.Replicas, worker.Environment["COIN_THINK"])
		}
		if len(b.Steps) != 2 || b.Estimate() != 15*time.Second || len(b.Objectives) != 0 {
			t.Errorf("%s: %d steps, %s, objectives %v", window, len(b.Steps), b.Estimate(), b.Objectives)
		}
	}
	if again, _ := s.App.Service("worker"); len(s.Steps) < 10 || again.Replicas == 10 {
		t.Error("the scenario itself was changed")
	}
	if _, _, err := s.Block("nowhere", 0, time.Second, 1); err == nil {
		t.Error("a window that is not there was found")
	}
}
