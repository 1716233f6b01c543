package main

import (
	"coinbench/cluster/sim"
	"coinbench/scenarios"
)

// newSim makes a cluster in virtual time, which begins at an instant of its own: the same scenario and seed give the same bytes.
func newSim(f clusterFlags, asked request) (testbed, error) {
	publish, err := f.published()
	if err != nil {
		return testbed{}, err
	}
	c := sim.New(sim.Config{Seed: asked.seed, Sink: asked.sink, Publish: publish})
	return testbed{cluster: c, play: scenarios.SimulatedLoads(c), simulated: true, start: c.Now()}, nil
}
