package history

import (
	"slices"
	"time"
)

// Merge adds the requests of other to i, as if one generator had made both: counts add up, histograms merge, spans unite. Percentiles
// of the result are those of all the requests together, within the histogram's precision. MaxGap is the longer one, as of intervals
// that follow each other; of generators that play at the same time see Gaps. The earlier Epoch stays.
func (i *Interval) Merge(other Interval) {
	end := max(i.At+i.Length, other.At+other.Length)
	if i.Length == 0 && i.Due == 0 {
		i.At, i.Epoch, i.Until = other.At, other.Epoch, other.Until
	}
	i.At = min(i.At, other.At)
	i.Length = end - i.At
	i.Due += other.Due
	i.OK += other.OK
	i.Bytes += other.Bytes
	i.Received += other.Received
	i.Failures = addCounts(i.Failures, other.Failures)
	i.Replicas = addCounts(i.Replicas, other.Replicas)
	i.Versions = addCounts(i.Versions, other.Versions)
	i.Response = mergeHistogram(i.Response, other.Response)
	i.Service = mergeHistogram(i.Service, other.Service)
	i.GivenUp = mergeHistogram(i.GivenUp, other.GivenUp)
	i.Lag = mergeHistogram(i.Lag, other.Lag)
	i.Late = mergeHistogram(i.Late, other.Late)
	i.MaxGap = max(i.MaxGap, other.MaxGap)
	i.Epoch, i.Until = min(i.Epoch, other.Epoch), laterEdge(i.Until, other.Until)
	i.Served = Unite(i.Served, other.Served)
	i.LastFail = max(i.LastFail, other.LastFail)
	for _, p := range other.Parts {
		i.Part(p.Replica, p.Version).Merge(p)
	}
}

// Merge adds the end of a generator that played at the same time. The gaps of the parts say nothing of those of the whole: MaxGap
// stays as it is.
func (e *LoadEndRecord) Merge(other LoadEndRecord) {
	e.End = max(e.End, other.End)
	e.Ceased = max(e.Ceased, other.Ceased)
	e.Due += other.Due
	e.OK += other.OK
	e.Failed += other.Failed
	e.InFlight += other.InFlight
	e.Missing += other.Missing
	e.Invalid = append(e.Invalid, other.Invalid...)
	e.Warnings = append(e.Warnings, other.Warnings...)
	e.CPUSeconds += other.CPUSeconds
	e.SamplesKept += other.SamplesKept
	e.FailuresKept += other.FailuresKept
	e.ReceivedBytes += other.ReceivedBytes
	if e.Server == "" {
		e.Server = other.Server
	}
}

// Quiet is the instant from which on the absence of successes is no gap: none was due any more.
func (e LoadEndRecord) Quiet() time.Duration {
	if e.Ceased > 0 {
		return min(e.End, e.Ceased)
	}
	return e.End
}

// Failed is the number of requests that did not succeed, the dropped ones among them.
func (i Interval) Failed() int64 { return sumOf(i.Failures) }

// GapResolution is what a record knows of the times without a success: those that are as long or longer, to the nanosecond.
const GapResolution = 10 * time.Millisecond

// Span is a time in which requests succeeded: at its begin, at its end, and between them at least once every GapResolution.
type Span struct{ Begin, End time.Duration }

// Succeeded adds a success to spans, which is cheap if it comes in about the order of time.
func Succeeded(spans []Span, at time.Duration) []Span {
	if n := len(spans); n > 0 && spans[n-1].Begin-at < GapResolution {
		if last := &spans[n-1]; at-last.End < GapResolution {
			last.Begin, last.End = min(last.Begin, at), max(last.End, at)
			return spans
		}
	} else if n > 0 {
		return Unite(spans, []Span{{at, at}})
	}
	return append(spans, Span{at, at})
}

// Unite returns the spans of all the successes of both, in the order of time. It may change a.
func Unite(a, b []Span) []Span {
	if len(a)+len(b) == 0 {
		return nil
	}
	if len(a) > 0 && len(b) == 1 && b[0].Begin >= a[len(a)-1].End { // the usual case of a second after another
		if last := &a[len(a)-1]; b[0].Begin-last.End < GapResolution {
			last.End = b[0].End
			return a
		}
		return append(a, b[0])
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y Span) int { return int(x.Begin - y.Begin) })
	n := 0
	for _, s := range all[1:] {
		if s.Begin-all[n].End < GapResolution {
			all[n].End = max(all[n].End, s.End)
		} else {
			n++
			all[n] = s
		}
	}
	return all[:n+1]
}

// longestGap is the longest time between a success at last and the spans' own, and the latest success of all.
func longestGap(last time.Duration, spans []Span) (gap, latest time.Duration) {
	for _, s := range spans {
		gap, last = max(gap, s.Begin-last), max(last, s.End)
	}
	return gap, last
}

// Gaps finds the longest time without a success of generators that play at the same time: of several that are blind in turn there is
// none. One that is shorter than GapResolution is known to be at most that.
type Gaps struct {
	last    time.Duration // the latest success before pending, or the load's begin
	longest time.Duration
	short   time.Duration // what the generators say themselves of gaps shorter than GapResolution
	pending []Span
}

// NewGaps begins with a load.
func NewGaps(begin time.Duration) *Gaps { return &Gaps{last: begin} }

// Add takes the intervals of one second of all generators, and returns the longest gap that ended in it. Of a later second none will
// hold a success before the begin of one of these.
func (g *Gaps) Add(second ...Interval) time.Duration {
	settled := second[0].At
	var served []Span
	short := time.Duration(0)
	for _, i := range second {
		settled = min(settled, i.At)
		served = Unite(served, i.Served)
		short = max(short, min(i.MaxGap, GapResolution))
	}
	gap, _ := longestGap(g.Last(), served)
	g.short = max(g.short, short)
	g.settle(settled)
	g.pending = Unite(g.pending, served)
	return max(gap, min(short, gap+GapResolution))
}

// Last is the latest success, or the load's begin.
func (g *Gaps) Last() time.Duration {
	_, last := longestGap(g.last, g.pending)
	return last
}

// settle takes from pending what nothing can come before any more.
func (g *Gaps) settle(at time.Duration) {
	n := 0
	for n < len(g.pending) && g.pending[n].Begin < at {
		n++
	}
	gap, last := longestGap(g.last, g.pending[:n])
	g.longest, g.last, g.pending = max(g.longest, gap), last, g.pending[n:]
}

// End returns the longest gap of a load that ended at an instant.
func (g *Gaps) End(at time.Duration) time.Duration {
	gap, last := longestGap(g.last, g.pending)
	gap = max(g.longest, gap, at-last)
	if gap < GapResolution {
		gap = max(gap, g.short)
	}
	return gap
}

func addCounts[K comparable](to, from map[K]int64) map[K]int64 {
	if to == nil && len(from) > 0 {
		to = make(map[K]int64, len(from))
	}
	for k, n := range from {
		to[k] += n
	}
	return to
}

func mergeHistogram(to, from *Histogram) *Histogram {
	if to == nil {
		to = NewHistogram()
	}
	if from != nil {
		to.Merge(from)
	}
	return to
}
