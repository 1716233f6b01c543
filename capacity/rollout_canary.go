package capacity

import (
	"fmt"
	"math"
	"slices"
)

// CanarySide is what became of the requests that one side of a comparison served.
type CanarySide struct {
	TimesS []float64 // service times of the good ones, seconds
	Failed int64
}

// CanaryVerdict is what a comparison says.
type CanaryVerdict struct {
	Back   bool    // the canary is to be taken back
	Errors float64 // probability of as many failures or more if both sides were the same (Fisher's exact test, one-sided)
	Slower float64 // probability of times as long or longer if both sides were the same (Mann-Whitney U test, one-sided)
	Reason string
}

// Of a canary: the fewest requests that prove anything, and by how much its median must be longer to matter.
const (
	fewestCanaryRequests = 50
	canaryTolerance      = 1.1
)

// JudgeCanary compares a canary with the rest. It is taken back when it fails more often, or is slower by more than a tenth in the
// median, each with half of the doubt that the confidence leaves (Bonferroni), and when too few requests reached it to say.
func JudgeCanary(canary, rest CanarySide, confidence float64) CanaryVerdict {
	n, m := int64(len(canary.TimesS))+canary.Failed, int64(len(rest.TimesS))+rest.Failed
	if n < fewestCanaryRequests || m < fewestCanaryRequests {
		return CanaryVerdict{Back: true, Errors: 1, Slower: 1,
			Reason: fmt.Sprintf("%d requests reached the canary and %d the rest: fewer than %d say nothing", n, m, fewestCanaryRequests)}
	}
	v := CanaryVerdict{Errors: fisher(canary.Failed, n, rest.Failed, m), Slower: 1}
	doubt := (1 - confidence) / 2
	shares := fmt.Sprintf("%d of %d requests to the canary failed, %d of %d to the rest (p = %.2g)", canary.Failed, n, rest.Failed, m, v.Errors)
	if v.Errors < doubt {
		v.Back, v.Reason = true, shares
		return v
	}
	a, b := median(canary.TimesS), median(rest.TimesS)
	if len(canary.TimesS) > 0 && len(rest.TimesS) > 0 {
		v.Slower = mannWhitney(canary.TimesS, rest.TimesS)
	}
	times := fmt.Sprintf("median %s against %s (p = %.2g)", milliseconds3(a), milliseconds3(b), v.Slower)
	if v.Slower < doubt && a > canaryTolerance*b {
		v.Back, v.Reason = true, "the canary is slower: "+times
		return v
	}
	v.Reason = fmt.Sprintf("no worse, at a confidence of %.4g: %s; %s", confidence, shares, times)
	return v
}

// fisher is the probability that of k = a+b failures among n+m requests a or more fall on the n, when they fall at random
// (hypergeometric upper tail; Fisher, "The Design of Experiments", 1935).
func fisher(a, n, b, m int64) float64 {
	k := a + b
	all := logChoose(n+m, k)
	p := 0.0
	for i := a; i <= min(k, n); i++ {
		if k-i <= m {
			p += math.Exp(logChoose(n, i) + logChoose(m, k-i) - all)
		}
	}
	return min(p, 1)
}

func logChoose(n, k int64) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

// mannWhitney is the probability that the first sample's ranks are as high as they are, or higher, when both come from one
// distribution: the normal approximation with the correction for ties (Mann and Whitney, Annals of Mathematical Statistics 18, 1947;
// Lehmann, "Nonparametrics", 1975, section 1.4). It is meant for samples of at least 20.
func mannWhitney(x, y []float64) float64 {
	type value struct {
		v     float64
		first bool
	}
	all := make([]value, 0, len(x)+len(y))
	for _, v := range x {
		all = append(all, value{v, true})
	}
	for _, v := range y {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(a, b value) int {
		switch {
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	ranks, ties := 0.0, 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		rank := float64(i+j+1) / 2 // the mean of i+1 ... j
		for _, v := range all[i:j] {
			if v.first {
				ranks += rank
			}
		}
		t := float64(j - i)
		ties += t*t*t - t
		i = j
	}
	n, m := float64(len(x)), float64(len(y))
	u := ranks - n*(n+1)/2
	sd := math.Sqrt(n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1))))
	if sd == 0 {
		return 1
	}
	return math.Erfc((u-n*m/2-.5)/sd/math.Sqrt2) / 2
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	return NewLatency(slices.Clone(x)).P50S
}
