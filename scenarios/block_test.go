package scenarios

import (
	"strings"
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
		block, err := s.Block(window, 2*time.Second, 10*time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		b := block.Scenario
		if window == "" && block.Name != "saturated" || block.Rollout {
			t.Errorf("the first window is %s", block.Name)
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
	if _, err := s.Block("nowhere", 0, time.Second, 1); err == nil {
		t.Error("a window that is not there was found")
	}
}

// A block of a rollout has the app as it was before, the loads that ask it then, and time on both sides.
func TestBlockOfARolloutHasItsLoads(t *testing.T) {
	source, err := Load("zero-downtime")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse("zero-downtime.yaml", source, Options{App: dockercoins})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Block("release-2", 2*time.Second, 10*time.Second, 1)
	if err != nil {
		t.Fatal(err)
	}
	var verbs []string
	for _, step := range b.Scenario.Steps {
		verbs = append(verbs, step.Verb)
	}
	if got := strings.Join(verbs, " "); got != "deploy attack bench wait update wait" || !b.Rollout || b.Service != "hasher" {
		t.Errorf("%s, %+v", got, b.Service)
	}
	hasher, _ := b.Scenario.App.Service("hasher")
	if hasher.Image != "coinbench/hasher:v1" || hasher.Replicas != 4 {
		t.Errorf("the app before is %+v", hasher)
	}
	other, err := Parse("zero-downtime.yaml", source, Options{App: dockercoins, Set: map[string]string{"order": "stop-first"}})
	if err != nil {
		t.Fatal(err)
	}
	if differs, err := other.Block("release-2", 2*time.Second, 10*time.Second, 1); err != nil || differs.Said == b.Said {
		t.Errorf("another order is the same block: %v, %s", err, b.Said)
	}
	if _, err := s.Block("", 0, time.Second, 1); err == nil || !strings.Contains(err.Error(), "release-1, release-2") {
		t.Errorf("without a name: %v", err)
	}
	if _, err := s.Block("release-1", 0, time.Second, 5); err == nil {
		t.Error("several windows of a rollout")
	}
}
