package loadgen

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Schedule says when request n of an open workload is due. It is a pure function: it knows nothing of the server, of the
// clock, or of what became of the requests before.
//
// A schedule is a curve of the rate over time. With Λ(t) the area under the curve from 0 to t, request n (0, 1, 2, ...) is
// due at the instant t where Λ(t) = n, so that over [0, t) the number of requests that fall due is Λ(t) within 1:
//
//	rate |          ____        n = 4 is due where the area
//	     |         /            that is shaded reaches 4
//	     |       /|
//	     |     /##|
//	     |   /####|
//	     | /######|
//	     +--------+----> t
//	             Due(4)
//
// A Poisson schedule has the same curve, but its areas between requests are drawn from the exponential distribution with
// mean 1 instead of being exactly 1 (time change of a unit-rate Poisson process; Çinlar 1975, ch. 4.7).
//
// The last part of a schedule goes on at its final rate (a sine goes on swinging) until the load's Duration or Requests
// end it.
type Schedule struct {
	parts   []part
	poisson bool
}

// part is a curve for a length of time; length 0: for ever.
type part struct {
	curve  curve
	length float64 // seconds
	forLen bool    // the length was given by "for", not by the curve itself
}

// curve is a rate over time. Times are seconds since its begin, rates are per second.
type curve interface {
	rate(t float64) float64
	area(t float64) float64    // integral of rate from 0 to t
	instant(a float64) float64 // inverse of area
	length() float64           // natural length; 0: none
	String() string
}

// A constant rate.
//
//	|________
//	|
//	+--------> t
type constant struct{ r float64 }

func (c constant) rate(float64) float64      { return c.r }
func (c constant) area(t float64) float64    { return c.r * t }
func (c constant) instant(a float64) float64 { return a / c.r }
func (c constant) length() float64           { return 0 }
func (c constant) String() string            { return rateText(c.r) }

// A rate that goes from a to b in a straight line within T, and stays at b.
//
//	|      ____ b
//	|    /
//	|  /
//	| a
//	+-----+----> t
//	      T
//
// Λ(t) = a t + k t²/2 with k = (b-a)/T; its inverse is written 2n / (a + √(a² + 2kn)), which does not cancel for small k.
type ramp struct{ a, b, T float64 }

func (r ramp) rate(t float64) float64 {
	if t >= r.T {
		return r.b
	}
	return r.a + (r.b-r.a)*t/r.T
}

func (r ramp) area(t float64) float64 {
	if t <= r.T {
		return r.a*t + (r.b-r.a)*t*t/(2*r.T)
	}
	return (r.a+r.b)/2*r.T + r.b*(t-r.T)
}

func (r ramp) instant(n float64) float64 {
	if whole := (r.a + r.b) / 2 * r.T; n > whole {
		return r.T + (n-whole)/r.b
	}
	if n == 0 {
		return 0
	}
	k := (r.b - r.a) / r.T
	return min(2*n/(r.a+math.Sqrt(max(r.a*r.a+2*k*n, 0))), r.T)
}

func (r ramp) length() float64 { return r.T }
func (r ramp) String() string {
	return "ramp(" + rateText(r.a) + ", " + rateText(r.b) + ", " + secondsText(r.T) + ")"
}

// Rates a, a+d, a+2d, ..., each for T, n of them; the last one stays.
//
//	|       __.. a+2d
//	|    __|
//	| __|   a+d
//	|  a
//	+--+--+--+--> t
//	   T 2T 3T
type steps struct {
	a, d, T float64
	n       int
}

func (s steps) step(t float64) int {
	return min(int(t/s.T), s.n-1)
}

// before is the area under the first i steps.
func (s steps) before(i int) float64 {
	f := float64(i)
	return s.T * (f*s.a + s.d*f*(f-1)/2)
}

func (s steps) rate(t float64) float64 { return s.a + s.d*float64(s.step(t)) }

func (s steps) area(t float64) float64 {
	i := s.step(t)
	return s.before(i) + (s.a+s.d*float64(i))*(t-float64(i)*s.T)
}

func (s steps) instant(a float64) float64 {
	// The first step whose area, with those before it, reaches a: n is small, a binary search is enough.
	lo, hi := 0, s.n-1
	for lo < hi {
		if mid := (lo + hi) / 2; s.before(mid+1) > a {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return float64(lo)*s.T + (a-s.before(lo))/(s.a+s.d*float64(lo))
}

func (s steps) length() float64 { return s.T * float64(s.n) }
func (s steps) String() string {
	return "steps(" + rateText(s.a) + ", " + rateText(s.d) + ", " + secondsText(s.T) + ", " + strconv.Itoa(s.n) + ")"
}

// A rate that swings around m by amplitude a, beginning at m and rising.
//
//	|   .-.               .-.     m+a
//	| /     \           /     \
//	|--------+---------+-------- m
//	|          \     /
//	|            '-'              m-a
//	+------------------+--------> t
//	                   P
//
// Λ(t) = m t + a P/2π (1 - cos 2πt/P). It has no closed inverse; it is found within one period by Newton's method, kept
// between bounds by bisection.
type sine struct{ m, a, P float64 }

func (s sine) rate(t float64) float64 { return s.m + s.a*math.Sin(2*math.Pi*t/s.P) }

func (s sine) area(t float64) float64 {
	x := math.Sin(math.Pi * t / s.P) // 1 - cos 2x = 2 sin² x, without cancellation
	return s.m*t + s.a*s.P/math.Pi*x*x
}

func (s sine) instant(n float64) float64 {
	whole := math.Floor(n / (s.m * s.P)) // periods; each has the area mP
	base := whole * s.P
	n -= whole * s.m * s.P
	lo, hi := 0.0, s.P
	t := n / s.m
	for range 100 {
		diff := s.area(t) - n
		if diff > 0 {
			hi = t
		} else {
			lo = t
		}
		next := t - diff/s.rate(t)
		if !(next > lo && next < hi) { // NaN too
			next = (lo + hi) / 2
		}
		if math.Abs(next-t) <= 1e-12*s.P {
			return base + next
		}
		t = next
	}
	return base + t
}

func (s sine) length() float64 { return 0 }
func (s sine) String() string {
	return "sine(mean " + rateText(s.m) + ", amp " + rateText(s.a) + ", period " + secondsText(s.P) + ")"
}

func (s Schedule) String() string {
	var b strings.Builder
	for i, p := range s.parts {
		if i > 0 {
			b.WriteString(" then ")
		}
		b.WriteString(p.curve.String())
		if p.forLen {
			b.WriteString(" for " + secondsText(p.length))
		}
	}
	if s.poisson {
		return "poisson(" + b.String() + ")"
	}
	return b.String()
}

// Rate is the rate that is asked for at t, in requests per second.
func (s Schedule) Rate(t time.Duration) float64 {
	at := t.Seconds()
	for i, p := range s.parts {
		if i == len(s.parts)-1 || at < p.length {
			return p.curve.rate(at)
		}
		at -= p.length
	}
	return 0
}

// Count is the area under the rate from 0 to t: how many requests fall due before t, within 1 (of a Poisson schedule: the
// expected number).
func (s Schedule) Count(t time.Duration) float64 {
	at, n := t.Seconds(), 0.0
	for i, p := range s.parts {
		if i == len(s.parts)-1 || at < p.length {
			return n + p.curve.area(at)
		}
		n += p.curve.area(p.length)
		at -= p.length
	}
	return n
}

// Length is the time that the schedule's parts take; false if the last one has no end of its own.
func (s Schedule) Length() (time.Duration, bool) {
	var sum float64
	for _, p := range s.parts {
		if p.length == 0 {
			return 0, false
		}
		sum += p.length
	}
	return seconds(sum), len(s.parts) > 0
}

// Due is the instant at which request n is due, since the begin of the load; of a Poisson schedule, its mean position.
func (s Schedule) Due(n int64) time.Duration { return s.instant(float64(n)) }

func (s Schedule) instant(area float64) time.Duration {
	begin := 0.0
	for i, p := range s.parts {
		if i == len(s.parts)-1 {
			return seconds(begin + p.curve.instant(area))
		}
		whole := p.curve.area(p.length)
		if area < whole {
			return seconds(begin + min(p.curve.instant(area), p.length))
		}
		area -= whole
		begin += p.length
	}
	return 0
}

// Dues gives the due instants of requests 0, 1, 2, ... in order. The same seed gives the same instants.
type Dues struct {
	s    Schedule
	n    int64
	area float64
	rng  *rand.Rand
}

// Dues begins at request 0. The seed matters to Poisson schedules only.
func (s Schedule) Dues(seed uint64) *Dues {
	d := &Dues{s: s}
	if s.poisson {
		d.rng = rand.New(rand.NewPCG(seed, 0x636f696e62656e63))
	}
	return d
}

// Next is the due instant of the next request; false: there is none, because the rate has fallen to 0 for good.
func (d *Dues) Next() (time.Duration, bool) {
	var due time.Duration
	if d.rng != nil {
		d.area += d.rng.ExpFloat64()
		due = d.s.instant(d.area)
	} else {
		due = d.s.Due(d.n)
		d.n++
	}
	return due, due < math.MaxInt64
}

// seconds turns s into a duration; what no duration can hold becomes the longest one.
func seconds(s float64) time.Duration {
	if ns := s * 1e9; ns < math.MaxInt64 {
		return time.Duration(ns)
	}
	return math.MaxInt64
}

func rateText(r float64) string {
	if r != math.Trunc(r) {
		if m := r * 60; m == math.Trunc(m) && m/60 == r {
			return strconv.FormatFloat(m, 'f', -1, 64) + "/m"
		}
	}
	return strconv.FormatFloat(r, 'f', -1, 64) + "/s"
}

func secondsText(s float64) string { return time.Duration(math.Round(s * 1e9)).String() }
