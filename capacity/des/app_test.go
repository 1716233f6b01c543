package des

import (
	"math"
	"strings"
	"testing"
	"time"

	"coinbench/services/settings"
)

// app is DockerCoins for tests.
type app struct {
	workers, rng, hasher int
	seed                 uint64
	balance              Balance
	spread               time.Duration // of the workers' start
	noLanes              bool
	env                  map[string]string // of every service that has the variable
	worker               map[string]string
	rngEnv               map[string]string
}

// bare are the shipped defaults, workshop the overheads of the originals.
func workshop() map[string]string {
	return map[string]string{"rng/COIN_OCCUPANCY": "7ms", "hasher/COIN_OCCUPANCY": "5ms", "worker/COIN_CALL_OVERHEAD": "3ms"}
}

func parse(t testing.TB, service string, env ...map[string]string) settings.Settings {
	t.Helper()
	all := map[string]string{}
	for _, e := range env {
		for name, value := range e {
			if of, variable, ok := strings.Cut(name, "/"); !ok {
				all[name] = value
			} else if of == service {
				all[variable] = value
			}
		}
	}
	c, err := settings.Parse(service, all)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (a app) start(t testing.TB) *Sim {
	t.Helper()
	s := New(Config{Seed: a.seed})
	s.noLanes = a.noLanes
	for _, v := range []Service{
		{Settings: parse(t, settings.RNG, a.env, a.rngEnv), Balance: a.balance},
		{Settings: parse(t, settings.Hasher, a.env)},
		{Settings: parse(t, settings.Worker, a.env, a.worker), StartSpread: a.spread},
	} {
		if err := s.AddService(v); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []struct {
		name     string
		replicas int
	}{{settings.RNG, a.rng}, {settings.Hasher, max(a.hasher, 1)}, {settings.Worker, a.workers}} {
		if err := s.Scale(n.name, n.replicas, Stop{}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// rate is the hash rate between two instants, from the workers' counters.
func rate(s *Sim, from, to time.Duration) float64 {
	s.RunUntil(from)
	before := s.Totals(settings.Worker).Hashes
	s.RunUntil(to)
	return float64(s.Totals(settings.Worker).Hashes-before) / (to - from).Seconds()
}

func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > tolerance {
		t.Errorf("%s = %.6g, want %.6g +- %.3g", what, got, want, tolerance)
	}
}
