package model

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"coinbench/capacity"
	"coinbench/capacity/des"
	"coinbench/capacity/queueing"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/internal/visible"
	"coinbench/services/settings"
)

// Options say how a prediction is played. The zero value is that of a measurement of 20 s after 4 s, without a probe.
type Options struct {
	Settle time.Duration // from the start of the workers; 0: 4 s
	Length time.Duration // 0: 20 s
	Probe  time.Duration // between two requests for the first station's / ; 0: none
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
	Spread   float64           `json:"spread_per_s"`    // standard deviation of a single run: of chance, and of who began when
	Runs     int               `json:"runs"`            // that Spread is of
	Probe    *capacity.Latency `json:"probe,omitempty"` // of the first station's /, all runs together
	ProbeSD  float64           `json:"probe_mean_spread_s,omitempty"`

	Limit  string             `json:"limit"` // the driver or a station
	Bounds capacity.Bounds    `json:"bounds"`
	MVA    MVA                `json:"mva"`
	Loop   *capacity.Loop     `json:"loop,omitempty"`
	Use    map[string]float64 `json:"utilisation"`
	Why    []string           `json:"why"` // where the models disagree
	Beyond []string           `json:"beyond,omitempty"`
}

// Predict plays a setting with the model's costs and puts the bounds and mean value analysis next to it.
func (m Model) Predict(s Setting, o Options) (Prediction, error) {
	x, err := m.sample(s, o)
	for err == nil && len(x.trials) < x.options.Runs {
		err = x.run()
	}
	if err != nil {
		return Prediction{Setting: s}, fmt.Errorf("predict %s: %w", s, err)
	}
	p := x.prediction()
	if p.MVA, err = mva(p.Bounds, s.Drivers); err != nil {
		return p, fmt.Errorf("predict %s: %w", s, err)
	}
	p.Why = p.disagreement(m.variation(s))
	p.Beyond = m.beyond(p)
	return p, nil
}

// sample is a setting and the simulated runs of it so far.
type sample struct {
	model   Model
	setting Setting
	options Options
	rate    float64 // at which the machine's costs are taken
	bounds  capacity.Bounds
	trials  []trial
}

// trial is one simulated run.
type trial struct {
	rate  float64
	waits []float64 // of visitors
	loop  *capacity.Loop
	limit string
	use   map[string]float64
}

func (m Model) sample(s Setting, o Options) (*sample, error) {
	if s.Drivers == 0 || s.First == 0 || s.Last == 0 {
		return nil, errors.New("accepted: at least one of each service")
	}
	x := &sample{model: m, setting: s, options: o.defaults()}
	for range 3 { // costs depend on the rate, and the rate hardly on the costs
		if err := x.cost(x.bounds.UpperPerS); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (x *sample) cost(rate float64) (err error) {
	x.rate = rate
	x.bounds, err = x.model.Bounds(x.setting, rate)
	return err
}

// run adds one run, of the next seed.
func (x *sample) run() error {
	run, err := x.model.Play(x.setting, x.rate, x.options, x.options.Seed+uint64(len(x.trials))+1)
	if err != nil {
		return err
	}
	a := capacity.Measure(run)
	w := a.Window(steady)
	if w == nil || w.HashRate == nil {
		return fmt.Errorf("no hash is made in %s", x.options.Length)
	}
	t := trial{rate: w.HashRate.Value, loop: w.Loop, use: map[string]float64{}}
	for _, u := range w.Services {
		if u.Utilisation != nil {
			t.use[u.Service] = *u.Utilisation
		}
	}
	if w.Bottleneck != nil {
		t.limit = w.Bottleneck.Limit
	}
	for _, l := range run.Loads {
		for _, v := range l.Samples {
			if v.Class == history.OK {
				t.waits = append(t.waits, (v.Done - v.Due).Seconds())
			}
		}
	}
	if len(x.trials) == 0 { // the rate is known now
		if err := x.cost(t.rate); err != nil {
			return err
		}
	}
	x.trials = append(x.trials, t)
	return nil
}

// values takes one number of each run.
func (x *sample) values(of func(trial) float64) []float64 {
	all := make([]float64, len(x.trials))
	for i, t := range x.trials {
		all[i] = of(t)
	}
	return all
}

func (x *sample) rates() []float64 { return x.values(func(t trial) float64 { return t.rate }) }

// visitors is what all runs together say of a visitor; nil without a probe.
func (x *sample) visitors() *capacity.Latency {
	var all []float64
	for _, t := range x.trials {
		all = append(all, t.waits...)
	}
	if len(all) == 0 {
		return nil
	}
	return capacity.NewLatency(all)
}

func (x *sample) prediction() Prediction {
	last := x.trials[len(x.trials)-1]
	p := Prediction{Setting: x.setting, Runs: len(x.trials), Limit: last.limit, Loop: last.loop, Bounds: x.bounds, Probe: x.visitors(),
		Use: map[string]float64{}}
	p.HashRate, p.Spread = stat.MeanStdDev(x.rates(), nil)
	for service := range last.use {
		p.Use[service] = stat.Mean(x.values(func(t trial) float64 { return t.use[service] }), nil)
	}
	if p.Probe != nil {
		p.ProbeSD = stat.StdDev(x.values(func(t trial) float64 { return stat.Mean(t.waits, nil) }), nil)
	}
	if p.Runs < 2 { // a single run has no spread
		p.Spread, p.ProbeSD = 0, 0
	}
	return p
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
	run := &history.Run{Status: history.Finished, Manifest: history.Manifest{Version: history.Version, Scenario: "setting", Cluster: "sim",
		Simulated: true, Start: start, Seed: seed, Roles: m.Roles}}
	sim := des.New(des.Config{Seed: seed, Balancers: o.Balancers, Start: start})
	nanos := func(seconds float64) time.Duration { return time.Duration(math.Round(seconds * 1e9)) }
	happened := func(service string, p event.Payload) {
		run.Events = append(run.Events, history.Event{At: sim.Now(), Service: service, Payload: p})
	}
	const store = "the store"
	driver, first, last := parts(m.Roles)
	if err := sim.AddService(des.Service{Name: store, Stores: true, Delay: nanos(m.StoreS)}); err != nil {
		return nil, err
	}
	if err := sim.Scale(store, 1, des.Stop{}); err != nil {
		return nil, err
	}
	replicas := map[string]int{}
	way := nanos(min(m.VisitS, m.Client.At(rate)/2))
	for _, v := range []struct {
		role     history.Role
		replicas int
	}{{first, s.First}, {last, s.Last}, {driver, s.Drivers}} {
		c, err := m.parsed(v.role, s)
		if err != nil {
			return nil, err
		}
		d := des.Service{Name: v.role.Service, Settings: c}
		switch v.role {
		case first:
			d.Balance = des.Balance(s.Balance)
			occupy(&d.Settings, nanos(m.First.At(rate)))
			d.Network = way
		case last:
			occupy(&d.Settings, nanos(m.Last.At(rate)))
			d.Network = way
		case driver:
			d.Visits = []string{first.Service, last.Service}
			// What its call takes longer than a visitor's is its own.
			d.Settings.CallOverhead += nanos(m.Client.At(rate)/2) - way
			d.StartSpread = max(leastSpread, nanos(m.StartS*float64(v.replicas)))
		}
		if v.role != driver && c.Distribution == settings.Constant && m.JitterS > 0 && c.Delay > 0 {
			d.Settings.Distribution, d.Settings.Jitter = settings.Normal, nanos(m.JitterS)
		}
		if err := sim.AddService(d); err != nil {
			return nil, err
		}
		if err := sim.Scale(v.role.Service, v.replicas, des.Stop{}); err != nil {
			return nil, err
		}
		env := map[string]string{}
		maps.Copy(env, m.Environment[v.role.Service])
		maps.Copy(env, s.Environment[v.role.Service])
		if v.role == driver {
			env["COIN_THINK"] = s.Think.String()
		}
		happened(v.role.Service, event.ServiceDeployed{InForce: event.InForce{Replicas: v.replicas, Balance: s.Balance, Environment: env}})
		replicas[v.role.Service] = v.replicas
	}
	// The instant of the window must not lie at one place of the app's rhythm in every run.
	sim.RunUntil(o.Settle + time.Duration(seed%7)*43*time.Millisecond)
	window := func(name string) {
		happened("", event.WindowBegin{Name: name, Replicas: replicas})
		run.Readings = append(run.Readings, sim.Readings()...)
		sim.RunUntil(sim.Now() + o.Length)
		run.Readings = append(run.Readings, sim.Readings()...)
		happened("", event.WindowEnd{Name: name})
	}
	window(steady)
	if o.Probe > 0 {
		n := int64(math.Ceil(float64(o.Length) / float64(o.Probe)))
		kept := &keeper{}
		probe, err := sim.StartLoad(des.Load{Name: "probe", Targets: []des.Target{{Service: first.Service, Root: true}}, Requests: n,
			PerRequest: true,
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
		run.Loads = append(run.Loads, history.Load{LoadSpec: history.LoadSpec{Name: "probe", Service: first.Service, Method: "GET"},
			Samples: kept.samples})
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

// MVA is what mean value analysis says of a setting if the service times of the stations were exponential: the exact solutions of two
// networks. Where they are exponential, the app lies between the two, whatever balances its requests.
type MVA struct {
	CommonPerS float64 `json:"common_queue_per_s"` // one queue for all replicas of a service: no request waits while one is free
	EachPerS   float64 `json:"queue_each_per_s"`   // a queue for each replica, which requests join at random
}

func mva(b capacity.Bounds, workers int) (MVA, error) {
	common := queueing.Network{ThinkS: b.ThinkS + b.OverheadS}
	each := common
	for _, d := range b.Demands {
		servers := queueing.Delay // a service of unlimited concurrency
		if d.Slots > 0 {
			servers = d.Slots / d.Replicas
		}
		common.Stations = append(common.Stations, queueing.Station{Name: d.Service, DemandS: d.DemandS, Servers: d.Slots})
		each.Stations = append(each.Stations, queueing.Station{Name: d.Service, DemandS: d.DemandS, Servers: servers}.Split(d.Replicas)...)
		if d.IntakeS > 0 { // one request after the other
			intake := queueing.Station{Name: d.Service + " intake", DemandS: d.IntakeS, Servers: d.Replicas}
			common.Stations = append(common.Stations, intake)
			intake.Servers = 1
			each.Stations = append(each.Stations, intake.Split(d.Replicas)...)
		}
	}
	one, err := common.Solve(workers)
	if err != nil {
		return MVA{}, err
	}
	many, err := each.Solve(workers)
	return MVA{CommonPerS: one.RatePerS, EachPerS: many.RatePerS}, err
}

// disagreement says where the models differ by more than 2 %, and why; cv is the coefficient of variation of the first station's service
// times.
func (p Prediction) disagreement(cv float64) []string {
	const apart = .02
	var why []string
	if lost := 1 - p.HashRate/p.Bounds.UpperPerS; lost > apart {
		reason := "requests wait for each other although no server is always busy"
		if p.Setting.Balance == string(des.Random) {
			reason = "random balancing leaves a queue at one replica while another is free"
		}
		why = append(why, fmt.Sprintf("The bound of %.4g hashes/s is missed by %.1f %%: %s.", p.Bounds.UpperPerS, 100*lost, reason))
	}
	if less := 1 - p.MVA.CommonPerS/p.HashRate; less > apart {
		why = append(why, fmt.Sprintf("Mean value analysis says %.1f %% less at most: it assumes exponential service times (coefficient of "+
			"variation 1), and queues that such "+
			"times make. Here the coefficient is %.2g%s.", 100*less, cv, map[bool]string{true: ", so that the loops fall into step"}[cv < .3]))
	}
	if more := p.MVA.EachPerS/p.HashRate - 1; more > apart {
		why = append(why, fmt.Sprintf("Mean value analysis says %.1f %% more at least: its networks leave out something that requests wait "+
			"for here.", 100*more))
	}
	return why
}

// variation is the coefficient of variation of the first station's service times, in a setting.
func (m Model) variation(s Setting) float64 {
	_, first, _ := parts(m.Roles)
	c, err := m.parsed(first, s)
	if err != nil {
		return 0
	}
	delay, jitter := c.Delay.Seconds(), c.Jitter.Seconds()
	sd := map[settings.Distribution]float64{settings.Constant: m.JitterS, settings.Normal: jitter, settings.Uniform: jitter / math.Sqrt(3),
		settings.Exponential: delay}[c.Distribution]
	ok := 1 - c.ErrorRate // an error has no delay
	mean := ok*delay + c.Occupancy.Seconds() + m.First.At(0)
	if mean == 0 {
		return 0
	}
	return math.Sqrt(ok*(sd*sd+delay*delay)-ok*delay*ok*delay) / mean
}

func (m Model) beyond(p Prediction) []string {
	var all []string
	r := m.Range
	driver, first, _ := parts(m.Roles)
	if p.Setting.Drivers > r.MaxDrivers || p.Setting.Drivers < r.MinDrivers {
		all = append(all, fmt.Sprintf("%d %s (measured: %d to %d)", p.Setting.Drivers, driver.Plural, r.MinDrivers, r.MaxDrivers))
	}
	if p.Setting.First > r.MaxFirst {
		all = append(all, fmt.Sprintf("%d %s (measured: up to %d)", p.Setting.First, first.Plural, r.MaxFirst))
	}
	if p.HashRate > 1.05*r.MaxPerS {
		all = append(all, fmt.Sprintf("%s hashes/s (measured: up to %s)", visible.Significant(p.HashRate, 3),
			visible.Significant(r.MaxPerS, 3)))
	}
	return all
}

// Extrapolated says in one line in what respects a prediction lies beyond what was measured, or "".
func (p Prediction) Extrapolated() string { return strings.Join(p.Beyond, ", ") }
