package main

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"coinbench/capacity"
	"coinbench/cluster/sim"
	"coinbench/loadgen"
)

// disturbances are felt: requests refused, lost, late by seconds, and more of them than can be served.
var disturbances = map[string]string{
	"release": `
  - update: {name: x, service: rng, image: "coinbench/rng:v2", strategy: rolling, order: stop-first, delay: 700ms}
  - wait: 2s
  - update: {name: y, service: rng, image: "coinbench/rng:v3", strategy: all-at-once, order: start-first}`,
	"faults": `
  - kill: {name: x, service: rng, down: 1s, in_rotation: true}
  - wait: 2s
  - kill: {name: y, service: rng, replica: 2, down: 1s}`,
	"overload": `
  - update: {name: x, service: rng, image: "coinbench/rng:v2", strategy: all-at-once, order: stop-first}
  - wait: 1s
  - restart: {name: y, service: rng}`,
}

func disturbed(steps string) []byte {
	return fmt.Appendf(nil, `name: budget
seed: 3
steps:
  - deploy:
      worker: 0
      rng:
        replicas: 4
        environment: {COIN_BOOT_DELAY: 300ms, COIN_OCCUPANCY: 9ms}
        healthcheck: {disable: true}
  - attack: {name: open, service: rng, rate: 400/s, timeout: 1s, background: true}
  - attack: {name: poisson, service: rng, rate: poisson(40/s), timeout: 3s, background: true}
  - bench: {name: closed, service: rng, path: /32, clients: 1, background: true}
  - wait: 3s%s
  - wait: 4s
objectives:
  - availability(open) >= 0.99
  - max_gap(open) < 200ms
`, steps)
}

// A disturbance is judged alike whether every request was kept one by one or none of them but some failures, and whether it comes at the
// tenth request or at one far beyond what is kept.
func TestClaimTheBudgetOfSamplesDoesNotMatter(t *testing.T) {
	for name, steps := range disturbances {
		budget := func(samples, failures int64) func(*loadgen.Workload) {
			return func(w *loadgen.Workload) { w.MaxSamples, w.MaxFailures = samples, failures }
		}
		_, all := simulate(t, disturbed(steps), sim.Costs{}, nil, budget(math.MaxInt64, math.MaxInt64))
		for _, c := range []struct{ samples, failures int64 }{{-1, 1e6}, {20, 50}} {
			_, few := simulate(t, disturbed(steps), sim.Costs{}, nil, budget(c.samples, c.failures))
			where := fmt.Sprintf("%s, %d requests and %d failures kept", name, c.samples, c.failures)
			if !reflect.DeepEqual(few.Overall, all.Overall) {
				t.Errorf("%s: %+v, of all %+v", where, few.Overall, all.Overall)
			}
			for i, r := range all.Rollouts {
				if r.EndS != few.Rollouts[i].EndS {
					t.Errorf("%s: %s ends at %g s, of all %g s", where, r.Name, few.Rollouts[i].EndS, r.EndS)
				}
				for j, want := range r.Loads {
					got := few.Rollouts[i].Loads[j]
					if want.Basis != capacity.FromRequests || got.Basis != capacity.FromIntervals {
						t.Errorf("%s: %s is known from %s, of all from %s", where, got.Load, got.Basis, want.Basis)
					}
					if got.Requests != want.Requests || got.Failed != want.Failed || got.Available != want.Available {
						t.Errorf("%s: of %s %d of %d failed in %s, of all %d of %d", where, got.Load, got.Failed, got.Requests, r.Name, want.Failed,
							want.Requests)
					}
					if math.Abs(got.MaxGapS-want.MaxGapS) > 1e-9 && max(got.MaxGapS, want.MaxGapS) > .0101 {
						t.Errorf("%s: of %s %g s without a success in %s, of all %g s", where, got.Load, got.MaxGapS, r.Name, want.MaxGapS)
					}
					for when, l := range map[string][2]*capacity.Latency{"before": {got.Before, want.Before}, "during": {got.During, want.During},
						"after": {got.After, want.After}} {
						if !close3(l[0], l[1]) {
							t.Errorf("%s: %s %s %s: %+v, of all %+v", where, got.Load, when, r.Name, l[0], l[1])
						}
					}
					if c.failures > 1000 && !reflect.DeepEqual(got.Failures, want.Failures) {
						t.Errorf("%s: %s in %s: %+v, of all %+v", where, got.Load, r.Name, got.Failures, want.Failures)
					}
				}
			}
		}
	}
}

// close3 says whether two distributions are the same within the three digits of a histogram.
func close3(a, b *capacity.Latency) bool {
	if a == nil || b == nil {
		return a == b
	}
	digits := 1.001e-3
	if b.GivenUp > 0 { // of times that a histogram does not tell apart it is not known which were given up first
		digits *= 5
	}
	near := func(x, y float64) bool { return math.Abs(x-y) <= digits*max(x, y) }
	return a.Count == b.Count && a.GivenUp == b.GivenUp && near(a.P50S, b.P50S) && near(a.P95S, b.P95S) && near(a.P99S, b.P99S) &&
		near(a.MaxS, b.MaxS) && near(a.MeanS, b.MeanS)
}
