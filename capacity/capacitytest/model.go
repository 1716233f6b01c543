// Package capacitytest makes histories for tests: a small deterministic model of the app (N workers, rng replicas that serve one
// request at a time, one pool of 20 for hasher) writes the same record as a measured run.
//
// It is no simulator for predictions: it knows what the tests of capacity and reports need and nothing else.
package capacitytest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// Model plays the app and records it.
type Model struct {
	Run *history.Run

	Think, RNG, Hasher, Call, Backoff time.Duration // times: think, service of rng and of hasher, the client's for each call, back-off
	Jitter                            time.Duration // half the width of a uniform variation of each service time
	Random                            bool          // balance at random instead of round robin
	Pinned                            bool          // every worker asks rng's first replica only: keep-alive
	Apart                             time.Duration // between the readings of two tasks, in a round
	Down                              int           // rng slot (1-based) that refuses connections; 0: none

	rand    *rand.Rand
	now     time.Duration
	workers []*worker
	rngs    []*server
	hashers []time.Duration // when each slot is free
	turn    int
	tasks   []*counters
	step    int
	next    time.Duration // the next regular reading
	made    map[string]int
}

type worker struct {
	*counters
	at      time.Duration // of the next act
	stage   int
	flush   time.Duration
	pending float64
	stop    bool
	think   time.Duration
}

type server struct {
	*counters
	free time.Duration
}

type change struct {
	at    time.Duration
	key   string
	delta float64
	set   bool
}

type counters struct {
	service, task string
	pending       []change
	values        map[string]float64
	gone          bool
}

func (c *counters) add(at time.Duration, key string, delta float64) {
	c.pending = append(c.pending, change{at, key, delta, false})
}

func (c *counters) spent(at time.Duration, stage string, seconds float64) {
	c.add(at, history.StageSum+`{stage="`+stage+`"}`, seconds)
	c.add(at, history.StageCount+`{stage="`+stage+`"}`, 1)
}

func (c *counters) set(at time.Duration, key string, v float64) {
	c.pending = append(c.pending, change{at, key, v, true})
}

// start is when every history of this package begins.
var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// New returns the model of an empty cluster, in the settings of the originals without overheads.
func New(scenario string) *Model {
	m := &Model{
		Run: &history.Run{
			Status: history.Killed,
			Manifest: history.Manifest{Version: history.Version, Scenario: scenario, Cluster: "local", Start: start, Seed: 1,
				Command: []string{"coinbench", "run", scenario}, Coinbench: "v0.0.0-test",
				Host: history.Host{OS: "linux", Arch: "amd64", CPUs: 2, Go: "go1.26"}},
		},
		Think: 100 * time.Millisecond, RNG: 100 * time.Millisecond, Hasher: 100 * time.Millisecond, Backoff: 10 * time.Second,
		Jitter: 300 * time.Microsecond,
		rand:   rand.New(rand.NewPCG(1, 2)), made: map[string]int{}, hashers: make([]time.Duration, 20),
	}
	m.event("", "", event.RunBegin{})
	return m
}

func (m *Model) event(service, task string, p event.Payload) {
	m.Run.Events = append(m.Run.Events, history.Event{At: m.now, Step: m.step, Service: service, Task: task, Payload: p})
}

// Step begins a step and returns what ends it.
func (m *Model) Step(verb, title string) (end func()) {
	m.step++
	m.event("", "", event.StepBegin{Verb: verb, Title: title})
	return func() { m.event("", "", event.StepEnd{Verb: verb}) }
}

func (m *Model) task(service string, slot int) *counters {
	m.made[fmt.Sprint(service, slot)]++
	c := &counters{service: service, task: fmt.Sprintf("%s.%d#%d", service, slot, m.made[fmt.Sprint(service, slot)]),
		values: map[string]float64{}}
	m.tasks = append(m.tasks, c)
	m.event(service, c.task, event.TaskStarted{})
	return c
}

func (m *Model) environment(service string) map[string]string {
	switch service {
	case "rng":
		return map[string]string{"COIN_DELAY": "100ms", "COIN_OCCUPANCY": (m.RNG - 100*time.Millisecond).String()}
	case "hasher":
		return map[string]string{"COIN_DELAY": "100ms", "COIN_OCCUPANCY": (m.Hasher - 100*time.Millisecond).String()}
	case "worker":
		return map[string]string{"COIN_THINK": m.Think.String(), "COIN_CALL_OVERHEAD": m.Call.String(),
			"COIN_BACKOFF": m.Backoff.String(), "COIN_KEEP_ALIVE": strconv.FormatBool(m.Pinned)}
	}
	return map[string]string{}
}

// Deploy starts the app.
func (m *Model) Deploy(workers, rngs int) {
	defer m.Step("deploy", "deploy")()
	for _, s := range []struct {
		name string
		n    int
	}{{"redis", 1}, {"rng", rngs}, {"hasher", 1}, {"worker", workers}} {
		inForce := event.InForce{Replicas: s.n, Environment: m.environment(s.name)}
		if s.name == "rng" {
			inForce.Balance = m.balance()
		}
		m.event(s.name, "", event.ServiceDeployed{InForce: inForce})
		switch s.name {
		case "rng", "worker":
			m.scale(s.name, s.n)
		case "redis":
			m.task("redis", 1).values = map[string]float64{history.RedisHashes: 0, history.RedisCoins: 0}
		case "hasher":
			m.task("hasher", 1).values[history.Concurrency] = 20
		}
	}
	m.Play(500 * time.Millisecond)
}

func (m *Model) balance() string {
	if m.Random {
		return "random"
	}
	return "round-robin"
}

// Scale sets the replicas of rng or worker.
func (m *Model) Scale(service string, n int) {
	defer m.Step("scale", service+" "+strconv.Itoa(n))()
	from := len(m.rngs)
	if service == "worker" {
		from = m.active()
	}
	m.scale(service, n)
	m.event(service, "", event.ServiceScaled{From: from, To: n})
	m.Play(300 * time.Millisecond)
}

func (m *Model) active() int {
	n := 0
	for _, w := range m.workers {
		if !w.stop {
			n++
		}
	}
	return n
}

func (m *Model) scale(service string, n int) {
	switch service {
	case "rng":
		for len(m.rngs) < n {
			s := &server{counters: m.task("rng", len(m.rngs)+1), free: m.now}
			s.values[history.Concurrency] = 1
			m.rngs = append(m.rngs, s)
		}
	case "worker":
		for m.active() < n {
			m.worker(m.active() + 1)
		}
		for i := len(m.workers) - 1; m.active() > n; i-- {
			m.workers[i].stop = true
		}
	}
}

func (m *Model) worker(slot int) {
	w := &worker{counters: m.task("worker", slot), at: m.now + time.Duration(m.rand.Int64N(int64(20*time.Millisecond))), think: m.Think}
	for _, s := range []string{history.Hashes, history.Counted, history.Lost, history.Coins, history.Posted, history.Unflushed,
		history.LastHash, history.Backoffs, history.BackingOff, history.Silence} {
		w.values[s] = 0
	}
	m.workers = append(m.workers, w)
}

// UpdateThink replaces the workers one after the other by such with another think time.
func (m *Model) UpdateThink(think, each time.Duration) {
	defer m.Step("update", "worker think "+think.String())()
	m.event("worker", "", event.RolloutBegin{})
	m.Think = think
	m.event("worker", "", event.ServiceUpdated{InForce: event.InForce{Replicas: m.active(), Environment: m.environment("worker")}})
	old := slices.Clone(m.workers)
	slot := 0
	for _, w := range old {
		if w.stop {
			continue
		}
		slot++
		w.stop = true
		m.Play(each)
		m.worker(slot)
	}
	m.event("worker", "", event.RolloutEnd{Outcome: event.Completed})
}

// Window measures for a while.
func (m *Model) Window(name string, d time.Duration) {
	m.event("", "", event.WindowBegin{Name: name, Replicas: map[string]int{"worker": m.active(), "rng": len(m.rngs), "hasher": 1}})
	m.read()
	m.Play(d)
	m.read()
	m.event("", "", event.WindowEnd{Name: name})
}

// Measure is a step with one window, after a while for the system to settle.
func (m *Model) Measure(name string, settle, d time.Duration) {
	defer m.Step("measure", name)()
	m.Play(settle)
	m.Window(name, d)
}

// Kill makes an rng replica refuse connections for a while, in rotation.
func (m *Model) Kill(slot int, down time.Duration) {
	defer m.Step("kill", fmt.Sprintf("rng.%d for %s", slot, down))()
	m.Down = slot
	m.event("rng", m.rngs[slot-1].task, event.TaskKilled{Down: down, InRotation: true})
	m.Play(down)
	m.Down = 0
}

// Play lets d pass.
func (m *Model) Play(d time.Duration) {
	end := m.now + d
	for {
		if m.next <= end {
			m.advance(m.next)
			m.read()
			m.next += time.Second
			continue
		}
		m.advance(end)
		return
	}
}

func (m *Model) advance(until time.Duration) {
	for {
		var w *worker
		for _, x := range m.workers {
			if !x.gone && (w == nil || x.at < w.at) {
				w = x
			}
		}
		if w == nil || w.at > until {
			break
		}
		m.act(w)
	}
	m.now = until
}

func (m *Model) vary(d time.Duration) time.Duration {
	if m.Jitter == 0 {
		return d
	}
	return d + time.Duration(m.rand.Int64N(int64(2*m.Jitter))) // real servers are late, never early
}

func (m *Model) act(w *worker) {
	t := w.at
	redis := m.tasks[slices.IndexFunc(m.tasks, func(c *counters) bool { return c.service == "redis" })]
	switch w.stage {
	case 0:
		if w.stop || t > w.flush {
			w.add(t, history.Counted, w.pending)
			w.add(t, history.Unflushed, -w.pending)
			redis.add(t, history.RedisHashes, w.pending)
			w.pending, w.flush = 0, t+time.Second
		}
		if w.stop {
			w.gone = true
			return
		}
		w.at, w.stage = t+m.vary(w.think), 1
		w.spent(w.at, "think", (w.at - t).Seconds())
	case 1:
		r := 0
		if !m.Pinned {
			r = m.turn % len(m.rngs)
			if m.Random {
				r = m.rand.IntN(len(m.rngs))
			}
			m.turn++
		}
		if m.Down == r+1 {
			w.add(t, history.WorkerErrors+`{class="refused"}`, 1)
			w.add(t, history.Backoffs, 1)
			w.add(t, history.Lost, w.pending)
			w.add(t, history.Unflushed, -w.pending)
			w.set(t, history.BackingOff, 1)
			w.set(t+m.Backoff, history.BackingOff, 0)
			w.add(t+m.Backoff, history.Silence, m.Backoff.Seconds())
			w.pending, w.at, w.stage, w.flush = 0, t+m.Backoff, 0, 0
			return
		}
		s := m.rngs[r]
		begin := max(t, s.free)
		s.free = begin + m.vary(m.RNG)
		s.add(s.free, history.Requests+`{code="200",method="GET"}`, 1)
		s.add(s.free, history.Busy, (s.free - begin).Seconds())
		s.add(s.free, history.QueueSum, (begin - t).Seconds())
		s.add(s.free, history.QueueCount, 1)
		w.at, w.stage = s.free+m.Call, 2
		w.spent(s.free, "rng", (s.free - t).Seconds())
		w.spent(w.at, "overhead", m.Call.Seconds())
	case 2:
		h := slices.Index(m.hashers, slices.Min(m.hashers))
		begin := max(t, m.hashers[h])
		end := begin + m.vary(m.Hasher)
		m.hashers[h] = end
		c := m.tasks[slices.IndexFunc(m.tasks, func(c *counters) bool { return c.service == "hasher" })]
		c.add(end, history.Requests+`{code="200",method="POST"}`, 1)
		c.add(end, history.Busy, (end - begin).Seconds())
		w.spent(end, "hasher", (end - t).Seconds())
		w.add(end, history.Posted, 1)
		w.at, w.stage = end+m.Call, 3
		w.spent(w.at, "overhead", m.Call.Seconds())
	case 3:
		w.pending++
		w.add(t, history.Hashes, 1)
		w.add(t, history.Unflushed, 1)
		if m.rand.IntN(16) == 0 {
			w.add(t, history.Coins, 1)
		}
		w.set(t, history.LastHash, float64(start.Add(t).UnixNano())/1e9)
		w.stage = 0
	}
}

// read records every task's counters, one after the other.
func (m *Model) read() {
	begin := m.now
	defer func() { m.now = begin }()
	for _, c := range m.tasks {
		if c.gone && len(c.pending) == 0 {
			continue
		}
		if m.Apart > 0 {
			m.advance(m.now + m.Apart)
		}
		slices.SortStableFunc(c.pending, func(a, b change) int { return cmp.Compare(a.at, b.at) })
		i := 0
		for ; i < len(c.pending) && c.pending[i].at <= m.now; i++ {
			if p := c.pending[i]; p.set {
				c.values[p.key] = p.delta
			} else {
				c.values[p.key] += p.delta
			}
		}
		c.pending = slices.Clone(c.pending[i:])
		m.Run.Readings = append(m.Run.Readings, history.Reading{At: m.now, Service: c.service, Task: c.task, Values: history.ValuesOf(c.values)})
	}
	m.Run.End = max(m.Run.End, m.now)
}

// Bench is a closed load of clients that together make n requests to rng (5 ms for the first connections) or hasher.
func (m *Model) Bench(service string, clients, n int) {
	name := fmt.Sprintf("%s-bench/c%d", service, clients)
	defer m.Step("bench", name)()
	spec := history.LoadSpec{Name: name, Step: m.step, Service: service, Method: "GET", URL: "http://127.0.0.1:8001/10", Closed: true,
		Clients: clients, Requests: int64(n), Begin: m.now}
	free, work := make([]time.Duration, max(1, len(m.rngs))), m.RNG
	if service == "hasher" {
		spec.Method, spec.URL = "POST", "http://127.0.0.1:8002/"
		free, work = make([]time.Duration, 20), m.Hasher
	}
	for i := range free {
		free[i] = m.now
	}
	ready := make([]time.Duration, clients)
	for i := range ready {
		ready[i] = m.now + time.Duration(i)*30*time.Microsecond
	}
	var samples []history.Sample
	for i := range n {
		c := slices.Index(ready, slices.Min(ready))
		s := slices.Index(free, slices.Min(free))
		sent := ready[c]
		done := max(sent, free[s]) + m.vary(work)
		free[s], ready[c] = done, done+200*time.Microsecond
		samples = append(samples, history.Sample{Seq: int64(i), Due: sent, Sent: sent, Done: done, Status: 200})
	}
	m.load(spec, samples)
	if service == "hasher" {
		c := m.tasks[slices.IndexFunc(m.tasks, func(c *counters) bool { return c.service == "hasher" })]
		for _, s := range samples {
			c.add(s.Done, history.Requests+`{code="200",method="POST"}`, 1)
		}
	}
}

// Probe is an open load on rng's "/" whose latency was taken as given.
func (m *Model) Probe(name string, latency time.Duration, n int) {
	spec := history.LoadSpec{Name: name, Service: "rng", Method: "GET", URL: "http://127.0.0.1:8001/", Schedule: "constant(4/s)",
		Begin: m.now - 10*time.Second}
	var samples []history.Sample
	for i := range n {
		due := spec.Begin + time.Duration(i)*250*time.Millisecond
		samples = append(samples, history.Sample{Seq: int64(i), Due: due, Sent: due + 50*time.Microsecond, Done: due + latency +
			time.Duration(i%7-3)*10*time.Millisecond, Status: 200})
	}
	m.load(spec, samples)
}

func (m *Model) load(spec history.LoadSpec, samples []history.Sample) {
	i := history.Interval{At: spec.Begin, Response: history.NewHistogram(), Service: history.NewHistogram(), Lag: history.NewHistogram()}
	end := spec.Begin
	last := spec.Begin
	for _, s := range samples {
		i.Due++
		i.OK++
		_ = i.Response.RecordValue(int64(s.Done - s.Due))
		_ = i.Service.RecordValue(int64(s.Done - s.Sent))
		_ = i.Lag.RecordValue(int64(s.Sent - s.Due))
		i.MaxGap = max(i.MaxGap, s.Done-last)
		last = max(last, s.Done)
		end = max(end, s.Done)
	}
	i.Length = end - spec.Begin
	m.event(spec.Service, "", event.LoadBegin{Name: spec.Name})
	if end > m.now {
		m.Play(end - m.now)
	}
	m.event(spec.Service, "", event.LoadEnd{Name: spec.Name})
	m.Run.Loads = append(m.Run.Loads, history.Load{LoadSpec: spec, Intervals: []history.Interval{i}, Samples: samples,
		Closing: &history.LoadEndRecord{End: end, Due: i.Due, OK: i.OK, MaxGap: i.MaxGap, SamplesKept: i.Due}})
}

// Finish ends the run.
func (m *Model) Finish() *history.Run {
	m.Play(200 * time.Millisecond)
	m.read()
	m.event("", "", event.RunEnd{Status: string(history.Finished)})
	m.Run.Status, m.Run.End = history.Finished, m.now
	return m.Run
}

// Workshop sets the overheads of the originals.
func (m *Model) Workshop() *Model {
	m.RNG, m.Hasher, m.Call = 107*time.Millisecond, 105*time.Millisecond, 3*time.Millisecond
	m.Run.Manifest.Settings = map[string]string{"profile": "workshop"}
	return m
}

// Bottleneck is the main job: a sweep of workers against one rng, benches, five rng, and a faster worker.
func (m *Model) Bottleneck() *history.Run {
	m.Deploy(1, 1)
	end := m.Step("sweep", "workers 1..10")
	for n := 1; n <= 10; n++ {
		from := m.active()
		m.scale("worker", n)
		if n != from {
			m.event("worker", "", event.ServiceScaled{From: from, To: n})
		}
		m.Play(1200 * time.Millisecond)
		m.Window(fmt.Sprintf("sweep/%d", n), 3200*time.Millisecond)
	}
	end()
	m.Measure("saturated", 500*time.Millisecond, 10*time.Second)
	m.Probe("probe-saturated", 763*time.Millisecond, 38)
	m.Scale("worker", 0)
	m.Play(2 * time.Second)
	m.Scale("rng", 5)
	m.Bench("rng", 1, 50)
	m.Bench("rng", 50, 50)
	m.Bench("hasher", 1, 50)
	m.Bench("hasher", 50, 50)
	m.Scale("worker", 10)
	m.Measure("scaled", time.Second, 9*time.Second)
	m.UpdateThink(10*time.Millisecond, 600*time.Millisecond)
	m.Measure("fast", time.Second, 9*time.Second)
	return m.Finish()
}

// Outage is one rng of five dead in rotation for two seconds.
func (m *Model) Outage() *history.Run {
	m.Deploy(10, 5)
	m.Measure("baseline", 2*time.Second, 8*time.Second)
	m.event("", "", event.WindowBegin{Name: "outage", Replicas: map[string]int{"worker": 10, "rng": 5, "hasher": 1}})
	m.read()
	m.Kill(3, 2*time.Second)
	m.Play(14 * time.Second)
	m.read()
	m.event("", "", event.WindowEnd{Name: "outage"})
	return m.Finish()
}
