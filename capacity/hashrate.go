package capacity

import (
	"fmt"
	"math"

	"coinbench/history"
)

// The hash rate of a window has one estimator, the same for every worker and every window. A window cuts loops at its edges, and a
// count of completed loops alone is off by up to one loop of each worker where the workers are in step. So loops under way count by
// their part:
//
//	rate = sum over the workers of (hashes + part at the end - part at the begin) / time
//	part = min(1, time since the latest completion x pace)
//
// In a steady state the parts at both edges have the same distribution, whatever the pace is, so that the estimator is unbiased for
// every distribution of loops as long as a worker's pace does not depend on the worker's own edges. Hence the pace is that of the
// other workers in the same window, from completion to completion; that of a single worker, which meets no queue of its own making, is
// what its settings give, or what its stages take where they are set to be equally long. Where all loops are equally long the parts are exact, and so is the rate.

const hashRateMethod = "loops completed, those under way at the window's edges by their part, over the time between two readings, summed over the workers; " +
	"the interval is Student's, from the rate's slow cosines"

// progress is how far a worker was at a reading: the loops that it had completed and how long ago it completed the latest, in seconds;
// 0 while it waits after an error, and before the first.
type progress struct{ at, hashes, age float64 }

// done is the loops done: the completed ones, and of the one under way its part at the given pace (loops per second).
func (p progress) done(pace float64) float64 { return p.hashes + min(1, p.age*pace) }

// progressAt is how far a worker was at a reading of a run that began at start (Unix seconds).
func progressAt(r history.Reading, start float64) progress {
	p := progress{at: r.At.Seconds(), hashes: r.Values[history.Hashes]}
	if last := r.Values[history.LastHash]; last > 0 && r.Values[history.BackingOff] == 0 {
		p.age = max(0, start+p.at-last)
	}
	return p
}

// progress are the worker's at the span's ends.
func (s span) progress(start float64) edges {
	return edges{progressAt(s.first, start), progressAt(s.last, start)}
}

// paces are the loops per second that each worker's loops under way are measured with. A lone worker has alone.
func paces(workers []edges, alone float64) []float64 {
	loops, seconds, elapsed := make([]float64, len(workers)), make([]float64, len(workers)), 0.0
	allLoops, allSeconds := 0.0, 0.0
	for i, w := range workers {
		first, last := w.begin, w.end
		loops[i] = last.hashes - first.hashes
		seconds[i] = last.at - first.at - last.age + first.age // from completion to completion
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

// estimateRate is the hash rate of a window from the spans of its workers. alone is the pace of a worker that never waits, by the
// settings; 0: unknown. It returns each worker's rate, too, over the window's time: a worker that was there for a part of it counts
// for that part.
func (w *Window) estimateRate(s series, spans []span, alone float64) (*Estimate, []float64) {
	start := float64(s.start.UnixNano()) / 1e9
	var workers []edges
	for _, sp := range spans {
		workers = append(workers, sp.progress(start))
	}
	pace := paces(workers, alone)
	rates, total := make([]float64, len(workers)), 0.0
	for i, p := range workers {
		first, last := p.begin, p.end
		seconds := last.at - first.at
		if w.partly(seconds) {
			seconds = w.LengthS
		}
		rates[i] = (last.done(pace[i]) - first.done(pace[i])) / seconds
		total += rates[i]
	}
	at, done := w.together(spans, func(i, k int) float64 { return progressAt(spans[i].inner[k], start).done(pace[i]) })
	loop := 0.0
	if total > 0 {
		loop = float64(len(workers)) / total
	}
	e := slowEstimate(total, at, done, loop)
	e.Method = hashRateMethod
	return e, rates
}

// partly says whether a task whose readings are so many seconds apart was there for a part of the window only.
func (w *Window) partly(seconds float64) bool { return seconds < w.LengthS-2*edge.Seconds() }

// together adds a cumulative value of several tasks, value(i, k) at reading k of span i, at the instants at which the one with the most
// readings was read; those of others lie between two of their own readings.
func (w *Window) together(spans []span, value func(i, k int) float64) (at, sum []float64) {
	most := 0
	for i, s := range spans {
		if partly := w.partly(spans[most].seconds()); partly && !w.partly(s.seconds()) || partly == w.partly(s.seconds()) && len(s.inner) > len(spans[most].inner) {
			most = i
		}
	}
	for _, r := range spans[most].inner {
		if n := len(at); n == 0 || r.At.Seconds() > at[n-1] {
			at = append(at, r.At.Seconds())
		}
	}
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

// The lengths on which an interval rests. Queues remember for about a second or a loop; what is slower than band is taken for
// independent. They were tuned once, after a first table of coverage: what docs/accuracy.md counts with them is no proof that is
// independent of the choice.
const (
	band      = 5.0 // seconds, or loops where they are longer
	shortest  = 2.0 // seconds, and loops: a shorter window has no interval
	memory    = .8  // seconds, or loops where they are longer: m of slowEstimate
	mostWaves = 40
	tick      = 1e-6 // seconds: what an instant in a reading resolves
)

// slowEstimate is the rate of a cumulative count that was read at several instants, with an interval that knows of correlation in
// time. The squares of the rate's first cosine coefficients are independent estimates of the variance of its mean, each of one degree
// of freedom (equal-weighted cosine estimator: Lazarus, Lewis, Stock and Watson, "HAR inference: recommendations for practice",
// Journal of Business & Economic Statistics 36, 2018, equation 10):
//
//	L(j) = integral of cos(pi j t/T) dN(t)      variance of N(T) = mean over j = 1..B of  T L(j)^2 / integral of cos^2 x (1 + (pi j m/T)^2)
//
// The last factor is what a cosine misses of the slowest movements where the rate has a memory of m seconds, as a first-order
// autoregression has it. B grows with the window: one, and one more for each band.
func slowEstimate(value float64, at, count []float64, loop float64) *Estimate {
	e := &Estimate{Value: value}
	n := len(at) - 1
	length := 0.0
	if n > 0 {
		length = at[n] - at[0]
	}
	if least := shortest * max(1, loop); length < least-2*edge.Seconds()*least/shortest {
		e.NoInterval = fmt.Sprintf("a window of %.3g s is too short for an interval; it takes %.3g s", length, least)
		return e
	}
	if n < 2 {
		e.NoInterval = "it was read at its two ends only"
		return e
	}
	waves := min(1+int(length/(band*max(1, loop))), n-1, mostWaves)
	variance := 0.0
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
		missed := math.Pi * float64(j) * memory * max(1, loop) / length
		variance += coefficient * coefficient / weight * length / float64(waves) * (1 + missed*missed)
	}
	e = NewEstimate(value, max(math.Sqrt(variance)/length, value*tick/length), float64(waves), e.Method)
	e.Low = ptr(max(0, *e.Low))
	return e
}
