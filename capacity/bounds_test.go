package capacity_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"coinbench/capacity"
)

func dockercoins(think, overhead, rng, hasher float64, n, r int) capacity.Bounds {
	return capacity.NewBounds("configured", "worker", n, think, overhead, []capacity.Demand{
		{Service: "rng", DemandS: rng, Replicas: r, Slots: r},
		{Service: "hasher", DemandS: hasher, Replicas: 1, Slots: 20},
	})
}

// Rows of the table of bounds for DockerCoins: workers, then rng from 1 to 5, with o more in each server.
func TestBoundsTable(t *testing.T) {
	for _, c := range []struct {
		o    float64
		n    int
		want [5]float64
	}{
		{0, 1, [5]float64{3.33, 3.33, 3.33, 3.33, 3.33}},
		{0, 4, [5]float64{10, 13.33, 13.33, 13.33, 13.33}},
		{0, 10, [5]float64{10, 20, 30, 33.33, 33.33}},
		{0, 15, [5]float64{10, 20, 30, 40, 50}},
		{.005, 10, [5]float64{9.52, 19.05, 28.57, 32.26, 32.26}},
		{.008, 3, [5]float64{9.26, 9.49, 9.49, 9.49, 9.49}},
		{.008, 13, [5]float64{9.26, 18.52, 27.78, 37.04, 41.14}},
	} {
		for r, want := range c.want {
			if got := dockercoins(.1, 0, .1+c.o, .1+c.o, c.n, r+1).UpperPerS; math.Abs(got-want) > .006 {
				t.Errorf("o=%v N=%d R=%d: %.3f, want %.2f", c.o, c.n, r+1, got, want)
			}
		}
	}
	// Calibrated to the article's ab: think 10 ms.
	if got := dockercoins(.01, .006, .107, .105, 10, 5).UpperPerS; math.Abs(got-43.9) > .06 {
		t.Errorf("think 10 ms: %.2f, want 43.9", got)
	}
}

// Lazowska et al. 1984, section 5.2: the bounds as laws.
func TestBoundsLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Float64Range(.001, 1)
		b := dockercoins(seconds.Draw(t, "think"), seconds.Draw(t, "overhead"), seconds.Draw(t, "rng"), seconds.Draw(t, "hasher"),
			rapid.IntRange(1, 200).Draw(t, "n"), rapid.IntRange(1, 30).Draw(t, "r"))
		const eps = 1 + 1e-9
		if b.LowerPerS > b.UpperPerS*eps || b.UpperPerS > b.WorkerPerS*eps {
			t.Fatalf("lower %v, upper %v, N/D %v", b.LowerPerS, b.UpperPerS, b.WorkerPerS)
		}
		more := b.At(b.Workers + 1)
		if more.UpperPerS*eps < b.UpperPerS {
			t.Fatalf("a worker more lowers the bound: %v to %v", b.UpperPerS, more.UpperPerS)
		}
		if s, _ := b.Saturation(); b.UpperPerS > s*eps || (float64(b.Workers) > *b.KneeWorkers*eps) != (b.Limit != "worker") &&
			math.Abs(float64(b.Workers)-*b.KneeWorkers) > 1e-6 {
			t.Fatalf("N=%d, N*=%v, limit %s", b.Workers, *b.KneeWorkers, b.Limit)
		}
		if d := b.With("rng", 2*b.Demands[0].Replicas); d.UpperPerS*eps < b.UpperPerS {
			t.Fatal("twice the replicas lower the bound")
		}
	})
}

func TestUnlimitedServiceDoesNotLimit(t *testing.T) {
	b := capacity.NewBounds("configured", "worker", 10, .1, 0, []capacity.Demand{{Service: "rng", DemandS: .1, Replicas: 1}})
	if b.Limit != "worker" || b.KneeWorkers != nil || math.Abs(b.UpperPerS-50) > 1e-9 {
		t.Errorf("%+v", b)
	}
}
