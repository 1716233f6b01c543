package queueing

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// USL is the Universal Scalability Law (Gunther 2007, section 4.4, with the coefficient of performance lambda):
//
//	X(N) = lambda N / (1 + sigma (N-1) + kappa N (N-1))
//
// sigma = kappa = 0 is linear growth, kappa = 0 is Amdahl's law. The law describes; it knows no queue and no server. It
// saturates smoothly, where a system of constant delays has a sharp knee, so expect residuals there.
type USL struct {
	Lambda float64 // throughput of one client, per second
	Sigma  float64 // contention: the part that is serial
	Kappa  float64 // coherency: the cost of each pair
}

// RatePerS is the throughput of n clients (or replicas, whatever was fitted).
func (m USL) RatePerS(n float64) float64 {
	return m.Lambda * n / (1 + m.Sigma*(n-1) + m.Kappa*n*(n-1))
}

// ResponseS is the mean response time of n clients without think time: N/X (Little's law).
func (m USL) ResponseS(n float64) float64 { return n / m.RatePerS(n) }

// Peak is the number of clients with the highest throughput: sqrt((1 - sigma)/kappa) (Gunther 2007, section 4.4.3). There is
// none when kappa is 0, and it is below 1 when sigma is above 1: then ok is false.
func (m USL) Peak() (n float64, ok bool) {
	if m.Kappa <= 0 || m.Sigma >= 1 {
		return 0, false
	}
	return math.Sqrt((1 - m.Sigma) / m.Kappa), true
}

// Limit is the throughput that Amdahl's law approaches, lambda/sigma; ok is false when it grows for ever or has a peak.
func (m USL) Limit() (ratePerS float64, ok bool) {
	if m.Kappa > 0 || m.Sigma <= 0 {
		return 0, false
	}
	return m.Lambda / m.Sigma, true
}

// Point is one measurement: N clients and the throughput that they reached.
type Point struct{ N, RatePerS float64 }

// Law is a form of the USL with fewer or all of its coefficients.
type Law string

// The laws, from the fewest coefficients to the most.
const (
	Linear    Law = "linear"    // lambda
	Amdahl    Law = "amdahl"    // lambda, sigma
	Universal Law = "universal" // lambda, sigma, kappa
)

// Interval is a range of a coefficient.
type Interval struct{ Low, High float64 }

// Candidate is one law fitted to the points.
type Candidate struct {
	Law        Law
	Model      USL
	SumSquares float64 // of the residuals
	Comparable bool    // there are enough points for AICc
	AICc       float64 // when Comparable; the least is the best
}

// Fitted is what the points allow to say.
type Fitted struct {
	Best       Law         // by AICc; Linear when no two laws can be compared
	Model      USL         // of the universal law, sigma and kappa at least 0
	Candidates []Candidate // linear, amdahl, universal
	Residuals  []float64   // measured - fitted of Model, in the order of the points, per second
	R2         float64
	Confidence float64 // of the intervals, 0..1
	Lambda     Interval
	Sigma      Interval
	Kappa      Interval
	FromN, ToN float64 // range of the points: the range in which Model says anything

	// KappaIdentified says whether the points show a coherency cost: the interval of kappa excludes 0, and universal is the
	// best law or the peak itself lies among the points (AICc is harsh on fewer than ten). If not, a peak of Model is a
	// fantasy, and MeasureBeyondN is the least N at which the upper end of kappa's interval would show next to Amdahl's law.
	KappaIdentified bool
	MeasureBeyondN  float64
}

// Candidate returns one of the three laws.
func (f Fitted) Candidate(law Law) Candidate {
	i := slices.IndexFunc(f.Candidates, func(c Candidate) bool { return c.Law == law })
	return f.Candidates[i]
}

// FitOptions; the zero value asks for 95 % intervals from 1,000 resamplings.
type FitOptions struct {
	Confidence float64 // 0: 0.95
	Resamples  int     // 0: 1000
	Seed       uint64
}

// Fit fits the three laws to measured points by least squares of the throughput, with sigma, kappa >= 0.
//
// The constraint is met exactly: the optimum lies in the interior or on a face of the feasible set, and each face (a
// coefficient set to 0) is fitted by itself. In the form N/X = a + b(N-1) + cN(N-1) the law is linear in a = 1/lambda,
// b = sigma/lambda, c = kappa/lambda (Gunther 2007, section 5.2), which gives the start; Gauss-Newton with step
// halving follows. Intervals come from resampling residuals (Efron 1979, "Bootstrap Methods", Annals of Statistics 7(1)), so
// they assume equal variance at every N. AICc is that of Hurvich and Tsai 1989, with the variance as one coefficient more.
// Needs 3 points with different N, each with N >= 1 and a positive rate; AICc of a law with p coefficients needs p+3 points.
func Fit(points []Point, o FitOptions) (Fitted, error) {
	if err := checkPoints(points); err != nil {
		return Fitted{}, fmt.Errorf("fit scalability: %w", err)
	}
	o.Confidence = cmp.Or(o.Confidence, 0.95)
	o.Resamples = cmp.Or(o.Resamples, 1000)
	if o.Confidence < 0 || o.Confidence >= 1 || o.Resamples < 10 {
		return Fitted{}, fmt.Errorf("fit scalability: confidence %g, %d resamples; accepted: above 0 and below 1, at least 10", o.Confidence,
			o.Resamples)
	}
	f := Fitted{Confidence: o.Confidence, FromN: points[0].N, ToN: points[0].N, Best: Linear}
	mean := 0.0
	for _, p := range points {
		f.FromN, f.ToN = min(f.FromN, p.N), max(f.ToN, p.N)
		mean += p.RatePerS / float64(len(points))
	}
	for i, law := range []Law{Linear, Amdahl, Universal} {
		c := Candidate{Law: law, Model: leastSquares(points, law)}
		c.SumSquares = sumSquares(points, c.Model)
		c.AICc, c.Comparable = aicc(c.SumSquares, mean, len(points), i+1)
		f.Candidates = append(f.Candidates, c)
		if best := f.Candidate(f.Best); c.Comparable && best.Comparable && c.AICc < best.AICc {
			f.Best = law
		}
	}
	f.Model = f.Candidates[2].Model
	total := 0.0
	for _, p := range points {
		f.Residuals = append(f.Residuals, p.RatePerS-f.Model.RatePerS(p.N))
		total += (p.RatePerS - mean) * (p.RatePerS - mean)
	}
	if total > 0 {
		f.R2 = 1 - f.Candidates[2].SumSquares/total
	}
	f.intervals(points, o)
	f.identify(points)
	return f, nil
}

func checkPoints(points []Point) error {
	sizes := map[float64]bool{}
	for i, p := range points {
		if !(p.N >= 1) || !(p.RatePerS > 0) || math.IsInf(p.N, 0) || math.IsInf(p.RatePerS, 0) {
			return fmt.Errorf("point %d is N=%g, %g/s; accepted: N at least 1, a rate greater than 0", i+1, p.N, p.RatePerS)
		}
		sizes[p.N] = true
	}
	if len(sizes) < 3 {
		return fmt.Errorf("%d different N; accepted: at least 3, better 6: measure at more of them", len(sizes))
	}
	return nil
}

func sumSquares(points []Point, m USL) float64 {
	sum := 0.0
	for _, p := range points {
		d := p.RatePerS - m.RatePerS(p.N)
		sum += d * d
	}
	return sum
}

// aicc is the corrected criterion of n residuals and p coefficients. Residuals below the digits of a float64 count as those
// digits, or every perfect fit would be infinitely better than every other.
func aicc(sumSquares, mean float64, n, p int) (float64, bool) {
	k := p + 1
	if n-k-1 < 1 {
		return 0, false
	}
	size := float64(n)
	floor := size * math.Pow(1e-9*mean, 2)
	return size*math.Log(max(sumSquares, floor)/size) + 2*float64(k) + 2*float64(k)*float64(k+1)/(size-float64(k)-1), true
}

// leastSquares is the best feasible fit over the faces of the law.
func leastSquares(points []Point, law Law) USL {
	faces := [][3]bool{{true, false, false}} // which of a, b, c are free
	if law != Linear {
		faces = append(faces, [3]bool{true, true, false})
	}
	if law == Universal {
		faces = append(faces, [3]bool{true, false, true}, [3]bool{true, true, true})
	}
	var best USL
	least := math.Inf(1)
	for _, free := range faces {
		m, ok := gaussNewton(points, free)
		if !ok || m.Sigma < 0 || m.Kappa < 0 || !(m.Lambda > 0) {
			continue
		}
		if s := sumSquares(points, m); s < least*(1-1e-12) {
			best, least = m, s
		}
	}
	return best
}

// gaussNewton fits X = N / (a + b(N-1) + cN(N-1)) with some of a, b, c free and the others 0.
func gaussNewton(points []Point, free [3]bool) (USL, bool) {
	basis := func(n float64) [3]float64 { return [3]float64{1, n - 1, n * (n - 1)} }
	residuals := func(q [3]float64) float64 {
		sum := 0.0
		for _, p := range points {
			b := basis(p.N)
			den := q[0]*b[0] + q[1]*b[1] + q[2]*b[2]
			if !(den > 0) {
				return math.Inf(1)
			}
			d := p.RatePerS - p.N/den
			sum += d * d
		}
		return sum
	}
	// Start: weighted linear regression of N/X; the weight X²/N turns errors of N/X into errors of X.
	var normal equations
	for _, p := range points {
		w := p.RatePerS * p.RatePerS / p.N
		b := basis(p.N)
		normal.add(b, p.N/p.RatePerS, w*w)
	}
	q, ok := normal.solve(free)
	if !ok {
		return USL{}, false
	}
	sum := residuals(q)
	if math.IsInf(sum, 0) {
		return USL{}, false
	}
	for range 100 {
		var step equations
		for _, p := range points {
			b := basis(p.N)
			den := q[0]*b[0] + q[1]*b[1] + q[2]*b[2]
			x := p.N / den
			slope := -x / den
			step.add([3]float64{slope * b[0], slope * b[1], slope * b[2]}, p.RatePerS-x, 1)
		}
		d, ok := step.solve(free)
		if !ok {
			break
		}
		scale, moved := 1.0, false
		for range 30 {
			next := [3]float64{q[0] + scale*d[0], q[1] + scale*d[1], q[2] + scale*d[2]}
			if s := residuals(next); s < sum {
				moved = sum-s > 1e-15*sum
				q, sum = next, s
				break
			}
			scale /= 2
		}
		if !moved {
			break
		}
	}
	return USL{Lambda: 1 / q[0], Sigma: q[1] / q[0], Kappa: q[2] / q[0]}, true
}

// equations are the normal equations of a linear least squares problem in three unknowns.
type equations struct {
	m [3][3]float64
	v [3]float64
}

func (e *equations) add(row [3]float64, value, weight float64) {
	for i := range 3 {
		e.v[i] += weight * row[i] * value
		for j := range 3 {
			e.m[i][j] += weight * row[i] * row[j]
		}
	}
}

// solve finds the free unknowns by elimination with pivots, scaled to a unit diagonal; the others are 0.
func (e *equations) solve(free [3]bool) (x [3]float64, ok bool) {
	var index []int
	for i := range 3 {
		if free[i] {
			index = append(index, i)
		}
	}
	n := len(index)
	var a [3][4]float64
	var scale [3]float64
	for i := range n {
		if scale[i] = math.Sqrt(e.m[index[i]][index[i]]); !(scale[i] > 0) {
			return x, false
		}
	}
	for i := range n {
		for j := range n {
			a[i][j] = e.m[index[i]][index[j]] / scale[i] / scale[j]
		}
		a[i][n] = e.v[index[i]] / scale[i]
	}
	for i := range n {
		pivot := i
		for r := i + 1; r < n; r++ {
			if math.Abs(a[r][i]) > math.Abs(a[pivot][i]) {
				pivot = r
			}
		}
		a[i], a[pivot] = a[pivot], a[i]
		if math.Abs(a[i][i]) < 1e-14 {
			return x, false
		}
		for r := range n {
			if r == i {
				continue
			}
			f := a[r][i] / a[i][i]
			for c := i; c <= n; c++ {
				a[r][c] -= f * a[i][c]
			}
		}
	}
	for i := range n {
		x[index[i]] = a[i][n] / a[i][i] / scale[i]
	}
	return x, true
}

// intervals resamples the residuals, stretched by the degrees of freedom that the fit has used.
func (f *Fitted) intervals(points []Point, o FitOptions) {
	n := len(points)
	stretch := 1.0
	if n > 3 {
		stretch = math.Sqrt(float64(n) / float64(n-3))
	}
	mean := 0.0
	for _, r := range f.Residuals {
		mean += r / float64(n)
	}
	random := rand.New(rand.NewPCG(o.Seed, 0x05ca1ab1e))
	var lambda, sigma, kappa []float64
	again := make([]Point, n)
	for range o.Resamples {
		for i, p := range points {
			x := f.Model.RatePerS(p.N) + stretch*(f.Residuals[random.IntN(n)]-mean)
			again[i] = Point{p.N, max(x, 1e-9*p.RatePerS)}
		}
		m := leastSquares(again, Universal)
		lambda, sigma, kappa = append(lambda, m.Lambda), append(sigma, m.Sigma), append(kappa, m.Kappa)
	}
	f.Lambda, f.Sigma, f.Kappa = middle(lambda, o.Confidence), middle(sigma, o.Confidence), middle(kappa, o.Confidence)
}

// middle is the central part of the values.
func middle(values []float64, confidence float64) Interval {
	slices.Sort(values)
	at := func(q float64) float64 { return values[int(math.Round(q*float64(len(values)-1)))] }
	return Interval{at((1 - confidence) / 2), at((1 + confidence) / 2)}
}

// identify says whether kappa was seen, and where to look for it if not: where the law with the upper end of its interval
// falls 5 % of the throughput, and three standard deviations of the residuals, below Amdahl's law.
func (f *Fitted) identify(points []Point) {
	peak, ok := f.Model.Peak()
	f.KappaIdentified = f.Kappa.Low > 0 && (f.Best == Universal || ok && f.FromN < peak && peak < f.ToN)
	if f.KappaIdentified {
		return
	}
	deviation := math.Sqrt(f.Candidate(Universal).SumSquares / float64(len(points)))
	amdahl := f.Candidate(Amdahl).Model
	steep := USL{Lambda: amdahl.Lambda, Sigma: amdahl.Sigma, Kappa: f.Kappa.High}
	for n := f.ToN * 1.1; n < f.ToN*100; n *= 1.05 {
		if gap := amdahl.RatePerS(n) - steep.RatePerS(n); gap > max(0.05*amdahl.RatePerS(n), 3*deviation) {
			f.MeasureBeyondN = math.Ceil(n)
			return
		}
	}
	f.MeasureBeyondN = math.Ceil(f.ToN * 100)
}
