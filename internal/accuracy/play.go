package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/des"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/services/settings"
)

// setting is one state of the app with windows, as a scenario's steps deploy and measure play it on the simulator.
type setting struct {
	workers, rng, hasher int // hasher 0: 1
	balance              des.Balance
	env                  map[string]string // by "service/VARIABLE"
	settle, window       time.Duration
	windows              int           // one after the other, at most a second and a half apart; 0: 1
	lead                 time.Duration // for which the history says that nothing changed before the first window; 0: from the start

	spread         time.Duration // of the starts of a service's tasks
	network, redis time.Duration // of a new connection, of a command
	slow           time.Duration // what the first rng takes more for a request
	loads          []des.Load    // from outside, of rng and hasher
	// of the first rng, which stays in rotation, a second after the first window's begin: how long it is down; 0: none
	kill time.Duration
}

// deployed is a simulation of the setting at its beginning, and the events that say what is in force.
func (s setting) deployed(seed uint64) (*des.Sim, []history.Event, error) {
	return s.deployedTo(seed, nil)
}

func (s setting) deployedTo(seed uint64, sink func(history.Event)) (*des.Sim, []history.Event, error) {
	sim := des.New(des.Config{Seed: seed, Start: epoch(), Events: sink})
	if err := sim.AddService(des.Service{Name: settings.Redis, Stores: true, Delay: s.redis}); err != nil {
		return nil, nil, err
	}
	if err := sim.Scale(settings.Redis, 1, des.Stop{}); err != nil {
		return nil, nil, err
	}
	var events []history.Event
	for _, v := range s.services() {
		env, inForce := map[string]string{}, event.InForce{Replicas: v.replicas}
		for name, value := range s.env {
			if service, variable, _ := strings.Cut(name, "/"); service == v.name {
				env[variable] = value
			}
		}
		inForce.Environment = env
		c, err := settings.Parse(v.name, env)
		if err != nil {
			return nil, nil, err
		}
		spec := des.Service{Settings: c, Network: s.network, StartSpread: s.spread}
		if s.kill > 0 && v.name != settings.Worker {
			spec.Health = time.Second
		}
		if v.name == settings.RNG {
			spec.Balance, inForce.Balance = s.balance, string(s.balance)
		}
		if err := sim.AddService(spec); err != nil {
			return nil, nil, err
		}
		if s.slow > 0 && v.name == settings.RNG {
			lame := spec
			lame.Settings.Delay += s.slow
			if err := sim.ChangeService(lame); err != nil {
				return nil, nil, err
			}
			if _, err := sim.StartTask(v.name, 1); err != nil {
				return nil, nil, err
			}
			if err := sim.ChangeService(spec); err != nil {
				return nil, nil, err
			}
		}
		if err := sim.Scale(v.name, v.replicas, des.Stop{}); err != nil {
			return nil, nil, err
		}
		events = append(events, history.Event{Service: v.name, Payload: event.ServiceDeployed{InForce: inForce}})
		if s.spread > 0 { // dependencies first, as a cluster deploys them
			sim.RunUntil(sim.Now() + s.spread + spec.Health)
		}
	}
	return sim, events, nil
}

type replicas struct {
	name     string
	replicas int
}

func (s setting) services() []replicas {
	return []replicas{{settings.RNG, s.rng}, {settings.Hasher, max(1, s.hasher)}, {settings.Worker, s.workers}}
}

func epoch() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// play plays the setting and returns its history, with readings once a second and at the windows' edges. Windows begin at instants that
// the seed draws.
func (s setting) play(seed uint64) (*history.Run, error) {
	sim, events, err := s.deployed(seed)
	if err != nil {
		return nil, err
	}
	run := &history.Run{Status: history.Finished, Events: events,
		Manifest: history.Manifest{Version: history.Version, Scenario: "accuracy", Cluster: "sim", Simulated: true, Start: epoch(), Seed: seed}}
	random := rand.New(rand.NewPCG(seed, 1))
	var instants []time.Duration
	end := s.settle
	for i := range max(1, s.windows) {
		begin := end + time.Duration((.5+random.Float64())*float64(time.Second))
		if i == 0 && s.lead > 0 { // as after a fault that is mended
			run.Events = append(run.Events, history.Event{At: begin - s.lead, Payload: event.TaskRecovered{}, Service: settings.RNG})
		}
		end = begin + s.window
		name, counts := fmt.Sprint("w", i), map[string]int{}
		for _, v := range s.services() {
			counts[v.name] = v.replicas
		}
		run.Events = append(run.Events, history.Event{At: begin, Payload: event.WindowBegin{Name: name, Replicas: counts}},
			history.Event{At: end, Payload: event.WindowEnd{Name: name}})
		instants = append(instants, begin, end)
	}
	for at := time.Duration(0); at < end; at += time.Second {
		instants = append(instants, at)
	}
	slices.Sort(instants)
	for _, at := range instants {
		sim.RunUntil(at)
		run.Readings = append(run.Readings, sim.Readings()...)
	}
	run.End = end
	return run, nil
}

// unbiased is the hash rate of a run's window by an estimator without bias: the parts of loops under way are those of the mean loop
// of the long run, in seconds, which does not depend on the window. In a steady state the workers' ages have the same distribution at
// both edges, and so have parts in proportion to them.
func unbiased(run *history.Run, w capacity.Window, loop float64) float64 {
	done := map[float64]float64{}
	for _, r := range run.Readings {
		at := r.At.Seconds()
		if r.Service == settings.Worker && (at == w.BeginS || at == w.EndS) {
			age := float64(run.Manifest.Start.UnixNano())/1e9 + at - r.Values.Of(history.LastHash)
			done[at] += r.Values.Of(history.Hashes) + age/loop
		}
	}
	return (done[w.EndS] - done[w.BeginS]) / w.LengthS
}

// measure plays the setting and returns its windows.
func (s setting) measure(seed uint64) ([]capacity.Window, error) {
	run, err := s.play(seed)
	if err != nil {
		return nil, err
	}
	return capacity.Measure(run).Windows, nil
}

// truth is the hash rate in the long run: of four simulations, for length each after a minute.
func (s setting) truth(length time.Duration) (float64, error) {
	const runs, warm = 4, time.Minute
	rate := 0.0
	for seed := range uint64(runs) {
		sim, _, err := s.deployed(1e6 + seed)
		if err != nil {
			return 0, err
		}
		sim.RunUntil(warm)
		before := sim.Totals(settings.Worker).Hashes
		sim.RunUntil(warm + length)
		rate += float64(sim.Totals(settings.Worker).Hashes-before) / length.Seconds() / runs
	}
	return rate, nil
}
