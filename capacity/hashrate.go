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
// what its settings give. Where all loops are equally long the parts are exact, and so is the rate.

const hashRateMethod = "loops completed, those under way at the window's edges by their part, over the time between two readings, summed over the workers; " +
	"the interval is Student's, from the rate's slow cosines"

// progress is how far a worker was at a reading: the loops that it had completed and how long ago it completed the latest, in seconds;
// 0 while it waits after an error, and before the first.
type progress struct{ at, hashes, age float64 }

// done is the loops done: the completed ones, and of the one under way its part at the given pace (loops per second).
func (p progress) done(pace float64) float64 { return p.hashes + min(1, p.age*pace) }

// progress are the worker's at the span's readings.
func (s span) progress(start float64) []progress {
	var all []progress
	for _, r := range s.inner {
		p := progress{at: r.At.Seconds(), hashes: r.Values[history.Hashes]}
		if last := r.Values[history.LastHash]; last > 0 && r.Values[history.BackingOff] == 0 {
			p.age = max(0, start+p.at-last)
		}
		if n := len(all); n > 0 && p.at == all[n-1].at { // a poll at a window's edge
			all[n-1] = p
			continue
		}
		all = append(all, p)
	}
	return all
}

// paces are the loops per second that each worker's loops under way are measured with. A lone worker has alone.
func paces(workers [][]progress, alone float64) []float64 {
	loops, seconds, elapsed := make([]float64, len(workers)), make([]float64, len(workers)), 0.0
	allLoops, allSeconds := 0.0, 0.0
	for i, w := range workers {
		first, last := w[0], w[len(w)-1]
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
	var workers [][]progress
	for _, sp := range spans {
		workers = append(workers, sp.progress(start))
	}
	pace := paces(workers, alone)
	rates := make([]float64, len(workers))
	total, longest, fastest := 0.0, 0, 0.0
	for i, p := range workers {
		first, last := p[0], p[len(p)-1]
		seconds := last.at - first.at
		if seconds < w.LengthS-2*edge.Seconds() {
			seconds = w.LengthS
		} else if len(p) > len(workers[longest]) || workers[longest][len(workers[longest])-1].at-workers[longest][0].at < w.LengthS-2*edge.Seconds() {
			longest = i
		}
		rates[i] = (last.done(pace[i]) - first.done(pace[i])) / seconds
		total += rates[i]
		fastest = max(fastest, pace[i])
	}
	var at, done []float64 // of all workers together, at the readings of one that was there all the time
	for _, p := range workers[longest] {
		if n := len(at); n > 0 && p.at <= at[n-1] {
			continue
		}
		at, done = append(at, p.at), append(done, 0)
	}
	for i, p := range workers {
		if len(p) < 2 {
			continue
		}
		k := 0
		for j, t := range at {
			for k < len(p)-2 && p[k+1].at < t {
				k++
			}
			a, b := p[k], p[k+1]
			x := min(1, max(0, (t-a.at)/(b.at-a.at)))
			done[j] += (1-x)*a.done(pace[i]) + x*b.done(pace[i])
		}
	}
	loop := 0.0
	if total > 0 {
		loop = float64(len(workers)) / total
	}
	return slowEstimate(total, at, done, loop), rates
}

// The lengths on which an interval rests. Queues remember for about a second or a loop; what is slower than band is taken for
// independent. They were chosen on simulated windows before any coverage was counted (docs/accuracy.md).
const (
	band      = 5.0 // seconds, or loops where they are longer
	shortest  = 2.0 // seconds, and loops: a shorter window has no interval
	mostWaves = 40
	tick      = 1e-6 // seconds: what an instant in a reading resolves
)

// slowEstimate is the rate of a cumulative count that was read at several instants, with an interval that knows of correlation in
// time. The squares of the rate's first cosine coefficients are independent estimates of the variance of its mean, each of one degree
// of freedom (equal-weighted cosine estimator: Lazarus, Lewis, Stock and Watson, "HAR inference: recommendations for practice",
// Journal of Business & Economic Statistics 36, 2018, equation 10):
//
//	L(j) = integral of cos(pi j t/T) dN(t)      variance of N(T) = mean over j = 1..B of  T L(j)^2 / integral of cos^2
//
// B grows with the window: one, and one more for each band.
func slowEstimate(value float64, at, count []float64, loop float64) *Estimate {
	e := &Estimate{Value: value, Method: hashRateMethod}
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
		e.NoInterval = "the counters were read at the window's edges only"
		return e
	}
	waves := min(1+int(length/(band*max(1, loop))), n-1, mostWaves)
	variance := 0.0
	for j := 1; j <= waves; j++ {
		coefficient, weight := 0.0, 0.0
		for k := range n {
			a, b := math.Pi*float64(j)*(at[k]-at[0])/length, math.Pi*float64(j)*(at[k+1]-at[0])/length
			mean := (math.Sin(b) - math.Sin(a)) / (b - a) // of the cosine between two readings
			coefficient += mean * (count[k+1] - count[k])
			weight += mean * mean * (at[k+1] - at[k])
		}
		variance += coefficient * coefficient / weight * length / float64(waves)
	}
	e = NewEstimate(value, max(math.Sqrt(variance)/length, value*tick/length), float64(waves), e.Method)
	e.Low = ptr(max(0, *e.Low))
	return e
}
