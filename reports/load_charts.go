package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"coinbench/capacity"
	"coinbench/internal/visible"
)

// Loads whose course and distribution are drawn: those that a run without windows is about, and in others the long ones.
const (
	minDrawnRequests = 200
	minDrawnS        = 5
	maxDrawnLoads    = 4
)

// drawnLoads are the loads that are worth a drawing of their own, open ones first, for they show what closed ones hide.
func drawnLoads(a *capacity.Analysis) (all []capacity.LoadResult) {
	for _, closed := range []bool{false, true} {
		for _, l := range a.Told() {
			if a.OfSearch(l.Name) && !a.Answers(l.Name) {
				continue
			}
			if l.Closed == closed && len(l.Quantiles) > 0 && (len(a.Windows) == 0 || l.Requests >= minDrawnRequests && l.LengthS >= minDrawnS) &&
				len(all) < maxDrawnLoads {
				all = append(all, l)
			}
		}
	}
	return all
}

// scale is a unit of time for an axis.
type scale struct {
	unit string
	perS float64 // units in a second
}

// scaleFor is the unit in which the largest time is a number that people say.
func scaleFor(seconds float64) scale {
	switch {
	case seconds < 1e-4:
		return scale{unit: "µs", perS: 1e6}
	case seconds < 2:
		return scale{unit: "ms", perS: 1e3}
	default:
		return scale{unit: "s", perS: 1}
	}
}

// timed names the times of a load, and says from when to when they are.
func timed(l capacity.LoadResult) (name, span string) {
	if l.Response == nil && l.ServiceTime != nil {
		return "service time", "from sent to done: what its engine knows"
	}
	return "response time", "from due to done"
}

// courseChart is the response time of a load over time, with what was answered and what failed.
func courseChart(a *capacity.Analysis) (chart, bool) {
	c := chart{x: axis{label: "time since the start of the run (s)"}}
	all := drawnLoads(a)
	if len(all) == 0 || len(all[0].OverTime) < 2 {
		return c, false
	}
	l := all[0]
	times, span := timed(l)
	c.title = upperFirst(times) + " over time: " + l.Name
	c.desc = fmt.Sprintf("The median, the 99th percentile and the slowest answer of each stretch of the load, %s. The strips below are the "+
		"requests answered per second, and those that failed.", span) + givenUpNote(l)
	highest := 0.0
	for _, p := range l.OverTime {
		highest = max(highest, p.MaxS)
	}
	u := scaleFor(highest)
	c.y.label = times + " (" + u.unit + ")"
	lines := []series{{name: "slowest", kind: stairs, color: grey}, {name: "p99", kind: stairs, color: orange},
		{name: "median", kind: stairs, color: blue}}
	answered, failed := lane{name: "ok/s"}, lane{name: "failed"}
	c.table = Table{{"from (s)", "to (s)", "ok/s", "failed/s", "median", "p99", "slowest"}}
	c.x.min, c.x.max = l.OverTime[0].AtS, l.OverTime[0].AtS
	alike, known := true, 0.
	every := max(1, len(l.OverTime)/16) // a number in each stretch has no room
	for i, p := range l.OverTime {
		from, to := p.AtS-p.LengthS/2, p.AtS+p.LengthS/2
		c.x.min, c.x.max = min(c.x.min, from), max(c.x.max, to)
		text := fmt.Sprintf("%.1f s: %s/s, median %s, p99 %s, slowest %s", p.AtS, figures(p.PerS), capacity.FormatSeconds(p.P50S),
			capacity.FormatSeconds(p.P99S), capacity.FormatSeconds(p.MaxS))
		alike = alike && p.P99S == p.MaxS
		if p.MaxS > 0 {
			known = to
			for k, v := range []float64{p.MaxS, p.P99S, p.P50S} {
				at := xy{x: from, y: v * u.perS}
				if k == 1 {
					at.text = text
				}
				lines[k].xy = append(lines[k].xy, at)
			}
		}
		if i%every == 0 {
			sum, n := 0.0, 0.0
			until := to
			for _, q := range l.OverTime[i:min(i+every, len(l.OverTime))] {
				sum, n, until = sum+q.PerS*q.LengthS, n+q.LengthS, q.AtS+q.LengthS/2
			}
			answered.parts = append(answered.parts, part{from: from, to: until, text: figures(sum / n)})
		}
		if p.FailedPerS > 0 {
			failed.parts = append(failed.parts, part{from: from, to: to, text: figures(p.FailedPerS) + "/s failed", color: vermilion})
		}
		row := []string{fmt.Sprintf("%.1f", from), fmt.Sprintf("%.1f", to), figures(p.PerS), figures(p.FailedPerS), "–", "–", "–"}
		if p.MaxS > 0 {
			row = append(row[:4], capacity.FormatSeconds(p.P50S), capacity.FormatSeconds(p.P99S), capacity.FormatSeconds(p.MaxS))
		}
		c.table = append(c.table, row)
	}
	for i := range lines { // the last value holds to the end of its stretch
		if n := len(lines[i].xy); n > 0 {
			lines[i].xy = append(lines[i].xy, xy{x: known, y: lines[i].xy[n-1].y})
		}
	}
	if alike { // fewer than 100 requests in each stretch
		lines = lines[1:]
		lines[0].name = "p99, the slowest"
	}
	c.series = lines
	c.lanes = append(c.lanes, answered)
	if len(failed.parts) > 0 {
		c.lanes = append(c.lanes, failed)
	}
	c.y.max = max(highest*u.perS*1.1, 1e-9)
	return c, true
}

// givenUpNote says how the requests that were given up count, where there are any.
func givenUpNote(all ...capacity.LoadResult) string {
	if slices.ContainsFunc(all, func(l capacity.LoadResult) bool { return l.Response != nil && l.Response.GivenUp > 0 }) {
		return " Requests that were given up without an answer count as at least their age."
	}
	return ""
}

// percentileChart is the response time of each load by percentile, on a scale on which each nine has the same room.
func percentileChart(a *capacity.Analysis) (chart, bool) {
	c := chart{x: axis{label: "requests answered within the time (%)"}}
	all := drawnLoads(a)
	if len(all) == 0 {
		return c, false
	}
	times, span := timed(all[0])
	c.title = upperFirst(times) + " by percentile"
	c.desc = fmt.Sprintf("How long the slowest of 10, 100, 1,000 … requests took, %s. Each line ends where its requests are too few to say "+
		"more.", span)
	c.desc += givenUpNote(all...)
	nines := func(share float64) float64 { return -math.Log10(1 - share) }
	highest := 0.0
	for _, l := range all {
		for _, q := range l.Quantiles {
			highest, c.x.max = max(highest, q.S), max(c.x.max, nines(q.Share))
		}
	}
	u := scaleFor(highest)
	c.y.label = times + " (" + u.unit + ")"
	c.table = Table{{"load ", "answered within", "time"}}
	for i, l := range all {
		s := series{name: l.Name, kind: curve, color: distinct(maxDrawnLoads)[i]}
		if own, _ := timed(l); own != times {
			s.name += ", " + own
		}
		for _, q := range l.Quantiles {
			share := strconv.FormatFloat(100*q.Share, 'g', 6, 64) + " %"
			s.xy = append(s.xy, xy{x: nines(q.Share), y: q.S * u.perS, text: fmt.Sprintf("%s: %s of the requests within %s", l.Name, share,
				capacity.FormatSeconds(q.S))})
			c.table = append(c.table, []string{l.Name, share, capacity.FormatSeconds(q.S)})
		}
		c.series = append(c.series, s)
	}
	for i := 0; float64(i) <= c.x.max+1e-9; i++ {
		c.x.ticks = append(c.x.ticks, tick{float64(i), strconv.FormatFloat(100-100*math.Pow(10, -float64(i)), 'g', 8, 64)})
		if half := nines(1 - .5*math.Pow(10, -float64(i))); half <= c.x.max && i < 2 {
			c.x.ticks = append(c.x.ticks, tick{half, strconv.FormatFloat(100-50*math.Pow(10, -float64(i)), 'g', 4, 64)})
		}
	}
	c.x.max *= 1.02
	c.y.max = max(highest*u.perS*1.1, 1e-9)
	return c, true
}

// histogramChart is how often each response time of a load occurred.
func histogramChart(a *capacity.Analysis) (chart, bool) {
	c := chart{y: axis{label: "requests"}}
	all := drawnLoads(a)
	if len(all) == 0 || len(all[0].Histogram) == 0 {
		return c, false
	}
	l := all[0]
	times, span := timed(l)
	c.title = "Distribution of " + times + "s: " + l.Name
	c.desc = "How many requests took how long, " + span + "."
	if n := l.Requests - l.OK; n > 0 {
		c.desc += fmt.Sprintf(" %d of %s had no good answer and are not in it.", n, plural(int(l.Requests), "request"))
	}
	first, last := l.Histogram[0], l.Histogram[len(l.Histogram)-1]
	u := scaleFor(last.ToS)
	c.x.label = times + " (" + u.unit + ")"
	at := func(s float64) float64 { return s * u.perS }
	if ratio := last.ToS / last.FromS; math.Abs(first.ToS/first.FromS-ratio) < .01*ratio && ratio > 1.01 { // bins that grow alike
		at = func(s float64) float64 { return math.Log10(s * u.perS) }
		c.desc += " The scale of times is logarithmic."
		for e := math.Floor(at(first.FromS)); e <= at(last.ToS); e++ {
			for _, m := range []float64{1, 2, 5} {
				v := m * math.Pow(10, e)
				if x := math.Log10(v); x >= at(first.FromS) && x <= at(last.ToS) {
					c.x.ticks = append(c.x.ticks, tick{x, visible.Significant(v, 3)})
				}
			}
		}
	}
	s := series{name: l.Name, kind: column, color: blue}
	c.table = Table{{"from", "to", "requests"}}
	for _, b := range l.Histogram {
		if b.Count == 0 {
			continue
		}
		s.xy = append(s.xy, xy{x: at(b.FromS), x2: at(b.ToS), y: float64(b.Count), text: fmt.Sprintf("%s to %s: %d requests",
			capacity.FormatSeconds(b.FromS), capacity.FormatSeconds(b.ToS), b.Count)})
		c.y.max = max(c.y.max, float64(b.Count))
		c.table = append(c.table, []string{capacity.FormatSeconds(b.FromS), capacity.FormatSeconds(b.ToS), strconv.FormatInt(b.Count, 10)})
	}
	c.x.min, c.x.max = at(first.FromS), at(last.ToS)
	c.y.max *= 1.1
	c.series = []series{s}
	if p := cmp.Or(l.Response, l.ServiceTime); p != nil {
		for _, m := range []struct {
			name string
			s    float64
		}{{"median", p.P50S}, {"p99", p.P99S}} {
			c.marks = append(c.marks, mark{at(m.s), m.name + " " + capacity.FormatSeconds(m.s)})
		}
	}
	return c, true
}
