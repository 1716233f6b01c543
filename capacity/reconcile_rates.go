package capacity

import (
	"fmt"
	"math"
	"strings"

	"coinbench/history"
	"coinbench/internal/visible"
)

// BookRate is the hash rate of a window as one side saw it.
type BookRate struct {
	Name   string  `json:"name"`
	PerS   float64 `json:"per_s"`
	StdErr float64 `json:"std_err"` // of what was done in this window, not of the rate in the long run, which all sides share
}

// contrary is by how many standard errors of their difference two rates may differ.
const contrary = 3

// bookRates are the hash rate of a window by the workers' completions, by the last station's posts less those of loads, and by the counter
// in the store with what was lost before it got there. There are none where a task came or went, whose last doings were not read.
//
// All three count the same hashes, so that their errors are those of the edges. An edge finds a count of whole lumps anywhere between
// two of them: an error that is uniform over a lump, of variance lump^2/12 (that of a quantiser: Bennett, "Spectra of quantized
// signals", Bell System Technical Journal 27, 1948), and two edges make lump^2/6. Workers that start together stay in step, so that
// their lumps add up:
//
//	posts         one for each worker:                       lump = workers
//	Redis         a worker flushes with its first loop after a second, 1 s x its rate + 1 hashes at most:    lump = 1 s x hash rate + workers
//	completions   loops under way count by their part, up to two, and what that leaves is each worker's own: variance = workers x 2^2/6
func (w *Window) bookRates(run *history.Run, s series) []BookRate {
	n := float64(len(w.Workers))
	if w.HashRate == nil || w.Config.Updating || n == 0 || len(w.Workers) != w.workers() || w.LengthS <= 0 {
		return nil
	}
	rates := []BookRate{{"the " + s.roles.Driver.Plural + "' completions", w.HashRate.Value, math.Sqrt(n*twoParts*twoParts/6) / w.LengthS}}
	spans := func(service string) (all []span, ok bool) {
		for _, t := range s.of(service) {
			sp, there := t.between(duration(w.BeginS), duration(w.EndS))
			switch {
			case there && w.partly(sp.seconds()):
				return nil, false
			case there:
				all = append(all, sp)
			case t.readings[0].At < duration(w.EndS) && t.readings[len(t.readings)-1].At > duration(w.BeginS):
				return nil, false
			}
		}
		return all, len(all) > 0
	}
	if _, ok := spans(s.roles.Driver.Service); !ok {
		return nil
	}
	// An exception leaves open whether the last station answered the post that it took, and whether the loop was over.
	doubtful := w.Errors
	last := s.roles.Last()
	if answering, ok := spans(last.Service); ok {
		made, seconds := 0.0, 0.0
		label, method := posts(last)
		for _, sp := range answering {
			made += sp.deltaOf(history.Requests, label)
			seconds += sp.seconds() / float64(len(answering))
		}
		variance := n*n/6 + doubtful*doubtful
		for _, l := range run.Loads {
			if l.Service == last.Service && strings.EqualFold(l.Method, method) {
				of, error := postsIn(l, answering[0].first.At.Seconds(), answering[0].last.At.Seconds())
				made -= of
				variance += error
			}
		}
		rates = append(rates, BookRate{last.Service + "'s posts", made / seconds, math.Sqrt(variance) / seconds})
	}
	if store, ok := spans(s.roles.Store.Service); ok && len(store) == 1 {
		seconds := store[0].seconds()
		lump := flushS*w.HashRate.Value + n
		added := store[0].delta(history.RedisHashes) + w.Lost
		rates = append(rates, BookRate{"the counter in " + s.roles.Store.Service, added / seconds,
			math.Sqrt(lump*lump/6+doubtful*doubtful) / seconds})
	}
	return rates
}

// flushS is how long a worker keeps its hashes at least before it adds them to the store, in seconds.
const flushS = 1.0

// postsIn is how many requests of a load were answered between two instants, and the variance of that: requests that the load gave
// up may have been answered, and intervals that an edge cuts are a lump at each.
func postsIn(l history.Load, beginS, endS float64) (n, variance float64) {
	n = answeredIn(l, beginS, endS)
	gaveUp, lump := 0.0, 0.0
	for _, i := range l.Intervals {
		if begin, end := i.At.Seconds(), (i.At + i.Length).Seconds(); min(end, endS) > max(begin, beginS) {
			lump = max(lump, float64(l.Clients))
			gaveUp += answered(i) - float64(i.OK)
			if l.Closing == nil || int64(len(l.Samples)) != l.Closing.Due {
				lump = max(lump, answered(i))
			}
		}
	}
	return n, lump*lump/6 + gaveUp*gaveUp
}

// contradictions names the pairs of a window's rates that differ by more than three standard errors of their difference.
func contradictions(window string, rates []BookRate) []string {
	var all []string
	for i, a := range rates {
		for _, b := range rates[i+1:] {
			error := math.Hypot(a.StdErr, b.StdErr)
			if math.Abs(a.PerS-b.PerS) > contrary*error {
				all = append(all, fmt.Sprintf("window %s: %s and %s contradict each other: %s and %s hashes/s, "+
					"whose difference has a standard error of %s",
					window, a.Name, b.Name, visible.Figures(a.PerS), visible.Figures(b.PerS), visible.Figures(error)))
			}
		}
	}
	return all
}
