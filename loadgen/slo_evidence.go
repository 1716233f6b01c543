package loadgen

import (
	"maps"
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"coinbench/history"
)

// evidence is what the loads of a level say of the objectives: their intervals, one load after the other, without the tenth of each in
// which queues fill, and where the last and longest one begins.
type evidence struct {
	slo       SLO
	cells     []history.Interval
	last      int
	offered   bool    // an open load: what is offered must be served
	precision float64 // how much of the time response times may seem to grow at a level that serves all that is offered
}

// cloned is what evidence needs of an interval, whose histograms the recorder may use again.
func cloned(i history.Interval) history.Interval {
	k := history.Interval{At: i.At, Length: i.Length, Due: i.Due, OK: i.OK, Failures: maps.Clone(i.Failures)}
	if i.Response != nil {
		k.Response = i.Response.Clone()
	}
	return k
}

func (e *evidence) add(load []history.Interval) {
	e.last = len(e.cells)
	e.cells = append(e.cells, load[len(load)/10:]...)
}

// probability is how probable what was seen is, or more, if the level just missed the objectives (good) or just met them (bad): the
// greatest of all objectives, and the least times their number.
func (e *evidence) probability() (good, bad float64) {
	good, bad = 0, 1
	tests := float64(len(e.slo))
	for _, o := range e.slo {
		g, b := e.objective(o)
		good, bad = max(good, g), min(bad, b)
	}
	if e.offered {
		tests++
		g, b := e.served()
		good, bad = max(good, g), min(bad, b)
	}
	return good, min(1, bad*tests)
}

func (e *evidence) objective(o Objective) (good, bad float64) {
	n, late := 0.0, 0.0
	counts := make([]share, len(e.cells))
	for i, c := range e.cells {
		all, x := e.slo.late(o, c)
		counts[i] = share{float64(all), float64(x)}
		n, late = n+counts[i].n, late+counts[i].x
	}
	switch {
	case n == 0:
		return 1, 1
	case o.Metric == "max", o.Metric == "mean" && late > 0:
		if late > 0 {
			return 1, 0
		}
		return math.Exp(-n * longTail), 1 // none was later; it says nothing of rarer ones
	case o.Metric == "mean":
		return e.mean(o)
	}
	q := o.Ratio
	if o.Metric != "errors" {
		q = 1 - o.Quantile
	}
	// Requests of one queue are late together, so that they say less than as many that are independent: the variance of counts over that of
	// independent ones (McCullagh and Nelder, "Generalized Linear Models", 1989, 4.5) divides their number. What is rarely late shows it too
	// rarely itself, so the slowest tenth does too.
	excess := max(dispersion(counts), dispersion(e.slowest()))
	n, late = n/excess, late/excess
	return binomial(n, late, q)
}

// binomial is the probability of x or fewer of n, and of x or more, where each has the probability q.
func binomial(n, x, q float64) (below, above float64) {
	below, above = 1, 1
	if n-x > 0 {
		below = 1 - mathext.RegIncBeta(x+1, n-x, q)
	}
	if x > 0 {
		above = mathext.RegIncBeta(x, max(n-x, 0)+1, q)
	}
	return below, above
}

// longTail is the share of which a maximum is held to be free.
const longTail = 0.01

// share is a count of requests among others.
type share struct{ n, x float64 }

// slowest counts, in each interval, requests beyond the 90th percentile of all.
func (e *evidence) slowest() []share {
	all := history.NewHistogram()
	for _, c := range e.cells {
		if c.Response != nil {
			all.Merge(c.Response)
		}
	}
	limit := all.ValueAtPercentile(90)
	counts := make([]share, len(e.cells))
	for i, c := range e.cells {
		if c.Response == nil {
			continue
		}
		c.Response.ForEachBucket(func(v, n int64) bool {
			counts[i].n += float64(n)
			if v > limit {
				counts[i].x += float64(n)
			}
			return true
		})
	}
	return counts
}

// fewestBlocks are enough that a variance between them says something.
const fewestBlocks = 8

// dispersion is the variance of counts between blocks over that of independent requests, at the length of blocks at which it is greatest,
// and at least 1.
func dispersion(counts []share) float64 {
	total := sumShares(counts)
	p := total.x / total.n
	worst := 1.0
	if !(p > 0 && p < 1) {
		return worst
	}
	for length := 1; len(counts)/length >= fewestBlocks; length *= 2 {
		sum, blocks := 0.0, 0
		for i := 0; i+length <= len(counts); i += length {
			if b := sumShares(counts[i : i+length]); b.n > 0 {
				sum += (b.x - p*b.n) * (b.x - p*b.n) / (p * (1 - p) * b.n)
				blocks++
			}
		}
		if blocks >= fewestBlocks {
			worst = max(worst, sum/float64(blocks-1))
		}
	}
	return worst
}

func sumShares(list []share) (sum share) {
	for _, s := range list {
		sum.n, sum.x = sum.n+s.n, sum.x+s.x
	}
	return sum
}

// means are the mean response times of eight equal parts of intervals, in seconds; nil: there are too few.
func means(cells []history.Interval) (list []float64, apart float64) {
	length := len(cells) / fewestBlocks
	if length == 0 {
		return nil, 0
	}
	for i := range fewestBlocks {
		n, sum := 0.0, 0.0
		for _, c := range cells[i*length : (i+1)*length] {
			if c.Response != nil && c.OK > 0 {
				n += float64(c.OK)
				sum += float64(c.OK) * c.Response.Mean() / 1e9
			}
		}
		if n == 0 {
			return nil, 0
		}
		list = append(list, sum/n)
	}
	return list, (cells[length].At - cells[0].At).Seconds()
}

// mean tests a mean by Student's t over eight parts.
func (e *evidence) mean(o Objective) (good, bad float64) {
	list, _ := means(e.cells)
	if list == nil {
		return 1, 1
	}
	mean, sd := stat.MeanStdDev(list, nil)
	return student((o.Time.Seconds()-mean)/(sd/math.Sqrt(fewestBlocks)), fewestBlocks-1)
}

// served tests whether response times grow, as they do for ever where less is served than is offered: by Student's t of the regression on
// time over eight parts of the last load. Good is that they grow by less than the precision.
func (e *evidence) served() (good, bad float64) {
	y, apart := means(e.cells[e.last:])
	if y == nil || apart <= 0 {
		return 1, 1
	}
	x := make([]float64, len(y))
	for i := range x {
		x[i] = float64(i) * apart
	}
	a, slope := stat.LinearRegression(x, y, nil, false)
	residual, spread, mean := 0.0, 0.0, stat.Mean(x, nil)
	for i := range x {
		residual += (y[i] - a - slope*x[i]) * (y[i] - a - slope*x[i])
		spread += (x[i] - mean) * (x[i] - mean)
	}
	df := float64(len(x) - 2)
	// Times are recorded to three digits: less is no growth.
	stdErr := math.Sqrt(residual/df/spread) + 1e-3*stat.Mean(y, nil)/(apart*float64(len(x)))/3
	good, _ = student((e.precision-slope)/stdErr, df)
	_, bad = student(-slope/stdErr, df)
	return good, bad
}

// student is the probability of a t as great or greater, and of one as small or smaller.
func student(t, df float64) (above, below float64) {
	if math.IsNaN(t) {
		return 1, 1
	}
	s := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: df}
	return s.Survival(t), s.CDF(t)
}

// needed is how many requests may show at the soonest that a level meets the objectives, with a doubt: without one that is late.
func (s SLO) needed(doubt float64) float64 {
	n := 0.0
	for _, o := range s {
		q := o.Ratio
		switch {
		case o.Metric == "max", o.Metric == "mean":
			q = longTail
		case o.Metric != "errors":
			q = 1 - o.Quantile
		}
		n = max(n, math.Ceil(math.Log(doubt)/math.Log1p(-min(q, .999))))
	}
	return n
}
