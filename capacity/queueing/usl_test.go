package queueing

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func synthetic(m USL, sizes ...float64) []Point {
	var points []Point
	for _, n := range sizes {
		points = append(points, Point{n, m.RatePerS(n)})
	}
	return points
}

func TestFitRecoversSyntheticCoefficients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := USL{Lambda: rapid.Float64Range(.1, 5000).Draw(t, "lambda"), Sigma: rapid.Float64Range(.001, .5).Draw(t, "sigma"),
			Kappa: rapid.Float64Range(1e-4, .02).Draw(t, "kappa")}
		f, err := Fit(synthetic(m, 1, 2, 4, 8, 16, 32, 64), FitOptions{Resamples: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range [][2]float64{{f.Model.Lambda, m.Lambda}, {f.Model.Sigma, m.Sigma}, {f.Model.Kappa, m.Kappa}} {
			if math.Abs(c[0]/c[1]-1) > 1e-5 {
				t.Fatalf("fitted %+v, made from %+v", f.Model, m)
			}
		}
		if f.Best != Universal || !f.KappaIdentified || f.MeasureBeyondN != 0 {
			t.Fatalf("best law %s, kappa %v identified %v", f.Best, f.Kappa, f.KappaIdentified)
		}
	})
}

// SPEC SDM 91 on a Sun SPARCcenter 2000, the example of the R package usl (its README prints alpha = 0.0277285,
// beta = 0.0001044); the three coefficients are fitted there as here.
func TestSPECSDM91(t *testing.T) {
	points := []Point{{1, 64.9}, {18, 995.9}, {36, 1652.4}, {72, 1853.2}, {108, 1828.9}, {144, 1775.0}, {216, 1702.2}}
	f, err := Fit(points, FitOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "sigma", f.Model.Sigma, .0277285, 5e-7)
	near(t, "kappa", f.Model.Kappa, .0001044, 5e-8)
	peak, ok := f.Model.Peak()
	if !ok || peak < 90 || peak > 100 {
		t.Errorf("peak at %v, %v", peak, ok)
	}
	if !f.KappaIdentified {
		t.Errorf("kappa in %v is not identified, with four of seven points beyond the peak", f.Kappa)
	}
	if !(f.Kappa.Low < f.Model.Kappa && f.Model.Kappa < f.Kappa.High) {
		t.Errorf("kappa %v outside %v", f.Model.Kappa, f.Kappa)
	}
}

// Points from Amdahl's law with a little noise must not yield a peak that was not measured.
func TestFitOfAmdahlNamesWhereToMeasure(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	points := synthetic(USL{Lambda: 100, Sigma: .05}, 1, 2, 3, 4, 6, 8, 10, 12)
	for i := range points {
		points[i].RatePerS *= 1 + .005*random.NormFloat64()
	}
	f, err := Fit(points, FitOptions{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if f.Best != Amdahl || f.KappaIdentified || f.MeasureBeyondN <= f.ToN {
		t.Errorf("best %s, kappa %v identified %v, measure beyond %v", f.Best, f.Kappa, f.KappaIdentified, f.MeasureBeyondN)
	}
}

func TestFitOfALine(t *testing.T) {
	f, err := Fit(synthetic(USL{Lambda: 3.33}, 1, 2, 3, 4, 5, 6, 7, 8), FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if f.Best != Linear || f.KappaIdentified {
		t.Errorf("best %s of %+v", f.Best, f.Candidates)
	}
	near(t, "lambda", f.Model.Lambda, 3.33, 1e-9)
}

func TestCoefficientsAreNeverNegative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := make([]Point, rapid.IntRange(3, 10).Draw(t, "points"))
		for i := range points {
			points[i] = Point{float64(1 + 2*i), rapid.Float64Range(.1, 100).Draw(t, "rate")}
		}
		f, err := Fit(points, FitOptions{Resamples: 20})
		if err != nil {
			t.Fatal(err)
		}
		least := math.Inf(1)
		for _, c := range f.Candidates {
			if !(c.Model.Lambda > 0) || c.Model.Sigma < 0 || c.Model.Kappa < 0 || c.SumSquares > least*(1+1e-9) {
				t.Fatalf("%+v, sum of squares so far %v", c, least)
			}
			least = c.SumSquares
		}
		if f.Kappa.Low < 0 || f.Sigma.Low < 0 || f.Kappa.Low > f.Kappa.High {
			t.Fatalf("sigma in %v, kappa in %v", f.Sigma, f.Kappa)
		}
	})
}

func TestFitRefusesWhatIsNoMeasurement(t *testing.T) {
	for name, points := range map[string][]Point{
		"none": nil, "two": {{1, 1}, {2, 2}}, "same N": {{1, 1}, {1, 2}, {1, 3}}, "N below 1": {{.5, 1}, {2, 2}, {3, 3}}, "no rate": {{1, 0},
			{2, 2}, {3, 3}},
	} {
		if _, err := Fit(points, FitOptions{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFitIsTheSameForTheSameSeed(t *testing.T) {
	points := []Point{{1, 3.3}, {2, 6.5}, {3, 9.1}, {5, 9.7}, {8, 9.9}, {10, 10}}
	a, _ := Fit(points, FitOptions{Seed: 5})
	b, _ := Fit(points, FitOptions{Seed: 5})
	if a.Kappa != b.Kappa || a.Sigma != b.Sigma || a.Lambda != b.Lambda {
		t.Error("two fits with one seed differ")
	}
}
