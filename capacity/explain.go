package capacity

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"coinbench/history"
	"coinbench/services/settings"
)

// Cause is what limits, by name.
type Cause string

// The causes that are told apart.
const (
	CauseRNG        Cause = settings.RNG
	CauseHasher     Cause = settings.Hasher
	CauseLoop       Cause = "worker loop"        // the workers' own work and the delays that nobody queues for
	CausePinned     Cause = "pinned connections" // kept connections stay with the replicas that they met first
	CauseBackoff    Cause = "back-off storm"     // the workers are silent after errors
	CauseBalancing  Cause = "random balancing"   // a queue at one replica while another is free
	CauseGenerator  Cause = "generator CPU"      // the load generator measured itself
	CauseHost       Cause = "host CPU"           // processes wait for a processor
	CauseQueueLimit Cause = "queue limit"        // a full queue turns connections away
	CauseRedis      Cause = "redis"              // the store is slow
	CauseReplica    Cause = "unhealthy replica"  // one replica is slow, fails, or is away
	CauseNone       Cause = "none"               // what was asked for was served
)

// Causes lists the causes, in the order of the documentation.
func Causes() []Cause {
	return []Cause{CauseRNG, CauseHasher, CauseLoop, CausePinned, CauseBackoff, CauseBalancing, CauseGenerator, CauseHost, CauseQueueLimit,
		CauseRedis, CauseReplica, CauseNone}
}

// Thresholds of the rules below. They are far from what an undisturbed run shows, and from what each case does.
const (
	mostSilent   = .10 // share of the workers' time in back-off
	mostStore    = .05 // share of a loop in Redis
	unexplained  = .97 // of the bound: below it something beside the bound is at work
	mostOutside  = 1.5 // a worker waits so many times longer than the server's queue accounts for
	slowReplica  = 1.5 // times the median service time of the others
	mostErrors   = .05 // share of a replica's answers that are errors while the others have none
	mostGenerate = .90 // share of all processors that the generator uses
)

// Explanation says for each window, and each load without workers, what limited it and why.
type Explanation struct {
	Version int         `json:"version"`
	Run     RunInfo     `json:"run"`
	Parts   []Explained `json:"parts"` // in the order of time
}

// Explained is one window or load.
type Explained struct {
	Name     string        `json:"name"`
	Load     bool          `json:"load"` // a load; otherwise a window
	Config   string        `json:"config"`
	PerS     float64       `json:"per_s"` // hashes, or good requests of a load
	Rate     *Interval     `json:"rate,omitempty"`
	Limit    Cause         `json:"limit"`
	Task     string        `json:"task,omitempty"` // the replica that is to blame
	Evidence []string      `json:"evidence"`       // the strongest first
	Try      string        `json:"try"`            // one change
	Services []Attribution `json:"services,omitempty"`
	Next     []Next        `json:"next,omitempty"` // the limits after this one
	Also     []string      `json:"also,omitempty"` // what else was seen and did not limit
}

// Attribution is a service's part, each number with its 95 % interval.
type Attribution struct {
	Service     string    `json:"service"`
	Replicas    int       `json:"replicas"`
	Slots       int       `json:"slots"` // 0: unlimited
	DemandS     *Interval `json:"demand_s,omitempty"`
	Utilisation *Interval `json:"utilisation,omitempty"`
	QueueS      *Interval `json:"queue_s,omitempty"`
	Headroom    *Interval `json:"headroom,omitempty"` // free share of the highest hash rate that the service allows
}

// Interval is a value with its 95 % confidence interval: Student's, over successive parts of the window. With one part it is the
// value alone.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Parts int     `json:"parts"`
}

// Explain attributes what a run shows. a is the run's own analysis.
func Explain(run *history.Run, a *Analysis) Explanation {
	x := Explanation{Version: Version, Run: a.Run}
	e := explainer{run: run, s: newSeries(run), a: a}
	type part struct {
		at float64
		Explained
	}
	var all []part
	for i := range a.Windows {
		w := &a.Windows[i]
		if w.Config.Replicas[settings.Worker] == 0 && len(w.Workers) == 0 {
			continue // its loads speak
		}
		all = append(all, part{w.BeginS, e.window(w)})
	}
	for i := range a.Loads {
		l := &a.Loads[i]
		if l.Config.Replicas[settings.Worker] > 0 && e.within(l) && !e.starved(l) {
			continue // a probe of the app at work: the window speaks
		}
		all = append(all, part{l.BeginS, e.load(l)})
	}
	slices.SortStableFunc(all, func(a, b part) int { return cmp.Compare(a.at, b.at) })
	for _, p := range all {
		x.Parts = append(x.Parts, p.Explained)
	}
	return x
}

// Part returns the named window or load, or nil. When a name was used twice it is the last one.
func (x *Explanation) Part(name string) *Explained {
	for i := len(x.Parts) - 1; i >= 0; i-- {
		if x.Parts[i].Name == name {
			return &x.Parts[i]
		}
	}
	return nil
}

type explainer struct {
	run *history.Run
	s   series
	a   *Analysis
}

// within says whether a load was made within a window that measured workers.
func (e explainer) within(l *LoadResult) bool {
	for i := range e.a.Windows {
		w := &e.a.Windows[i]
		if w.HashRate != nil && l.BeginS < w.EndS && l.BeginS+l.LengthS > w.BeginS {
			return true
		}
	}
	return false
}

// finding is a cause with its evidence.
type finding struct {
	cause    Cause
	task     string
	evidence []string
	try      string
}

// window explains a window: the first rule that holds names the limit. Rules about the instrument come first, then those about
// failures, then those about queues.
func (e explainer) window(w *Window) Explained {
	x := Explained{Name: w.Name, Config: w.Config.String()}
	if w.HashRate != nil {
		x.PerS = w.HashRate.Value
		x.Rate = &Interval{Value: x.PerS, Low: x.PerS, High: x.PerS, Parts: 1}
		if low, high := w.HashRate.Low, w.HashRate.High; low != nil && high != nil {
			x.Rate.Low, x.Rate.High, x.Rate.Parts = *low, *high, 2
			if w.HashRate.DF != nil {
				x.Rate.Parts = int(*w.HashRate.DF) + 1
			}
		}
	}
	x.Services = e.attributions(w)
	if w.Bottleneck != nil {
		x.Next = w.Bottleneck.Next
	}
	var found *finding
	for _, rule := range []func(*Window) *finding{e.hostCPU, e.backoff, e.queueLimit, e.replica, e.store, e.pinned, e.saturated, e.balancing, e.loop} {
		if f := rule(w); f != nil {
			if found == nil {
				found = f
			} else if f.cause != CauseLoop && f.cause != found.cause {
				x.Also = append(x.Also, fmt.Sprintf("%s: %s", f.cause, f.evidence[0]))
			}
		}
	}
	x.Limit, x.Task, x.Evidence, x.Try = found.cause, found.task, found.evidence, found.try
	if e.starvedIn(w) {
		x.Also = append(x.Also, "generator CPU: a load within this window was limited by its own generator; its latencies must not be used")
	}
	return x
}

func (e explainer) hostCPU(w *Window) *finding {
	f := hostFinding(w.Host)
	if f == nil {
		return nil
	}
	if w.Loop != nil && w.Backoffs == 0 {
		for _, s := range w.Loop.Stages {
			if late := s.PerLoopS - w.Config.ThinkS; s.Name == "think" && late > .002 {
				f.evidence = append(f.evidence, fmt.Sprintf("a worker's think time of %s took %s: it was ready and had to wait for a processor",
					milliseconds(w.Config.ThinkS), milliseconds3(s.PerLoopS)))
			}
		}
	}
	return f
}

func hostFinding(u *HostUse) *finding {
	if u == nil {
		return nil
	}
	waits := u.Pressure != nil && *u.Pressure > mostPressure || u.Pressure == nil
	if u.Busy < mostBusy || !waits {
		if u.disturbed() == "" {
			return nil
		}
	}
	f := &finding{cause: CauseHost}
	if u.Pressure != nil {
		f.evidence = append(f.evidence, fmt.Sprintf("processes waited for a processor in %s of the time", percent(*u.Pressure)))
	}
	f.evidence = append(f.evidence, fmt.Sprintf("the processors were busy %s of the time, %s of it with the app and coinbench", percent(u.Busy), percent(u.Own/max(u.Busy, 1e-9))))
	if u.Busy-u.Own >= mostForeign {
		f.try = "Stop what else runs on this machine, or use a quieter one, and measure again: these numbers are the machine's."
	} else {
		f.try = "Use a machine with more processors, or fewer replicas: the app itself fills this one."
	}
	return f
}

func (e explainer) backoff(w *Window) *finding {
	n := float64(w.workers())
	if w.Backoffs == 0 || n == 0 || w.LengthS == 0 {
		return nil
	}
	silent := min(1, w.Backoffs*w.Config.BackoffS/(n*w.LengthS))
	if silent < mostSilent {
		return nil
	}
	f := &finding{cause: CauseBackoff, evidence: []string{fmt.Sprintf("%s of %.0f workers went silent for %s each after an error: up to %s of their time",
		times(w.Backoffs), n, seconds(w.Config.BackoffS), percent(silent))}}
	if w.HashesLost != nil && *w.HashesLost > 0 {
		f.evidence = append(f.evidence, fmt.Sprintf("%.0f hashes are missing against window %s", *w.HashesLost, w.Baseline))
	}
	if text := classes(w.ByClass); text != "" {
		f.evidence = append(f.evidence, "the errors were: "+text)
	}
	if task, text := e.trouble(w); text != "" {
		f.task = task
		f.evidence = append(f.evidence, text)
	}
	f.try = fmt.Sprintf("Shorten the back-off (COIN_BACKOFF, now %s), or take a dead replica out of rotation sooner: the outage itself is the smaller part.", seconds(w.Config.BackoffS))
	return f
}

func seconds(s float64) string {
	if s < 1 {
		return milliseconds(s)
	}
	return fmt.Sprintf("%.3g s", s)
}

func classes(by map[string]float64) string {
	var parts []string
	for class, n := range by {
		parts = append(parts, fmt.Sprintf("%.0f %s", n, class))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// trouble is the last fault of a replica of rng or hasher that began before the window's end and was not over before its begin.
func (e explainer) trouble(w *Window) (task, text string) {
	open := map[string]string{}
	var order []string
	for _, ev := range e.run.Events {
		if ev.Service != settings.RNG && ev.Service != settings.Hasher || ev.At.Seconds() > w.EndS {
			continue
		}
		within := ev.At.Seconds() >= w.BeginS
		note := func(s string) {
			if open[ev.Task] == "" {
				order = append(order, ev.Task)
			}
			open[ev.Task] = s
		}
		switch ev.Kind {
		case history.TaskKilled:
			note(fmt.Sprintf("%s was killed at %.1f s", ev.Task, ev.At.Seconds()))
		case history.TaskPaused:
			note(fmt.Sprintf("%s was paused at %.1f s", ev.Task, ev.At.Seconds()))
		case history.TaskCut:
			note(fmt.Sprintf("%s was cut off at %.1f s", ev.Task, ev.At.Seconds()))
		case history.TaskSlowed:
			note(fmt.Sprintf("connections to %s were slowed by %s from %.1f s on", ev.Task, ev.Detail["delay"], ev.At.Seconds()))
		case history.TaskUnhealthy:
			note(fmt.Sprintf("%s failed its health check at %.1f s%s", ev.Task, ev.At.Seconds(), after(": ", ev.Detail["error"])))
		case history.TaskGone:
			if ev.Detail["error"] != "" && open[ev.Task] == "" { // of what was done to it
				note(fmt.Sprintf("%s ended at %.1f s: %s", ev.Task, ev.At.Seconds(), ev.Detail["error"]))
			}
		case history.TaskRecovered, history.TaskJoined, history.TaskHealthy:
			slot, _, _ := strings.Cut(ev.Task, "#")
			for t := range open { // the task itself, or its successor in the slot
				if s, _, _ := strings.Cut(t, "#"); s == slot && !within {
					delete(open, t)
				}
			}
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		if text := open[order[i]]; text != "" {
			return order[i], text
		}
	}
	return "", ""
}

func after(lead, s string) string {
	if s == "" {
		return ""
	}
	return lead + s
}

// queueLimit: connections that the server does not take wait where it does not see them, or fail.
func (e explainer) queueLimit(w *Window) *finding {
	for _, u := range w.Services {
		limit, full, longest := e.queue(u.Service, w)
		rejected := w.ByClass[string(history.ConnectTimeout)]
		outside := u.WaitS != nil && u.QueueS != nil && *u.WaitS > *u.QueueS*mostOutside+.05
		if full == 0 || rejected == 0 && !outside {
			continue
		}
		f := &finding{cause: CauseQueueLimit}
		f.evidence = append(f.evidence, fmt.Sprintf("the queue of %s was full (%.0f of %d) in %s of the readings", u.Service, longest, limit, percent(full)))
		if outside {
			f.evidence = append(f.evidence, fmt.Sprintf("a worker waits %s for it in each loop, and only %s of that in the queue: its connections are turned away and tried again after 1, 2, 4 s",
				milliseconds3(*u.WaitS), milliseconds3(*u.QueueS)))
		}
		if u.Utilisation != nil {
			f.evidence = append(f.evidence, fmt.Sprintf("%s is busy %s of the time", u.Service, percent(*u.Utilisation)))
		}
		if rejected > 0 {
			f.evidence = append(f.evidence, fmt.Sprintf("%.0f connections were given up", rejected))
		}
		f.try = fmt.Sprintf("Raise the limit (COIN_QUEUE_LIMIT of %s, now %d) above the number of clients, or scale %s.", u.Service, limit, u.Service)
		return f
	}
	return nil
}

// queue is the limit of a replica's queue, the share of the readings in which one was full, and the longest queue.
func (e explainer) queue(service string, w *Window) (limit int, full, longest float64) {
	limit = e.queueLimitOf(service, w.BeginS)
	n, at := 0, 0
	for _, t := range e.s.of(service) {
		sp, ok := t.between(duration(w.BeginS), duration(w.EndS))
		if !ok {
			continue
		}
		for _, r := range sp.inner {
			q := r.Values[history.QueueLength]
			longest = max(longest, q)
			n++
			if limit > 0 && q >= float64(limit) {
				at++
			}
		}
	}
	if n > 0 {
		full = float64(at) / float64(n)
	}
	return limit, full, longest
}

func (e explainer) queueLimitOf(service string, atS float64) int {
	env := map[string]string{}
	for _, ev := range e.run.Events {
		if ev.Service != service || ev.At.Seconds() > atS+1e-9 {
			continue
		}
		if ev.Kind == history.ServiceDeployed || ev.Kind == history.ServiceUpdated {
			if v, ok := ev.Detail["env.COIN_QUEUE_LIMIT"]; ok {
				env["COIN_QUEUE_LIMIT"] = v
			}
		}
	}
	c, err := settings.Parse(service, env)
	if err != nil {
		return 0
	}
	return c.QueueLimit
}

// replica: one replica of several is not like the others.
func (e explainer) replica(w *Window) *finding {
	task, text := e.trouble(w)
	var sick *finding
	for _, u := range w.Services {
		if u.Replicas < 2 {
			continue
		}
		type use struct {
			task                   string
			service, requests, bad float64
		}
		var all []use
		for _, t := range e.s.of(u.Service) {
			sp, ok := t.between(duration(w.BeginS), duration(w.EndS))
			if !ok {
				continue
			}
			r := use{task: t.name, requests: sp.delta(history.Requests)}
			if n := sp.delta(history.ServiceCount); n > 0 {
				r.service = sp.delta(history.ServiceSum) / n
			}
			for code, v := range byLabel(sp.last.Values, history.Requests, "code") {
				if code >= "400" {
					r.bad += v - byLabel(sp.first.Values, history.Requests, "code")[code]
				}
			}
			all = append(all, r)
		}
		for i, r := range all {
			var others []float64
			bad := 0.0
			for j, o := range all {
				if j != i && o.requests > 0 {
					others = append(others, o.service)
					bad += o.bad
				}
			}
			if len(others) == 0 || r.requests == 0 {
				continue
			}
			slices.Sort(others)
			typical := others[len(others)/2]
			switch {
			case r.service > slowReplica*typical && typical > 0:
				sick = &finding{task: r.task, evidence: []string{fmt.Sprintf("%s takes %s for a request, the others %s", r.task, milliseconds3(r.service), milliseconds3(typical))}}
			case r.bad > mostErrors*r.requests && bad == 0:
				sick = &finding{task: r.task, evidence: []string{fmt.Sprintf("%s answered %s of its requests with an error, the others none", r.task, percent(r.bad/r.requests))}}
			}
		}
		if sick == nil && len(all) < u.Replicas && text == "" {
			sick = &finding{evidence: []string{fmt.Sprintf("%d of the %d replicas of %s answered when they were asked for their counters", len(all), u.Replicas, u.Service)}}
		}
	}
	switch {
	case sick != nil && text != "":
		sick.evidence = append(sick.evidence, text)
	case text != "":
		sick = &finding{task: task, evidence: []string{text}}
	case sick == nil:
		return nil
	}
	// Without an effect it is not the limit.
	if w.Bottleneck != nil && w.Bottleneck.Attained >= unexplained && w.Bottleneck.Limit == WorkerLimit {
		return nil
	}
	if w.Configured != nil && w.HashRate != nil {
		if w.HashRate.Value >= unexplained*w.Configured.UpperPerS {
			return nil
		}
		sick.evidence = append(sick.evidence, fmt.Sprintf("%s were made; with every replica well the settings allow %s", perSecond(w.HashRate.Value), perSecond(w.Configured.UpperPerS)))
	}
	sick.cause = CauseReplica
	sick.try = "Take the replica out of rotation and start another"
	if sick.task != "" {
		sick.try = fmt.Sprintf("Take %s out of rotation and start another", sick.task)
	}
	sick.try += ": a health check that sees what its clients see would have done it."
	return sick
}

func (e explainer) store(w *Window) *finding {
	if w.Loop == nil || w.Loop.TotalS == 0 {
		return nil
	}
	store := 0.0
	for _, s := range w.Loop.Stages {
		if s.Name == "redis" {
			store = s.PerLoopS
		}
	}
	if store < mostStore*w.Loop.TotalS {
		return nil
	}
	for _, u := range w.Services {
		if u.WaitS != nil && *u.WaitS > store {
			return nil
		}
	}
	return &finding{cause: CauseRedis, evidence: []string{
		fmt.Sprintf("a worker spends %s of each loop in Redis, %s of it", milliseconds3(store), percent(store/w.Loop.TotalS)),
		fmt.Sprintf("without it the loop would be %s", milliseconds3(w.Loop.TotalS-store)),
	}, try: "Look at Redis and the way to it: INCRBY and HSET take microseconds there. Flushing less often hides it only."}
}

func (e explainer) pinned(w *Window) *finding {
	if !w.Config.KeepAlive {
		return nil
	}
	for _, u := range w.Services {
		if u.Hottest == nil || u.Utilisation == nil || u.Replicas < 2 || *u.Hottest-*u.Utilisation < unspread || *u.Hottest < saturated {
			continue
		}
		idle := 0
		for _, t := range e.s.of(u.Service) {
			if sp, ok := t.between(duration(w.BeginS), duration(w.EndS)); ok && sp.delta(history.Requests) == 0 {
				idle++
			}
		}
		f := &finding{cause: CausePinned, task: u.HottestTask, evidence: []string{
			fmt.Sprintf("%s is busy %s of the time while %s as a whole is busy %s", u.HottestTask, percent(*u.Hottest), u.Service, percent(*u.Utilisation)),
			"the workers keep their connections, and a balancer spreads connections, not requests"}}
		if idle > 0 {
			f.evidence = append(f.evidence, fmt.Sprintf("%d of %d replicas had no request at all", idle, u.Replicas))
		}
		f.try = "Open a new connection for each call (COIN_KEEP_ALIVE=false), or limit the age of connections, so that the balancer can spread them."
		return f
	}
	return nil
}

func (e explainer) saturated(w *Window) *finding {
	k := w.Bottleneck
	if k == nil || k.Limit == WorkerLimit || k.Task != "" {
		return nil
	}
	if k.Limit != WorkerLimit && !w.Config.inTurn() && k.Attained < unexplained {
		return nil // busy at times; chance leaves gaps
	}
	return &finding{cause: Cause(k.Limit), evidence: []string{k.Evidence}, try: k.Try}
}

func (e explainer) balancing(w *Window) *finding {
	k := w.Bottleneck
	if k == nil || w.Config.inTurn() || w.Config.KeepAlive || k.Attained >= unexplained || w.Bounds == nil {
		return nil
	}
	u := w.Service(settings.RNG)
	if u == nil || u.Replicas < 2 || u.WaitS == nil || u.Utilisation == nil {
		return nil
	}
	f := &finding{cause: CauseBalancing, evidence: []string{
		fmt.Sprintf("a worker waits %s for rng in each loop although rng is busy only %s of the time: a queue at one replica while another is free",
			milliseconds3(*u.WaitS), percent(*u.Utilisation)),
		fmt.Sprintf("%s balancing reaches %s of the bound of %s", w.Config.Balance, percent(k.Attained), perSecond(k.BoundPerS))}}
	f.try = fmt.Sprintf("Balance rng round robin or by the fewest connections: the same servers then carry up to %s.", perSecond(k.BoundPerS))
	return f
}

// loop is what is left: the workers' own loop.
func (e explainer) loop(w *Window) *finding {
	f := &finding{cause: CauseLoop}
	k := w.Bottleneck
	switch {
	case k == nil:
		f.evidence = []string{"no hash was made, and no counter says why"}
		f.try = "Look at the workers' logs in the run's folder."
	case k.Limit != WorkerLimit || k.Task != "":
		f.evidence, f.try, f.task = []string{k.Evidence}, k.Try, k.Task
	default:
		f.evidence, f.try = []string{k.Evidence}, k.Try
	}
	return f
}

// starved says whether a load was limited by its own generator.
func (e explainer) starved(l *LoadResult) bool {
	cpus := max(e.a.Run.Host.CPUs, 1)
	if l.LengthS > 0 && l.CPUS/(l.LengthS*float64(cpus)) > mostGenerate {
		return true
	}
	return slices.ContainsFunc(l.Invalid, func(s string) bool { return strings.Contains(s, "CPU") })
}

func (e explainer) starvedIn(w *Window) bool {
	return slices.ContainsFunc(e.a.Loads, func(l LoadResult) bool {
		return l.BeginS < w.EndS && l.BeginS+l.LengthS > w.BeginS && e.starved(&l)
	})
}

// load explains a load from outside.
func (e explainer) load(l *LoadResult) Explained {
	x := Explained{Name: l.Name, Load: true, Config: l.Config.String(), PerS: l.PerS}
	begin, end := l.BeginS, l.BeginS+l.LengthS
	w := &Window{Name: l.Name, BeginS: begin, EndS: end, LengthS: l.LengthS, Config: l.Config}
	u, seen := w.measureService(e.s, l.Service, duration(begin), duration(end))
	if seen {
		w.Services = []ServiceUse{u}
		x.Services = e.attributions(w)
	}
	cpus := float64(max(e.a.Run.Host.CPUs, 1))
	busiest := "–"
	if u.Utilisation != nil {
		busiest = percent(min(1, *u.Utilisation))
	}
	limit, full, longest := e.queue(l.Service, w)
	turned := float64(l.Failures[history.ConnectTimeout] + l.Failures[history.Refused] + l.Failures[history.Dropped] + l.Failures[history.HeaderTimeout])
	switch h := hostFinding(host(e.s, duration(begin), duration(end))); {
	case e.starved(l):
		x.Limit = CauseGenerator
		x.Evidence = append(x.Evidence, fmt.Sprintf("the generator used %s of all processors", percent(l.CPUS/(l.LengthS*cpus))))
		if l.Lag != nil {
			x.Evidence = append(x.Evidence, fmt.Sprintf("it sent its requests up to %s late (p99)", milliseconds3(l.Lag.P99S)))
		}
		if seen {
			x.Evidence = append(x.Evidence, fmt.Sprintf("%s was busy %s of the time", l.Service, busiest))
		}
		x.Evidence = append(x.Evidence, l.Invalid...)
		x.Try = "Generate the load from another machine, or ask for less: these numbers are the generator's, not the service's."
	case h != nil:
		x.Limit, x.Evidence, x.Try = h.cause, h.evidence, h.try
	case full >= .2 && turned > 0, turned > 0 && u.Utilisation != nil && *u.Utilisation >= saturated && full > 0:
		x.Limit = CauseQueueLimit
		x.Evidence = []string{fmt.Sprintf("%.0f of %d requests were turned away or given up", turned, l.Requests),
			fmt.Sprintf("the queue of %s held %.0f of %d", l.Service, longest, limit), fmt.Sprintf("%s was busy %s of the time", l.Service, busiest)}
		x.Try = fmt.Sprintf("Scale %s; a longer queue only makes its clients wait longer.", l.Service)
	case u.Utilisation != nil && *u.Utilisation >= saturated, l.Closed && u.QueueS != nil && u.ServiceS != nil && *u.QueueS > .1**u.ServiceS:
		x.Limit = Cause(l.Service)
		x.Evidence = []string{fmt.Sprintf("%s is busy %s of the time", l.Service, busiest)}
		if u.QueueS != nil && *u.QueueS > .001 {
			x.Evidence = append(x.Evidence, fmt.Sprintf("a request waits %s in its queue", milliseconds3(*u.QueueS)))
		}
		x.Try = fmt.Sprintf("Scale %s.", l.Service)
	default:
		x.Limit = CauseNone
		if seen {
			x.Evidence = append(x.Evidence, fmt.Sprintf("%s is busy %s of the time", l.Service, busiest))
		}
		if l.Closed {
			x.Evidence = append(x.Evidence, fmt.Sprintf("%s had an answer before each next request: the number of clients is the limit", count(l.Clients, "client")))
			x.Try = "Nothing limits but the clients; to find the service's limit, use more of them."
		} else {
			x.Evidence = append(x.Evidence, fmt.Sprintf("all that was due (%s) was answered, %d of %d well", l.Schedule, l.OK, l.Requests))
			x.Try = "Nothing: the load was served. To find the limit, ask for more."
		}
	}
	return x
}

// attributions are the services' numbers with intervals from successive parts of the window.
func (e explainer) attributions(w *Window) []Attribution {
	var all []Attribution
	n := max(1, min(10, int(w.LengthS+.5)))
	for _, u := range w.Services {
		at := Attribution{Service: u.Service, Replicas: u.Replicas, Slots: u.Slots}
		var use, service, queue []float64
		for k := range n {
			from := w.BeginS + w.LengthS*float64(k)/float64(n)
			p := Window{Config: w.Config}
			v, ok := p.measureService(e.s, u.Service, duration(from), duration(from+w.LengthS/float64(n)))
			if !ok || n == 1 {
				continue
			}
			if v.Utilisation != nil {
				use = append(use, *v.Utilisation)
			}
			if v.ServiceS != nil && v.Requests > 0 && u.ServiceS != nil && u.DemandS != nil && *u.ServiceS == *u.DemandS { // nobody but the workers asks
				service = append(service, *v.ServiceS)
			}
			if v.QueueS != nil {
				queue = append(queue, *v.QueueS)
			}
		}
		if u.Utilisation != nil {
			at.Utilisation = around(*u.Utilisation, use, 0, 1)
		}
		if u.QueueS != nil {
			at.QueueS = around(*u.QueueS, queue, 0, math.Inf(1))
		}
		if u.DemandS != nil {
			at.DemandS = around(*u.DemandS, service, 0, math.Inf(1))
		}
		if u.Headroom != nil && w.HashRate != nil {
			used := 1 - *u.Headroom
			relative := 0.0
			if at.DemandS != nil && at.DemandS.Value > 0 {
				relative = (at.DemandS.High - at.DemandS.Low) / 2 / at.DemandS.Value
			}
			if m := w.HashRate.Margin(); m != nil && w.HashRate.Value > 0 {
				relative = math.Hypot(relative, *m/w.HashRate.Value)
			}
			at.Headroom = &Interval{Value: *u.Headroom, Low: *u.Headroom - used*relative, High: min(1, *u.Headroom+used*relative), Parts: len(service)}
		}
		all = append(all, at)
	}
	return all
}

// around is a value with the 95 % interval that its parts' spread gives.
func around(value float64, parts []float64, low, high float64) *Interval {
	i := &Interval{Value: value, Low: value, High: value, Parts: max(1, len(parts))}
	if sd, ok := deviation(parts); ok {
		n := float64(len(parts))
		half := studentT(n-1) * sd / math.Sqrt(n)
		i.Low, i.High = max(low, value-half), min(high, value+half)
	}
	return i
}
