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

// estimated are the percentiles that have an error.
var estimated = [...]struct {
	name  string
	share float64
	of    func(l *Latency) float64
}{
	{"p50", .5, func(l *Latency) float64 { return l.P50S }},
	{"p90", .9, func(l *Latency) float64 { return l.P90S }},
	{"p95", .95, func(l *Latency) float64 { return l.P95S }},
	{"p99", .99, func(l *Latency) float64 { return l.P99S }},
	{"p99.9", .999, func(l *Latency) float64 { return l.P999S }},
}

// second is a part of a load: the requests that were due in it (where every request was kept) or ended in it.
type second struct {
	end       float64
	good      float64                 // answered well in it
	answered  float64                 // of its requests; the others were given up
	spent     float64                 // response times of the answered ones, summed up
	total     float64                 // requests
	sum, tall float64                 // of their times, and of the squares
	most      [len(estimated)]float64 // answered within each percentile, as far as a histogram tells
	less      [len(estimated)]float64 // and surely before it
}

// parts are the seconds of a load of which the percentiles are known.
type parts struct {
	all    []second // ascending
	values [len(estimated)]float64
}

func newParts(l *Latency) *parts {
	s := new(parts)
	if l != nil {
		for k, p := range estimated {
			s.values[k] = p.of(l)
		}
	}
	return s
}

// interval adds an interval and its times. A second has one for each of its epochs.
func (s *parts) interval(i history.Interval, answered, givenUp []history.Count) {
	end := (i.At + i.Length).Seconds()
	n, known := slices.BinarySearchFunc(s.all, end, func(s second, end float64) int { return cmp.Compare(s.end, end) })
	if !known {
		s.all = slices.Insert(s.all, n, second{end: end})
	}
	s.all[n].good += float64(i.OK)
	for _, t := range answered {
		s.all[n].add(tied{s: inSeconds(t.NS), answered: t.N}, &s.values)
	}
	for _, t := range givenUp {
		s.all[n].add(tied{s: inSeconds(t.NS), givenUp: t.N}, &s.values)
	}
}

// samples cuts a load of which every request was kept into seconds from its first one.
func (s *parts) samples(samples []history.Sample, begin, end float64) {
	n := int(math.Ceil(end - begin - 1e-9))
	if n <= 0 {
		return
	}
	for k := range n {
		s.all = append(s.all, second{end: min(end, begin+float64(k+1))})
	}
	at := func(t float64) *second { return &s.all[min(n-1, max(0, int(t-begin)))] }
	for _, x := range samples {
		took := (x.Done - x.Due).Seconds()
		switch {
		case x.Class == history.OK:
			at(x.Done.Seconds()).good++
			at(x.Due.Seconds()).add(tied{s: took, answered: 1}, &s.values)
		case x.Class.GivenUp():
			at(x.Due.Seconds()).add(tied{s: took, givenUp: 1}, &s.values)
		}
	}
}

// add counts requests of a load of which the percentiles are these.
func (s *second) add(t tied, values *[len(estimated)]float64) {
	n := float64(t.answered + t.givenUp)
	s.total += n
	s.sum += n * t.s
	s.tall += n * t.s * t.s
	s.answered += float64(t.answered)
	s.spent += float64(t.answered) * t.s
	for k, value := range values {
		if t.s <= value*(1+threeDigits) {
			s.most[k] += float64(t.answered)
		}
		if t.s < value*(1-threeDigits) {
			s.less[k] += float64(t.answered)
		}
	}
}

// measureErrors finds the intervals of throughput, mean and percentiles; times are all response times in ascending order.
func (r *LoadResult) measureErrors(begin float64, seconds []second, times []tied) {
	r.Estimates = map[string]*Estimate{}
	if len(seconds) == 0 {
		return
	}
	at, good := []float64{begin}, []float64{0}
	requests, tall, sum, answered, spent := 0.0, 0.0, 0.0, 0.0, 0.0
	for _, s := range seconds {
		at, good = append(at, s.end), append(good, good[len(good)-1]+s.good)
		requests, sum, tall = requests+s.total, sum+s.sum, tall+s.tall
		answered, spent = answered+s.answered, spent+s.spent
	}
	loop := spent / max(1, answered) // a queue remembers for as long as an answer takes, and not for as long as a request that hangs
	r.Estimates["throughput"] = slowEstimate(r.PerS, at[len(at)-1]-begin, at, good, loop, 0)
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
		e := slowEstimate(0, at[len(at)-1]-begin, at, rest, loop, 0)
		if e.StdErr == nil {
			return e
		}
		stdErr := *e.StdErr * (at[len(at)-1] - at[0]) / requests
		if half := independent * studentT(math.Inf(1)); half > studentT(*e.DF)*stdErr {
			return NewEstimate(mean, independent, math.Inf(1), "")
		}
		return NewEstimate(mean, stdErr, *e.DF, "")
	}
	mean := ratio(r.Response.MeanS, func(s second) float64 { return s.sum }, math.Sqrt(max(0,
		tall/requests-sum/requests*sum/requests)/requests))
	mean.Value, mean.Method = r.Response.MeanS, "mean over requests; the interval is Student's, from the slow cosines of what each second adds"
	if r.Response.AtLeast(100) { // what was given up took longer, and it is not known how long
		mean.High, mean.DF, mean.StdErr, mean.NoInterval = nil, nil, nil, "some requests were given up"
	} else if mean.Low != nil {
		mean.Low = ptr(max(0, *mean.Low))
	}
	r.Estimates["mean"] = mean
	for k, p := range estimated {
		value := p.of(r.Response)
		// Woodruff ("Confidence intervals for medians and other position measures", Journal of the American Statistical Association 47,
		// 1952): the interval of the share that took no longer than the percentile, read off the distribution.
		// Requests that took just as long, as far as a histogram tells, are on neither side: the greater of both errors counts.
		independent := math.Sqrt(p.share * (1 - p.share) / requests)
		if r.Response.AtLeast(100 * p.share) {
			// As for availability, which counts the same requests, those without an answer are taken for independent.
			low, _ := timeOf(times, requests, max(0, p.share-independent*studentT(math.Inf(1))))
			r.Estimates[p.name] = &Estimate{Value: value, Low: ptr(low), Method: "order statistic of independent requests",
				NoInterval: "requests without an answer bound it from below only"}
			continue
		}
		var share *Estimate
		for _, within := range []func(s second) float64{func(s second) float64 { return s.most[k] },
			func(s second) float64 { return s.less[k] }} {
			side := ratio(p.share, within, independent)
			if share == nil || side.Margin() != nil && *side.Margin() > *share.Margin() {
				share = side
			}
		}
		e := &Estimate{Value: value, NoInterval: share.NoInterval,
			Method: "order statistic; the interval is Woodruff's: Student's interval of the share of requests below it, read off the distribution"}
		if share.Low != nil {
			low, _ := timeOf(times, requests, max(0, *share.Low))
			e.Low = ptr(low)
			if high, known := timeOf(times, requests, *share.High); known {
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
		r.Estimates[p.name] = e
	}
}

// threeDigits is the relative precision of a histogram: of steps, 1,024 to 2,048 for each power of two.
const threeDigits = 1.0 / 1024

// timeOf is the time of a share of all requests, of which times are those in ascending order, nearest rank; false: the request of that rank
// was given up, and took longer, or there is none.
func timeOf(times []tied, requests, share float64) (float64, bool) {
	rank := max(1, math.Ceil(share*requests-1e-9))
	reached := 0.0
	for _, t := range times {
		if reached += float64(t.answered + t.givenUp); reached >= rank {
			return t.s, t.givenUp == 0
		}
	}
	return times[len(times)-1].s, false
}
