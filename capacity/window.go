package capacity

import (
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/services/settings"
)

// Window is one measurement: what the counters said between a window's begin and its end.
type Window struct {
	Name     string   `json:"name"`
	Step     int      `json:"step,omitempty"`
	BeginS   float64  `json:"begin_s"` // since the start of the run
	EndS     float64  `json:"end_s"`
	LengthS  float64  `json:"length_s"`
	Complete bool     `json:"complete"` // false: the run ended before the window did
	Config   Config   `json:"config"`   // in force when the window began
	Notes    []string `json:"notes,omitempty"`

	HashRate   *Estimate          `json:"hash_rate_per_s,omitempty"`   // from the workers' own counters
	CoinRate   *Estimate          `json:"coin_rate_per_s,omitempty"`   // hashes that begin with 0
	StoredRate *float64           `json:"stored_rate_per_s,omitempty"` // slope of the counter in the store, which the web page plots
	Hashes     float64            `json:"hashes"`                      // completed within the window, by the workers' counters
	Coins      float64            `json:"coins"`
	Lost       float64            `json:"lost"`   // hashes that an exception took before they were counted
	Errors     float64            `json:"errors"` // the workers' exceptions
	ByClass    map[string]float64 `json:"errors_by_class,omitempty"`
	Backoffs   float64            `json:"backoffs"`
	Workers    []WorkerRate       `json:"drivers,omitempty"`
	Loop       *Loop              `json:"loop,omitempty"`
	Services   []ServiceUse       `json:"services,omitempty"`
	Host       *HostUse           `json:"host,omitempty"`

	// the hash rate that the window would have had without its probe, where that costs more than 1 %
	WithoutProbe *Played `json:"without_probe,omitempty"`

	Bounds     *Bounds     `json:"bounds,omitempty"`            // from what was measured in this window
	Configured *Bounds     `json:"configured_bounds,omitempty"` // from the settings alone
	Bottleneck *Bottleneck `json:"bottleneck,omitempty"`

	Baseline string `json:"baseline,omitempty"` // the window before it
	// the baseline's hash rate x this window's length - hashes done in it, begun ones by their part
	HashesLost *float64 `json:"hashes_lost,omitempty"`

	SilentS       float64  `json:"silent_s"`                  // for which the workers, all together, waited after errors
	LostToBackoff *float64 `json:"lost_to_backoff,omitempty"` // hashes that they would have made in that time at the baseline's hash rate

	changedS float64 // when something changed the latest before its end; after its begin: it was not steady
	edges    []edges // of each worker
	workerS  float64 // seconds that the workers were there, all together
	visitors map[string]visits
}

// edges are how far a worker was at the window's begin and at its end.
type edges struct{ begin, end progress }

// done is how many hashes were done in the window: the completed ones, and of those under way at its edges the part that had passed
// at the given rate of one worker. Workers that are in step complete their loops in bursts, so that the completed ones alone
// depend on the edges by up to a loop of each.
func (w *Window) done(perWorkerS float64) float64 {
	n := 0.0
	for _, e := range w.edges {
		n += e.end.done(perWorkerS, onePart) - e.begin.done(perWorkerS, onePart)
	}
	return n
}

// WorkerRate is one worker's part. A worker that was replaced within the window is two.
type WorkerRate struct {
	Task   string  `json:"task"`
	Hashes float64 `json:"hashes"`
	PerS   float64 `json:"per_s"`
}

// Loop is where an average loop of a worker spent its time.
type Loop struct {
	TotalS float64 `json:"total_s"` // workers / hash rate (Little's law)
	Stages []Stage `json:"stages,omitempty"`
}

// Stage is a part of the loop. Waiting in a queue is part of the stage of the service that has the queue.
type Stage struct {
	Name     string  `json:"name"`
	PerLoopS float64 `json:"per_loop_s"`
}

// ServiceUse is how a service was used within a window.
type ServiceUse struct {
	Service     string    `json:"service"`
	Replicas    int       `json:"replicas"`
	Slots       int       `json:"slots"` // requests that all replicas serve at once; 0: unlimited
	Requests    float64   `json:"requests"`
	Failed      float64   `json:"failed"` // of them, answered with a status of 400 or more
	PerS        float64   `json:"per_s"`
	ServiceS    *float64  `json:"service_s,omitempty"`          // occupied time for each request
	ServiceTime *Estimate `json:"service_estimate_s,omitempty"` // ServiceS with its error
	DemandS     *float64  `json:"demand_s,omitempty"`           // occupied time for each hash: that of a worker's own request
	Foreign     float64   `json:"foreign,omitempty"`            // requests of others than the workers
	ForeignBusy float64   `json:"foreign_busy,omitempty"`       // slots that those occupied, on average
	QueueS      *float64  `json:"queue_s,omitempty"`            // mean wait for a slot, as the service saw it
	// mean wait as the workers saw it: their stage less the demand, so queue, connection and transfer
	WaitS       *float64  `json:"wait_s,omitempty"`
	Utilisation *float64  `json:"utilisation,omitempty"`          // occupied share of the slots, 0..1
	Use         *Estimate `json:"utilisation_estimate,omitempty"` // Utilisation with its error
	Hottest     *float64  `json:"max_utilisation,omitempty"`      // of the busiest replica
	HottestTask string    `json:"max_utilisation_task,omitempty"`
	BoundPerS   *float64  `json:"bound_per_s,omitempty"` // the highest hash rate that the service allows
	Headroom    *float64  `json:"headroom,omitempty"`    // free share of that bound, 0..1

	replaced bool // a replica and its successor were both seen: how busy each was in its own time cannot be compared
}

// Service returns the use of a service, or nil.
func (w *Window) Service(name string) *ServiceUse {
	for i := range w.Services {
		if w.Services[i].Service == name {
			return &w.Services[i]
		}
	}
	return nil
}

func windows(run *history.Run, s series, configs configLog) []Window {
	var all []Window
	open := map[string]int{}
	for _, e := range run.Events {
		switch p := e.Payload.(type) {
		case event.WindowBegin:
			w := Window{Name: p.Name, Step: e.Step, BeginS: e.At.Seconds(), EndS: run.End.Seconds(), Config: configs.in(e.At)}
			maps.Copy(w.Config.Replicas, p.Replicas)
			open[p.Name] = len(all)
			all = append(all, w)
		case event.WindowEnd:
			if i, ok := open[p.Name]; ok {
				all[i].EndS, all[i].Complete = e.At.Seconds(), true
				delete(open, p.Name)
			}
		}
	}
	for i := range all {
		all[i].LengthS = all[i].EndS - all[i].BeginS
		all[i].changedS = changedBefore(run, all[i].EndS)
		all[i].visitors = visitorsOf(run, all[i].BeginS, all[i].EndS)
		all[i].measure(s)
		if i > 0 && all[i-1].HashRate != nil && all[i].HashRate != nil {
			all[i].Baseline = all[i-1].Name
			rate := all[i-1].HashRate.Value
			perWorkerS := rate / float64(max(1, all[i-1].workers()))
			all[i].HashesLost = ptr(rate*all[i].LengthS - all[i].done(perWorkerS))
			all[i].LostToBackoff = ptr(all[i].SilentS * perWorkerS)
		}
	}
	return all
}

// changedBefore is when something happened to the app or began to ask it, the latest before an instant, in seconds since the run's start.
func changedBefore(run *history.Run, endS float64) float64 {
	latest := 0.0
	for _, e := range run.Events {
		switch e.Payload.(type) {
		case event.RunEnd, event.StepBegin, event.StepEnd, event.WindowBegin, event.WindowEnd, event.SearchEnd, event.RolloutJudged,
			event.TaskPulled, event.ConnectionFailed, event.Warning, event.Unknown:
		default:
			if at := e.At.Seconds(); at < endS {
				latest = max(latest, at)
			}
		}
	}
	return latest
}

func duration(seconds float64) time.Duration { return time.Duration(math.Round(seconds * 1e9)) }

func (w *Window) measure(s series) {
	begin, end := duration(w.BeginS), duration(w.EndS)
	if !w.Complete {
		w.Notes = append(w.Notes, "The run ended within this window: it is shorter than was asked for.")
	}
	for _, t := range s.of(s.roles.Store.Service) {
		if sp, ok := t.between(begin, end); ok && sp.seconds() > 0 {
			w.StoredRate = ptr(sp.delta(history.RedisHashes) / sp.seconds())
		}
	}
	w.Host = host(s, begin, end)
	w.measureWorkers(s, begin, end)
	for _, r := range s.roles.Stations {
		if u, ok := w.measureService(s, r.Service, begin, end); ok {
			w.Services = append(w.Services, u)
		}
	}
	w.findBounds()
}

// certain says that nothing in the window was left to chance: no delay, no choice of a replica, and nothing happened in it.
func (w *Window) certain() bool {
	return w.Config.ConstantDelays && w.Config.inTurn() && !w.Config.Updating && len(w.visitors) == 0 && w.Errors == 0 &&
		w.Backoffs == 0 && w.changedS <= w.BeginS
}

// measureWorkers finds the hash rate, the coins and the loop from the workers' counters.
func (w *Window) measureWorkers(s series, begin, end time.Duration) {
	var spans []span
	stages, times := map[string]float64{}, map[string]float64{}
	sampled := 0.0
	start := float64(s.start.UnixNano()) / 1e9
	for _, t := range s.drivers() {
		sp, ok := t.between(begin, end)
		if !ok || sp.seconds() <= 0 {
			continue
		}
		spans = append(spans, sp)
		w.edges = append(w.edges, sp.progress(start))
		w.Hashes += sp.delta(history.Hashes)
		w.Coins += sp.delta(history.Coins)
		w.Lost += sp.delta(history.Lost)
		w.Errors += sp.delta(history.WorkerErrors)
		w.Backoffs += sp.delta(history.Backoffs)
		w.SilentS += sp.delta(history.Silence)
		w.workerS += sp.seconds()
		sampled = max(sampled, sp.seconds())
		before := byLabel(sp.first.Values, history.WorkerErrors, "class")
		for class, n := range byLabel(sp.last.Values, history.WorkerErrors, "class") {
			if d := n - before[class]; d > 0 {
				if w.ByClass == nil {
					w.ByClass = map[string]float64{}
				}
				w.ByClass[class] += d
			}
		}
		early := byLabel(sp.first.Values, history.StageSum, "stage")
		for stage, sum := range byLabel(sp.last.Values, history.StageSum, "stage") {
			stages[s.stage(stage)] += sum - early[stage]
		}
		early = byLabel(sp.first.Values, history.StageCount, "stage")
		for stage, n := range byLabel(sp.last.Values, history.StageCount, "stage") {
			times[s.stage(stage)] += n - early[stage]
		}
	}
	if len(spans) == 0 {
		return
	}
	// A stage is counted when it is over, so that a window's edges cut one of each worker. The mean over those that ended within the
	// window is exact where they are equally long; a share of the time, or the sum over the hashes, is off by up to a stage of each.
	perLoop := map[string]float64{}
	perStage := map[string]float64{stageThink: 1, stageOverhead: float64(len(s.roles.Stations))}
	for _, r := range s.roles.Stations {
		perStage[r.Service] = 1
	}
	loop, all := 0.0, true
	for _, stage := range slices.Sorted(maps.Keys(perStage)) {
		if times[stage] > 0 && w.Backoffs == 0 {
			perLoop[stage] = stages[stage] / times[stage] * perStage[stage]
		}
		loop += perLoop[stage]
		all = all && (perLoop[stage] > 0 || stage == stageOverhead)
	}
	alone := 0.0
	if c := w.Config.Bounds(); len(w.Config.Replicas) > 0 && c.LoopS > 0 {
		alone = 1 / c.LoopS
	}
	if w.Config.ConstantDelays && len(w.visitors) == 0 && all {
		// Connections take their time, too, which no setting tells.
		alone = 1 / loop
	}
	e, rates := w.estimateRate(s, spans, alone, func(rate float64) (longest float64) {
		for _, r := range s.roles.Stations {
			longest = max(longest, w.Config.queueMemory(r.Service, rate, perLoop[r.Service]))
		}
		return longest
	})
	if s.virtual && w.certain() {
		e.withoutRhythm()
	}
	w.HashRate = e
	rate := e.Value
	for i, sp := range spans {
		w.Workers = append(w.Workers, WorkerRate{Task: sp.task.name, Hashes: sp.delta(history.Hashes), PerS: rates[i]})
	}
	if sampled > 0 {
		w.CoinRate = counted(w.Coins, sampled, "coins found over the time between two readings; the interval is that of a count of "+
			"independent events")
	}
	if w.Hashes > 0 && rate > 0 {
		w.Loop = &Loop{TotalS: float64(w.workers()) / rate}
		// What has no time of its own for each loop, such as Redis, has its share of the time that the stages fill.
		per, all := 1/w.Hashes, 0.0
		for _, name := range slices.Sorted(maps.Keys(stages)) {
			all += stages[name]
		}
		if filled := all / (sampled * float64(len(spans))); w.Backoffs == 0 && filled > .8 && filled < 1.2 {
			per = w.Loop.TotalS / all
		}
		for name, sum := range stages {
			v := sum * per
			if mean, ok := perLoop[name]; ok {
				v = mean
			}
			w.Loop.Stages = append(w.Loop.Stages, Stage{Name: name, PerLoopS: v})
		}
		n := len(s.roles.Stations)
		order := map[string]int{stageThink: 1, s.roles.Store.Service: n + 2, stageOverhead: n + 3}
		for i, r := range s.roles.Stations {
			order[r.Service] = i + 2
		}
		sort.Slice(w.Loop.Stages, func(i, j int) bool {
			a, b := w.Loop.Stages[i].Name, w.Loop.Stages[j].Name
			if oa, ob := order[a], order[b]; oa != ob {
				return oa != 0 && (ob == 0 || oa < ob)
			}
			return a < b
		})
	}
}

// workers is the number of workers in the window: what was asked for, or else what was seen.
func (w *Window) workers() int {
	if n := w.Config.Drivers(); n > 0 {
		return n
	}
	return len(w.Workers)
}

// use is a service's utilisation with its error: of the busy time of all slots, over the time between readings.
func (w *Window) use(spans []span, value, slotSeconds float64) *Estimate {
	loop := 0.0
	if w.Loop != nil {
		loop = w.Loop.TotalS
	}
	at, busy := w.together(spans, func(i, k int) float64 { return sum(spans[i].inner[k].Values, history.Busy) })
	scale := (at[len(at)-1] - at[0]) / slotSeconds
	for k := range busy {
		busy[k] *= scale
	}
	e := slowEstimate(value, at[len(at)-1]-at[0], at, busy, loop, 0)
	e.Method = "busy time of the slots over the time between two readings; the interval is Student's, from the slow cosines of the busy time"
	if e.High != nil {
		e.High = ptr(min(1, *e.High))
	}
	return e
}

// serviceTime is the mean occupied time of the requests that were answered, with the error of a ratio by its linearisation: of what each
// time between two readings adds to the sum of times, less the mean for each of its answers.
func (w *Window) serviceTime(spans []span, served, answers float64) *Estimate {
	mean := served / answers
	at, rest := w.together(spans, func(i, k int) float64 {
		values := spans[i].inner[k].Values
		return sum(values, history.ServiceSum) - mean*sum(values, history.ServiceCount)
	})
	seconds := at[len(at)-1] - at[0]
	e := slowEstimate(0, seconds, at, rest, mean, 0)
	e.Value, e.Method = mean, "mean over the requests that were answered; the interval is Student's, from the slow cosines of what each "+
		"second adds"
	if e.StdErr != nil {
		scaled := NewEstimate(mean, *e.StdErr*seconds/answers, *e.DF, e.Method)
		scaled.Low = ptr(max(0, *scaled.Low))
		return scaled
	}
	return e
}

func (w *Window) measureService(s series, service string, begin, end time.Duration) (ServiceUse, bool) {
	u := ServiceUse{Service: service, Replicas: w.Config.Replicas[service]}
	busy, busyRate, slotSeconds, queued, taken, served, answers, seen := 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
	limited := true
	lives := map[string]bool{}
	var spans []span
	for _, t := range s.of(service) {
		sp, ok := t.between(begin, end)
		if !ok || sp.seconds() <= 0 {
			continue
		}
		seen++
		spans = append(spans, sp)
		slot, _, _ := strings.Cut(t.name, "#")
		u.replaced = u.replaced || lives[slot]
		lives[slot] = true
		slots := sp.last.Values.Of(history.Concurrency)
		limited = limited && slots > 0
		b := sp.delta(history.Busy)
		busy += b
		busyRate += b / sp.seconds()
		served += sp.delta(history.ServiceSum)
		answers += sp.delta(history.ServiceCount)
		slotSeconds += slots * sp.seconds()
		u.Slots += int(slots)
		n := sp.delta(history.Requests)
		u.Requests += n
		u.PerS += n / sp.seconds()
		for code, v := range byLabel(sp.last.Values, history.Requests, "code") {
			if code >= "400" {
				u.Failed += v - byLabel(sp.first.Values, history.Requests, "code")[code]
			}
		}
		queued += sp.delta(history.QueueSum)
		taken += sp.delta(history.QueueCount)
		if slots > 0 {
			if share := b / (slots * sp.seconds()); u.Hottest == nil || share > *u.Hottest {
				u.Hottest, u.HottestTask = ptr(share), t.name
			}
		}
	}
	if seen == 0 {
		return u, false
	}
	if u.Replicas == 0 {
		u.Replicas = seen
	} else if seen > u.Replicas && limited {
		u.Slots = u.Slots * u.Replicas / seen // tasks that were replaced within the window had their successors' slots
	}
	if !limited {
		u.Slots, u.Hottest, u.HottestTask = 0, nil, ""
	}
	// The counter of busy time runs on during a request; the sum of service times knows whole requests only, so that its mean is
	// exact in a short window.
	if answers > 0 && served > 0 {
		u.ServiceS = ptr(served / answers)
		u.ServiceTime = w.serviceTime(spans, served, answers)
	} else if u.Requests > 0 {
		u.ServiceS = ptr(busy / u.Requests)
	}
	if limited && slotSeconds > 0 {
		u.Utilisation = ptr(busy / slotSeconds)
		u.Use = w.use(spans, *u.Utilisation, slotSeconds)
	}
	if taken > 0 {
		u.QueueS = ptr(queued / taken)
	}
	// A loop makes one request to each service. What is above that came from somebody else: a probe, a bench, a client that nothing else tells
	// of. Theirs is no part of the workers' loop, and what they occupy is not there for the workers.
	own := min(u.Requests, w.Hashes)
	if u.Requests > w.Hashes+float64(w.workers())+2 || w.visitors[service].all() > 0 {
		u.Foreign = u.Requests - own
	}
	if w.Hashes > 0 && u.ServiceS != nil {
		d := *u.ServiceS
		if answers == 0 && u.Foreign > 0 { // no time of single requests: the occupied time spread over the hashes (Denning and Buzen 1978)
			d = busy / w.Hashes
		}
		if root := min(w.visitors[service].root, answers-1); root > 0 && answers > root {
			idle := max(w.Config.told[service].Occupancy.Seconds(), leastVisit)
			d = max(0, (served-root*idle)/(answers-root))
			// Requests that the edges cut make it a little wrong; the settings know better where they explain it.
			if mean := meanService(w.Config.told[service]); math.Abs(d-mean)*(answers-root) <= 2*mean*float64(max(1, u.Slots)) {
				d = mean
			}
		}
		u.DemandS = ptr(d)
		if u.Foreign > 0 && w.HashRate != nil {
			u.ForeignBusy = max(0, busyRate-w.HashRate.Value*d)
		}
		if u.Slots > 0 && d > 0 {
			u.BoundPerS = ptr(max(0, float64(u.Slots)-u.ForeignBusy) / d)
			if in := intake(w.Config.told[service]); in > 0 {
				*u.BoundPerS = min(*u.BoundPerS, float64(u.Replicas)/in)
			}
			if w.HashRate != nil && *u.BoundPerS > 0 {
				u.Headroom = ptr(1 - w.HashRate.Value / *u.BoundPerS)
			}
		}
		if w.Loop != nil {
			for _, st := range w.Loop.Stages {
				if st.Name == service {
					u.WaitS = ptr(max(0, st.PerLoopS-d))
				}
			}
		}
	}
	return u, true
}

// The driver's own stages; the others are those of its visits, and of the store.
const (
	stageThink    = "think"
	stageOverhead = "overhead"
)

// stage is the name of a stage of the driver's loop: the service that it visits, or the driver's own word.
func (s series) stage(name string) string {
	for _, r := range append(slices.Clone(s.roles.Stations), s.roles.Store) {
		if r.Program == name && r.Service != "" {
			return r.Service
		}
	}
	return name
}

// leastVisit is what a request costs a server that has no work with it, in seconds.
const leastVisit = 50e-6

// intake is how long a server takes a request in, in which it begins none, in seconds.
func intake(s settings.Settings) float64 {
	if s.Accept != settings.Pool {
		return 0
	}
	return s.Intake.Seconds()
}
