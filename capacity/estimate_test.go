package capacity

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"coinbench/history"
	"coinbench/internal/race"
)

// An objective passes or fails only where its limit is outside the interval; ±0 refuses that.
func TestObjectiveKnowsTheError(t *testing.T) {
	a := &Analysis{Run: RunInfo{Status: history.Finished}, Windows: []Window{
		// 8.41 to 11.59; 0.22 to 1.31
		{Name: "w", Complete: true, LengthS: 10, HashRate: NewEstimate(10, .5, 3, ""), CoinRate: counted(6, 10, "")},
		{Name: "none", Complete: true, HashRate: &Estimate{Value: 10, NoInterval: "a window of 1 s is too short"}},
	}}
	for text, want := range map[string]Result{
		"hash_rate(w) > 8.4": Pass, "hash_rate(w) > 8.5": Unknown, "hash_rate(w) < 8.5": Unknown, "hash_rate(w) < 8.4": Fail,
		"hash_rate(w) < 11.6":       Pass,
		"hash_rate(w) within 8..12": Pass, "hash_rate(w) within 9..12": Unknown, "hash_rate(w) within 9..11": Unknown, "hash_rate(w) within " +
			"12..13": Fail,
		"hash_rate(w) == 10": Unknown, "hash_rate(w) == 12": Fail, "hash_rate(w) != 12": Pass,
		"hash_rate(w) > 8.5 ±0": Pass, "hash_rate(w) > 10.5 +-0": Fail, "hash_rate(w) within 9..12±0": Pass,
		"coin_rate(w) >= 0.6": Unknown, "coin_rate(w) >= 0.2": Pass, "coin_rate(w) >= 1.4": Fail, "coin_rate(w) >= 0.6±0": Pass,
		"hash_rate(none) > 1": Unknown, "hash_rate(none) > 1 ±0": Pass,
	} {
		o, err := ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		if v := o.Judge(a); v.Result != want {
			t.Errorf("%s: %s (%s), want %s", text, v.Result, v.Reason, want)
		}
	}
}

// A longer measurement of the length that is said decides.
func TestLengthThatWouldDecide(t *testing.T) {
	e := NewEstimate(10, .5, 3, "")
	for _, limit := range []float64{9, 10.5, 11} {
		k := e.longer(limit)
		if longer := NewEstimate(10, .5/math.Sqrt(k), 3*k, ""); *longer.Low < limit && limit < *longer.High {
			t.Errorf("limit %g: %.3g times as long does not decide: %.3g to %.3g", limit, k, *longer.Low, *longer.High)
		}
	}
}

// Garwood's table: Johnson, Kotz and Kemp, "Univariate Discrete Distributions", 1992, section 4.7.3.
func TestCountInterval(t *testing.T) {
	for n, want := range map[float64][2]float64{0: {0, 3.689}, 1: {.0253, 5.572}, 10: {4.795, 18.390}} {
		e := counted(n, 1, "")
		if math.Abs(*e.Low-want[0]) > .001 || math.Abs(*e.High-want[1]) > .001 {
			t.Errorf("%g: %.4f to %.4f, want %v", n, *e.Low, *e.High, want)
		}
	}
}

// The interval of a cumulative count covers its rate in 95 % of cases where the rate has memory: an autoregression whose correlation
// time is a second.
func TestSlowEstimateCovers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, length := range []int{3, 10, 30} {
		const runs = 2000
		hit := 0
		for range runs {
			const step = .1
			keep := math.Exp(-step)
			x := random.NormFloat64()
			at, count := []float64{0}, []float64{0}
			n := 0.0
			for i := range 10 * length {
				x = keep*x + math.Sqrt(1-keep*keep)*random.NormFloat64()
				n += (10 + x) * step
				if i%10 == 9 {
					at, count = append(at, float64(i+1)*step), append(count, n)
				}
			}
			e := slowEstimate(n/float64(length), float64(length), at, count, .3, 0)
			if *e.Low <= 10 && 10 <= *e.High {
				hit++
			}
		}
		if share := float64(hit) / runs; share < .92 || share > .985 {
			t.Errorf("%d s: covered in %.3f", length, share)
		}
	}
}

// A percentile's interval covers the true one for requests that depend on each other; too few requests bound it from below only.
func TestPercentileIntervalCovers(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the study of virtual time is played without the race detector")
	}
	const runs = 300
	hit, hit99 := 0, 0
	for seed := range uint64(runs) {
		random := rand.New(rand.NewPCG(seed, 3))
		l := history.Load{LoadSpec: history.LoadSpec{Name: "l", Schedule: "constant(50/s)"},
			Closing: &history.LoadEndRecord{End: 20 * time.Second}}
		x := random.ExpFloat64()
		total := history.Interval{Due: 1000, OK: 1000}
		for i := range 1000 {
			if random.Float64() < .1 { // a response time lasts for ten requests, as a queue does
				x = random.ExpFloat64()
			}
			due := time.Duration(i) * 20 * time.Millisecond
			l.Samples = append(l.Samples, history.Sample{Seq: int64(i), Due: due, Sent: due, Done: due + time.Duration(x*1e8)})
		}
		l.Intervals = []history.Interval{total}
		r := newLoadResult(l, Config{})
		e, e99 := r.Estimates["p50"], r.Estimates["p99"]
		if *e.Low <= .1*math.Ln2 && .1*math.Ln2 <= *e.High {
			hit++
		}
		if *e99.Low <= .1*math.Log(100) && (e99.High == nil || .1*math.Log(100) <= *e99.High) {
			hit99++
		}
	}
	if share := float64(hit) / runs; share < .91 || share > .99 {
		t.Errorf("p50: covered in %.3f", share)
	}
	if share := float64(hit99) / runs; share < .88 {
		t.Errorf("p99: covered in %.3f", share)
	}
}
