package capacity

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"

	"coinbench/history"
)

// Availability is the share of requests that were answered well, and what their number proves of it.
type Availability struct {
	Requests   int64   `json:"requests"` // without those that were cancelled when the load was stopped
	Failed     int64   `json:"failed"`
	Share      float64 `json:"share"`      // OK / Requests, 0..1
	AtLeast    float64 `json:"at_least"`   // lower bound of the true share at Confidence, 0..1
	Confidence float64 `json:"confidence"` // of AtLeast, one-sided
	// 3 / Requests: about the greatest share of failures that zero failures leave possible
	RuleOf3 float64 `json:"rule_of_3"`
	Outages int     `json:"outages"`                  // stretches of successive seconds with failures
	OutageS float64 `json:"outage_every_s,omitempty"` // at Confidence, one outage in this time at most, on average
	Text    string  `json:"description"`              // all of it in a sentence
}

// availabilityConfidence is that of every bound of an availability.
const availabilityConfidence = .95

// NewAvailability says what n requests of which some failed prove. The bound is exact (Clopper and Pearson, "The use of confidence or
// fiducial limits", Biometrika 26, 1934): the greatest probability of failure p for which failed or fewer of n has the probability
// 1 - Confidence, which for zero failures is 1 - (1 - Confidence)^(1/n), about 3/n. It holds for requests that fail independently of each
// other; outages take many at a time, and many requests in a short time say little of them: see over.
func NewAvailability(n, failed int64) Availability {
	a := Availability{Requests: n, Failed: failed, Confidence: availabilityConfidence}
	if n <= 0 {
		a.Text = "no request was made, which proves nothing"
		return a
	}
	a.Share, a.RuleOf3 = float64(n-failed)/float64(n), 3/float64(n)
	a.AtLeast = 1 - upperBound(n, failed, availabilityConfidence)
	if failed == 0 {
		a.Text = fmt.Sprintf("none of %d requests failed, which shows an availability of at least %s if requests fail independently (%.0f %% "+
			"confidence; rule of three: 1 - 3/%d)",
			n, nines(a.AtLeast), 100*a.Confidence, n)
	} else {
		a.Text = fmt.Sprintf("%d of %d requests failed: %s, and at least %s if requests fail independently (%.0f %% confidence)", failed, n,
			nines(a.Share), nines(a.AtLeast), 100*a.Confidence)
	}
	return a
}

// over adds what a load of some seconds with a number of outages says of their frequency: the upper bound of a Poisson rate
// (Garwood 1936), which for none is 3/T. How long the next one lasts no load without one can say.
func (a *Availability) over(seconds float64, outages int) {
	if a.Requests <= 0 || seconds <= 0 {
		return
	}
	a.Outages = outages
	a.OutageS = seconds / (distuv.ChiSquared{K: float64(2*outages + 2)}.Quantile(a.Confidence) / 2)
	a.Text += fmt.Sprintf("; %s in %.3g s: at most one every %.2g s on average, however many requests were made", count(outages, "outage"),
		seconds, a.OutageS)
}

// outages counts the stretches of successive seconds of a load in which requests failed.
func outages(l history.Load) int {
	seconds := map[int]bool{}
	for _, i := range l.Intervals {
		if i.Failed()-i.Failures[history.Cancelled] > 0 {
			seconds[int(i.At/time.Second)] = true
		}
	}
	n := 0
	for s := range seconds {
		if !seconds[s-1] {
			n++
		}
	}
	return n
}

// upperBound is the exact one-sided upper bound of a probability of which failed of n trials are known.
func upperBound(n, failed int64, confidence float64) float64 {
	switch {
	case failed >= n:
		return 1
	case failed == 0:
		return -math.Expm1(math.Log1p(-confidence) / float64(n))
	}
	return mathext.InvRegIncBeta(float64(failed+1), float64(n-failed), confidence)
}

// nines writes an availability in percent with as many digits as make a difference; it is rounded down, for 100 % is a claim.
func nines(share float64) string {
	if share >= 1 {
		return "100 %"
	}
	digits := 1
	if missing := 1 - share; missing > 0 && missing < .1 {
		digits = min(8, int(math.Ceil(-math.Log10(missing)))) // two figures of what is missing
	}
	scale := math.Pow(10, float64(digits))
	return fmt.Sprintf("%.*f %%", digits, math.Floor(share*100*scale+1e-9)/scale)
}
