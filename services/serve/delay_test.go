package serve

import (
	"math"
	"testing"
	"time"

	"coinbench/services/settings"
)

// Each distribution has the mean and the spread that it promises, and depends on nothing but its seed.
func TestDelayDistributions(t *testing.T) {
	const n, d, j = 100_000, 100 * time.Millisecond, 10 * time.Millisecond
	for _, test := range []struct {
		distribution settings.Distribution
		jitter       time.Duration
		mean, sd     float64 // ms
		least, most  time.Duration
	}{
		{settings.Constant, 0, 100, 0, d, d},
		{settings.Uniform, j, 100, 10 / math.Sqrt(3), d - j, d + j},
		{settings.Exponential, 0, 100, 100, 0, math.MaxInt64},
		{settings.Normal, j, 100, 10, 0, math.MaxInt64},
		{settings.Normal, 100 * time.Millisecond, 108.3, 86.9, 0, math.MaxInt64}, // cut off at 0: E max(0, X) = 100 (Φ(1) + φ(1))
	} {
		s := settings.Settings{Delay: d, Distribution: test.distribution, Jitter: test.jitter}
		c, again := newChance(7, 1), newChance(7, 1)
		var sum, squares float64
		for range n {
			x := drawDelay(s, c)
			if y := drawDelay(s, again); x != y {
				t.Fatalf("%s: %s and %s with the same seed", test.distribution, x, y)
			}
			if x < test.least || x > test.most {
				t.Fatalf("%s: %s is not within %s and %s", test.distribution, x, test.least, test.most)
			}
			ms := x.Seconds() * 1000
			sum += ms
			squares += ms * ms
		}
		mean := sum / n
		sd := math.Sqrt(max(0, squares/n-mean*mean))
		if math.Abs(mean-test.mean) > 1 || math.Abs(sd-test.sd) > 1 {
			t.Errorf("%s, jitter %s: mean %.2f ms, deviation %.2f ms; want %.2f and %.2f", test.distribution, test.jitter, mean, sd, test.mean,
				test.sd)
		}
	}
}

// Replicas draw different delays, and the same replica the same ones in the next run.
func TestSeedIsTheReplicas(t *testing.T) {
	var s settings.Settings
	one, two := seed(s, Process{Host: "rng.1"}), seed(s, Process{Host: "rng.2"})
	if one == two || one != seed(s, Process{Host: "rng.1"}) {
		t.Errorf("seeds %d and %d", one, two)
	}
	s.Replica = "rng.2"
	if seed(s, Process{Host: "rng.1"}) != two {
		t.Error("the replica's name is not the seed's")
	}
	s.Seed = 7
	if seed(s, Process{}) != 7 {
		t.Error("the seed that is set is not used")
	}
}
