package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/services/settings"
)

// Rates of one window from three sides agree within their errors where the counters are sound, and each one that is not is named.
func TestContradictingRates(t *testing.T) {
	for name, s := range map[string]setting{
		"constant":    {},
		"exponential": {env: exponential()},
		"random":      {balance: "random"},
		"spread":      {spread: 3 * time.Second, env: map[string]string{"worker/COIN_THINK": "37ms"}},
		"slow redis":  {redis: 200 * time.Millisecond},
	} {
		for _, workers := range []int{1, 20} {
			for _, window := range []time.Duration{2 * time.Second, 20 * time.Second} {
				s.workers, s.rng, s.hasher, s.settle, s.window, s.windows = workers, max(1, workers/3), 2, 10*time.Second, window, 2
				for seed := range uint64(3) {
					run, err := s.play(seed)
					if err != nil {
						t.Fatal(err)
					}
					what := fmt.Sprintf("%s, %d workers, %s", name, workers, window)
					a := capacity.Measure(run)
					if found := a.Reconciliation.Contrary; len(found) > 0 {
						t.Errorf("%s: sound, yet %q", what, found)
					}
					for _, row := range a.Reconciliation.Rows[1:] {
						if len(row.Rates) != 3 {
							t.Errorf("%s: %d rates of %s, want 3", what, len(row.Rates), row.Name)
						}
					}
				}
				if window < 20*time.Second {
					continue
				}
				for _, wrong := range []struct {
					service, counter, name string
					by                     float64
				}{
					{"redis", history.RedisHashes, "the counter in redis", 1.5},
					{"redis", history.RedisHashes, "the counter in redis", .5},
					{settings.Hasher, history.Requests, "hasher's posts", 1.3},
					{settings.Worker, history.Hashes, "the workers' completions", .7},
				} {
					run, err := s.play(1)
					if err != nil {
						t.Fatal(err)
					}
					for i := range run.Readings {
						r := &run.Readings[i]
						for key, v := range r.Values.All() {
							if r.Service == wrong.service && strings.HasPrefix(key, wrong.counter) {
								r.Values = r.Values.With(key, v*wrong.by)
							}
						}
					}
					a := capacity.Measure(run)
					for _, w := range a.Windows {
						told := func(text string) bool {
							_, more, _ := strings.Cut(text, "more of the kind: ") // findings of one kind are told once
							return (strings.HasPrefix(text, "window "+w.Name+": ") || strings.Contains(more, w.Name)) &&
								strings.Contains(text, wrong.name) && strings.Contains(text, "contradict each other")
						}
						if !slices.ContainsFunc(a.Validity.Warnings, told) {
							t.Errorf("%s, %s: %s x %g is not told: %q", name, w.Name, wrong.name, wrong.by, a.Validity.Warnings)
						}
					}
				}
			}
		}
	}
}
