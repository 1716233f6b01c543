package loadgen

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func mustSchedule(t interface{ Fatal(...any) }, text string) Schedule {
	s, err := ParseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScheduleDue(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int64
		due  time.Duration
	}{
		{"500/s", 0, 0},
		{"500/s", 500, time.Second},
		{"500", 1, 2 * time.Millisecond},
		{"30000/m", 500, time.Second},
		{"1/10s", 6, time.Minute},
		{"1.5e+04/s", 15_000, time.Second},
		{"3600/h", 2, 2 * time.Second},
		{"ramp(0/s, 100/s, 10s)", 500, 10 * time.Second},
		{"ramp(0/s, 100/s, 10s)", 125, 5 * time.Second}, // a quarter of the area at half of the time
		{"ramp(0/s, 100/s, 10s)", 600, 11 * time.Second},
		{"ramp(100/s, 0/s, 10s)", 500, 10 * time.Second},
		{"steps(100/s, 50/s, 10s, 3)", 1000, 10 * time.Second},
		{"steps(100/s, 50/s, 10s, 3)", 2500, 20 * time.Second},
		{"steps(100/s, 50/s, 10s, 3)", 4500, 30 * time.Second},
		{"steps(100/s, 50/s, 10s, 3)", 4700, 31 * time.Second},
		{"sine(mean 100/s, amp 50/s, period 60s)", 6000, time.Minute},
		{"sine(mean 100/s, amp 100/s, period 60s)", 12000, 2 * time.Minute},
		{"10/s for 1s then 100/s for 2s then 5/s", 10, time.Second},
		{"10/s for 1s then 100/s for 2s then 5/s", 210, 3 * time.Second},
		{"10/s for 1s then 100/s for 2s then 5/s", 215, 4 * time.Second},
	} {
		got := mustSchedule(t, c.text).Due(c.n)
		if d := got - c.due; d < -time.Microsecond || d > time.Microsecond {
			t.Errorf("%s: request %d is due at %v, want %v", c.text, c.n, got, c.due)
		}
	}
}

func TestScheduleErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "column 1: expected a rate",
		"fast":                               "expected a rate like 500/s, or constant",
		"0/s":                                "above 0/s",
		"-5/s":                               "column 1: expected a rate",
		"5/parsec":                           "a unit of time",
		"1e10/s":                             "expected a rate",
		"ramp(1/s, 2/s)":                     `column 14: expected ",", found ")"`,
		"ramp(1/s, 2/s, 5)":                  "expected a duration like 30s",
		"ramp(0/s, 0/s, 5s)":                 "does not stay at 0/s",
		"ramp 1":                             `expected "("`,
		"steps(1/s, 1/s, 1s, 0)":             "a number of steps, at least 1",
		"steps(0/s, 1/s, 1s, 2)":             "a first rate above 0/s",
		"sine(100/s, 5/s, 1s)":               `expected "mean"`,
		"sine(mean 5/s, amp 6/s, period 1s)": "amp is at most its mean",
		"5/s then 6/s":                       `column 5: expected "for" and a duration`,
		"5/s 6/s":                            "column 5: expected then, for, or the end",
		"poisson(poisson(5/s))":              "not poisson itself",
		"poisson(5/s) then 6/s":              "poisson takes the whole schedule",
		"poisson(5/s":                        `expected ")"`,
		"99999999999/s":                      "expected a rate",
		"999999999/ms":                       "a rate of at most 1e9/s",
	} {
		_, err := ParseSchedule(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}

// anyCurve draws a part of a schedule.
func anyCurve(t *rapid.T) part {
	anyRate := func(least, most int64) *rapid.Generator[rate] {
		return rapid.Custom(func(t *rapid.T) rate {
			d := rapid.Int64Range(1, 100).Draw(t, "denominator")
			return newRate(big.NewRat(rapid.Int64Range(least*d, most*d).Draw(t, "numerator"), d))
		})
	}
	length := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(5e7, 1e11).Draw(t, "ns"))
	})
	var c curve
	switch rapid.IntRange(0, 3).Draw(t, "curve") {
	case 0:
		c = constant{anyRate(1, 1e5).Draw(t, "rate")}
	case 1:
		c = ramp{anyRate(0, 1e5).Draw(t, "from"), anyRate(1, 1e5).Draw(t, "to"), length.Draw(t, "T")}
	case 2:
		c = steps{anyRate(1, 1e5).Draw(t, "first"), anyRate(0, 1e4).Draw(t, "by"), length.Draw(t, "T"), rapid.IntRange(1, 20).Draw(t, "n")}
	case 3:
		m := anyRate(1, 1e5).Draw(t, "mean")
		amp := new(big.Rat).Mul(m.Rat, big.NewRat(rapid.Int64Range(0, 10).Draw(t, "amp"), 10))
		c = sine{m, newRate(amp), length.Draw(t, "P")}
	}
	p := part{curve: c, length: c.length()}
	if p.length == 0 || rapid.Bool().Draw(t, "for") {
		p.length, p.forLen = length.Draw(t, "for length"), true
	}
	return p
}

var anySchedule = rapid.Custom(func(t *rapid.T) Schedule {
	return Schedule{parts: rapid.SliceOfN(rapid.Custom(anyCurve), 1, 4).Draw(t, "parts"), poisson: rapid.Bool().Draw(t, "poisson")}
})

func TestScheduleTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchedule.Draw(t, "schedule")
		again, err := ParseSchedule(s.String())
		if err != nil {
			t.Fatal(err)
		}
		if again.String() != s.String() {
			t.Fatalf("%q became %q", s, again)
		}
	})
}

// The laws: due instants never fall, and over [0, t) as many requests fall due as the rate's integral says, within 1.
func TestScheduleLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchedule.Draw(t, "schedule")
		s.poisson = false
		at := time.Duration(rapid.Int64Range(0, int64(300*time.Second)).Draw(t, "t"))
		area := s.Count(at)
		// The number of requests due before at is the n for which Due(n-1) < at <= Due(n).
		n := int64(math.Round(area))
		if n >= 2 && s.Due(n-2) > at {
			t.Errorf("%v: request %d is due at %v, after %v, where the area is %v", s, n-2, s.Due(n-2), at, area)
		}
		if s.Due(n+2) < at {
			t.Errorf("%v: request %d is due at %v, before %v, where the area is %v", s, n+2, s.Due(n+2), at, area)
		}
		if n > 0 && s.Due(n-1) > s.Due(n) {
			t.Errorf("%v: due instants fall at %d: %v, %v", s, n, s.Due(n-1), s.Due(n))
		}
		// Count is the integral of Rate: midpoint rule over a short piece that holds no jump.
		if h := time.Microsecond; s.Rate(at) == s.Rate(at+h) {
			if got, want := s.Count(at+h)-area, s.Rate(at)*h.Seconds(); math.Abs(got-want) > 1e-6*(1+area) {
				t.Errorf("%v at %v: the area grows by %v, the rate says %v", s, at, got, want)
			}
		}
	})
}

func TestDuesAreInOrderAndRepeatable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchedule.Draw(t, "schedule")
		seed := rapid.Uint64().Draw(t, "seed")
		a, b := s.Dues(seed), s.Dues(seed)
		var last time.Duration
		for n := range int64(200) {
			x, more := a.Next()
			y, _ := b.Next()
			if x != y || x < last || !more {
				t.Fatalf("%v: request %d is due at %v after %v, and %v the second time", s, n, x, last, y)
			}
			if !s.poisson && x != s.Due(n) {
				t.Fatalf("%v: Dues gives %v, Due %v for %d", s, x, s.Due(n), n)
			}
			last = x
		}
	})
}

func TestDuesEndWhenTheRateFallsToZero(t *testing.T) {
	d := mustSchedule(t, "ramp(100/s, 0/s, 1s)").Dues(0)
	n := 0
	for ; n < 1000; n++ {
		if _, more := d.Next(); !more {
			break
		}
	}
	if n != 51 { // requests 0 to 50; the area is 50
		t.Errorf("%d requests, want 51", n)
	}
}

// A Poisson schedule's counts in windows of equal area have the mean and the variance of the Poisson distribution
// (index of dispersion 1; for 4,000 windows its standard error is √(2/4000) = 0.022).
func TestPoissonDispersion(t *testing.T) {
	d := mustSchedule(t, "poisson(200/s)").Dues(7)
	const windows = 4000
	counts := make([]float64, windows)
	for {
		due, _ := d.Next()
		w := int(due / (50 * time.Millisecond))
		if w >= windows {
			break
		}
		counts[w]++
	}
	var sum, squares float64
	for _, c := range counts {
		sum += c
	}
	mean := sum / windows
	for _, c := range counts {
		squares += (c - mean) * (c - mean)
	}
	if math.Abs(mean-10) > 0.25 || math.Abs(squares/windows/mean-1) > 0.11 {
		t.Errorf("mean %v (want 10), dispersion %v (want 1)", mean, squares/windows/mean)
	}
}

// makes checks how many requests of a schedule fall due before an instant.
func makes(t *testing.T, text string, before time.Duration, want int64) {
	t.Helper()
	s := mustSchedule(t, text)
	if last, next := s.Due(want-1), s.Due(want); last >= before || next < before {
		t.Fatalf("%s: before %v, where %d requests fall due, the last of them is at %v, and the next at %v", text, before, want, last, next)
	}
}

// A rate of n in m seconds makes n requests in m seconds, and one of n in a minute half of them in 30 s: in floating point some made one
// more.
func TestWholeAreasMakeWholeNumbersOfRequests(t *testing.T) {
	for n := int64(1); n <= 200; n++ {
		for m := int64(1); m <= 40; m++ {
			length := time.Duration(m) * time.Second
			r := fmt.Sprintf("%d/%ds", n, m)
			for _, text := range []string{
				r,
				fmt.Sprintf("steps(%s, 0/s, %ds, 2)", r, m),
				fmt.Sprintf("sine(mean %s, amp 0/s, period 77s)", r),
			} {
				makes(t, text, length, n)
			}
			if m > 10 {
				continue
			}
			for _, text := range []string{
				fmt.Sprintf("ramp(%s, %s, 7s)", r, r),
				fmt.Sprintf("ramp(0/s, %d/%ds, %ds)", 2*n, m, m),
				fmt.Sprintf("ramp(%d/%ds, 0/s, %ds) then 1/s", 2*n, m, m),
				fmt.Sprintf("steps(%s, %s, %ds, 3) then 1/s", r, r, m), // n, then 2n, 3n
				fmt.Sprintf("sine(mean %s, amp %s, period %ds)", r, r, m),
				fmt.Sprintf("3/7s for 7s then %s", r),
			} {
				want, until := n, length
				if strings.HasPrefix(text, "steps") {
					want, until = 6*n, 3*length
				} else if strings.HasPrefix(text, "3/7s") {
					want, until = n+3, length+7*time.Second
				}
				makes(t, text, until, want)
			}
		}
	}
	for n := int64(1); n <= 8000; n++ {
		makes(t, fmt.Sprintf("%d/m", n), 30*time.Second, (n+1)/2)
	}
}

// Each due instant is the last whole nanosecond at which the exact area is not beyond the request's number.
func TestDueInstantsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.Custom(anyCurve).Draw(t, "part")
		if s, ok := p.curve.(sine); ok && s.a.Sign() > 0 {
			return // in floating point
		}
		s := Schedule{parts: []part{p}}
		n := rapid.Int64Range(0, 1e6).Draw(t, "n")
		due := s.Due(n)
		number := new(big.Rat).SetInt64(n)
		if due == never || due > 1<<55 {
			return
		}
		if p.curve.areaTo(due).Cmp(number) > 0 || p.curve.areaTo(due+1).Cmp(number) <= 0 && p.curve.rate((due+1).Seconds()) > 0 {
			t.Fatalf("%v: request %d is due at %d ns", s, n, due)
		}
	})
}

func TestRatesKeepTheirText(t *testing.T) {
	for text, want := range map[string]string{"500/s": "500/s", "30000/m": "500/s", "46/m": "46/m", "9/7s": "9/7s", "1/10s": "0.1/s",
		"250": "250/s", "1/ms": "1000/s", "1/3s": "20/m"} {
		if got := mustSchedule(t, text).String(); got != want {
			t.Errorf("%s is written %s, want %s", text, got, want)
		}
	}
}
