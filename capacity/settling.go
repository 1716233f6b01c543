package capacity

import (
	"cmp"
	"math"
	"slices"

	"coinbench/history"
)

// In the first loop after a change the workers are not in a steady state: those that were started at one instant queue one behind the
// other, so that at the window's end loops are under way for longer than at its begin, and their parts are hashes that were not made. There
// all workers count as one, whose completions are those of all:
//
//	rate = completions between the latest before the begin and the latest before the end / the time between these two
//
// A server that is always busy makes them in equal steps, and the rate is exact.

const settlingMethod = "completions of all replicas of the driver over the time from the latest before the window to the latest in it, " +
	"since the window begins within a loop after a change"

// settling says whether the window begins before its workers have made a whole loop since something changed, or holds a change, in an
// app whose workers queue: by its settings there are as many as its services can feed, or more.
func (w *Window) settling(workers []edges) bool {
	loops, elapsed, fresh := 0.0, 0.0, false
	for _, e := range workers {
		loops += e.end.hashes - e.begin.hashes
		elapsed += e.end.at - e.begin.at
		fresh = fresh || e.begin.hashes == 0
	}
	knee := w.Config.Bounds().KneeWorkers
	queued := knee == nil || float64(len(workers)) >= *knee-1e-6
	return queued && loops > 0 && (fresh || w.BeginS-w.changedS < elapsed/loops)
}

// merged are the workers as one, at common instants.
func (w *Window) merged(spans []span, start float64) []progress {
	var all []progress
	for _, t := range w.instants(spans) {
		p, latest := progress{at: t}, math.Inf(-1)
		for _, s := range spans {
			hashes, last := s.task.completed(t, start)
			p.hashes += hashes
			if hashes > 0 {
				latest = max(latest, last)
			}
		}
		if !math.IsInf(latest, 0) {
			p.age = max(0, p.at-latest)
		}
		all = append(all, p)
	}
	return all
}

// completed is how many loops a worker had completed by an instant of a run that began at start (Unix seconds), and when the latest was.
// Tasks are read at instants of their own, and each reading has the instant of the latest completion: so of a loop between two readings it
// is known on which side of the instant it ended, and of several, which are taken for equal steps, nearly so.
func (t *task) completed(at, start float64) (hashes, latest float64) {
	state := func(r history.Reading) (float64, float64) {
		return r.Values.Of(history.Hashes), r.Values.Of(history.LastHash) - start
	}
	next, _ := slices.BinarySearchFunc(t.readings, at, func(r history.Reading, at float64) int { return cmp.Compare(r.At.Seconds(), at) })
	if next == len(t.readings) {
		return state(t.readings[next-1])
	}
	hashes, latest = state(t.readings[next])
	if hashes == 0 || latest <= at {
		return hashes, latest
	}
	before, since := 0.0, max(0, t.started.Seconds())
	if next > 0 {
		if n, last := state(t.readings[next-1]); n > 0 {
			before, since = n, last
		}
	}
	if hashes <= before {
		return before, since
	}
	step := (latest - since) / (hashes - before)
	made := min(hashes-before-1, max(0, math.Floor((at-since)/step)))
	return before + made, since + made*step
}

// settlingRate is the hash rate of a window that settles, and each worker's by its count alone; nil where all workers together completed
// too little to say.
func (w *Window) settlingRate(spans []span, workers []edges, start float64) (*Estimate, []float64) {
	all := w.merged(spans, start)
	e := edges{all[0], all[len(all)-1]}
	pace := pace(e.end.hashes-e.begin.hashes, e.seconds())
	if pace == 0 {
		return nil, nil
	}
	var at, done []float64
	for _, p := range all {
		at, done = append(at, p.at), append(done, p.done(pace, onePart))
	}
	rates := make([]float64, len(workers))
	for i, p := range workers {
		rates[i] = (p.end.hashes - p.begin.hashes) / (e.end.at - e.begin.at)
	}
	estimate := slowEstimate(pace, w.LengthS, at, done, float64(len(workers))/pace, 0)
	estimate.Method = settlingMethod
	return estimate, rates
}
