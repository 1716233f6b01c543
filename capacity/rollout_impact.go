package capacity

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"coinbench/history"
)

// LoadImpact is what one load felt of a rollout or a fault.
type LoadImpact struct {
	Load      string         `json:"load"`
	Closed    bool           `json:"closed"`
	Observer  bool           `json:"observe_only,omitempty"` // it is shown, and judges nothing
	Basis     Basis          `json:"basis"`                  // what all of this is counted from
	Requests  int64          `json:"requests"`               // that fell due from its begin to its end
	Failed    int64          `json:"failed"`                 // of these
	Available Availability   `json:"availability"`
	Before    *Latency       `json:"before,omitempty"` // response times of requests due before it, and after the one before
	During    *Latency       `json:"during,omitempty"`
	After     *Latency       `json:"after,omitempty"` // and before the next one
	MaxGapS   float64        `json:"max_gap_s"`       // the longest time without a success that touches it
	MaxGapAtS float64        `json:"max_gap_at_s"`    // when that began
	Failures  []FailureGroup `json:"failures,omitempty"`
}

// Basis says from what it is known how many requests fell due in a part of a load.
type Basis string

// From the best to the worst.
const (
	FromRequests  Basis = "requests"  // every request was kept
	FromIntervals Basis = "intervals" // of more than were kept one by one, intervals count those before and after each event apart
	FromSeconds   Basis = "seconds"   // they do not: a second on an edge is shared out in proportion to its time
)

// phase is a part of a load: the requests that fell due from its begin on and before its end.
type phase struct{ fromS, toS float64 }

func (p phase) holds(s history.Sample) bool {
	due := s.Due.Seconds()
	return due >= p.fromS && due < p.toS
}

// share is the part of an interval's requests, 0..1, that fell due in the phase. It is 0 or 1 where the phase begins and ends on edges
// that the load knew.
func (p phase) share(i history.Interval) float64 {
	from, to := max(i.Epoch, i.At).Seconds(), (i.At + i.Length).Seconds()
	if i.Until > 0 {
		to = min(to, i.Until.Seconds())
	}
	if to <= from { // they ended later than their epoch
		from, to = i.Epoch.Seconds(), i.Until.Seconds()
	}
	if to <= from {
		if from >= p.fromS && from < p.toS {
			return 1
		}
		return 0
	}
	return min(max(0, (min(to, p.toS)-max(from, p.fromS))/(to-from)), 1)
}

// impact is what became of a load's requests in a phase.
type impact struct {
	requests, cancelled int64
	failures            map[history.Class]int64 // Cancelled left aside
	latency             *Latency
}

func (i impact) failed() (sum int64) {
	for _, n := range i.failures {
		sum += n
	}
	return sum
}

// kept says whether every request of a load was kept one by one.
func kept(l *history.Load) bool { return len(l.Samples) > 0 && int64(len(l.Samples)) >= l.Due() }

// in sums up the requests of a load that fell due in a phase.
func (p phase) in(l *history.Load) (sum impact) {
	sum.failures = map[history.Class]int64{}
	if kept(l) {
		var answered, givenUp []float64
		for _, s := range l.Samples {
			if !p.holds(s) {
				continue
			}
			sum.requests++
			switch {
			case s.Class == history.OK:
				answered = append(answered, (s.Done - s.Due).Seconds())
			case s.Class == history.Cancelled:
				sum.cancelled++
			default:
				sum.failures[s.Class]++
			}
			if s.Class.GivenUp() {
				givenUp = append(givenUp, (s.Done - s.Due).Seconds())
			}
		}
		sum.latency = latencyOf(answered, givenUp)
		return sum
	}
	var requests, cancelled float64
	failures := map[history.Class]float64{}
	var times history.TimesReader
	var response, givenUp history.Sum
	for _, i := range l.Intervals {
		share := p.share(i)
		if share == 0 {
			continue
		}
		requests += share * float64(i.Due)
		for class, n := range i.Failures {
			if class == history.Cancelled {
				cancelled += share * float64(n)
			} else {
				failures[class] += share * float64(n)
			}
		}
		if share >= .5 {
			answered, vain := times.Of(i)
			response.Add(answered)
			givenUp.Add(vain)
		}
	}
	sum.requests, sum.cancelled = int64(math.Round(requests)), int64(math.Round(cancelled))
	for class, n := range failures {
		sum.failures[class] = int64(math.Round(n))
	}
	sum.latency = HistogramLatency(response.Histogram(), givenUp.Histogram())
	return sum
}

// basis is what the phases of a load are known from.
func basis(l *history.Load) Basis {
	switch {
	case kept(l):
		return FromRequests
	case slices.ContainsFunc(l.Intervals, func(i history.Interval) bool { return i.Epoch > 0 }):
		return FromIntervals
	}
	return FromSeconds
}

// felt computes what every load of the service felt; EndS moves to the end of the tenth of a second in which the last request failed
// that fell due after its begin and before the next disturbance.
func (r *Disturbance) felt(run *history.Run, tasks []*TaskLife, before, next float64) {
	var met []*history.Load
	end := func(l *history.Load) float64 {
		if l.Closing != nil {
			return l.Closing.End.Seconds()
		}
		return run.End.Seconds()
	}
	rest := phase{r.BeginS, next}
	if next >= run.End.Seconds() {
		rest.toS = math.Inf(1)
	}
	for n := range run.Loads {
		l := &run.Loads[n]
		if l.Service != r.Service || l.Begin.Seconds() >= r.EndS || end(l) <= r.BeginS {
			continue
		}
		met = append(met, l)
		for _, s := range l.Samples {
			if bad(s) && rest.holds(s) {
				r.EndS = max(r.EndS, min(history.NextStep(s.Done).Seconds(), next))
			}
		}
		for _, i := range l.Intervals {
			if i.LastFail > 0 && rest.share(i) > 0 {
				r.EndS = max(r.EndS, min(history.NextStep(i.LastFail).Seconds(), next))
			}
		}
	}
	causes := newAttributor(run, r.Service, tasks)
	during := phase{r.BeginS, r.EndS}
	for _, l := range met {
		f := LoadImpact{Load: l.Name, Closed: l.Closed, Observer: l.ObserveOnly, Basis: basis(l)}
		f.Before, f.After = phase{before, r.BeginS}.in(l).latency, phase{r.EndS, rest.toS}.in(l).latency
		sum := during.in(l)
		f.During = sum.latency
		var failed []history.Sample
		for _, s := range l.Samples {
			if bad(s) && during.holds(s) {
				failed = append(failed, s)
			}
		}
		f.Failures = causes.groups(failed)
		f.Requests, f.Failed = sum.requests, int64(len(failed))
		if all := sum.failed(); !keptFailures(l) && all > f.Failed {
			f.Failed = all
			f.Failures = append(f.Failures, unkept(sum.failures, failed, during)...)
		}
		f.Available = NewAvailability(f.Requests-sum.cancelled, f.Failed)
		quiet := end(l)
		if l.Closing != nil {
			quiet = l.Closing.Quiet().Seconds()
		}
		f.MaxGapS, f.MaxGapAtS = silence(l, during, quiet)
		r.Loads = append(r.Loads, f)
	}
}

func bad(s history.Sample) bool { return s.Class != history.OK && s.Class != history.Cancelled }

// keptFailures says whether every failure of a load was kept one by one.
func keptFailures(l *history.Load) bool {
	n := int64(0)
	for _, s := range l.Samples {
		if s.Class != history.OK {
			n++
		}
	}
	return n >= l.Failed()
}

// unkept are the failures of a phase beyond those that were kept one by one.
func unkept(all map[history.Class]int64, known []history.Sample, p phase) (groups []FailureGroup) {
	left := map[history.Class]int64{}
	for class, n := range all {
		left[class] = n
	}
	for _, s := range known {
		left[s.Class]--
	}
	for class, n := range left {
		if n > 0 {
			groups = append(groups, FailureGroup{Class: class, Count: n, FirstS: p.fromS, LastS: p.toS, Inferred: true,
				Text: fmt.Sprintf("%d more %s, of which only the second is on record", n, class)})
		}
	}
	slices.SortFunc(groups, func(a, b FailureGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Class, b.Class))
	})
	return groups
}

// silence is the longest time between two successes of a load that touches a phase, and when it began; from ends on none was due.
func silence(l *history.Load, p phase, ends float64) (length, at float64) {
	var good []history.Span
	if kept(l) {
		for _, s := range l.Samples {
			if s.Class == history.OK {
				good = append(good, history.Span{Begin: s.Done, End: s.Done})
			}
		}
		slices.SortFunc(good, func(a, b history.Span) int { return cmp.Compare(a.Begin, b.Begin) })
	} else {
		for _, i := range l.Intervals {
			good = append(good, i.Served...)
		}
		good = history.Unite(good, nil)
	}
	for n := range good {
		a, b := good[n].End.Seconds(), ends
		if n+1 < len(good) {
			b = good[n+1].Begin.Seconds()
		} else {
			b = min(p.toS, ends) // none came any more
		}
		if b >= p.fromS && a <= p.toS && b-a > length {
			length, at = b-a, a
		}
	}
	if length < history.GapResolution.Seconds() && !kept(l) { // within a span, or nothing is known of spans
		for _, i := range l.Intervals {
			if from, to := i.At.Seconds(), (i.At + i.Length).Seconds(); to >= p.fromS && from <= p.toS && i.MaxGap.Seconds() > length {
				length, at = i.MaxGap.Seconds(), from
			}
		}
	}
	return length, at
}
