package gate

import (
	"math"
	"slices"

	"coinbench/internal/seeded"
)

// Change is a place in a series where its level changes: at the point Index, which is the first of the new level.
type Change struct {
	Index  int     `json:"index"`
	Before float64 `json:"before"` // the median of the segment before, and of the one from Index on
	After  float64 `json:"after"`
}

// What a change must be, besides found by both detectors.
const (
	leastSegment = 3    // points
	leastStep    = .005 // of the level, between medians, which a spike does not move
	superiority  = .8   // probability that a point of the one side exceeds one of the other
	permutations = 999
	changeAlpha  = .05 // of E-divisive alone: three points against six have no smaller p than 1/84
)

// Changes finds where the level of a series changes. Two detectors of different families must agree within one point: E-divisive, which
// knows nothing of the distribution, and the optimal partition of the squared errors. se are the standard errors of the points; nil: equal.
// Points that stand alone
// are spikes and no changes. It proposes; a gate of before against after decides.
func Changes(values, se []float64, seed uint64) []Change {
	var divisive, indexes []int
	values, _ = withoutSpikes(values)
	partition := Partition(values, se)
	if len(partition) > 0 { // which is quick, and rarely wrong
		divisive = EDivisive(values, permutations, changeAlpha, seed)
	}
	for _, i := range partition {
		if slices.ContainsFunc(divisive, func(j int) bool { return j >= i-1 && j <= i+1 }) {
			indexes = append(indexes, i)
		}
	}
	return steps(values, indexes)
}

// Spikes are the points that stand alone: further than five standard deviations from the median of the five around them (Hampel's
// filter). The standard deviation is that of Partition's tau.
func Spikes(values []float64) []int {
	_, at := withoutSpikes(values)
	return at
}

// withoutSpikes has the medians in the places of spikes.
func withoutSpikes(values []float64) (smooth []float64, at []int) {
	smooth = slices.Clone(values)
	sd := math.Sqrt(wander(values))
	for i, v := range values {
		m := median(values[max(0, i-2):min(len(values), i+3)])
		if sd > 0 && math.Abs(v-m) > 5*sd {
			smooth[i] = m
			at = append(at, i)
		}
	}
	return smooth, at
}

// steps keeps the changes that are large and clear enough, the weakest leaving first: what is left has longer segments.
func steps(values []float64, indexes []int) []Change {
	for {
		bounds := append(append([]int{0}, indexes...), len(values))
		var all []Change
		weakest, least := -1, math.Inf(1)
		for k, i := range indexes {
			before, after := values[bounds[k]:i], values[i:bounds[k+2]]
			c := Change{i, median(before), median(after)}
			all = append(all, c)
			step := math.Abs(c.After - c.Before)
			small := len(before) < leastSegment || len(after) < leastSegment || step < leastStep*math.Abs(c.Before) ||
				exceeds(before, after) < superiority
			if small && step < least {
				weakest, least = k, step
			}
		}
		if weakest < 0 {
			return all
		}
		indexes = slices.Delete(slices.Clone(indexes), weakest, weakest+1)
	}
}

// exceeds is the probability of superiority: the share of pairs of which the value of the higher side is the larger.
func exceeds(a, b []float64) float64 {
	n := 0.0
	for _, x := range a {
		for _, y := range b {
			switch {
			case x > y:
				n++
			case x == y:
				n += .5
			}
		}
	}
	p := n / float64(len(a)*len(b))
	return max(p, 1-p)
}

// EDivisive finds changes of the distribution, without assumptions about it: the split with the largest divergence
//
//	Q(X, Y) = 2/(m+n) sum |x-y|  -  2m/((m+n)(n-1)) sum_{i<k} |x_i-x_k|  -  2n/((m+n)(m-1)) sum_{j<k} |y_j-y_k|,   n of X, m of Y
//
// over all splits and all ends of Y, again and again within what is split, until the largest is no larger than in permutations (Matteson
// and James, "A nonparametric approach for multiple change point analysis of multivariate data", JASA 109, 2014, arXiv 1306.4933). Permuted
// is within the segments, and the largest divergence is taken of each permutation as it is of the data, so that p = (b+1)/(R+1) is exact.
func EDivisive(values []float64, permutations int, alpha float64, seed uint64) []int {
	bounds := []int{0, len(values)}
	random := seeded.Stream(seed, seeded.Word("e-divisive"))
	for {
		at, q := largest(values, bounds)
		if at < 0 {
			break
		}
		// The p of a sequence of tests only grows: where b is too large already, the rest need not be drawn.
		b, most := 0, int(alpha*float64(permutations+1))
		shuffled := slices.Clone(values)
		for range permutations {
			for s := 1; s < len(bounds); s++ {
				segment := shuffled[bounds[s-1]:bounds[s]]
				for i := len(segment) - 1; i > 0; i-- {
					j := seeded.Below(&random, i+1)
					segment[i], segment[j] = segment[j], segment[i]
				}
			}
			if _, other := largest(shuffled, bounds); other >= q {
				if b++; b >= most {
					break
				}
			}
		}
		if b >= most {
			break
		}
		bounds = append(bounds, at)
		slices.Sort(bounds)
	}
	return slices.Clone(bounds[1 : len(bounds)-1])
}

// largest is the split with the largest divergence within any segment; -1: there is none.
func largest(values []float64, bounds []int) (at int, q float64) {
	at = -1
	for s := 1; s < len(bounds); s++ {
		if i, v := divergence(values[bounds[s-1]:bounds[s]]); i > 0 && (at < 0 || v > q) {
			at, q = bounds[s-1]+i, v
		}
	}
	return at, q
}

// divergence is the best split of a segment, over all ends of its right part: sums of distances are carried on from one end to the next.
func divergence(v []float64) (at int, q float64) {
	n := len(v)
	// within[i][j] would be the sum of distances within v[i:j]; rows are made as they are needed, from cumulative sums of distances.
	prefix := make([][]float64, n) // prefix[i][k]: sum over j < k of |v_i - v_j|
	for i := range prefix {
		prefix[i] = make([]float64, n+1)
		for j := range n {
			prefix[i][j+1] = prefix[i][j] + math.Abs(v[i]-v[j])
		}
	}
	left := 0.0 // within v[:tau]
	for tau := 1; tau < n; tau++ {
		left += prefix[tau-1][tau-1]
		if tau < 2 {
			continue
		}
		between, right := 0.0, 0.0
		for kappa := tau + 1; kappa <= n; kappa++ {
			between += prefix[kappa-1][tau]
			right += prefix[kappa-1][kappa-1] - prefix[kappa-1][tau]
			if kappa-tau < 2 {
				continue
			}
			x, y := float64(tau), float64(kappa-tau)
			d := 2/(x+y)*between - 2*y/((x+y)*(x-1))*left - 2*x/((x+y)*(y-1))*right
			if at == 0 || d > q {
				at, q = tau, d
			}
		}
	}
	return at, q
}

// Partition is the optimal partition of a series into segments of one level each (Killick, Fearnhead and Eckley, "Optimal detection of
// changepoints with a linear computational cost", JASA 107, 2012, without the pruning: a history is short): the minimum of
//
//	sum over segments of  sum w_i (y_i - mean)^2   +   (segments - 1) 3 ln n,     w_i = 1/(se_i^2 + tau^2)
//
// tau^2, what varies between points besides their errors, is half the median of the squared first differences over .455, the median of a
// chi-squared variable of one degree of freedom, less the median of se^2: a few steps do not touch a median.
func Partition(values, se []float64) []int {
	n := len(values)
	if n < 2*leastSegment {
		return nil
	}
	w := weights(values, se)
	sum, square, weight := make([]float64, n+1), make([]float64, n+1), make([]float64, n+1)
	origin := values[0] // for the digits of the differences
	for i, v := range values {
		v -= origin
		sum[i+1], square[i+1], weight[i+1] = sum[i]+w[i]*v, square[i]+w[i]*v*v, weight[i]+w[i]
	}
	cost := func(i, j int) float64 {
		s := sum[j] - sum[i]
		return max(0, square[j]-square[i]-s*s/(weight[j]-weight[i]))
	}
	penalty := 3 * math.Log(float64(n))
	best, from := make([]float64, n+1), make([]int, n+1)
	for j := 1; j <= n; j++ {
		best[j] = math.Inf(1)
		for i := 0; i <= j-leastSegment; i++ {
			c := cost(i, j)
			if i > 0 {
				c += best[i] + penalty
			}
			if c < best[j] {
				best[j], from[j] = c, i
			}
		}
	}
	var indexes []int
	for j := from[n]; j > 0; j = from[j] {
		indexes = append(indexes, j)
	}
	slices.Reverse(indexes)
	return indexes
}

func weights(values, se []float64) []float64 {
	n := len(values)
	errors := make([]float64, n)
	for i := range se {
		errors[i] = se[i] * se[i]
	}
	tau2 := max(0, wander(values)-median(errors))
	floor := 1e-12
	for _, v := range values {
		floor = max(floor, 1e-12*v*v) // where all are equal
	}
	w := make([]float64, n)
	for i := range w {
		w[i] = 1 / max(floor, errors[i]+tau2)
	}
	return w
}

// wander is the variance of points about a level that rarely changes.
func wander(values []float64) float64 {
	var differences []float64
	for i := 1; i < len(values); i++ {
		d := values[i] - values[i-1]
		differences = append(differences, d*d)
	}
	return median(differences) / 2 / .455
}

// median is that of some values; 0 of none.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
