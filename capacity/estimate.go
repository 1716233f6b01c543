package capacity

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence is that of every interval of a report, two-sided.
const Confidence = .95

// Estimate is a number with what is known of its error. Either StdErr, DF, Low and High are there, or NoInterval says why they are not.
type Estimate struct {
	Value      float64  `json:"value"`
	StdErr     *float64 `json:"std_err,omitempty"` // standard error
	DF         *float64 `json:"df,omitempty"`      // degrees of freedom of StdErr; absent: it is known from a count, not estimated
	Low        *float64 `json:"low,omitempty"`     // ends of the interval at Confidence
	High       *float64 `json:"high,omitempty"`
	Method     string   `json:"method"`
	NoInterval string   `json:"no_interval,omitempty"` // why there is no interval, e.g. "a window of 1 s is too short for one"
}

// NewEstimate is a value with Student's interval from a standard error of df degrees of freedom; infinitely many: the normal one.
func NewEstimate(value, stdErr, df float64, method string) *Estimate {
	half := studentT(df) * stdErr
	e := &Estimate{Value: value, StdErr: ptr(stdErr), DF: ptr(df), Low: ptr(value - half), High: ptr(value + half), Method: method}
	if math.IsInf(df, 1) {
		e.DF = nil
	}
	return e
}

// rhythmic is the width of an interval, of the value, beyond which what varies without chance is no error.
const rhythmic = .005

// withoutRhythm takes the interval away from a rate that nothing draws at random, unless it is next to nothing: what varies then is the
// rhythm of workers that are locked to unequal loops, which a longer window shows whole, and whose parts are no sample of anything.
func (e *Estimate) withoutRhythm() {
	if m := e.Margin(); m == nil || 2**m <= rhythmic*e.Value {
		return
	}
	e.StdErr, e.DF, e.Low, e.High = nil, nil, nil, nil
	e.NoInterval = "nothing is left to chance here, and the window is too short for an interval: the loops' rhythm is longer"
}

// Margin is half the width of the interval, which is what ± means in every report; nil where there is no interval.
func (e *Estimate) Margin() *float64 {
	if e == nil || e.Low == nil || e.High == nil {
		return nil
	}
	return ptr((*e.High - *e.Low) / 2)
}

// Symmetric says whether the value lies in the middle of its interval, so that value ± margin says all of it.
func (e *Estimate) Symmetric() bool {
	return e.Low != nil && e.High != nil && math.Abs(*e.High+*e.Low-2*e.Value) <= .02*(*e.High-*e.Low)
}

// studentT is the factor by which a standard error of df degrees of freedom becomes half an interval.
func studentT(df float64) float64 {
	if math.IsInf(df, 1) {
		return distuv.UnitNormal.Quantile((1 + Confidence) / 2)
	}
	return distuv.StudentsT{Sigma: 1, Nu: df}.Quantile((1 + Confidence) / 2)
}

// Margin is half the width of the 95 % interval that a standard deviation of n values gives for the next value of their kind: of one
// more run, for a spread over simulated runs (Student's prediction interval, Hahn and Meeker, "Statistical Intervals", 1991, section
// 4.7). It is nil for fewer than two values.
func Margin(sd float64, n int) *float64 {
	if n < 2 {
		return nil
	}
	return ptr(studentT(float64(n-1)) * sd * math.Sqrt(1+1/float64(n)))
}

// counted is the rate of a Poisson count over a time, with Garwood's exact interval ("Fiducial limits for the Poisson distribution",
// Biometrika 28, 1936). It holds for a count of independent, rare events, such as coins.
func counted(n, seconds float64, method string) *Estimate {
	low, high := garwood(n)
	return &Estimate{Value: n / seconds, StdErr: ptr(math.Sqrt(n) / seconds), Low: ptr(low / seconds), High: ptr(high / seconds),
		Method: method}
}

// garwood is the exact interval of the mean of a Poisson variable that was found to be n.
func garwood(n float64) (low, high float64) {
	const tail = (1 - Confidence) / 2
	if n > 0 {
		low = distuv.ChiSquared{K: 2 * n}.Quantile(tail) / 2
	}
	return low, distuv.ChiSquared{K: 2*n + 2}.Quantile(1-tail) / 2
}

// scaled is another value with the estimate's error, scaled.
func (e *Estimate) scaled(value, by float64) *Estimate {
	if e.StdErr == nil {
		return &Estimate{Value: value, NoInterval: e.NoInterval}
	}
	df := math.Inf(1)
	if e.DF != nil {
		df = *e.DF
	}
	return NewEstimate(value, *e.StdErr*math.Abs(by), df, e.Method)
}

// longer is by how much longer one must measure, about, for the interval to end before the limit: its half towards the limit shrinks
// with the root of time, and Student's factor with the degrees of freedom.
func (e *Estimate) longer(limit float64) float64 {
	half, distance := *e.High-e.Value, math.Abs(limit-e.Value)
	if limit < e.Value {
		half = e.Value - *e.Low
	}
	if distance == 0 || half == 0 {
		return math.Inf(1)
	}
	df := math.Inf(1)
	if e.DF != nil {
		df = *e.DF
	}
	for k := 1.1; k < 1000; k *= 1.1 {
		if half*studentT(df*k)/studentT(df)/math.Sqrt(k) < distance {
			return k
		}
	}
	return math.Inf(1)
}
