package rollout

import (
	"testing"
	"time"

	"coinbench/cluster"
)

// An update of some of the tasks ends with the same failure as one of as many: the engine counts it against all, in single precision.
func TestFailuresOfAPart(t *testing.T) {
	for replicas := 1; replicas <= 30; replicas++ {
		for part := 1; part < replicas; part++ {
			for percent := range 101 {
				r := cluster.Rollout{MaxFailureRatio: float64(percent) / 100}
				given := float32(told(r, part, replicas, false).MaxFailureRatio)
				for failures := range part + 1 {
					if halts, want := float32(failures)/float32(replicas) > given, failures > r.Tolerated(part); halts != want {
						t.Fatalf("%d of %d failures, of %d tasks, at %d %%: halts %v; want %v", failures, part, replicas, percent, halts, want)
					}
				}
			}
		}
	}
}

// The engine is told to wait after a part, and to pause where its own way back would lead to the new version.
func TestTold(t *testing.T) {
	r := cluster.Rollout{Parallelism: 2, Delay: time.Second, MaxFailureRatio: 0.5, FailureAction: "rollback"}
	if got := told(r, 4, 4, false); got != r {
		t.Errorf("an update of all: %+v", got)
	}
	if got := told(r, 1, 4, false); got.Parallelism != 1 || got.Delay != Held || got.MaxFailureRatio != 0 || got.FailureAction != "rollback" {
		t.Errorf("an update of one of four: %+v", got)
	}
	if got := told(r, 4, 4, true); got.FailureAction != "pause" || got.Parallelism != 2 {
		t.Errorf("an update that goes on: %+v", got)
	}
}
