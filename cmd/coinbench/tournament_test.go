package main

import (
	"testing"

	"coinbench/cluster/sim"
)

// Every strategy is played in virtual time: gated and drained, none but all-at-once loses a request, and each takes as long as its
// arithmetic says.
func TestTournamentInVirtualTime(t *testing.T) {
	took := map[string]float64{}
	for _, k := range contenders() {
		set := map[string]string{"watch": "10s"}
		for name, value := range k.set {
			set[name] = value
		}
		_, a := simulate(t, shipped(t, "tournament"), sim.Costs{}, set)
		if len(a.Rollouts) != 1 || a.Rollouts[0].State != "completed" || a.Rollouts[0].DurationS == nil || len(a.Rollouts[0].Loads) != 1 {
			t.Errorf("%s: %+v", k.name, a.Rollouts)
			continue
		}
		r := a.Rollouts[0]
		took[k.name] = *r.DurationS
		if lost := r.Loads[0].Failed; (lost > 0) != (k.name == "all-at-once") {
			t.Errorf("%s: %d requests failed", k.name, lost)
		}
	}
	if took["blue-green"] >= took["serial"] || took["all-at-once"] >= took["rolling"] || took["canary"] <= took["start-first"] {
		t.Errorf("durations are %v", took)
	}
}
