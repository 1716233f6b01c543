package main

import (
	"fmt"
	"testing"
	"time"

	"coinbench/internal/race"
)

// In virtual time no hash rate is above its measured bound by more than its error, however short the window is, and that of one worker,
// which never waits, is the bound.
func TestNoRateAboveItsBound(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the study of virtual time is played without the race detector")
	}
	for name, s := range map[string]setting{
		"bare":     {},
		"think 37": {env: map[string]string{"worker/COIN_THINK": "37ms"}},
		"workshop": {env: map[string]string{"worker/COIN_CALL_OVERHEAD": "3500us"}},
		"network":  {network: 30 * time.Millisecond},
	} {
		for workers := 1; workers <= 10; workers++ {
			for _, rng := range []int{1, workers} {
				for loops := 1.; loops <= 5; loops += .5 {
					s.workers, s.rng, s.settle, s.windows = workers, rng, 20*time.Second, 4
					loop, err := s.loop()
					if err != nil {
						t.Fatal(err)
					}
					s.window = time.Duration(loops * float64(loop))
					windows, err := s.measure(uint64(10*workers) + uint64(2*loops))
					if err != nil {
						t.Fatal(err)
					}
					for _, w := range windows {
						what := fmt.Sprintf("%s, %d workers, %d rng, %g loops", name, workers, rng, loops)
						if w.Bounds == nil || w.HashRate == nil {
							t.Errorf("%s: no bound", what)
							continue
						}
						error := 1e-6 * w.Bounds.UpperPerS // what an instant in a reading resolves
						if m := w.HashRate.Margin(); m != nil {
							error += *m
						}
						if above := w.HashRate.Value - w.Bounds.UpperPerS; above > error {
							t.Errorf("%s: %.5f hashes/s are above the bound of %.5f by more than %.5f", what, w.HashRate.Value, w.Bounds.UpperPerS, error)
						}
						if workers == 1 && w.HashRate.Value < .9999*w.Bounds.UpperPerS {
							t.Errorf("%s: %.5f hashes/s, bound %.5f", what, w.HashRate.Value, w.Bounds.UpperPerS)
						}
					}
				}
			}
		}
	}
}

// loop is how long a loop of the setting takes a worker in the long run.
func (s setting) loop() (time.Duration, error) {
	rate, err := s.truth(30 * time.Second)
	return time.Duration(float64(s.workers) / rate * float64(time.Second)), err
}
