package main

import (
	"math"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat"

	"coinbench/capacity/des"
)

// The study of the page, smaller: windows of little more than a loop have no bias, where workers wait for each other and where they do not.
func TestRateHasNoBias(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setting{
		"one worker": {workers: 1, rng: 1, env: exponential()},
		"a queue":    {workers: 5, rng: 1, env: exponential()},
		"five":       {workers: 10, rng: 5, env: exponential()},
		"random":     {workers: 10, rng: 2, balance: des.Random},
	} {
		s.settle = 20 * time.Second
		truth, err := s.truth(200 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		s.window = time.Duration(1.1 * float64(s.workers) / truth * float64(time.Second))
		s.windows = 40
		var all []float64
		for seed := range uint64(40) {
			run, err := s.play(seed)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s.against(run, truth)...)
		}
		mean, sd := stat.MeanStdDev(all, nil)
		error := sd / math.Sqrt(float64(len(all)))
		t.Logf("%s: %+.2f (%.2f) %%", name, 100*mean, 100*error)
		if math.Abs(mean) > .005+2*error {
			t.Errorf("%s: a bias of %+.2f %%, with a standard error of %.2f %%", name, 100*mean, 100*error)
		}
	}
}

// Workers that are locked to unequal loops are no noise: the rate is exact, and its interval says so.
func TestLockedWorkersHaveNoError(t *testing.T) {
	t.Parallel()
	for _, s := range []setting{
		{workers: 13, rng: 4, env: map[string]string{"worker/COIN_THINK": "37ms"}},
		{workers: 29, rng: 7, env: map[string]string{"worker/COIN_THINK": "41ms"}},
		{workers: 11, rng: 3, env: map[string]string{"worker/COIN_THINK": "53ms"}, lead: 3 * time.Second},
		{workers: 9, rng: 4, env: map[string]string{"worker/COIN_THINK": "10ms"}},
		{workers: 7, rng: 2, env: map[string]string{"worker/COIN_THINK": "133ms"}, lead: 2500 * time.Millisecond},
	} {
		s.settle = 10 * time.Second
		truth, err := s.truth(100 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		windows := []time.Duration{2 * time.Second, 3 * time.Second, 5 * time.Second}
		if s.workers < 10 { // what their replicas do between two turns is up to a tenth of a loop
			windows = []time.Duration{20 * time.Second}
		}
		for _, s.window = range windows {
			for seed := range uint64(15) {
				windows, err := s.measure(seed)
				if err != nil {
					t.Fatal(err)
				}
				e := windows[0].HashRate
				if e.Margin() == nil || *e.Margin() > .0025*truth || *e.Low > truth*(1+1e-4) || *e.High < truth*(1-1e-4) {
					low, high := math.NaN(), math.NaN()
					if e.Margin() != nil {
						low, high = *e.Low, *e.High
					}
					t.Errorf("%d workers, %d rng, %s, seed %d: %.5f (%.5f to %.5f), of %.5f %s", s.workers, s.rng, s.window, seed, e.Value, low, high,
						truth, e.NoInterval)
				}
			}
		}
	}
}

// Queues that remember for long, and windows that are short for them.
func TestRateIntervalCovers(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setting{
		"two queues": {workers: 10, rng: 2, balance: des.Random},
		"three long queues": {workers: 20, rng: 3, balance: des.Random, env: map[string]string{"worker/COIN_THINK": "37ms"},
			lead: 4 * time.Second},
		"exponential": {workers: 10, rng: 5, env: exponential()},
	} {
		s.settle = 20 * time.Second
		truth, err := s.truth(500 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, s.window = range []time.Duration{3 * time.Second, 10 * time.Second} {
			hit := 0
			const seeds = 120
			for seed := range uint64(seeds) {
				windows, err := s.measure(seed)
				if err != nil {
					t.Fatal(err)
				}
				if e := windows[0].HashRate; e.Margin() == nil || *e.Low <= truth && truth <= *e.High {
					hit++
				}
			}
			share := float64(hit) / seeds
			t.Logf("%s, %s: %.3f", name, s.window, share)
			if share < .88 { // three and a half standard errors below .95
				t.Errorf("%s, %s: covered in %.3f", name, s.window, share)
			}
		}
	}
}
