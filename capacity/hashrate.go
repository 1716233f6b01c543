package capacity

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"coinbench/history"
)

// The hash rate of a window has one estimator, the same for every worker. A window cuts loops at its edges, and a count of completed
// loops alone is off by up to one loop of each worker where the workers are in step. So loops under way count by their part:
//
//	rate = sum over the workers of (hashes + part at the end - part at the begin) / time
//	part = time since the latest completion x pace
//
// The pace at an edge is that of all workers in a time of fixed length before that edge. So the part is the same function of the app's
// past at both edges, and in a steady state its mean is the same at both, whatever the function is: the estimator has no bias for any
// distribution of delays and any correlation between workers. Where nothing varies the pace is exact, and so is the rate, of workers
// that are locked to unequal loops as well.
//
// The time before the first edge must have been like the window: see lead. Where there is too little of it, the pace is that of the
// other workers from the latest change to the window's end, or what a lone worker's settings give, and a part is at most a loop: a
// pace that an edge's own loops make shifts the rate by up to a hundredth in windows of one loop, and by less than .3 % from two on.

const hashRateMethod = "loops completed, those under way at the window's edges by their part, over the time between two readings, " +
	"summed over the driver's replicas; " +
	"the interval is Student's, from the rate's slow cosines"

// progress is how far a worker was at a reading: the loops that it had completed and how long ago it completed the latest, in seconds;
// 0 while it waits after an error, and before the first.
type progress struct{ at, hashes, age float64 }

// Parts of a loop under way: at most one, or two where the pace is that of the time before, since workers that are locked to unequal
// loops are at it for longer than the mean loop. A worker that hangs is not at its loop for ever.
const (
	onePart  = 1.0
	twoParts = 2.0
)

// done is the loops done: the completed ones, and of the one under way its part at the given pace (loops per second), which is at most
// that.
func (p progress) done(pace, most float64) float64 { return p.hashes + min(most, p.age*pace) }

// progressAt is how far a worker was at a reading of a run that began at start (Unix seconds). Before its first completion it is at its
// loop since it was started; unknown: negative.
func progressAt(r history.Reading, start float64, started time.Duration) progress {
	p := progress{at: r.At.Seconds(), hashes: r.Values.Of(history.Hashes)}
	switch last := r.Values.Of(history.LastHash); {
	case r.Values.Of(history.BackingOff) != 0:
	case last > 0:
		p.age = max(0, start+p.at-last)
	case started >= 0:
		p.age = max(0, (r.At - started).Seconds())
	}
	return p
}

// progress are the worker's at the span's ends.
func (s span) progress(start float64) edges {
	return edges{progressAt(s.first, start, s.task.started), progressAt(s.last, start, s.task.started)}
}

// paces are the loops per second that each worker's loops under way are measured with where too little is known of the time before: of
// the others between two readings of each, which are the window's or begin before it. A lone worker has alone.
func paces(workers []edges, alone float64) []float64 {
	loops, seconds, elapsed := make([]float64, len(workers)), make([]float64, len(workers)), 0.0
	allLoops, allSeconds := 0.0, 0.0
	for i, w := range workers {
		first, last := w.begin, w.end
		loops[i] = last.hashes - first.hashes
		seconds[i] = w.seconds()
		elapsed += last.at - first.at
		allLoops += loops[i]
		allSeconds += seconds[i]
	}
	if len(workers) == 1 && alone > 0 {
		return []float64{alone}
	}
	all := make([]float64, len(workers))
	for i := range workers {
		n, t := allLoops-loops[i], allSeconds-seconds[i]
		if len(workers) == 1 {
			n, t = allLoops, allSeconds
		}
		if n > 0 && t > 0 {
			all[i] = min(n/t, 2*allLoops/elapsed) // few loops that happen to be short are no pace
		}
	}
	return all
}

// seconds are those from completion to completion: of the whole loops.
func (e edges) seconds() float64 { return e.end.at - e.begin.at - e.end.age + e.begin.age }

// pace is the loops in a number of seconds from completion to completion, in loops per second; 0 where there is no whole loop.
func pace(loops, seconds float64) float64 {
	if loops <= 0 || seconds <= 0 {
		return 0
	}
	return loops / seconds
}

// lead is what is known of the steady time before a window: the readings of each worker since the latest change.
type lead struct {
	workers [][]progress
	lag     float64 // over which a pace is taken, in seconds
	mean    float64 // pace of all workers from the change to the window's end
	spans   []span  // of the window and of lag before it
}

const (
	leastLead = 2.0 // loops: a pace from fewer is none
	mostLead  = 5.0 // seconds, or loops where they are longer
)

// lead finds how long before the window the app was as it is in it. Of that time, the later half is taken, and no more than mostLead: what
// the change stirred up is settling in the earlier one. The pace at its begin is that of as long a time before. It is nil where that is
// less than leastLead, and where something changed within the window.
func (w *Window) lead(spans []span, start float64) *lead {
	l, known := &lead{}, w.BeginS-w.changedS
	loops, seconds := 0.0, 0.0
	var all [][]history.Reading
	for _, s := range spans {
		if w.partly(s.seconds()) {
			return nil
		}
		since := slices.IndexFunc(s.task.readings, func(r history.Reading) bool {
			return r.At.Seconds() >= w.changedS &&
				r.Values.Of(history.Hashes) > 0
		})
		if since < 0 || s.task.readings[since].At >= s.first.At {
			return nil
		}
		until := slices.IndexFunc(s.task.readings, func(r history.Reading) bool { return r.At >= s.last.At })
		all = append(all, s.task.readings[since:until+1])
		known = min(known, (s.first.At - s.task.readings[since].At).Seconds())
		e := edges{progressAt(s.task.readings[since], start, s.task.started), progressAt(s.last, start, s.task.started)}
		loops, seconds = loops+e.end.hashes-e.begin.hashes, seconds+e.seconds()
	}
	if l.mean = pace(loops, seconds); l.mean == 0 {
		return nil
	}
	wanted := min(known/2, mostLead*max(1, 1/l.mean))
	if wanted < leastLead/l.mean {
		return nil
	}
	for i, s := range spans {
		var worker []progress
		for _, r := range all[i] {
			worker = append(worker, progressAt(r, start, s.task.started))
		}
		from := nearest(worker, s.first.At.Seconds()-wanted)
		if i == 0 {
			l.lag = s.first.At.Seconds() - worker[from].at
		}
		l.workers = append(l.workers, worker)
		l.spans = append(l.spans, span{task: s.task, first: all[i][from], last: s.last, inner: all[i][from:]})
	}
	if l.lag < leastLead/l.mean || l.paceAt(w.BeginS) == 0 || l.paceAt(w.EndS) == 0 {
		return nil // the readings are too far apart for it
	}
	return l
}

// nearest is the index of the reading nearest to an instant.
func nearest(p []progress, at float64) int {
	i, _ := slices.BinarySearchFunc(p, at, func(p progress, at float64) int { return cmp.Compare(p.at, at) })
	if i == len(p) || i > 0 && at-p[i-1].at <= p[i].at-at {
		i--
	}
	return i
}

// paceAt is the pace of all workers in the lead's lag before an instant, in loops per second.
func (l *lead) paceAt(t float64) float64 {
	loops, seconds := 0.0, 0.0
	for _, readings := range l.workers {
		to := nearest(readings, t)
		from := min(nearest(readings, readings[to].at-l.lag), max(0, to-1))
		e := edges{readings[from], readings[to]}
		loops, seconds = loops+e.end.hashes-e.begin.hashes, seconds+e.seconds()
	}
	return pace(loops, seconds)
}

// estimateRate is the hash rate of a window from the spans of its workers. alone is the pace of a worker that never waits, by the
// settings; 0: unknown. remembers is for how long the queues remember, in seconds, at a hash rate. It returns each worker's rate, too, over
// the window's time: a worker that was there for a part of it counts for that part.
func (w *Window) estimateRate(s series, spans []span, alone float64, remembers func(rate float64) float64) (*Estimate, []float64) {
	start := float64(s.start.UnixNano()) / 1e9
	var workers, known []edges // in the window; since the latest change
	for _, sp := range spans {
		e := sp.progress(start)
		workers, known = append(workers, e), append(known, e)
		for _, r := range sp.task.readings {
			if r.At.Seconds() >= w.changedS && r.At < sp.first.At && r.Values.Of(history.LastHash) > 0 {
				known[len(known)-1].begin = progressAt(r, start, sp.task.started)
				break
			}
		}
	}
	if w.settling(workers) {
		if e, rates := w.settlingRate(spans, workers, start); e != nil {
			return e, rates
		}
	}
	each := paces(known, alone)
	done := func(i int, p progress) float64 { return p.done(each[i], onePart) }
	rates := make([]float64, len(workers))
	total := 0.0
	measure := func() {
		total = 0
		for i, p := range workers {
			seconds := p.end.at - p.begin.at
			if w.partly(seconds) {
				seconds = w.LengthS
			}
			rates[i] = (done(i, p.end) - done(i, p.begin)) / seconds
			total += rates[i]
		}
	}
	measure()
	loop := 0.0
	if total > 0 {
		loop = float64(len(workers)) / total
	}
	if l := w.lead(spans, start); l != nil {
		begin, end := l.paceAt(w.BeginS), l.paceAt(w.EndS)
		done = func(_ int, p progress) float64 {
			if p.at < (w.BeginS+w.EndS)/2 {
				return p.done(begin, twoParts)
			}
			return p.done(end, twoParts)
		}
		measure()
		// How the rate varies is seen at one pace: the readings in between are as far apart as they happen to be.
		spans, done = l.spans, func(_ int, p progress) float64 { return p.done(l.mean, twoParts) }
	}
	at, sum := w.together(spans, func(i, k int) float64 { return done(i, progressAt(spans[i].inner[k], start, spans[i].task.started)) })
	e := slowEstimate(total, w.LengthS, at, sum, loop, remembers(total))
	e.Method = hashRateMethod
	return e, rates
}

// partly says whether a task whose readings are a number of seconds apart was there for a part of the window only.
func (w *Window) partly(seconds float64) bool { return seconds < w.LengthS-2*edge.Seconds() }

// instants are those at which tasks are added up, in seconds: at which the one with the most readings was read. Tasks are read one after
// the other, so the first is that by which all were read that were there for the whole window, and the last that until which all were.
func (w *Window) instants(spans []span) (at []float64) {
	most := spans[0]
	for _, s := range spans {
		if partly := w.partly(most.seconds()); partly && !w.partly(s.seconds()) || partly == w.partly(s.seconds()) &&
			len(s.inner) > len(most.inner) {
			most = s
		}
	}
	first, last := ends(most)
	for _, s := range spans {
		if !w.partly(s.seconds()) && !w.partly(most.seconds()) {
			from, to := ends(s)
			first, last = max(first, from), min(last, to)
		}
	}
	if first >= last { // of a window that is as short as the time in which all are read
		first, last = ends(most)
	}
	at = append(at, first)
	for _, r := range most.inner {
		if t := r.At.Seconds(); t > at[len(at)-1] && t < last {
			at = append(at, t)
		}
	}
	return append(at, last)
}

// ends are the instants of a span's first and last inner reading.
func ends(s span) (first, last float64) {
	return s.inner[0].At.Seconds(), s.inner[len(s.inner)-1].At.Seconds()
}

// together adds a cumulative value of several tasks, value(i, k) at reading k of span i, at common instants, which lie between two readings
// of each.
func (w *Window) together(spans []span, value func(i, k int) float64) (at, sum []float64) {
	at = w.instants(spans)
	sum = make([]float64, len(at))
	for i, s := range spans {
		k := 0
		for j, t := range at {
			for k < len(s.inner)-2 && s.inner[k+1].At.Seconds() < t {
				k++
			}
			a, b := s.inner[k].At.Seconds(), s.inner[k+1].At.Seconds()
			x := 1.0
			if b > a {
				x = min(1, max(0, (t-a)/(b-a)))
			}
			sum[j] += (1-x)*value(i, k) + x*value(i, k+1)
		}
	}
	return at, sum
}

// The lengths on which an interval rests. The rate remembers for about a second or a loop, or for as long as its queues do where they
// are longer; what is slower than band is taken for independent. They were chosen after tables of coverage: what docs/accuracy.md counts
// with them is no proof that is independent of the choice, but for the settings that it draws.
const (
	band      = 3.5 // memories
	shortest  = 2.0 // seconds, and loops: a shorter window has no interval
	memory    = .8  // of a second, a loop or the queues' memory, whichever is longest: m of slowEstimate
	mostWaves = 40
	tick      = 1e-6 // seconds: what an instant in a reading resolves
)

// slowEstimate is the rate of a cumulative count in a window of that length (seconds), with an interval that knows of correlation in
// time. The count was read at several instants, of the window or of a longer time in which the rate is the same. loop is that of the
// workers and remembers the memory of queues, in seconds.
//
// The squares of the rate's first cosine coefficients are independent estimates of its spectral density at frequency 0, each of one degree
// of freedom (equal-weighted cosine estimator: Lazarus, Lewis, Stock and Watson, "HAR inference: recommendations for practice",
// Journal of Business & Economic Statistics 36, 2018, equation 10):
//
//	L(j) = integral of cos(pi j t/T) dN(t)      density S = mean over j = 1..B of  L(j)^2 / integral of cos^2 x (1 + (pi j m/T)^2)
//	variance of the count in a window of length W:  S (W - m (1 - exp(-W/m)))
//
// The last factors are what a cosine and a window miss of the slowest movements where the rate has a memory of m seconds, as a first-order
// autoregression has it. B grows with the time: one, and one more for each band.
func slowEstimate(value, window float64, at, count []float64, loop, remembers float64) *Estimate {
	e := &Estimate{Value: value}
	n := len(at) - 1
	length := 0.0
	if n > 0 {
		length = at[n] - at[0]
	}
	if least := shortest * max(1, loop); window < least-2*edge.Seconds()*least/shortest {
		e.NoInterval = fmt.Sprintf("a window of %.3g s is too short for an interval; it takes %.3g s", window, least)
		return e
	}
	if least := shortest * remembers; length < least-2*edge.Seconds() {
		e.NoInterval = fmt.Sprintf("%.3g s are too short for an interval where queues remember what was drawn for %.3g s; it takes %.3g s, "+
			"the time before the window in which nothing changed included",
			length, remembers, least)
		return e
	}
	if n < 2 {
		e.NoInterval = "it was read at its two ends only"
		return e
	}
	unit := max(1, loop, remembers)
	m := memory * unit
	waves := min(1+int(length/(band*unit)), n-1, mostWaves)
	density := 0.0
	for j := 1; j <= waves; j++ {
		coefficient, weight := 0.0, 0.0
		for k := range n {
			a, b := math.Pi*float64(j)*(at[k]-at[0])/length, math.Pi*float64(j)*(at[k+1]-at[0])/length
			mean := math.Cos(a)
			if b > a { // not two readings at one instant, as where an event divides a load's second at its end
				mean = (math.Sin(b) - math.Sin(a)) / (b - a) // of the cosine between the readings
			}
			coefficient += mean * (count[k+1] - count[k])
			weight += mean * mean * (at[k+1] - at[k])
		}
		missed := math.Pi * float64(j) * m / length
		density += coefficient * coefficient / weight / float64(waves) * (1 + missed*missed)
	}
	variance := density * (window + m*math.Expm1(-window/m))
	e = NewEstimate(value, max(math.Sqrt(variance)/window, value*tick/window), float64(waves), e.Method)
	e.Low = ptr(max(0, *e.Low))
	return e
}

// queueMemory is for how long the queues of a service remember, in seconds, where each request draws its replica. A replica that was drawn
// often has a queue, and is left behind only as the queues' lengths wander off, like a particle between walls: that takes between .8 q^2 s,
// of two replicas, and 4 q^2 s, of many (the relaxation of a random walk and of M/M/1: Cox and Smith, "Queues", 1961, section 2.6), where q
// is the mean number of requests at a replica, by Little's law, and s the time that one takes.
func (c Config) queueMemory(service string, ratePerS, stageS float64) float64 {
	told, replicas := c.told[service], float64(c.Replicas[service])
	if c.balances[service] != "random" || replicas < 2 || told.Concurrency < 1 {
		return 0
	}
	q := ratePerS * stageS / replicas
	return 2 * q * q * meanService(told) / float64(told.Concurrency)
}
