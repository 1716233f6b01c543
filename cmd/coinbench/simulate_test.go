package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/cluster/sim"
	"coinbench/history"
	"coinbench/loadgen"
	"coinbench/scenarios"
)

// simulate plays a scenario in virtual time, and returns what it left. change alters its loads before they are played.
func simulate(t *testing.T, source []byte, costs sim.Costs, sets map[string]string, change ...func(*loadgen.Workload)) (*history.Run,
	*capacity.Analysis) {
	t.Helper()
	return simulateTold(t, source, costs, sets, nil, change...)
}

// simulateTold is simulate with somebody who is told how far it has come, and in which folder it is recorded.
func simulateTold(t *testing.T, source []byte, costs sim.Costs, sets map[string]string, tell func(string, scenarios.Progress),
	change ...func(*loadgen.Workload)) (*history.Run, *capacity.Analysis) {
	t.Helper()
	p := process{env: os.LookupEnv, secrets: new(secrets)}
	s, err := parseScenario(p, "test.yaml", source, sets, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	sink := &scenarios.Sink{}
	c := sim.New(sim.Config{Seed: s.Seed, Sink: sink.Event, Costs: costs})
	w, err := history.Create(dir, history.Manifest{Version: history.Version, Scenario: s.Name, Cluster: "sim", Simulated: true, Start: c.Now(),
		Seed: s.Seed, Settings: s.Settings, Host: history.Host{CPUs: 2}, Roles: s.App.Roles}, s.Source, s.App.Source)
	if err != nil {
		t.Fatal(err)
	}
	simulated := scenarios.SimulatedLoads(c)
	play := func(ctx context.Context, w loadgen.Workload, origin time.Time, rec loadgen.Recorder) (history.LoadEndRecord, error) {
		for _, f := range change {
			f(&w)
		}
		return simulated(ctx, w, origin, rec)
	}
	cfg := scenarios.Config{Cluster: c, Sink: sink, Writer: w, Start: c.Now(), Play: play}
	if tell != nil {
		cfg.Progress = func(p scenarios.Progress) { tell(dir, p) }
	}
	if err := scenarios.Run(context.Background(), s, cfg); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	run, err := history.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a := capacity.Analyse(run)
	return run, &a
}

func shipped(t *testing.T, name string) []byte {
	t.Helper()
	source, err := scenarios.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return source
}
