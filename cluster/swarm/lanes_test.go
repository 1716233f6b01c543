package swarm

import (
	"testing"

	"coinbench/cluster"
)

// An update of some of the tasks ends with the same failure as one of so many: the engine counts it against all, in single precision.
func TestFailuresOfAPart(t *testing.T) {
	c := &Cluster{}
	for replicas := 1; replicas <= 30; replicas++ {
		for part := 1; part < replicas; part++ {
			for percent := range 101 {
				r := cluster.Rollout{MaxFailureRatio: float64(percent) / 100}
				given := rollout(c.lanes(r, part, replicas, false)).MaxFailureRatio
				for failures := range part + 1 {
					if halts, want := float32(failures)/float32(replicas) > given, failures > r.Tolerated(part); halts != want {
						t.Fatalf("%d of %d failures, of %d tasks, at %d %%: halts %v; want %v", failures, part, replicas, percent, halts, want)
					}
				}
			}
		}
	}
}
