package des

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Estimate is a mean of correlated values with its confidence interval.
type Estimate struct {
	Mean       float64
	HalfWidth  float64 // Mean +- HalfWidth covers the true mean with the stated confidence
	Batches    int
	Lag1       float64 // correlation of neighbouring batches; well above 0 says that the batches are too short
	Confidence float64
}

// Covers says whether a value lies in the interval.
func (e Estimate) Covers(v float64) bool { return math.Abs(v-e.Mean) <= e.HalfWidth }

// BatchMeans estimates the steady-state mean from one long run: successive values are correlated, the means of long batches
// hardly (Law and Kelton, "Simulation Modeling and Analysis", section 9.5.3). The run's start, before its steady state, must have been
// cut off. The interval is Student's, with batches - 1 degrees of freedom. Needs at least 2 batches of at least 1 value; values
// that do not fill a batch at the end are left out.
func BatchMeans(values []float64, batches int, confidence float64) (Estimate, error) {
	if batches < 2 || len(values) < batches || !(confidence > 0 && confidence < 1) {
		return Estimate{}, fmt.Errorf("batch means of %d values in %d batches at confidence %g; accepted: at least 2 batches, a value for "+
			"each, above 0 and below 1", len(values), batches, confidence)
	}
	size := len(values) / batches
	means := make([]float64, batches)
	e := Estimate{Batches: batches, Confidence: confidence}
	for b := range means {
		for _, v := range values[b*size : (b+1)*size] {
			means[b] += v / float64(size)
		}
		e.Mean += means[b] / float64(batches)
	}
	variance, lagged := 0.0, 0.0
	for b, m := range means {
		variance += (m - e.Mean) * (m - e.Mean)
		if b > 0 {
			lagged += (m - e.Mean) * (means[b-1] - e.Mean)
		}
	}
	if variance > 0 {
		e.Lag1 = lagged / variance
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(batches - 1)}.Quantile((1 + confidence) / 2)
	e.HalfWidth = t * math.Sqrt(variance/float64(batches-1)/float64(batches))
	return e, nil
}
