package gate

import (
	"fmt"
	"math"
)

// Rule is what a gate promises, fixed before its first block: a change of any of it after a look would void the promise.
type Rule struct {
	Tolerate float64 `json:"tolerate"` // a loss up to it fails a gate with a probability of at most 1 %; 0.01 is 1 %
	Detect   float64 `json:"detect"`   // a loss from it on passes with at most 2.5 %

	difference bool // the limits are differences, and not shares of base's value
}

// DefaultRule tolerates 1 % and detects 3 %.
func DefaultRule() Rule { return Rule{Tolerate: .01, Detect: .03} }

// Check says what is wrong with the rule.
func (r Rule) Check() error {
	switch {
	case r.difference && !(r.Tolerate >= 0 && r.Detect > r.Tolerate && r.Detect < math.Inf(1)):
		return fmt.Errorf("%g..%g; accepted: what is tolerated, from 0, and what is to be detected, which is more", r.Tolerate, r.Detect)
	case r.difference:
	case !(r.Tolerate >= 0 && r.Tolerate < 1):
		return fmt.Errorf("the tolerated loss is %g %%; accepted: from 0 %% to less than 100 %%", 100*r.Tolerate)
	case !(r.Detect > r.Tolerate && r.Detect < 1):
		return fmt.Errorf("the loss to detect is %g %%; accepted: more than the tolerated %g %%, and less than 100 %%", 100*r.Detect,
			100*r.Tolerate)
	}
	return nil
}

// What every rule has in common.
const (
	mixture   = .25 // g of the sequence: it is narrowest for effects of twice the standard deviation of a pair
	failAlpha = .02 // of the sequence that must lie below the tolerated loss: its lower half is 1 %
	passAlpha = .05 // of the sequence that must lie above the loss to detect
	signAlpha = .05 // of the sign-flip check of a FAIL, which one wild pair cannot meet

	leastFail = 6 // pairs
	leastPass = 4

	// MostPairs is where a gate ends without a verdict, unless its time ends before; the power that is printed is that of as many.
	MostPairs = 24
)

// limits are the two losses as logarithms of a ratio or as differences, negative.
func (r Rule) limits() (tolerate, detect float64) {
	if r.difference {
		return -r.Tolerate, -r.Detect
	}
	return math.Log1p(-r.Tolerate), math.Log1p(-r.Detect)
}

// power95 is the quantile of a chance of 95 %.
const power95 = 1.6449

// noncentral is how many standard errors, about, a true difference must be beyond a limit for the sequence to be beyond it with 95 %,
// after n pairs: t* + 1.645 sqrt(1 + t*^2/(2 nu)), the normal approximation of the noncentral t.
func noncentral(n int, alpha float64) float64 {
	t := Factor(n, alpha, mixture)
	return t + power95*math.Sqrt(1+t*t/(2*float64(n-1)))
}

// least is the least even number of pairs, from least on, with which a distance of so many standard deviations of a pair is found in 95 %;
// 0: more than a million.
func least(distance, alpha float64, least int) int {
	for n := least; n < 1e6; n += 2 {
		if distance*math.Sqrt(float64(n)) >= noncentral(n, alpha) {
			return n
		}
	}
	return 0
}

// PairsToFail is after how many pairs a loss of Detect fails in 95 % of gates, with a standard deviation sigma of a pair.
func (r Rule) PairsToFail(sigma float64) int {
	tolerate, detect := r.limits()
	return least((tolerate-detect)/sigma, failAlpha, leastFail)
}

// PairsToPass is after how many pairs a head that is alike passes in 95 % of gates.
func (r Rule) PairsToPass(sigma float64) int {
	_, detect := r.limits()
	return least(-detect/sigma, passAlpha, leastPass)
}

// Found is the smallest loss that n pairs find in 95 %: it follows from the design and the standard deviation of a pair, never from what a
// gate has seen. NaN: n pairs cannot fail.
func (r Rule) Found(sigma float64, n int) float64 {
	if n < leastFail {
		return math.NaN()
	}
	tolerate, _ := r.limits()
	loss := tolerate - sigma/math.Sqrt(float64(n))*noncentral(n, failAlpha)
	if r.difference {
		return -loss
	}
	return -math.Expm1(loss)
}
