package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"coinbench"
	"coinbench/cluster"
	"coinbench/cluster/sim"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/scenarios"
)

// played plays a scenario on the simulated cluster as `coinbench run --cluster sim` does, and returns the event of a kind that it left
// last.
func played[P event.Payload](source string, seed uint64, set map[string]string) (found P, err error) {
	err = recorded(source, seed, set, func(dir string) error {
		events, err := os.Open(dir + "/events.jsonl") // the rest of the record takes longer to read than to make
		if err != nil {
			return err
		}
		defer events.Close()
		for lines := json.NewDecoder(events); ; {
			var e history.Event
			if err := lines.Decode(&e); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if p, ok := e.Payload.(P); ok {
				found = p
			}
		}
	})
	return found, err
}

// recorded plays a scenario on the simulated cluster as `coinbench run --cluster sim` does, and shows its folder.
func recorded(source string, seed uint64, set map[string]string, show func(dir string) error) error {
	s, err := scenarios.Parse("accuracy.yaml", []byte(source), scenarios.Options{Set: set, App: func(string) (cluster.App, error) {
		return cluster.LoadApp(context.Background(), "docker-compose.yml", coinbench.Compose(), nil)
	}})
	if err != nil {
		return err
	}
	s.Seed = seed
	dir, err := os.MkdirTemp("", "accuracy")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sink := &scenarios.Sink{}
	c := sim.New(sim.Config{Seed: seed, Sink: sink.Event})
	w, err := history.Create(dir+"/run", history.Manifest{Version: history.Version, Scenario: s.Name, Cluster: "sim", Simulated: true,
		Start: c.Now(), Seed: seed}, s.Source, s.App.Source)
	if err != nil {
		return err
	}
	if err := scenarios.Run(context.Background(), s, scenarios.Config{Cluster: c, Sink: sink, Writer: w, Start: c.Now(),
		Play: scenarios.SimulatedLoads(c)}); err != nil {
		return fmt.Errorf("seed %d: %w", seed, err)
	}
	if err := w.Close(); err != nil {
		return err
	}
	return show(dir + "/run")
}
