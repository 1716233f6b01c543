package gate

import "math"

// Sample is what a sequence knows of its values: differences of logarithms, one for each pair.
type Sample struct {
	N        int
	Mean, SD float64 // SD with N-1; 0 for fewer than two values
}

// NewSample is the sample of some values.
func NewSample(values []float64) Sample {
	s := Sample{N: len(values)}
	for _, v := range values {
		s.Mean += v / float64(s.N)
	}
	if s.N < 2 {
		return s
	}
	for _, v := range values {
		s.SD += (v - s.Mean) * (v - s.Mean)
	}
	s.SD = math.Sqrt(s.SD / float64(s.N-1))
	if s.SD < 1e-12*math.Abs(s.Mean) { // all are equal but for the last bits
		s.SD = 0
	}
	return s
}

// LogE is the logarithm of the e-value against a mean of theta0: the likelihood ratio of Student's t with effect sizes drawn from
// N(0, 1/g) to that without an effect (Wang and Ramdas, "Anytime-valid t-tests and confidence sequences", arXiv 2310.03722; Lindon et al.,
// arXiv 2210.08589), with nu = n-1, t = sqrt(n) (mean - theta0)/sd and k = (g+n)/g:
//
//	E = k^(-1/2) [ (1 + t^2/nu) / (1 + t^2/(k nu)) ]^((nu+1)/2)
//
// The probability that it is ever 1/alpha or more is at most alpha, however often it is looked at (Ville's inequality).
func (s Sample) LogE(theta0, g float64) float64 {
	if s.N < 2 || s.Mean == theta0 {
		return 0
	}
	n, nu := float64(s.N), float64(s.N-1)
	k := (g + n) / g
	if s.SD == 0 {
		return (-math.Log(k) + n*math.Log(k)) / 2 // the limit for t -> infinity
	}
	t := math.Sqrt(n) * (s.Mean - theta0) / s.SD
	return (-math.Log(k) + n*(math.Log1p(t*t/nu)-math.Log1p(t*t/(k*nu)))) / 2
}

// Factor is the half-width of the sequence's interval in standard errors, where its e-value is 1/alpha:
//
//	A = (sqrt(k)/alpha)^(2/n)      t* = sqrt(nu (A-1)/(1-A/k)), infinite where A >= k
func Factor(n int, alpha, g float64) float64 {
	if n < 2 {
		return math.Inf(1)
	}
	k := (g + float64(n)) / g
	a := math.Pow(math.Sqrt(k)/alpha, 2/float64(n))
	if a >= k {
		return math.Inf(1)
	}
	return math.Sqrt(float64(n-1) * (a - 1) / (1 - a/k))
}

// Interval is the set of means that the sequence has not excluded at alpha, two-sided; infinite while there are too few values.
func (s Sample) Interval(alpha, g float64) (low, high float64) {
	factor := Factor(s.N, alpha, g)
	if math.IsInf(factor, 1) {
		return math.Inf(-1), math.Inf(1)
	}
	half := factor * s.SD / math.Sqrt(float64(s.N))
	return s.Mean - half, s.Mean + half
}

// SignFlip is the probability, over random signs of the values, of a sum as small as theirs or smaller: the exact one-sided p of their
// mean being 0, for any noise that is symmetric about it (Fisher, "The design of experiments", 1935, section 21). The 2^n sums are
// counted, not drawn: those of each half are sorted, and the halves are put together. Beyond 40 values, which are too many for that,
// the 40 that are furthest from 0 decide: the others' signs stay as they are, which is the same test given those signs.
func SignFlip(values []float64) float64 {
	values = furthest(values, 40)
	n := len(values)
	total, size := 0.0, 0.0
	for _, v := range values {
		total += v
		size += math.Abs(v)
	}
	a, b := signSums(values[:n/2]), signSums(values[n/2:])
	limit := total + 1e-9*size // sums that are equal but for rounding count
	count := 0.0
	for i, j := 0, len(b); i < len(a); i++ {
		for j > 0 && a[i]+b[j-1] > limit {
			j--
		}
		count += float64(j)
	}
	return count / math.Ldexp(1, n)
}
