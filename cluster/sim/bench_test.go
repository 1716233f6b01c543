package sim

import (
	"fmt"
	"testing"
	"time"

	"coinbench/cluster"
)

// BenchmarkUpdate replaces all tasks of rng, an eighth of them at a time, over four decades of size: alone, and while as many workers
// work. The cost of a task must grow no faster than a logarithm.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
		for _, workers := range []int{0, n} {
			b.Run(fmt.Sprintf("tasks=%d/workers=%d", n, workers), func(b *testing.B) {
				updated := 0
				for b.Loop() {
					b.StopTimer()
					hashers := n/80 + 1
					app, err := shipped(b).With("rng", &n, cluster.Change{})
					if err == nil {
						app, err = app.With("worker", &workers, cluster.Change{})
					}
					if err == nil {
						app, err = app.With("hasher", &hashers, cluster.Change{})
					}
					c := New(Config{})
					if err == nil {
						err = c.Deploy(b.Context(), app)
					}
					if err != nil {
						b.Fatal(err)
					}
					before := c.sim.Processed()
					b.StartTimer()
					err = c.Update(b.Context(), "rng", cluster.Change{Image: "coinbench/rng:v0.2",
						Rollout: &cluster.Rollout{Parallelism: n/8 + 1, Order: "stop-first", Monitor: time.Second, FailureAction: "pause"}})
					if err != nil {
						b.Fatal(err)
					}
					updated += n
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1e3/float64(updated), "us/task")
					b.ReportMetric(float64(c.sim.Processed()-before), "events")
				}
			})
		}
	}
}
