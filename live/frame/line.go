package frame

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"coinbench/capacity"
	"coinbench/history"
)

// Points is how many points a frame has at most.
const Points = 1500

const (
	newest  = 128              // seconds that are kept one by one, at most
	oldest  = newest / 2       // of them, those that are merged together when there are more
	silent  = 600.0            // seconds: two readings that are so far apart say nothing of a second
	longest = 31 * 24 * 3600.0 // seconds: what is beyond is no time of a run
)

// Point is what happened in a second, or in several of an old one. A nil value is not known.
type Point struct {
	AtS    int      `json:"t"`                // its begin, in seconds since the run's start
	WidthS int      `json:"w"`                // seconds
	Rate   *float64 `json:"rate,omitempty"`   // units of work completed a second
	Least  *float64 `json:"least,omitempty"`  // of a second, where there are several
	Most   *float64 `json:"most,omitempty"`   //
	Stored *float64 `json:"stored,omitempty"` // what the app's own page shows: the slope of the counter in the store

	Stations map[string]Use     `json:"use,omitempty"`     // by service
	Traffic  map[string]Traffic `json:"traffic,omitempty"` // by the service that loads ask
	LagS     *float64           `json:"lag_s,omitempty"`   // 99th percentile: the generator's own delay
}

// Use is how a service was used.
type Use struct {
	Busy  float64 `json:"busy"`  // occupied share of the slots, 0..1
	Queue float64 `json:"queue"` // requests that waited, on average
}

// Traffic is what became of requests. The percentiles are of response times of those that succeeded, nil where there are none; where a
// point is several seconds they are those of its worst second.
type Traffic struct {
	OK     int64    `json:"ok"`
	Failed int64    `json:"failed"`
	P50S   *float64 `json:"p50_s,omitempty"`
	P99S   *float64 `json:"p99_s,omitempty"`
}

// second adds up what is recorded of a second.
type second struct {
	loops  float64
	stored float64 // units that were counted in the store, over seen seconds
	seen   float64
	use    map[string]*occupied
	asked  map[string]*asked
	lag    *history.Histogram
}

type occupied struct{ busyS, slotS, queueS float64 }

type asked struct {
	ok, failed int64
	times      *history.Histogram
}

// line is a run over time.
type line struct {
	width  int      // seconds of an old point
	old    []Point  // in the order of time; the last one may cover a part of its width
	first  int      // the second of recent[0]
	recent []second // one after the other
	driven bool     // there is a driver, whose loops are counted
	dirty  int      // the second from which on something has changed since it was last taken
}

// at is a second, or the first recent one where it is before that; nil of what is no time of a run.
func (l *line) at(s int) *second {
	if s < 0 || float64(s) > longest {
		return nil
	}
	s = max(s, l.first)
	l.dirty = min(l.dirty, s)
	if s-l.first-len(l.recent) > newest { // nothing was recorded for so long
		l.fold(len(l.recent))
		l.first = s
	}
	for s >= l.first+len(l.recent) {
		l.recent = append(l.recent, second{})
		if len(l.recent) > newest {
			l.fold(oldest)
		}
	}
	return &l.recent[s-l.first]
}

// spread adds to each second its share of what happened evenly between two instants, in seconds.
func (l *line) spread(from, to float64, add func(*second, float64)) {
	if to-from > silent {
		return
	}
	from, to = max(from, float64(l.first)), min(to, longest)
	for s := math.Floor(from); s < to && to > from; s++ {
		if overlap := min(to, s+1) - max(from, s); overlap > 0 {
			add(l.at(int(s)), overlap)
		}
	}
}

// fold merges the first n recent seconds into old points.
func (l *line) fold(n int) {
	for i := range n {
		p := l.recent[i].point(l.first+i, l.driven)
		if k := len(l.old); k > 0 && l.old[k-1].WidthS < l.width && l.old[k-1].AtS+l.old[k-1].WidthS == p.AtS {
			l.old[k-1] = merge(l.old[k-1], p)
		} else {
			l.old = append(l.old, p)
		}
	}
	if l.width > 1 && n > 0 {
		l.dirty = min(l.dirty, l.old[max(0, len(l.old)-2-n/l.width)].AtS)
	}
	l.first += n
	l.recent = slices.Delete(l.recent, 0, n)
	if len(l.old) <= Points-newest {
		return
	}
	half := l.old[:0]
	for i := 0; i < len(l.old); i += 2 {
		p := l.old[i]
		if i+1 < len(l.old) {
			p = merge(p, l.old[i+1])
		}
		half = append(half, p)
	}
	clear(l.old[len(half):])
	l.old, l.width, l.dirty = half, 2*l.width, 0
}

// points are those that begin at a second or later. The rate is known until an instant.
func (l *line) points(from int, known float64) []Point {
	i, _ := slices.BinarySearchFunc(l.old, from, func(p Point, at int) int { return cmp.Compare(p.AtS, at) })
	all := slices.Clone(l.old[i:])
	for s := max(from, l.first); s < l.first+len(l.recent); s++ {
		all = append(all, l.recent[s-l.first].point(s, float64(s+1) <= known+.05))
	}
	return all
}

func (s *second) point(at int, rated bool) Point {
	p := Point{AtS: at, WidthS: 1}
	if rated {
		p.Rate = rounded(s.loops)
	}
	if s.seen > .5 {
		p.Stored = rounded(s.stored / s.seen)
	}
	for service, u := range s.use {
		if u.slotS > 0 {
			put(&p.Stations, service, Use{Busy: *rounded(min(1, u.busyS/u.slotS)), Queue: *rounded(u.queueS)})
		}
	}
	for service, a := range s.asked {
		put(&p.Traffic, service, Traffic{OK: a.ok, Failed: a.failed, P50S: percentile(a.times, 50), P99S: percentile(a.times, 99)})
	}
	p.LagS = percentile(s.lag, 99)
	return p
}

// merge makes one point of two neighbours.
func merge(a, b Point) Point {
	p := Point{AtS: a.AtS, WidthS: b.AtS + b.WidthS - a.AtS, LagS: extreme(a.LagS, b.LagS, true)}
	p.Rate, p.Stored = mean(a.Rate, a.WidthS, b.Rate, b.WidthS), mean(a.Stored, a.WidthS, b.Stored, b.WidthS)
	p.Least = extreme(cmp.Or(a.Least, a.Rate), cmp.Or(b.Least, b.Rate), false)
	p.Most = extreme(cmp.Or(a.Most, a.Rate), cmp.Or(b.Most, b.Rate), true)
	width := float64(p.WidthS)
	for service := range union(a.Stations, b.Stations) {
		x, y := a.Stations[service], b.Stations[service]
		put(&p.Stations, service, Use{Busy: *rounded((x.Busy*float64(a.WidthS) + y.Busy*float64(b.WidthS)) / width),
			Queue: *rounded((x.Queue*float64(a.WidthS) + y.Queue*float64(b.WidthS)) / width)})
	}
	for service := range union(a.Traffic, b.Traffic) {
		x, y := a.Traffic[service], b.Traffic[service]
		put(&p.Traffic, service, Traffic{OK: x.OK + y.OK, Failed: x.Failed + y.Failed, P50S: extreme(x.P50S, y.P50S, true),
			P99S: extreme(x.P99S, y.P99S, true)})
	}
	return p
}

func union[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	if all == nil {
		return b
	}
	maps.Copy(all, b)
	return all
}

func put[K comparable, V any](m *map[K]V, key K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = v
}

// mean is that of two values for so many seconds; one that is not known says nothing.
func mean(a *float64, aS int, b *float64, bS int) *float64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return rounded((*a*float64(aS) + *b*float64(bS)) / float64(aS+bS))
}

func extreme(a, b *float64, most bool) *float64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	if most == (*a > *b) {
		return a
	}
	return b
}

// rounded is a value to six significant digits, which is more than anybody sees.
func rounded(v float64) *float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
		return &v
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(v))))
	v = math.Round(v*scale) / scale
	return &v
}

// percentile is one of a histogram in seconds; nil where it is empty.
func percentile(h *history.Histogram, percent float64) *float64 {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	return rounded(float64(h.ValueAtPercentile(percent)) / 1e9)
}

// readUse spreads what a station's replica did between two readings.
func (l *line) readUse(roles history.Roles, a, b history.Reading) {
	for _, u := range capacity.Replicas(roles, []history.Reading{a}, []history.Reading{b}) {
		if u.Utilisation == nil {
			continue
		}
		slots := b.Values.Of(history.Concurrency)
		l.spread(a.At.Seconds(), b.At.Seconds(), func(s *second, seconds float64) {
			o := s.use[u.Service]
			if o == nil {
				o = &occupied{}
				put(&s.use, u.Service, o)
			}
			o.busyS += *u.Utilisation * slots * seconds
			o.slotS += slots * seconds
			o.queueS += *u.Queue * seconds
		})
	}
}
