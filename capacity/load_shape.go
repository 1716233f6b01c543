package capacity

import (
	"cmp"
	"math"
	"slices"
	"time"

	"coinbench/history"
)

// LoadPoint is a stretch of a load: what was answered and how long that took. Times are response times (service times where only they
// are known), in seconds, of OK requests and of those that were given up, which count as at least their age. A request that had no
// answer when the load ended counts where it fell due.
type LoadPoint struct {
	AtS        float64 `json:"at_s"` // its middle, since the start of the run
	LengthS    float64 `json:"length_s"`
	PerS       float64 `json:"ok_per_s"`
	FailedPerS float64 `json:"failed_per_s,omitempty"`
	P50S       float64 `json:"p50_s,omitempty"`
	P99S       float64 `json:"p99_s,omitempty"`
	MaxS       float64 `json:"max_s,omitempty"`
}

// Quantile is the time within which a share of the requests was answered.
type Quantile struct {
	Share float64 `json:"share"` // 0..1
	S     float64 `json:"s"`
}

// HistogramBin counts the OK requests whose response time was at least FromS and less than ToS.
type HistogramBin struct {
	FromS float64 `json:"from_s"`
	ToS   float64 `json:"to_s"`
	Count int64   `json:"count"`
}

// Numbers of points that are worth drawing.
const (
	maxLoadPoints = 160
	histogramBins = 40
)

// shape is a load over time, in at most maxLoadPoints stretches of the same number of seconds.
type shape struct {
	points []LoadPoint
	each   int // seconds of a stretch
	n      int // that were added to this one

	stretch          // this one
	last    *stretch // the one before it
}

type stretch struct {
	begin, end time.Duration
	ok, failed int64
	times      history.Sum
}

func (s *stretch) reset() {
	s.begin, s.end, s.ok, s.failed = math.MaxInt64, 0, 0, 0
	s.times.Reset()
}

func (s *stretch) length() time.Duration { return s.end - s.begin }

func (s *stretch) point() LoadPoint {
	length := s.length().Seconds()
	p := LoadPoint{AtS: s.begin.Seconds() + length/2, LengthS: length, PerS: float64(s.ok) / length, FailedPerS: float64(s.failed) / length}
	if h := s.times.Histogram(); h != nil {
		p.P50S, p.P99S, p.MaxS = inSeconds(h.ValueAtPercentile(50)), inSeconds(h.ValueAtPercentile(99)), inSeconds(h.Max())
	}
	return p
}

// newShape is the shape of a load of a number of seconds.
func newShape(seconds int) *shape {
	return &shape{each: (seconds + maxLoadPoints - 1) / maxLoadPoints, stretch: stretch{begin: math.MaxInt64}, last: &stretch{}}
}

// add adds an interval of this second and its times, but not its requests without an answer.
func (s *shape) add(i history.Interval, answered, givenUp []history.Count) {
	s.begin, s.end = min(s.begin, i.At), max(s.end, i.At+i.Length)
	s.ok, s.failed = s.ok+i.OK, s.failed+i.Failed()-i.Failures[history.Cancelled]-i.Failures[history.NoAnswer]
	s.times.Add(answered)
	givenUp, _ = oldest(givenUp, withoutAnswer(i))
	s.times.Add(givenUp)
}

// addWithoutAnswer adds the requests without an answer that fell due in this second.
func (s *shape) addWithoutAnswer(u unansweredIn) {
	s.failed += u.failed
	s.times.Add(u.ages)
}

// unansweredIn are the requests that fell due in a second and had no answer when their load ended.
type unansweredIn struct {
	ages   []history.Count
	failed int64 // those among them that are failures: older than the load's patience
}

// withoutAnswer is the number of requests that had no answer when the load ended, in this interval.
func withoutAnswer(i history.Interval) int64 {
	return i.Failures[history.NoAnswer] + i.Failures[history.Cancelled]
}

// oldest cuts n requests with the longest times off counts in ascending order.
func oldest(counts []history.Count, n int64) (rest, top []history.Count) {
	k := len(counts)
	for ; k > 0 && n > 0; k-- {
		c := counts[k-1]
		m := min(n, c.N)
		top, n = append(top, history.Count{NS: c.NS, N: m}), n-m
		if m < c.N {
			rest = append(slices.Clone(counts[:k-1]), history.Count{NS: c.NS, N: c.N - m})
			slices.Reverse(top)
			return rest, top
		}
	}
	slices.Reverse(top)
	return counts[:k], top
}

// unansweredBySecond puts the requests without an answer, which an interval counts when they were given up, into the second in which
// they fell due.
func unansweredBySecond(seconds [][]history.Interval) []unansweredIn {
	all := make([]unansweredIn, len(seconds))
	var reader history.TimesReader
	for k, second := range seconds {
		for _, i := range second {
			n, failed := withoutAnswer(i), i.Failures[history.NoAnswer]
			if n == 0 {
				continue
			}
			_, givenUp := reader.Of(i)
			_, ages := oldest(givenUp, n)
			for _, c := range slices.Backward(ages) { // those that failed are the oldest
				due := i.At + i.Length - time.Duration(c.NS)
				at, _ := slices.BinarySearchFunc(seconds, due, func(s []history.Interval, due time.Duration) int { return cmp.Compare(s[0].At, due) })
				at = max(0, min(at, len(seconds)-1))
				if seconds[at][0].At > due {
					at = max(0, at-1)
				}
				m := min(failed, c.N)
				all[at].ages, all[at].failed, failed = append(all[at].ages, c), all[at].failed+m, failed-m
			}
			all[k].failed += failed // of unknown age
		}
	}
	for _, u := range all {
		slices.SortFunc(u.ages, func(a, b history.Count) int { return cmp.Compare(a.NS, b.NS) })
	}
	return all
}

// next goes on to the next second.
func (s *shape) next() {
	if s.n++; s.n == s.each {
		s.finish()
	}
}

// finish ends a stretch. One that lasted less than half of the one before it is a moment, which says nothing of a rate: it belongs to that.
func (s *shape) finish() {
	n := len(s.points)
	switch length := s.length(); {
	case length <= 0:
	case n > 0 && length < s.last.length()/2:
		s.last.end, s.last.ok, s.last.failed = s.end, s.last.ok+s.ok, s.last.failed+s.failed
		s.last.times.AddSum(&s.times)
		s.points[n-1] = s.last.point()
	default:
		s.points = append(s.points, s.point())
		*s.last, s.stretch = s.stretch, *s.last
	}
	s.n = 0
	s.reset()
}

// overTime is the whole of it.
func (s *shape) overTime() []LoadPoint {
	if s.n > 0 {
		s.finish()
	}
	return s.points
}

// bySecond gathers the intervals of each second, of which there are several where something happened to the service.
func bySecond(all []history.Interval) (seconds [][]history.Interval) {
	for from, to := 0, 0; from < len(all); from = to {
		for to = from; to < len(all) && all[to].At == all[from].At; to++ {
		}
		seconds = append(seconds, all[from:to])
	}
	return seconds
}

func inSeconds(ns int64) float64 { return float64(ns) / 1e9 }

// quantiles are the times of a distribution at each nine, as far as its requests reach: 1 in 1,000 is nothing that 100 can show.
func quantiles(l *Latency) (all []Quantile) {
	if l == nil {
		return nil
	}
	n := float64(l.Count + l.GivenUp)
	for decade := 1.; ; decade /= 10 {
		for _, tail := range []float64{1, .5, .25} {
			above := decade * tail
			if above*n < 1-1e-9 {
				return append(all, Quantile{Share: 1 - 1/(2*n), S: l.MaxS})
			}
			all = append(all, Quantile{Share: 1 - above, S: l.percentile(100 * (1 - above))})
		}
	}
}

// bins counts a distribution in bins of equal width on a logarithmic scale, or on a linear one where all times are alike.
func bins(h *history.Histogram) (all []HistogramBin) {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	low, high := inSeconds(h.Min()), inSeconds(h.Max())
	low, high = max(low, 1e-9), max(high*1.0001, low+1e-6)
	if high/low < 1.05 { // what is alike is one column, not forty of which each is less than an instrument tells apart
		low, high = low/1.25, high*1.25
	}
	edge := func(i int) float64 { return low + (high-low)*float64(i)/histogramBins }
	index := func(v float64) float64 { return (v - low) / (high - low) * histogramBins }
	if high/low > 20 {
		edge = func(i int) float64 { return low * math.Pow(high/low, float64(i)/histogramBins) }
		index = func(v float64) float64 { return math.Log(v/low) / math.Log(high/low) * histogramBins }
	}
	for i := range histogramBins {
		all = append(all, HistogramBin{FromS: edge(i), ToS: edge(i + 1)})
	}
	for ns, n := range h.ForEachBucket {
		i := int(index(max(low, inSeconds(ns))))
		all[min(max(i, 0), histogramBins-1)].Count += n
	}
	return all
}
