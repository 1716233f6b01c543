package capacity

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"coinbench/capacity/des"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/internal/seeded"
	"coinbench/services/settings"
)

// twin is the app of one window as the simulator plays it: what was in force, and what was measured of what the settings do not say.
type twin struct {
	roles    history.Roles
	told     map[string]settings.Settings // with the machine's costs
	replicas map[string]int
	balances map[string]string
	apart    map[string][]settings.Settings // by service: those of each replica, where they differ
	absent   map[string]int                 // replicas that were not there
	idle     map[string]int                 // replicas that came after the workers had connected, of those who keep their connections

	network time.Duration // of each new connection
	store   time.Duration // of a command
	spread  time.Duration // of the starts of a service's tasks
	loads   []visitor
	kills   []kill

	age            time.Duration // of the oldest load from outside when the window began
	settle, length time.Duration
	seeds          int
}

// visitor is a load from outside.
type visitor struct {
	name, service string
	root          bool // GET /, which is no work
	kept          bool // its connections
	clients       int  // closed; otherwise open
	think         time.Duration
	perS          float64
	random        bool          // its requests fall due at random
	probe         bool          // of a step measure
	begin         time.Duration // since the window's
}

// kill is a fault that the scenario asked for, a death or a pause, by its time since the window began.
type kill struct {
	at      time.Duration
	service string
	slot    int
	how     des.Kill
	freeze  des.Freeze // instead, where it has a length
}

// copied is a twin that can be changed.
func (t twin) copied() twin {
	t.told, t.replicas, t.balances, t.apart = maps.Clone(t.told), maps.Clone(t.replicas), maps.Clone(t.balances), maps.Clone(t.apart)
	t.loads = slices.Clone(t.loads)
	return t
}

func (t *twin) tell(service string, change func(*settings.Settings)) {
	s := t.told[service]
	change(&s)
	t.told[service] = s
	for i := range t.apart[service] {
		change(&t.apart[service][i])
	}
}

// play is the hash rate of one run, estimated as that of a window is; false where no hash was made.
func (t twin) play(seed uint64) (float64, bool) {
	sim := des.New(des.Config{Seed: seed, Start: time.Unix(0, 0)})
	driver, stations := t.roles.Driver.Service, t.roles.Stations
	var visits []string
	for _, r := range stations {
		visits = append(visits, r.Service)
	}
	add := func(s des.Service) bool { return sim.AddService(s) == nil }
	if store := "the store"; !add(des.Service{Name: store, Stores: true, Delay: t.store}) || sim.Scale(store, 1, des.Stop{}) != nil {
		return 0, false
	}
	for _, name := range append(slices.Clone(visits), driver) {
		spec := des.Service{Name: name, Settings: t.told[name], Balance: des.Balance(t.balances[name]), Network: t.network, StartSpread: t.spread}
		if name == driver {
			spec.Visits = visits
		}
		if len(t.kills) > 0 && name != driver {
			spec.Health = time.Second // a successor is not in rotation at once
		}
		if !add(spec) {
			return 0, false
		}
		for slot := 1; slot <= t.replicas[name]-t.absent[name]-t.idle[name]; slot++ {
			if apart := t.apart[name]; slot <= len(apart) {
				spec.Settings = apart[slot-1]
				if sim.ChangeService(spec) != nil {
					return 0, false
				}
			}
			if _, err := sim.StartTask(name, slot); err != nil {
				return 0, false
			}
		}
		spec.Settings = t.told[name]
		if sim.ChangeService(spec) != nil {
			return 0, false
		}
		if name == t.roles.Last().Service { // a client that finds no server is silent for long
			sim.RunUntil(t.spread + spec.Health + time.Millisecond)
		}
	}
	// The window must not begin at one place of the app's rhythm in every run.
	begin := sim.Now() + t.settle + time.Duration(seed%7)*43*time.Millisecond
	for _, v := range t.loads {
		sim.RunUntil(max(sim.Now(), min(begin, begin+v.begin)))
		if _, err := sim.StartLoad(v.load(time.Hour, seed)); err != nil {
			return 0, false
		}
	}
	if len(t.idle) > 0 {
		sim.RunUntil(begin / 2)
		for name := range t.idle {
			if sim.Scale(name, t.replicas[name]-t.absent[name], des.Stop{}) != nil {
				return 0, false
			}
		}
	}
	end := begin + t.length
	var names []string
	workers := map[string][]progress{}
	read := func() {
		for _, r := range sim.Readings() {
			if r.Service != driver {
				continue
			}
			if workers[r.Task] == nil {
				names = append(names, r.Task)
			}
			workers[r.Task] = append(workers[r.Task], progressAt(r, 0, -1))
		}
	}
	opened := false
	open := func() {
		sim.RunUntil(begin)
		opened = true
		read()
	}
	for _, k := range t.kills {
		if !opened && k.at > 0 {
			open()
		}
		sim.RunUntil(begin + k.at)
		if id, ok := sim.Current(k.service, k.slot); ok {
			// One that is gone already needs neither.
			if k.freeze.For > 0 {
				_ = sim.FreezeTask(id, k.freeze)
			} else {
				_ = sim.KillTask(id, k.how)
			}
		}
	}
	if !opened {
		open()
	}
	sim.RunUntil(end)
	read()
	var all []edges
	for _, name := range names {
		if p := workers[name]; len(p) == 2 {
			all = append(all, edges{p[0], p[1]})
		}
	}
	rate := 0.0
	for i, pace := range paces(all, t.alone()) {
		rate += (all[i].end.done(pace, onePart) - all[i].begin.done(pace, onePart)) / t.length.Seconds()
	}
	return rate, rate > 0
}

// alone is the pace of a worker that never waits, in loops per second.
func (t twin) alone() float64 {
	w, calls := t.told[t.roles.Driver.Service], time.Duration(len(t.roles.Stations))
	loop := (w.Think + calls*(w.CallOverhead+t.network)).Seconds()
	for _, r := range t.roles.Stations {
		loop += meanService(t.told[r.Service]) + intake(t.told[r.Service])
	}
	return 1 / max(loop, 1e-6)
}

// load is the visitor's for a time.
func (v visitor) load(length time.Duration, seed uint64) des.Load {
	l := des.Load{Name: v.name, Targets: []des.Target{{Service: v.service, Root: v.root}}, Duration: length, PerRequest: !v.kept,
		Clients: v.clients, Think: v.think}
	if v.clients > 0 {
		return l
	}
	stream := seeded.Stream(seed, seeded.Word("due"), seeded.Word(v.name))
	random := rand.New(&stream)
	at := 0.0
	l.Due = func(n int64) (time.Duration, bool) {
		if v.random {
			at += random.ExpFloat64() / v.perS
		} else {
			at = float64(n) / v.perS
		}
		return time.Duration(at * 1e9), at < length.Seconds()
	}
	return l
}

// newTwin makes the twin of a window, or says why there is none.
func (e explainer) newTwin(w *Window) (twin, string) {
	c := w.Config
	t := twin{roles: c.roles, told: maps.Clone(c.told), replicas: map[string]int{}, balances: maps.Clone(c.balances),
		apart: map[string][]settings.Settings{},
		idle:  map[string]int{}, absent: map[string]int{},
		spread: 20 * time.Millisecond}
	driver := c.roles.Driver.Service
	for _, r := range c.roles.Stations {
		name := r.Service
		u := w.Service(name)
		if u == nil || u.ServiceS == nil || u.Replicas == 0 {
			return t, "no counters of " + name + " were read"
		}
		if t.replicas[name] = u.Replicas; u.Replicas > mostPlayed {
			return t, "the app is too large to be simulated for a report"
		}
		if there := len(e.replicasOf(w, name)); there < u.Replicas && !c.Updating && len(w.Workers) > 0 && w.SilentS == 0 {
			t.absent[name] = u.Replicas - max(1, there)
		}
		if e.calibrate(w, &t, name); c.KeepAlive {
			if idle := e.idle(w, name); idle > 0 {
				t.idle[name] = idle
			}
		}
	}
	n := w.workers()
	if t.replicas[driver] = n; n > mostPlayed {
		return t, "the app is too large to be simulated for a report"
	}
	t.tell(driver, func(s *settings.Settings) { s.OnSIGTERM, s.BootDelay = settings.Exit, 0 })
	if !e.a.Run.Simulated {
		t.spread = max(t.spread, time.Duration(n)*3500*time.Microsecond) // processes start one after the other
	}
	if w.Loop != nil {
		d := w.decompose()
		// The edges cut a stage of each worker, so that where loops are few a small part of a stage more or less is nothing. A real machine
		// always costs something.
		beyond := func(extra, stage float64) bool {
			least := 1e-5
			if e.a.Run.Simulated {
				least += stage * float64(n) / max(1, w.Hashes)
			}
			return extra > least
		}
		longest := 0.0
		for _, call := range d.calls {
			longest = max(longest, call.own)
		}
		if beyond(d.network, d.network+longest) {
			t.network = nanos(d.network)
		}
		if d.store > 0 {
			t.store = nanos(d.store / Commands(c.roles, w.Loop.TotalS))
		}
		// What a call costs its client besides its settings.
		calls := float64(len(c.Stations))
		if own := (d.overhead - calls*c.CallOverheadS) / calls; beyond(calls*own, d.overhead) {
			t.tell(driver, func(s *settings.Settings) { s.CallOverhead += nanos(own) })
		}
		if late := d.think - c.ThinkS; beyond(late, d.think) && w.SilentS == 0 {
			t.tell(driver, func(s *settings.Settings) { s.Think += nanos(late) })
		}
	}
	e.visitors(w, &t)
	slices.SortStableFunc(t.loads, func(a, b visitor) int { return cmp.Compare(a.begin, b.begin) })
	e.faults(w, &t)
	for _, l := range t.loads { // a queue may have been growing for as long as there was a load
		if age := -l.begin; age > t.age {
			t.age = min(age, time.Minute)
		}
	}
	return t, ""
}

// mostPlayed are the replicas of a service that are played: beyond, a report would have to wait for its advice.
const mostPlayed = 5000

// Commands is how often a loop of a length turns to the store: where one unit in some number is more than a unit, and to flush its count
// when a second has passed.
func Commands(roles history.Roles, loopS float64) float64 {
	n := 1 / math.Max(1, math.Ceil(1/loopS))
	if roles.Share.In > 0 {
		n += 1 / float64(roles.Share.In)
	}
	return n
}

func nanos(seconds float64) time.Duration { return time.Duration(math.Round(seconds * 1e9)) }

// calibrate gives a service's replicas the service times that were measured, where chance does not explain that they are not those of the
// settings.
func (e explainer) calibrate(w *Window, t *twin, service string) {
	told := t.told[service]
	told.BootDelay = 0
	t.told[service] = told
	mean := meanService(told)
	fitted := func(measured, n float64) settings.Settings {
		s := told
		if differs(measured, mean, n, told) {
			if extra := nanos(measured - mean); extra >= 0 || s.Delay+extra <= 0 {
				s.Occupancy = max(0, s.Occupancy+extra)
			} else {
				s.Delay += extra
			}
		}
		return s
	}
	u := w.Service(service)
	own := *u.ServiceS
	if u.DemandS != nil {
		own = *u.DemandS
	}
	replicas := e.replicasOf(w, service)
	if !uneven(replicas, told) || len(replicas) != u.Replicas {
		t.told[service] = fitted(own, u.Requests)
		return
	}
	for _, r := range replicas {
		s := told
		if r.requests > 0 && differs(r.service, mean, r.requests, told) {
			s.Delay = max(0, s.Delay+nanos(r.service-mean)) // whatever makes it slow varies as its delay does
		}
		t.apart[service] = append(t.apart[service], s)
	}
}

// meanService is the mean occupied time of a request, by the settings, in seconds.
func meanService(s settings.Settings) float64 {
	return s.Delay.Seconds()*(1-s.ErrorRate) + s.Occupancy.Seconds()
}

// differs says whether a mean of n service times is another than what the settings say, beyond four standard errors of chance.
func differs(measured, mean, n float64, s settings.Settings) bool {
	if n < 1 {
		return false
	}
	sd := 0.0
	switch d := s.Delay.Seconds(); s.Distribution {
	case settings.Exponential:
		sd = d
	case settings.Normal:
		sd = s.Jitter.Seconds()
	case settings.Uniform:
		sd = s.Jitter.Seconds() / math.Sqrt(3)
	}
	if p := s.ErrorRate; p > 0 {
		sd = math.Hypot(sd, s.Delay.Seconds()*math.Sqrt(p*(1-p)))
	}
	return math.Abs(measured-mean) > 4*sd/math.Sqrt(n)+1e-5
}

// uneven says whether a replica serves in another time than the others.
func uneven(replicas []replicaUse, told settings.Settings) bool {
	for _, r := range replicas {
		others, n := 0.0, 0.0
		for _, o := range replicas {
			if o.task != r.task {
				others, n = others+o.service*o.requests, n+o.requests
			}
		}
		if r.requests > 0 && n > 0 && r.service > 1.1*others/n && differs(r.service, others/n, r.requests, told) {
			return true
		}
	}
	return false
}

// visitors are the loads from outside that met the window, and requests of others that only the counters saw.
func (e explainer) visitors(w *Window, t *twin) {
	known := map[string]float64{}
	for _, l := range e.run.Loads {
		if _, visited := t.roles.Station(l.Service); !visited {
			continue
		}
		n := answeredIn(l, w.BeginS, w.EndS)
		if n == 0 {
			continue
		}
		known[l.Service] += n
		v := visitor{name: l.Name, service: l.Service, root: isRoot(l.LoadSpec), kept: !strings.HasPrefix(l.Reuse, "a new connection"),
			clients: l.Clients, think: l.Think, begin: l.Begin - duration(w.BeginS), probe: strings.HasPrefix(l.Name, "probe-")}
		if !l.Closed {
			due, first, last := 0.0, 0.0, 0.0
			for _, s := range l.Samples {
				if at := s.Due.Seconds(); at >= w.BeginS && at < w.EndS {
					if due == 0 {
						first = at
					}
					due, last = due+1, at
				}
			}
			perS := max(n, due) / w.LengthS
			if due > 2 && l.Closing != nil && int64(len(l.Samples)) == l.Closing.Due { // from one due instant to another: exact for a constant rate
				perS = (due - 1) / (last - first)
			}
			v.clients, v.perS, v.random = 0, perS, strings.Contains(l.Schedule, "poisson")
		}
		t.loads = append(t.loads, v)
	}
	for _, u := range w.Services {
		if rest := u.Foreign - known[u.Service]; rest > .02*w.Hashes+float64(w.workers())+2 {
			t.loads = append(t.loads, visitor{name: "others", service: u.Service, perS: rest / w.LengthS, random: true})
		}
	}
}

// faults are the replicas that the scenario paused or killed before and in the window, as far as the workers felt it.
func (e explainer) faults(w *Window, t *twin) {
	for _, ev := range e.run.Events {
		at := ev.At - duration(w.BeginS)
		slot, ok := slotOf(ev.Task)
		if !ok || ev.At.Seconds() > w.EndS || at < -time.Minute {
			continue
		}
		switch p := ev.Payload.(type) {
		case event.TaskKilled:
			if w.Backoffs == 0 && w.SilentS == 0 {
				continue
			}
			t.kills = append(t.kills, kill{at: at, service: ev.Service, slot: slot, how: des.Kill{Restart: true, Down: p.Down,
				InRotation: p.InRotation}})
		case event.TaskPaused:
			if p.For <= 0 || at+p.For < 0 && w.SilentS == 0 {
				continue
			}
			f := des.Freeze{For: p.For, Restart: -1}
			for _, later := range e.run.Events {
				if later.Is(event.TaskUnhealthy{}) && later.Task == ev.Task && later.At > ev.At && later.At < ev.At+p.For {
					f.Missed, f.Restart = later.At-ev.At, 5*time.Second
					break
				}
			}
			t.kills = append(t.kills, kill{at: at, service: ev.Service, slot: slot, freeze: f})
			t.absent[ev.Service] = 0 // it is there, and does not answer
		}
	}
}
