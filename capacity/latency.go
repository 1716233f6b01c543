package capacity

import (
	"cmp"
	"slices"

	"coinbench/history"
)

// Latency is a distribution of times. A percentile p is the least time within which p % of the requests were answered: of n times that are
// all known, the one of rank n p/100, rounded up, in ascending order ("nearest rank").
//
// Requests that were given up without an answer count as at least the time for which they were waited for, by the product-limit estimate of
// Kaplan and Meier ("Nonparametric estimation from incomplete observations", Journal of the American Statistical Association 53, 1958):
// each passes its share on to the requests that took longer. The share of those that took longer than anything that was seen is Beyond.
type Latency struct {
	Count   int64 `json:"count"`              // of the requests that were answered
	GivenUp int64 `json:"given_up,omitempty"` // and of those that were not
	// share of the requests, 0..1, that took longer than MaxS: percentiles above 100 (1 - Beyond), the mean and the maximum are "at least"
	Beyond float64 `json:"beyond,omitempty"`
	Exact  bool    `json:"exact"` // from every single request; false: from histograms of three digits
	MinS   float64 `json:"min_s"`
	MeanS  float64 `json:"mean_s"`
	P50S   float64 `json:"p50_s"`
	P66S   float64 `json:"p66_s"`
	P75S   float64 `json:"p75_s"`
	P80S   float64 `json:"p80_s"`
	P90S   float64 `json:"p90_s"`
	P95S   float64 `json:"p95_s"`
	P98S   float64 `json:"p98_s"`
	P99S   float64 `json:"p99_s"`
	P999S  float64 `json:"p99_9_s"`
	MaxS   float64 `json:"max_s"`

	steps []step // of the distribution, ascending
}

// step says that a share of the requests took at most a time.
type step struct{ share, s float64 }

// percentile is the time, in seconds, that a percentage of the requests took at most; MaxS where that is beyond what is known.
func (l *Latency) percentile(percent float64) float64 {
	i, _ := slices.BinarySearchFunc(l.steps, percent/100*(1-tie), func(s step, share float64) int { return cmp.Compare(s.share, share) })
	if i == len(l.steps) {
		return l.MaxS
	}
	return l.steps[i].s
}

// AtLeast says whether the percentile (0..100; 100 for the maximum and the mean) is only a lower bound.
func (l *Latency) AtLeast(percentile float64) bool { return percentile > 100*(1-l.Beyond)*(1+tie) }

// tie is the relative error of sums of shares.
const tie = 1e-9

// tied are requests that took, or were waited for, the same time.
type tied struct {
	s                 float64
	answered, givenUp int64
}

// newLatency is the distribution of times in ascending order; nil: there is none.
func newLatency(ascending []tied, exact bool) *Latency {
	l := &Latency{Exact: exact}
	for _, t := range ascending {
		l.Count += t.answered
		l.GivenUp += t.givenUp
	}
	n := l.Count + l.GivenUp
	if n == 0 || ascending[len(ascending)-1].s <= 0 && l.Count == 0 {
		return nil
	}
	l.MinS, l.MaxS = ascending[0].s, ascending[len(ascending)-1].s
	if i := slices.IndexFunc(ascending, func(t tied) bool { return t.answered > 0 }); i > 0 {
		l.MinS = ascending[i].s
	}
	wanted := []struct {
		tenths float64
		to     *float64
	}{{500, &l.P50S}, {660, &l.P66S}, {750, &l.P75S}, {800, &l.P80S}, {900, &l.P90S}, {950, &l.P95S}, {980, &l.P98S}, {990, &l.P99S}, {999,
		&l.P999S}}
	for _, w := range wanted {
		*w.to = l.MaxS
	}
	share, reached, left := 1.0, 0.0, n // share: of each request that is left; reached: the sum of the shares of the answered ones
	tolerance := 0.0
	for _, t := range ascending {
		reached += share * float64(t.answered)
		l.MeanS += share * float64(t.answered) * t.s
		for len(wanted) > 0 && reached*1000 >= wanted[0].tenths*float64(n)*(1-tolerance) {
			*wanted[0].to = t.s
			wanted = wanted[1:]
		}
		if t.answered > 0 {
			l.steps = append(l.steps, step{reached / float64(n), t.s})
		}
		left -= t.answered
		if t.givenUp > 0 && left > t.givenUp {
			share *= float64(left) / float64(left-t.givenUp)
			tolerance = tie // from here on shares are no whole numbers
		}
		left -= t.givenUp
	}
	if last := ascending[len(ascending)-1]; last.givenUp > 0 {
		l.Beyond = share * float64(last.givenUp) / float64(n)
		l.MeanS += l.Beyond * float64(n) * last.s
	}
	l.MeanS /= float64(n)
	return l
}

// NewLatency is the distribution of times, in seconds, that are all known. It sorts them.
func NewLatency(seconds []float64) *Latency { return latencyOf(seconds, nil) }

// latencyOf is the distribution of response times, in seconds, and of the times for which others were waited for in vain. It sorts both.
func latencyOf(answered, givenUp []float64) *Latency {
	return newLatency(tiedOf(answered, givenUp), true)
}

// tiedOf are times, in seconds, in ascending order. It sorts both.
func tiedOf(answered, givenUp []float64) []tied {
	slices.Sort(answered)
	slices.Sort(givenUp)
	all := make([]tied, 0, len(answered)+len(givenUp))
	for _, s := range answered {
		all = append(all, tied{s: s, answered: 1})
	}
	for _, s := range givenUp {
		all = append(all, tied{s: s, givenUp: 1})
	}
	if len(givenUp) > 0 {
		slices.SortStableFunc(all, func(a, b tied) int { return cmp.Compare(a.s, b.s) })
	}
	return all
}

// HistogramLatency is the distribution of response times, and of the times for which others were waited for in vain, from histograms; nil
// ones are empty. Each time is the greatest that its histogram does not tell from it; the longest one is exact.
func HistogramLatency(answered, givenUp *history.Histogram) *Latency {
	l := newLatency(tiedIn(answered, givenUp), false)
	if l != nil && l.GivenUp == 0 {
		l.MeanS = answered.Mean() / 1e9 // of the middles of what is not told apart
	}
	return l
}

// tiedIn are the times of histograms in ascending order.
func tiedIn(answered, givenUp *history.Histogram) (all []tied) {
	for ns, n := range answered.Times {
		all = append(all, tied{s: inSeconds(ns), answered: n})
	}
	for ns, n := range givenUp.Times {
		all = append(all, tied{s: inSeconds(ns), givenUp: n})
	}
	slices.SortStableFunc(all, func(a, b tied) int { return cmp.Compare(a.s, b.s) })
	return all
}
