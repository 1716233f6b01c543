package main

import (
	"slices"
	"testing"

	"coinbench/capacity"
	"coinbench/cluster/sim"
	"coinbench/labs"
)

// Of 100 seeds, explain names the cause that was drawn on each run, with evidence of at least one kind, and every cause comes up.
func TestClaimADrillIsNeverAmbiguous(t *testing.T) {
	t.Parallel()
	seen := map[capacity.Cause]int{}
	for seed := uint64(1); seed <= 100; seed++ {
		d := labs.DrawDrill(seed)
		seen[d.Cause]++
		run, a := simulate(t, []byte(d.Scenario), sim.Costs{}, nil)
		x := capacity.Explain(run, a)
		p := x.Part(d.Part)
		if p == nil {
			t.Fatalf("seed %d: explain has no part %s\n%s", seed, d.Part, d.Scenario)
		}
		if len(p.Tied) > 0 || !slices.Contains(labs.Accepted(p), d.Cause) {
			t.Errorf("seed %d: %s, explain says %s: %q\n%s", seed, d.Cause, p.Limit, p.Evidence, d.Scenario)
		}
		if !slices.ContainsFunc(labs.Clues(), func(c labs.Clue) bool { return c.Supports(p) }) {
			t.Errorf("seed %d: %s: no clue is of %q", seed, d.Cause, p.Evidence)
		}
	}
	for cause, n := range seen {
		t.Logf("%s: %d", cause, n)
	}
	if len(seen) != 9 {
		t.Errorf("%d causes came up: %v", len(seen), seen)
	}
}
