package main

import (
	"os"
	"testing"

	"coinbench/capacity"
	"coinbench/cluster/sim"
	"coinbench/internal/race"
	"coinbench/scenarios"
)

// Every shipped scenario passes on the simulated cluster, in every profile, or says why not and does not.
func TestClaimShippedPassOrSayWhyNot(t *testing.T) {
	t.Parallel()
	for _, e := range scenarios.Shipped() {
		for _, profile := range append([]string{""}, e.Profiles...) {
			t.Run(e.Name+"/"+profile, func(t *testing.T) {
				t.Parallel()
				if race.Enabled && profile != "" {
					t.Skip("not run: ten times slower, and played without the race detector too")
				}
				set := map[string]string{}
				if profile != "" {
					set["profile"] = profile
				}
				s, err := parseScenario(process{env: os.LookupEnv, secrets: new(secrets)}, e.Name+".yaml", e.Source, set, nil)
				if err != nil {
					t.Fatal(err)
				}
				why := s.Unmet["sim"] + s.Unmet["any"]
				if err := scenarios.Check(s, sim.New(sim.Config{Seed: s.Seed})); err != nil {
					if why == "" {
						t.Errorf("it is refused, and the scenario does not say why: %v", err)
					}
					return
				}
				run, _ := simulate(t, e.Source, sim.Costs{}, set)
				var objectives []capacity.Objective
				for _, text := range s.Objectives {
					o, err := capacity.ParseObjective(text)
					if err != nil {
						t.Fatal(err)
					}
					objectives = append(objectives, o)
				}
				want := capacity.OutcomePass
				if why != "" {
					want = capacity.OutcomeFail
				}
				a := capacity.Analyse(run, objectives...)
				if a.Overall.Outcome != want {
					t.Errorf("%s: %s; the scenario says %q", a.Overall.Outcome, a.Overall.Why, why)
				}
				if profile == "" {
					frameIsTheReport(t, run.Dir, &a)
				}
			})
		}
	}
}
