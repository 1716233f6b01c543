package gate

import (
	"cmp"
	"math"
	"slices"
)

// furthest are the n values furthest from 0.
func furthest(values []float64, n int) []float64 {
	values = slices.Clone(values)
	if len(values) <= n {
		return values
	}
	slices.SortFunc(values, func(a, b float64) int { return cmp.Compare(math.Abs(b), math.Abs(a)) })
	return values[:n]
}

// signSums are the sums of the values over all choices of their signs, ascending.
func signSums(values []float64) []float64 {
	sums := []float64{0}
	for _, v := range values {
		next := make([]float64, 0, 2*len(sums))
		low, high := -math.Abs(v), math.Abs(v)
		for i, j := 0, 0; i < len(sums) || j < len(sums); { // two ascending lists: sums+low and sums+high
			if j == len(sums) || i < len(sums) && sums[i]+low <= sums[j]+high {
				next = append(next, sums[i]+low)
				i++
			} else {
				next = append(next, sums[j]+high)
				j++
			}
		}
		sums = next
	}
	return sums
}

// ranked are the indexes of the values, ascending by value.
func ranked(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	return order
}
