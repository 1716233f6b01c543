package model

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/des"
	"coinbench/capacity/queueing"
	"coinbench/history"
	"coinbench/services/settings"
)

// Options say how a prediction is played. The zero value is that of a measurement of 20 s after 4 s, without a probe.
type Options struct {
	Settle time.Duration // from the start of the workers; 0: 4 s
	Length time.Duration // 0: 20 s
	Probe  time.Duration // between two requests for rng's / ; 0: none
	Runs   int           // seeds; 0: 6
	Seed   uint64

	// Balancers is the seed that the balancers of a measurement had: those of every run then choose as they did; 0: every run has its own.
	Balancers uint64
}

func (o Options) defaults() Options {
	if o.Settle == 0 {
		o.Settle = 4 * time.Second
	}
	if o.Length == 0 {
		o.Length = 20 * time.Second
	}
	if o.Runs == 0 {
		o.Runs = 6
	}
	return o
}

// Prediction is what the models say of a setting.
type Prediction struct {
	Setting  Setting           `json:"setting"`
	HashRate float64           `json:"hash_rate_per_s"` // simulated: mean of the runs
	Spread   float64           `json:"spread_per_s"`    // standard deviation of a single run
	Runs     int               `json:"runs"`            // that Spread is of
	Probe    *capacity.Latency `json:"probe,omitempty"` // of rng's /, all runs together
	ProbeSD  float64           `json:"probe_mean_spread_s,omitempty"`

	Limit  string             `json:"limit"` // worker, rng or hasher
	Bounds capacity.Bounds    `json:"bounds"`
	MVA    float64            `json:"mva_per_s"` // exact, for exponential service times
	Loop   *capacity.Loop     `json:"loop,omitempty"`
	Use    map[string]float64 `json:"utilisation"`
	Why    []string           `json:"why"` // where the models disagree
	Beyond []string           `json:"beyond,omitempty"`
}

// Predict plays a setting with the model's costs and puts the bounds and exact MVA beside it.
func (m Model) Predict(s Setting, o Options) (Prediction, error) {
	o = o.defaults()
	p := Prediction{Setting: s, Use: map[string]float64{}}
	if s.Workers == 0 || s.RNG == 0 || s.Hasher == 0 {
		return p, fmt.Errorf("predict %s: accepted: at least one of each service", s)
	}
	rate := 0.0
	for range 3 { // costs depend on the rate, and the rate hardly on the costs
		b, err := m.Bounds(s, rate)
		if err != nil {
			return p, fmt.Errorf("predict: %w", err)
		}
		p.Bounds, rate = b, b.UpperPerS
	}
	var rates, means []float64
	var all []float64
	for k := range o.Runs {
		if k == 1 { // the rate is known now
			rate = rates[0]
			b, err := m.Bounds(s, rate)
			if err != nil {
				return p, fmt.Errorf("predict: %w", err)
			}
			p.Bounds = b
		}
		run, err := m.Play(s, rate, o, o.Seed+uint64(k)+1)
		if err != nil {
			return p, fmt.Errorf("predict: %w", err)
		}
		a := capacity.Measure(run)
		w := a.Window(steady)
		if w == nil || w.HashRate == nil {
			return p, fmt.Errorf("predict %s: no hash is made in %s", s, o.Length)
		}
		rates = append(rates, w.HashRate.Value)
		p.Loop = w.Loop
		for _, u := range w.Services {
			if u.Utilisation != nil {
				p.Use[u.Service] += *u.Utilisation / float64(o.Runs)
			}
		}
		if w.Bottleneck != nil {
			p.Limit = w.Bottleneck.Limit
		}
		for _, l := range run.Loads {
			sum, n := 0.0, 0
			for _, x := range l.Samples {
				if x.Class == history.OK {
					d := (x.Done - x.Due).Seconds()
					all = append(all, d)
					sum += d
					n++
				}
			}
			if n > 0 {
				means = append(means, sum/float64(n))
			}
		}
	}
	p.HashRate, p.Spread = meanAndSpread(rates)
	p.Runs = len(rates)
	if len(all) > 0 {
		p.Probe = capacity.NewLatency(all)
		_, p.ProbeSD = meanAndSpread(means)
	}
	var err error
	if p.MVA, err = mva(p.Bounds, s); err != nil {
		return p, fmt.Errorf("predict: %w", err)
	}
	p.Why = p.disagreement(m)
	p.Beyond = m.beyond(p)
	return p, nil
}

func meanAndSpread(values []float64) (mean, sd float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	if len(values) < 2 {
		return mean, 0
	}
	for _, v := range values {
		sd += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sd / float64(len(values)-1))
}

// The windows of a played setting, as of the scenario setting: the hash rate is measured without a visitor, what a visitor waits after it.
const (
	steady = "steady"
	probed = "probed"
)

// leastSpread is the time within which workers start at least that start together: no machine starts all at one instant.
const leastSpread = 20 * time.Millisecond

// Play plays a setting as the scenario setting does: it deploys, waits, measures the hash rate, then measures again with visitors if
// there is to be a probe. It returns the history. The machine's costs are those at a hash rate.
func (m Model) Play(s Setting, rate float64, o Options, seed uint64) (*history.Run, error) {
	o = o.defaults()
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	run := &history.Run{Status: history.Finished, Manifest: history.Manifest{Version: history.Version, Scenario: "setting", Cluster: "sim", Simulated: true, Start: start, Seed: seed}}
	sim := des.New(des.Config{Seed: seed, Balancers: o.Balancers, Start: start})
	nanos := func(seconds float64) time.Duration { return time.Duration(math.Round(seconds * 1e9)) }
	event := func(e history.Event) {
		e.At = sim.Now()
		run.Events = append(run.Events, e)
	}
	if err := sim.AddService(des.Service{Name: des.Redis, Delay: nanos(m.RedisS)}); err != nil {
		return nil, err
	}
	if err := sim.Scale(des.Redis, 1, des.Stop{}); err != nil {
		return nil, err
	}
	replicas := map[string]string{}
	way := nanos(min(m.VisitS, m.Client.At(rate)/2))
	for _, v := range []struct {
		service  string
		replicas int
	}{{settings.RNG, s.RNG}, {settings.Hasher, s.Hasher}, {settings.Worker, s.Workers}} {
		c, err := m.parsed(v.service, s)
		if err != nil {
			return nil, err
		}
		d := des.Service{Name: v.service, Settings: c}
		switch v.service {
		case settings.RNG:
			d.Balance = des.Balance(s.Balance)
			occupy(&d.Settings, nanos(m.RNG.At(rate)))
			d.Network = way
		case settings.Hasher:
			occupy(&d.Settings, nanos(m.Hasher.At(rate)))
			d.Network = way
		case settings.Worker:
			// What a worker's call takes longer than a visitor's is its own.
			d.Settings.CallOverhead += nanos(m.Client.At(rate)/2) - way
			d.StartSpread = max(leastSpread, nanos(m.StartS*float64(v.replicas)))
		}
		if v.service != settings.Worker && c.Distribution == settings.Constant && m.JitterS > 0 && c.Delay > 0 {
			d.Settings.Distribution, d.Settings.Jitter = settings.Normal, nanos(m.JitterS)
		}
		if err := sim.AddService(d); err != nil {
			return nil, err
		}
		if err := sim.Scale(v.service, v.replicas, des.Stop{}); err != nil {
			return nil, err
		}
		n := fmt.Sprint(v.replicas)
		inForce := map[string]string{"replicas": n, "balance": s.Balance}
		for name, value := range m.Environment[v.service] {
			inForce["env."+name] = value
		}
		for name, value := range s.Environment[v.service] {
			inForce["env."+name] = value
		}
		if v.service == settings.Worker {
			inForce["env.COIN_THINK"] = s.Think.String()
		}
		event(history.Event{Kind: history.ServiceDeployed, Service: v.service, Detail: inForce})
		replicas["replicas."+v.service] = n
	}
	// The instant of the window must not lie at one place of the app's rhythm in every run.
	sim.RunUntil(o.Settle + time.Duration(seed%7)*43*time.Millisecond)
	window := func(name string) {
		at := maps.Clone(replicas)
		at["name"] = name
		event(history.Event{Kind: history.WindowOpen, Detail: at})
		run.Readings = append(run.Readings, sim.Readings()...)
		sim.RunUntil(sim.Now() + o.Length)
		run.Readings = append(run.Readings, sim.Readings()...)
		event(history.Event{Kind: history.WindowEnd, Detail: map[string]string{"name": name}})
	}
	window(steady)
	if o.Probe > 0 {
		n := int64(math.Ceil(float64(o.Length) / float64(o.Probe)))
		kept := &keeper{}
		probe, err := sim.StartLoad(des.Load{Name: "probe", Targets: []des.Target{{Service: settings.RNG, Root: true}}, Requests: n, PerRequest: true,
			Due:        func(i int64) (time.Duration, bool) { return time.Duration(i) * o.Probe, true },
			MaxSamples: n, MaxFailures: n, Recorder: kept})
		if err != nil {
			return nil, err
		}
		window(probed)
		last := sim.Now() + time.Minute
		for over := false; !over && sim.Now() < last; _, over, _ = sim.LoadEnd(probe) { // the last answers
			sim.RunUntilChange(last)
		}
		run.Loads = append(run.Loads, history.Load{LoadSpec: history.LoadSpec{Name: "probe", Service: settings.RNG, Method: "GET"}, Samples: kept.samples})
	}
	run.End = sim.Now()
	return run, nil
}

// occupy adds a machine's cost to a server: a part to every request, and what a sleep comes late to those that sleep.
func occupy(c *settings.Settings, cost time.Duration) {
	each := min(cost, 200*time.Microsecond)
	c.Occupancy += each
	c.Delay += cost - each
}

type keeper struct{ samples []history.Sample }

func (k *keeper) Interval(history.Interval) error { return nil }
func (k *keeper) Sample(s history.Sample) error {
	k.samples = append(k.samples, s)
	return nil
}

// mva is the exact solution for exponential service times: routed at random, rng is a station for each replica; otherwise it is one with
// a common queue.
func mva(b capacity.Bounds, s Setting) (float64, error) {
	n := queueing.Network{ThinkS: b.ThinkS + b.OverheadS}
	for _, d := range b.Demands {
		if d.Slots == 0 {
			n.Stations = append(n.Stations, queueing.Station{Name: d.Service, DemandS: d.DemandS, Servers: queueing.Delay})
			continue
		}
		st := queueing.Station{Name: d.Service, DemandS: d.DemandS, Servers: d.Slots}
		if d.Service == settings.RNG && s.Balance == string(des.Random) && d.Slots == d.Replicas {
			st.Servers = 1
			n.Stations = append(n.Stations, st.Split(d.Replicas)...)
			continue
		}
		n.Stations = append(n.Stations, st)
	}
	sol, err := n.Solve(s.Workers)
	return sol.RatePerS, err
}

// disagreement says where the models differ by more than 2 %, and why.
func (p Prediction) disagreement(m Model) []string {
	var why []string
	bound := p.Bounds.UpperPerS
	if lost := 1 - p.HashRate/bound; lost > .02 {
		reason := "requests wait for each other although no server is always busy"
		if p.Setting.Balance == string(des.Random) {
			reason = "random balancing leaves a queue at one replica while another is free"
		}
		why = append(why, fmt.Sprintf("The bound of %.4g hashes/s is missed by %.1f %%: %s.", bound, 100*lost, reason))
	}
	if d := p.MVA/p.HashRate - 1; math.Abs(d) > .02 {
		word := "less"
		if d > 0 {
			word = "more"
		}
		why = append(why, fmt.Sprintf("MVA says %.1f %% %s: it assumes exponential service times (coefficient of variation 1), and queues that such times make. "+
			"The delays here are nearly constant (about %.2g), so that the workers fall into step.", 100*math.Abs(d), word, m.cv()))
	}
	return why
}

// cv is the coefficient of variation of rng's service time.
func (m Model) cv() float64 {
	c, err := m.parsed(settings.RNG, Setting{})
	if err != nil || c.Delay == 0 {
		return 0
	}
	return m.JitterS / c.Delay.Seconds()
}

func (m Model) beyond(p Prediction) []string {
	var all []string
	r := m.Range
	if p.Setting.Workers > r.MaxWorkers || p.Setting.Workers < r.MinWorkers {
		all = append(all, fmt.Sprintf("%d workers (measured: %d to %d)", p.Setting.Workers, r.MinWorkers, r.MaxWorkers))
	}
	if p.Setting.RNG > r.MaxRNG {
		all = append(all, fmt.Sprintf("%d rng (measured: up to %d)", p.Setting.RNG, r.MaxRNG))
	}
	if p.HashRate > 1.05*r.MaxPerS {
		all = append(all, fmt.Sprintf("%.3g hashes/s (measured: up to %.3g)", p.HashRate, r.MaxPerS))
	}
	return all
}

// Extrapolated says in one line in what respects a prediction lies beyond what was measured, or "".
func (p Prediction) Extrapolated() string { return strings.Join(p.Beyond, ", ") }
