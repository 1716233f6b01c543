package capacity

import (
	"math"
	"slices"
)

// blockedRanks is the probability that the first value of every block ranks as high within its block as it does, or higher, in the sum
// over all blocks, when each value of a block was equally likely to be the first: the exact one-sided permutation test for randomised
// blocks, which compares replicas with each other within a block only, so that whatever all of them share cancels out (Friedman,
// Journal of the American Statistical Association 32, 1937; Pitman, Biometrika 29, 1938). Equal values have their mean rank. It asks that
// blocks are independent of each other. A block of one value says nothing.
func blockedRanks(blocks [][]float64) float64 {
	// Ranks are doubled, so that mean ranks are whole numbers.
	sum, distribution := 0, []float64{1} // probability by sum of doubled ranks
	for _, block := range blocks {
		ranks := doubledRanks(block)
		if len(ranks) == 0 || slices.Min(ranks) == slices.Max(ranks) {
			continue // it is the first
		}
		sum += ranks[0]
		slices.Sort(ranks)
		next := make([]float64, len(distribution)+2*len(ranks))
		for i := 0; i < len(ranks); {
			j := i
			for j < len(ranks) && ranks[j] == ranks[i] {
				j++
			}
			share := float64(j-i) / float64(len(ranks))
			for k, p := range distribution {
				next[k+ranks[i]] += p * share
			}
			i = j
		}
		distribution = next
	}
	p := 0.0
	for _, q := range distribution[sum:] {
		p += q
	}
	return min(p, 1)
}

// doubledRanks are twice the ranks of values, from 1, in their order.
func doubledRanks(values []float64) []int {
	ranks := make([]int, len(values))
	for i, v := range values {
		for _, w := range values {
			switch {
			case w < v:
				ranks[i] += 2
			case w == v:
				ranks[i]++
			}
		}
		ranks[i]++
	}
	return ranks
}

// lagOne is the correlation between successive values of series, each centred on its own mean, less what the centring takes off it, and
// its standard error if there is none. NaN is a gap.
func lagOne(series [][]float64) (r, stdErr float64) {
	products, squares, off, errors := 0.0, 0.0, 0.0, 0.0
	for _, s := range series {
		mean, n, pairs := 0.0, 0, 0
		for i, v := range s {
			if !math.IsNaN(v) {
				mean, n = mean+v, n+1
				if i > 0 && !math.IsNaN(s[i-1]) {
					pairs++
				}
			}
		}
		if pairs == 0 {
			continue
		}
		mean /= float64(n)
		product, square, last := 0.0, 0.0, 0.0
		for _, v := range s {
			d := v - mean
			if math.IsNaN(v) || math.Abs(d) <= 1e-9*math.Abs(mean) { // rounding is no correlation
				d = 0
			}
			product, square, last = product+d*last, square+d*d, d
		}
		square /= float64(n)
		products += product / float64(pairs)
		squares += square
		off += square / float64(n)
		errors += square * square / float64(pairs)
	}
	if squares == 0 {
		return 0, 0
	}
	return (products + off) / squares, math.Sqrt(errors) / squares
}
