package capacity

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"coinbench/history"
)

// The requests of a load are not independent: they meet each other's queues. So the errors of a load's numbers are found from how its
// seconds differ, as that of the hash rate is, and are never smaller than those of independent requests.

// second is a part of a load: the requests that were due in it (where every request was kept) or ended in it.
type second struct {
	end       float64
	answered  float64 // well
	times     []tied  // of the answered ones and of those that were given up
	total     float64 // of them
	sum, tall float64 // of times, and of their squares
}

// seconds are the load's parts. A load whose requests were all kept is cut into seconds from its first one.
func (r *LoadResult) seconds(l history.Load, begin, end float64, kept bool) []second {
	var all []second
	if !kept {
		ends := func(a, b history.Interval) int { return cmp.Compare(a.At+a.Length, b.At+b.Length) }
		for _, i := range slices.SortedStableFunc(slices.Values(l.Intervals), ends) {
			if end := (i.At + i.Length).Seconds(); len(all) == 0 || all[len(all)-1].end < end { // a second has an interval for each of its epochs
				all = append(all, second{end: end})
			}
			s := &all[len(all)-1]
			s.answered += float64(i.OK)
			for k, h := range []*history.Histogram{i.Response, i.GivenUp} {
				if h == nil {
					continue
				}
				for ns, n := range h.ForEachBucket {
					t := tied{s: float64(greatest(ns)) / 1e9, answered: n}
					if k == 1 {
						t.answered, t.givenUp = 0, n
					}
					s.add(t)
				}
			}
		}
		return all
	}
	n := int(math.Ceil(end - begin - 1e-9))
	if n <= 0 {
		return nil
	}
	for k := range n {
		all = append(all, second{end: min(end, begin+float64(k+1))})
	}
	at := func(t float64) *second { return &all[min(n-1, max(0, int(t-begin)))] }
	for _, s := range l.Samples {
		took := (s.Done - s.Due).Seconds()
		switch {
		case s.Class == history.OK:
			at(s.Done.Seconds()).answered++
			at(s.Due.Seconds()).add(tied{s: took, answered: 1})
		case s.Class.GivenUp():
			at(s.Due.Seconds()).add(tied{s: took, givenUp: 1})
		}
	}
	return all
}

// meanAnswered is the mean response time, in seconds, of the requests that were answered: a queue remembers for that long, and not for as
// long as one that hangs.
func meanAnswered(seconds []second) float64 {
	n, sum := 0.0, 0.0
	for _, s := range seconds {
		for _, t := range s.times {
			n, sum = n+float64(t.answered), sum+float64(t.answered)*t.s
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

func (s *second) add(t tied) {
	n := float64(t.answered + t.givenUp)
	s.times = append(s.times, t)
	s.total += n
	s.sum += n * t.s
	s.tall += n * t.s * t.s
}

// measureErrors finds the intervals of throughput, mean and percentiles.
func (r *LoadResult) measureErrors(l history.Load, begin, end float64, kept bool) {
	r.Estimates = map[string]*Estimate{}
	r.whole = l.Closed && l.Requests > 0
	seconds := r.seconds(l, begin, end, kept)
	if len(seconds) == 0 {
		return
	}
	loop := meanAnswered(seconds)
	at, answered := []float64{begin}, []float64{0}
	requests, tall, sum := 0.0, 0.0, 0.0
	for _, s := range seconds {
		at, answered = append(at, s.end), append(answered, answered[len(answered)-1]+s.answered)
		requests, sum, tall = requests+s.total, sum+s.sum, tall+s.tall
	}
	r.Estimates["throughput"] = slowEstimate(r.PerS, at, answered, loop)
	r.Estimates["throughput"].Method = "good answers over time; the interval is Student's, from the rate's slow cosines"
	if r.Response == nil || requests == 0 {
		return
	}
	// ratio is the standard error of a mean over requests, by its linearisation: the sum of what each request adds to it less the
	// mean that was found.
	ratio := func(mean float64, of func(s second) float64, independent float64) *Estimate {
		found := 0.0
		for _, s := range seconds {
			found += of(s) / requests
		}
		rest := []float64{0}
		for _, s := range seconds {
			rest = append(rest, rest[len(rest)-1]+of(s)-found*s.total)
		}
		e := slowEstimate(0, at, rest, loop)
		if e.StdErr == nil {
			return e
		}
		stdErr := *e.StdErr * (at[len(at)-1] - at[0]) / requests
		if half := independent * studentT(math.Inf(1)); half > studentT(*e.DF)*stdErr {
			return NewEstimate(mean, independent, math.Inf(1), "")
		}
		return NewEstimate(mean, stdErr, *e.DF, "")
	}
	mean := ratio(r.Response.MeanS, func(s second) float64 { return s.sum }, math.Sqrt(max(0, tall/requests-sum/requests*sum/requests)/requests))
	mean.Value, mean.Method = r.Response.MeanS, "mean over requests; the interval is Student's, from the slow cosines of what each second adds"
	if r.Response.AtLeast(100) { // what was given up took longer, and nobody knows how long
		mean.High, mean.DF, mean.StdErr, mean.NoInterval = nil, nil, nil, "some requests were given up"
	} else if mean.Low != nil {
		mean.Low = ptr(max(0, *mean.Low))
	}
	r.Estimates["mean"] = mean
	for name, q := range map[string]struct{ share, value float64 }{
		"p50": {.5, r.Response.P50S}, "p90": {.9, r.Response.P90S}, "p95": {.95, r.Response.P95S}, "p99": {.99, r.Response.P99S}, "p99.9": {.999, r.Response.P999S}} {
		// Woodruff ("Confidence intervals for medians and other position measures", Journal of the American Statistical Association 47,
		// 1952): the interval of the share that took no longer than the percentile, read off the distribution.
		// Requests that took just as long, as far as a histogram tells, are on neither side: the greater of both errors counts.
		independent := math.Sqrt(q.share * (1 - q.share) / requests)
		if r.Response.AtLeast(100 * q.share) {
			// As for availability, which counts the same requests, those without an answer are taken for independent.
			low, _ := timeOf(seconds, requests, max(0, q.share-independent*studentT(math.Inf(1))))
			r.Estimates[name] = &Estimate{Value: q.value, Low: ptr(low), Method: "order statistic of independent requests",
				NoInterval: "requests without an answer bound it from below only"}
			continue
		}
		var share *Estimate
		most, less := func(t float64) bool { return t <= q.value*(1+threeDigits) }, func(t float64) bool { return t < q.value*(1-threeDigits) }
		for _, below := range []func(t float64) bool{most, less} {
			side := ratio(q.share, func(s second) float64 {
				n := 0.0
				for _, t := range s.times {
					if below(t.s) {
						n += float64(t.answered)
					}
				}
				return n
			}, independent)
			if share == nil || side.Margin() != nil && *side.Margin() > *share.Margin() {
				share = side
			}
		}
		e := &Estimate{Value: q.value, NoInterval: share.NoInterval,
			Method: "order statistic; the interval is Woodruff's: Student's interval of the share of requests below it, read off the distribution"}
		if share.Low != nil {
			low, _ := timeOf(seconds, requests, max(0, *share.Low))
			e.Low = ptr(low)
			if high, known := timeOf(seconds, requests, *share.High); known {
				e.High, e.DF = ptr(high), share.DF
				df := math.Inf(1)
				if e.DF != nil {
					df = *e.DF
				}
				e.StdErr = ptr((high - low) / 2 / studentT(df))
			} else {
				e.NoInterval = fmt.Sprintf("%.0f requests bound it from below only", requests)
			}
		}
		r.Estimates[name] = e
	}
}

// threeDigits is the relative precision of a histogram: of steps, 1,024 to 2,048 for each power of two.
const threeDigits = 1.0 / 1024

// timeOf is the time of a share of all requests, nearest rank; false: the request of that rank was given up, and took longer, or there is none.
func timeOf(seconds []second, requests, share float64) (float64, bool) {
	rank := max(1, math.Ceil(share*requests-1e-9))
	var all []tied
	for _, s := range seconds {
		all = append(all, s.times...)
	}
	slices.SortFunc(all, func(a, b tied) int { return cmp.Compare(a.s, b.s) })
	reached := 0.0
	for _, t := range all {
		if reached += float64(t.answered + t.givenUp); reached >= rank {
			return t.s, t.givenUp == 0
		}
	}
	return all[len(all)-1].s, false
}
