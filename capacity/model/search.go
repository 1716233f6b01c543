package model

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/internal/visible"
)

// searcher looks for the cheapest replicas. It tries them in the order of their price; so the first that meets the goal is the answer, and
// nothing is assumed of the shape of the hash rate but this: with more of the stations it does not fall by more than slack, and with
// more of the driver each makes at most slack more. What is then out of reach of a setting that missed is not played.
type searcher struct {
	model   Model
	goal    Goal
	from    Setting
	options Options
	samples map[replicas]*sample
	misses  []miss
}

// replicas is what is searched.
type replicas struct{ drivers, first, last int }

func (r replicas) sum() int { return r.drivers + r.first + r.last }

// miss is a setting whose hash rate is at most a rate, or whose visitors wait too long.
type miss struct {
	replicas
	most float64 // 0: visitors wait too long
}

const (
	// Tie is the share of a rate below which two are the same: what rounding leaves of a bound that is met exactly.
	Tie = .001
	// slack is how far a rate may fall where more replicas should raise it: constant delays make some numbers go better in step than others.
	slack = .005

	fewRuns  = 4  // of a candidate that is clearly out
	sureRuns = 12 // of one that is in
	mostRuns = 48 // of one on the edge; half as many for what visitors wait

	edgeHashes = 40_000 // and as many runs, up to edgeRuns, as make these, so that a low rate is known as well as a high one
	edgeRuns   = 400
)

func (x *searcher) setting(at replicas) Setting {
	s := x.from
	s.Drivers, s.First, s.Last = at.drivers, at.first, at.last
	return s
}

// candidate is a setting with its full prediction, from the runs that the search judged it by.
func (x *searcher) candidate(at replicas) (Candidate, error) {
	s, o := x.setting(at), x.options
	o.Runs = len(x.samples[at].trials)
	p, err := x.model.Predict(s, o)
	c := Candidate{Setting: s, Cost: x.goal.Price(s), Prediction: p}
	if x.goal.SLO != nil {
		c.WaitSD = stat.StdDev(x.waits(x.samples[at]), nil)
	}
	return c, err
}

// waits is the objective's statistic of each run.
func (x *searcher) waits(v *sample) []float64 {
	return v.values(func(t trial) float64 {
		one, _ := x.goal.SLO.Of(capacity.NewLatency(t.waits))
		return one
	})
}

// play has at least some runs of a setting.
func (x *searcher) play(at replicas, runs int) (*sample, error) {
	v := x.samples[at]
	if v == nil {
		o := x.options
		if x.goal.SLO == nil {
			o.Probe = 0 // the rate is measured without it
		}
		var err error
		if v, err = x.model.sample(x.setting(at), o); err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		x.samples[at] = v
	}
	for len(v.trials) < runs {
		if err := v.run(); err != nil {
			return nil, fmt.Errorf("plan %s: %w", x.setting(at), err)
		}
	}
	return v, nil
}

// mean is the hash rate of a setting that was played.
func (x *searcher) mean(at replicas) float64 { return stat.Mean(x.samples[at].rates(), nil) }

// meanOf is the mean of a number of each run, and its error: half the width of its 99 % interval, for it is looked at more than once.
func meanOf(values []float64) (mean, err float64) {
	mean, sd := stat.MeanStdDev(values, nil)
	n := float64(len(values))
	return mean, distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(.995) * sd / math.Sqrt(n)
}

// makes says whether a setting makes a rate, in as many runs as it takes to know.
func (x *searcher) makes(at replicas, need float64) (bool, error) {
	for runs := fewRuns; ; runs += max(fewRuns, runs/4) {
		v, err := x.play(at, runs)
		if err != nil {
			return false, err
		}
		most := min(edgeRuns, max(mostRuns, int(edgeHashes/(need*v.options.Length.Seconds()))))
		mean, off := meanOf(v.rates())
		yes := mean >= need*(1-Tie)
		sure := math.Abs(mean-need*(1-Tie)) > off
		if sure && (!yes || len(v.trials) >= sureRuns) || len(v.trials) >= most {
			if !yes {
				x.misses = append(x.misses, miss{at, max(mean+off, mean*(1+slack))})
			}
			return yes, nil
		}
	}
}

// serves says whether the visitors of a setting are served as the goal says.
func (x *searcher) serves(at replicas) (bool, error) {
	slo := x.goal.SLO
	if slo == nil {
		return true, nil
	}
	for runs := fewRuns; ; runs += fewRuns {
		v, err := x.play(at, runs)
		if err != nil {
			return false, err
		}
		value, ok := slo.Of(v.visitors())
		_, off := meanOf(x.waits(v))
		yes := ok && value <= slo.AtMostS
		if math.Abs(value-slo.AtMostS) > off && (!yes || len(v.trials) >= sureRuns) || len(v.trials) >= mostRuns/2 {
			if value > slo.AtMostS*(1+slack)+off {
				x.misses = append(x.misses, miss{at, 0})
				if wider := (replicas{at.drivers, min(mostReplicas, 2*at.first), at.last}); wider != at {
					_, err = x.serves(wider) // nothing between needs to be tried, perhaps
				}
			}
			return yes, err
		}
	}
}

// queue holds settings, the cheapest first; of those that cost the same, the one with the fewest replicas.
type queue struct {
	all   []replicas
	price func(replicas) float64
}

func (q *queue) Len() int      { return len(q.all) }
func (q *queue) Swap(i, j int) { q.all[i], q.all[j] = q.all[j], q.all[i] }
func (q *queue) Push(v any)    { q.all = append(q.all, v.(replicas)) }
func (q *queue) Pop() any {
	v := q.all[len(q.all)-1]
	q.all = q.all[:len(q.all)-1]
	return v
}

func (q *queue) Less(i, j int) bool {
	a, b := q.all[i], q.all[j]
	return cmp.Or(cmp.Compare(q.price(a), q.price(b)), cmp.Compare(a.sum(), b.sum()), cmp.Compare(a.last, b.last),
		cmp.Compare(a.first, b.first)) < 0
}

// cheapest finds the cheapest settings that meet the goal with a rate, at most a given number, each with other numbers of the stations.
func (x *searcher) cheapest(need float64, want int) ([]replicas, error) {
	least, err := x.least(need)
	if err != nil {
		return nil, err
	}
	q := &queue{price: func(at replicas) float64 { return x.goal.Price(x.setting(at)) }}
	seen := map[replicas]bool{}
	push := func(at replicas) {
		if !seen[at] && at.drivers <= mostWorkers && at.first <= mostReplicas && at.last <= mostReplicas {
			seen[at] = true
			heap.Push(q, at)
		}
	}
	push(least)
	limit, err := x.affordable(least, need)
	if err != nil {
		return nil, err
	}
	var found []replicas
	nearest := miss{}
	for q.Len() > 0 && len(found) < want {
		at := heap.Pop(q).(replicas)
		if slices.ContainsFunc(found, func(f replicas) bool { return f.first == at.first && f.last == at.last }) {
			continue
		}
		more, first, last := at, at, at
		more.drivers, first.first, last.last = at.drivers+1, at.first+1, at.last+1
		why, out := x.hopeless(at, need)
		if !out {
			if err := x.ahead(at, need, limit); err != nil {
				return nil, err
			}
			why, out = x.hopeless(at, need)
		}
		if !out {
			ok, err := x.makes(at, need)
			if ok && err == nil {
				ok, err = x.serves(at)
			}
			if err != nil {
				return nil, err
			}
			if ok {
				found = append(found, at)
				limit = min(q.price(first), q.price(last))
				push(first)
				push(last)
				continue
			}
			if rate := x.mean(at); rate > nearest.most {
				nearest = miss{at, rate}
			}
			if why, out = x.hopeless(at, need); !out {
				why = miss{at, need} // it alone
			}
		}
		// Whatever is out for the same reason is skipped.
		first.first, last.last = max(first.first, why.first+1), max(last.last, why.last+1)
		push(first)
		if why.most > 0 { // more of the others do not help visitors
			push(last)
			more.drivers = max(more.drivers, int(math.Ceil(float64(why.drivers)*need/why.most-1e-9)))
			if knee := x.samples[why.replicas].bounds.KneeWorkers; knee != nil && float64(at.drivers) > 3**knee {
				more.drivers = max(more.drivers, at.drivers+at.drivers/8) // a full service makes hardly more
			}
			push(more)
		}
	}
	if len(found) > 1 && q.price(found[0]) == q.price(found[1]) && x.mean(found[0]) < x.mean(found[1]) && found[0].sum() == found[1].sum() {
		found[0], found[1] = found[1], found[0]
	}
	if len(found) > 0 {
		return found, nil
	}
	if nearest.most == 0 {
		return nil, fmt.Errorf("plan: with %s nothing meets it", x.setting(least))
	}
	v := x.samples[nearest.replicas]
	text := fmt.Sprintf("%s: %s hashes/s", x.setting(nearest.replicas), visible.Significant(nearest.most, 4))
	if l := v.visitors(); x.goal.SLO != nil && l != nil {
		wait, _ := x.goal.SLO.Of(l)
		text += fmt.Sprintf(", %s %s", x.goal.SLO.Statistic, visible.Seconds(wait))
	}
	return nil, errors.New("plan: nothing that was tried meets it; the nearest was " + text)
}

// least is the fewest of each that the asymptotic bounds allow.
func (x *searcher) least(need float64) (replicas, error) {
	b, err := x.model.Bounds(x.setting(replicas{1, 1, 1}), need)
	if err != nil {
		return replicas{}, fmt.Errorf("plan: %w", err)
	}
	driver, first, last := parts(x.model.Roles)
	least := replicas{max(1, int(math.Ceil(need*(1-Tie)*b.LoopS))), 1, 1}
	for _, d := range b.Demands {
		if d.BoundPerS == nil {
			continue
		}
		n := max(1, int(math.Ceil(need*(1-Tie) / *d.BoundPerS)))
		if d.Service == first.Service {
			least.first = n
		} else {
			least.last = n
		}
	}
	if least.first > mostReplicas || least.last > mostReplicas || least.drivers > mostWorkers {
		return least, fmt.Errorf("plan: %.4g hashes/s need at least %s, %s and %s, more than a plan may have (%d, %d and %d)",
			need, driver.Count(least.drivers), first.Count(least.first), last.Count(least.last), mostWorkers, mostReplicas, mostReplicas)
	}
	return least, nil
}

// hopeless finds a miss because of which a setting cannot meet the goal with a rate.
func (x *searcher) hopeless(at replicas, need float64) (miss, bool) {
	for _, m := range x.misses {
		if m.first < at.first {
			continue
		}
		if m.most == 0 && m.drivers <= at.drivers && m.last <= at.last ||
			m.most > 0 && m.last >= at.last && m.most*max(1, float64(at.drivers)/float64(m.drivers)) < need*(1-Tie) {
			return m, true
		}
	}
	return miss{}, false
}

// affordable is the price of some settings that make a rate, the least of them, or infinite: what is dearer need not be looked at first.
func (x *searcher) affordable(least replicas, need float64) (float64, error) {
	limit := math.Inf(1)
	for _, room := range []float64{1.25, 1.5, 2} {
		at := replicas{least.drivers, min(mostReplicas, int(math.Ceil(room*float64(least.first)))),
			min(mostReplicas, int(math.Ceil(room*float64(least.last))))}
		for at.drivers <= 2*least.drivers {
			v, err := x.play(at, fewRuns)
			if err != nil {
				return 0, err
			}
			rate := stat.Mean(v.rates(), nil)
			if rate >= need {
				limit = min(limit, x.goal.Price(x.setting(at)))
				break
			}
			at.drivers = max(at.drivers+1, int(float64(at.drivers)*need/rate))
		}
	}
	return limit, nil
}

// ahead plays what is like a setting but has as many workers as may be for a price, and many hashers, then its own number. If one
// of them misses, so does all that is between.
func (x *searcher) ahead(at replicas, need, limit float64) error {
	price, each := x.goal.Price(x.setting(at)), x.goal.Cost[x.model.Roles.Driver.Service]
	b, err := x.model.Bounds(x.setting(at), need)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	most := float64(mostWorkers)
	if b.KneeWorkers != nil {
		most = min(most, 3**b.KneeWorkers)
	}
	if each > 0 {
		most = min(most, float64(at.drivers)+math.Ceil((limit-price)/each)-1)
	}
	if most <= float64(at.drivers) {
		return nil
	}
	for _, last := range []int{min(mostReplicas, 2*at.last+4), at.last} {
		far := replicas{int(most), at.first, last}
		v, err := x.play(far, sureRuns)
		if err != nil {
			return err
		}
		if mean, off := meanOf(v.rates()); max(mean+off, mean*(1+slack)) < need*(1-Tie) {
			x.misses = append(x.misses, miss{far, max(mean+off, mean*(1+slack))})
			break
		}
	}
	return nil
}

// capacity is the most that a number of stations make, with up to twice the workers of the knee, to the precision of a few runs.
func (x *searcher) capacity(first, last int) (CapacityRow, error) {
	row := CapacityRow{First: first}
	b, err := x.model.Bounds(x.setting(replicas{1, first, last}), 0)
	if err != nil {
		return row, fmt.Errorf("plan: %w", err)
	}
	most := 1
	if b.KneeWorkers != nil {
		most = min(mostWorkers, max(1, int(math.Ceil(2**b.KneeWorkers))))
	}
	rate := func(n int) (float64, error) {
		v, err := x.play(replicas{n, first, last}, fewRuns)
		if err != nil {
			return 0, err
		}
		return stat.Mean(v.rates(), nil), nil
	}
	if x.goal.SLO != nil { // more workers make visitors wait longer
		most, err = greatest(1, most, func(n int) (bool, error) {
			v, err := x.play(replicas{n, first, last}, fewRuns)
			return err == nil && x.goal.SLO.Met(v.visitors()), err
		})
		if err != nil || most == 0 {
			return row, err
		}
	}
	for _, n := range []int{most, (3*most + 3) / 4, (most + 1) / 2} {
		v, err := rate(n)
		if err != nil {
			return row, err
		}
		row.PerS = max(row.PerS, v)
	}
	for at := range x.samples { // what was tried already
		if at.first == first && at.last == last && at.drivers <= most {
			row.PerS = max(row.PerS, x.mean(at))
		}
	}
	fewer, err := greatest(1, most, func(n int) (bool, error) {
		v, err := rate(n)
		return v < row.PerS*(1-Tie), err
	})
	row.Drivers = min(most, fewer+1)
	return row, err
}

// greatest is that of low..high for which what holds up to some number still holds; low - 1 if for none.
func greatest(low, high int, holds func(int) (bool, error)) (int, error) {
	if ok, err := holds(high); ok || err != nil {
		return high, err
	}
	for low < high {
		middle := (low + high) / 2
		ok, err := holds(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low - 1, nil
}

// risks are what is left when one replica dies.
func (x *searcher) risks(of replicas) ([]Risk, error) {
	var all []Risk
	driver, first, last := parts(x.model.Roles)
	for _, v := range []struct {
		role history.Role
		n    int
		left replicas
	}{
		{first, of.first, replicas{of.drivers, of.first - 1, of.last}},
		{last, of.last, replicas{of.drivers, of.first, of.last - 1}},
		{driver, of.drivers, replicas{of.drivers - 1, of.first, of.last}},
	} {
		r := Risk{Service: v.role.Service, Left: x.setting(v.left)}
		if v.n == 1 {
			r.Text = fmt.Sprintf("the only %s dies: nothing is made until another runs, and each %s that met its absence stays silent for "+
				"its back-off", v.role.Service, driver.Service)
			all = append(all, r)
			continue
		}
		var err error
		if r.Meets, err = x.makes(v.left, x.goal.PerS); err != nil {
			return nil, err
		}
		r.HashRate = x.mean(v.left)
		word := "which still meets the target"
		if !r.Meets {
			word = fmt.Sprintf("%.2g %% short of the target", 100*(1-r.HashRate/x.goal.PerS))
		}
		r.Text = fmt.Sprintf("one of %s dies and is out of rotation: %.1f hashes/s, %s", v.role.Count(v.n), r.HashRate, word)
		if v.role == first {
			r.Text += "; while it is dead in rotation, every " + driver.Service + " meets it within " + plural(of.first, "loop") +
				" and is silent for its back-off"
		}
		all = append(all, r)
	}
	return all, nil
}
