package frame

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
)

// What a frame shows at most; the newest stay.
const (
	mostMarks = 300
	mostLanes = 300
	mostLoads = 100
)

// Builder makes frames of a run's record. It is a history.Follower: everything that was recorded enters once, in order.
type Builder struct {
	run    Run
	roles  history.Roles
	at     time.Duration
	status history.RunStatus
	step   int

	chronicle capacity.Chronicle
	lives     capacity.Lives
	services  map[string]bool
	line      line
	loops     *capacity.Loops
	known     float64 // until when the rate was known when points were last taken
	last      map[string][2]history.Reading
	loads     []*load
	judged    *Judged
	changes   int
	marksLeft int // older marks, which are forgotten
}

type load struct {
	Load
	failures map[history.Class]int64
	times    *history.Histogram
	lag      *history.Histogram
}

// New is that of a run of which nothing was recorded but its manifest.
func New(m history.Manifest) *Builder {
	roles := capacity.RolesOf(&history.Run{Manifest: m})
	b := &Builder{run: Run{Scenario: m.Scenario, Cluster: m.Cluster, Simulated: m.Simulated, Start: m.Start, Unit: roles.Unit.Many,
		Driver: roles.Driver.Service}, roles: roles, services: map[string]bool{}, loops: capacity.NewLoops(m.Start),
		last: map[string][2]history.Reading{}, line: line{width: 1}}
	for _, s := range roles.Stations {
		b.run.Stations = append(b.run.Stations, s.Service)
	}
	return b
}

// Changes counts the milestones so far: windows, loads, steps and rollouts that ended, after which there is something new to judge.
func (b *Builder) Changes() int { return b.changes }

// Over says whether the run's end is on record.
func (b *Builder) Over() bool { return b.status != "" }

// At is the latest instant of which something was recorded, since the run's start.
func (b *Builder) At() time.Duration { return b.at }

// reach says that something was recorded of an instant: until then there are points, of seconds in which nothing happened too.
func (b *Builder) reach(at time.Duration) {
	if at > b.at {
		b.at = at
		b.line.at(int(math.Ceil(at.Seconds())) - 1)
	}
}

// Event adds the next event.
func (b *Builder) Event(e history.Event) {
	b.reach(e.At)
	b.chronicle.Add(e)
	if marks := &b.chronicle.Marks; len(*marks) >= 2*mostMarks {
		b.marksLeft += len(*marks) - mostMarks
		*marks = slices.Clone((*marks)[len(*marks)-mostMarks:])
	}
	b.lives.Add(e)
	if e.Service != "" && (e.Task != "" || e.Is(event.ServiceDeployed{})) {
		b.services[e.Service] = true
	}
	switch p := e.Payload.(type) {
	case event.RunBegin:
		b.run.Steps, b.run.Objectives = p.Steps, p.Objectives
	case event.RunEnd:
		b.status = history.RunStatus(p.Status)
		b.step = 0
		b.changes++
	case event.StepBegin:
		b.step = e.Step
	case event.WindowEnd, event.StepEnd, event.LoadEnd, event.RolloutEnd:
		b.changes++
	case event.TaskGone:
		delete(b.last, e.Task)
	}
}

// Reading adds the next reading.
func (b *Builder) Reading(r history.Reading) {
	b.reach(r.At)
	before, known := b.last[r.Task]
	if r.Service == b.roles.Driver.Service {
		b.line.driven = true
		if from, to, loops := b.loops.Add(r); loops > 0 && to > from {
			perS := loops / (to - from)
			b.line.spread(from, to, func(s *second, seconds float64) { s.loops += perS * seconds })
		}
	}
	if known && r.At-before[1].At < 500*time.Millisecond && r.Service == b.roles.Store.Service {
		return // in quick succession, at a window's edge: the counter moves in steps
	}
	b.last[r.Task] = [2]history.Reading{before[1], r}
	if !known {
		return
	}
	switch a := before[1]; {
	case r.Service == b.roles.Store.Service:
		perS := max(0, r.Values.Of(history.RedisHashes)-a.Values.Of(history.RedisHashes)) / (r.At - a.At).Seconds()
		b.line.spread(a.At.Seconds(), r.At.Seconds(), func(s *second, seconds float64) {
			s.stored += perS * seconds
			s.seen += seconds
		})
	case r.At > a.At:
		b.line.readUse(b.roles, a, r)
	}
}

// Load says that a load begins; n is its place.
func (b *Builder) Load(n int, spec history.LoadSpec) {
	for len(b.loads) <= n {
		b.loads = append(b.loads, &load{})
	}
	b.reach(spec.Begin)
	b.loads[n] = &load{Load: Load{Name: spec.Name, Service: cmp.Or(spec.Service, spec.Name), BeginS: spec.Begin.Seconds()}}
}

// Interval adds the next interval of a load.
func (b *Builder) Interval(n int, i history.Interval) {
	l := b.loads[n]
	b.reach(i.At + i.Length)
	l.Due, l.OK, l.Failed = l.Due+i.Due, l.OK+i.OK, l.Failed+i.Failed()
	for class, count := range i.Failures {
		if count > 0 {
			put(&l.failures, class, l.failures[class]+count)
		}
	}
	add(&l.times, i.Response)
	add(&l.lag, i.Lag)
	s := b.line.at(int(math.Floor((i.At + i.Length/2).Seconds())))
	if s == nil {
		return
	}
	a := s.asked[l.Service]
	if a == nil {
		a = &asked{}
		put(&s.asked, l.Service, a)
	}
	a.ok, a.failed = a.ok+i.OK, a.failed+i.Failed()
	add(&a.times, i.Response)
	add(&s.lag, i.Lag)
}

func add(to **history.Histogram, h *history.Histogram) {
	if h == nil || h.TotalCount() == 0 {
		return
	}
	if *to == nil {
		*to = history.NewHistogram()
	}
	(*to).Merge(h)
}

// LoadEnd says that a load has ended.
func (b *Builder) LoadEnd(n int, end history.LoadEndRecord) {
	b.loads[n].Ended = true
	b.reach(end.End)
}

// Judge hands in what capacity says of the record so far; final where the run has ended.
func (b *Builder) Judge(a *capacity.Analysis, final bool) {
	j := &Judged{AtS: a.Run.LengthS, Final: final, Outcome: string(a.Overall.Outcome), Why: a.Overall.Why, Headline: a.Overall.Headline,
		Invalid: a.Validity.Invalid, Warnings: a.Validity.Warnings}
	if final { // of a run that is going on, all that has not ended would be one
		j.Doubts = a.Validity.Doubts
		if a.Overall.Incomplete != "" {
			j.Doubts = append([]string{a.Overall.Incomplete}, j.Doubts...)
		}
		for n, l := range b.loads {
			if !l.Ended { // of its last second only samples are there
				if r := a.Load(l.Name); r != nil {
					b.loads[n].Due, b.loads[n].OK, b.loads[n].Failed, b.loads[n].failures = r.Requests, r.OK, r.Requests-r.OK, r.Failures
				}
			}
		}
	}
	for _, o := range a.Objectives {
		j.Objectives = append(j.Objectives, Objective{Text: o.Objective, Result: string(o.Result), Reason: o.Reason})
	}
	for i := range a.Windows {
		w := &a.Windows[i]
		out := Window{Name: w.Name, BeginS: w.BeginS, EndS: w.EndS, Complete: w.Complete}
		if w.HashRate != nil {
			out.PerS, out.Low, out.High = &w.HashRate.Value, w.HashRate.Low, w.HashRate.High
		}
		if w.Bounds != nil {
			out.Bound = &w.Bounds.UpperPerS
		}
		if w.Bottleneck != nil {
			out.Limit, out.Evidence, out.Try = w.Bottleneck.Limit, w.Bottleneck.Evidence, w.Bottleneck.Try
		}
		j.Windows = append(j.Windows, out)
	}
	b.judged = j
}

// Frame is what there is to see now, without the points.
func (b *Builder) Frame() Frame {
	c := &b.chronicle
	f := Frame{Run: b.run, Steps: c.Steps, Windows: c.Windows, Faults: c.Faults, Counts: c.Counts, Judged: b.judged}
	f.Marks, f.Left.Marks = tail(c.Marks, mostMarks)
	f.Left.Marks += b.marksLeft
	f.Now = b.now()
	for _, name := range slices.Sorted(maps.Keys(b.services)) {
		f.Services = append(f.Services, b.service(name))
		for _, t := range b.lives.Of(name) {
			f.Lanes = append(f.Lanes, Lane{Service: name, TaskLife: *t})
		}
	}
	if over := len(f.Lanes) - mostLanes; over > 0 { // those that went first are left out
		gone := slices.Clone(f.Lanes)
		slices.SortStableFunc(gone, func(x, y Lane) int { return cmp.Compare(end(x), end(y)) })
		limit := end(gone[over-1])
		left := 0
		f.Lanes = slices.DeleteFunc(f.Lanes, func(l Lane) bool {
			if left < over && end(l) <= limit {
				left++
				return true
			}
			return false
		})
		f.Left.Lanes = over
	}
	var shown []*load
	shown, f.Left.Loads = tail(b.loads, mostLoads)
	for _, l := range shown {
		out := l.Load
		out.ByClass = l.failures
		out.P50S, out.P99S, out.LagS = percentile(l.times, 50), percentile(l.times, 99), percentile(l.lag, 99)
		f.Loads = append(f.Loads, out)
	}
	return f
}

// end is when a replica went.
func end(l Lane) float64 {
	if l.GoneS == nil {
		return math.Inf(1)
	}
	return *l.GoneS
}

// tail are the last n of all, and how many came before.
func tail[T any](all []T, n int) ([]T, int) {
	left := max(0, len(all)-n)
	return all[left:], left
}

// now is the latest of everything.
func (b *Builder) now() Now {
	n := Now{AtS: b.at.Seconds(), Status: b.status, Step: b.step}
	if k := len(b.chronicle.Steps); k > 0 && b.step > 0 {
		n.Title = b.chronicle.Steps[k-1].Title
	}
	for _, l := range b.loads {
		n.Failed += l.Failed
	}
	for _, readings := range b.last {
		if r := readings[1]; r.Service == b.roles.Driver.Service && r.Values.Of(history.BackingOff) != 0 {
			n.Away++
		}
	}
	recent := b.line.points(max(b.line.first, int(b.at.Seconds())-20), b.loops.Known(b.at.Seconds()))
	rate, seconds := 0.0, 0
	for _, p := range slices.Backward(recent) {
		if p.Rate != nil && seconds < 3 {
			rate, seconds = rate+*p.Rate, seconds+1
		}
	}
	if seconds > 0 && len(b.last) > 0 {
		n.Rate = rounded(rate / float64(seconds))
	}
	for _, p := range slices.Backward(recent) {
		if p.Stored != nil {
			n.Stored = p.Stored
			break
		}
	}
	for s := len(b.line.recent) - 1; s >= 0 && float64(b.line.first+s) >= b.at.Seconds()-3; s-- { // the last second that a load ended
		if sec := b.line.recent[s]; len(sec.asked) > 0 {
			all := asked{}
			for _, a := range sec.asked {
				all.ok += a.ok
				add(&all.times, a.times)
			}
			n.OKPerS, n.LagS = rounded(float64(all.ok)), percentile(sec.lag, 99)
			n.P50S, n.P99S = percentile(all.times, 50), percentile(all.times, 99)
			break
		}
	}
	return n
}

func (b *Builder) service(name string) Service {
	s := Service{Name: name}
	for _, c := range slices.Backward(b.chronicle.Counts) {
		if c.Service == name {
			s.Asked = c.Replicas
			break
		}
	}
	now := b.at.Seconds()
	for _, t := range b.lives.Of(name) {
		if t.Serving(now) {
			s.Serving++
			put(&s.Versions, t.Version, s.Versions[t.Version]+1)
		}
		if t.HealthyS != nil && t.GoneS == nil {
			s.Healthy++
		}
	}
	var before, after []history.Reading
	for _, r := range b.last {
		if r[1].Service == name && r[0].Values.Len() > 0 && now-r[1].At.Seconds() < 5 {
			before, after = append(before, r[0]), append(after, r[1])
		}
	}
	busy, queue, slots := 0.0, 0.0, 0.0
	for _, u := range capacity.Replicas(b.roles, before, after) {
		share := Share{Task: u.Task, Share: *rounded(u.Share)}
		if u.Utilisation != nil {
			share.Busy = *rounded(*u.Utilisation)
			busy, queue, slots = busy+*u.Utilisation, queue+*u.Queue, slots+1
		}
		s.Shares = append(s.Shares, share)
	}
	if slots > 0 {
		s.Busy, s.Queue = rounded(busy/slots), rounded(queue)
	}
	return s
}

// Take are the points that have changed since it was called the last time: those that begin at from or later, which replace all that
// were there from then on.
func (b *Builder) Take() (from int, points []Point) {
	known := b.loops.Known(b.at.Seconds())
	from = max(0, min(b.line.dirty, int(min(known, b.known, longest))-1))
	points = b.line.points(from, known)
	b.known = known
	b.line.dirty = b.line.first + len(b.line.recent)
	return from, points
}

// All are all points, without taking them.
func (b *Builder) All() []Point { return b.line.points(0, b.loops.Known(b.at.Seconds())) }

// Recent are the points of the last so many seconds, as far as they are kept one by one.
func (b *Builder) Recent(seconds int) []Point {
	from := b.line.first + max(0, len(b.line.recent)-seconds)
	return b.line.points(from, b.loops.Known(b.at.Seconds()))
}
