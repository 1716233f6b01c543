package gate

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// AtMost is the upper end of the one-sided interval of a probability of which k of n were found (Clopper and Pearson, "The use of
// confidence or fiducial limits", Biometrika 26, 1934): the probability that it is above is at most 1 - confidence.
func AtMost(k, n int, confidence float64) float64 {
	if k >= n {
		return 1
	}
	return distuv.Beta{Alpha: float64(k + 1), Beta: float64(n - k)}.Quantile(confidence)
}

// AtLeast is the lower end.
func AtLeast(k, n int, confidence float64) float64 { return 1 - AtMost(n-k, n, confidence) }

// Fisher is the one-sided exact p of k of n being no larger a share than l of m: the probability, with both counts' sum given, of k or more
// among the n (Fisher, "Statistical methods for research workers", section 21.02).
func Fisher(k, n, l, m int) float64 {
	p, all := 0.0, choose(n+m, k+l)
	for i := k; i <= min(n, k+l); i++ {
		if k+l-i <= m {
			p += math.Exp(choose(n, i) + choose(m, k+l-i) - all)
		}
	}
	return min(1, p)
}

// choose is the logarithm of the number of ways to choose k of n.
func choose(n, k int) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return lg(n) - lg(k) - lg(n-k)
}

// Holm are the p-values of several metrics so that one of them is at most alpha with a probability of at most alpha where none of their
// nulls is wrong, whatever joins the metrics (Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
// Statistics 6, 1979).
func Holm(p []float64) []float64 {
	order := ranked(p)
	out, most := make([]float64, len(p)), 0.0
	for i, j := range order {
		most = max(most, min(1, float64(len(p)-i)*p[j]))
		out[j] = most
	}
	return out
}
