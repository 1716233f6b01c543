package loadgen

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
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
//
// Rates are rational numbers and due instants whole nanoseconds, rounded down from the exact ones: so 9/7s makes exactly 9 requests in
// each 7 s, as every schedule whose area is a whole number does. (A Poisson schedule, and a sine within a period, are computed in
// floating point.)
type Schedule struct {
	parts   []part
	poisson bool
}

// part is a curve for a length of time; length 0: for ever.
type part struct {
	curve  curve
	length time.Duration
	forLen bool // the length was given by "for", not by the curve itself
}

// curve is a rate over time. Times are seconds since its begin, rates are per second.
type curve interface {
	rate(t float64) float64
	area(t float64) float64    // integral of rate from 0 to t
	instant(a float64) float64 // inverse of area
	length() time.Duration     // natural length; 0: none
	exact                      // of the same
	String() string
}

// A constant rate.
//
//	|________
//	|
//	+--------> t
type constant struct{ r rate }

func (c constant) rate(float64) float64      { return c.r.f }
func (c constant) area(t float64) float64    { return c.r.f * t }
func (c constant) instant(a float64) float64 { return a / c.r.f }
func (c constant) length() time.Duration     { return 0 }
func (c constant) String() string            { return c.r.String() }

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
type ramp struct {
	a, b rate
	T    time.Duration
}

func (r ramp) rate(t float64) float64 {
	if T := r.T.Seconds(); t < T {
		return r.a.f + (r.b.f-r.a.f)*t/T
	}
	return r.b.f
}

func (r ramp) area(t float64) float64 {
	T := r.T.Seconds()
	if t <= T {
		return r.a.f*t + (r.b.f-r.a.f)*t*t/(2*T)
	}
	return (r.a.f+r.b.f)/2*T + r.b.f*(t-T)
}

func (r ramp) instant(n float64) float64 {
	T := r.T.Seconds()
	if whole := (r.a.f + r.b.f) / 2 * T; n > whole {
		return T + (n-whole)/r.b.f
	}
	if n == 0 {
		return 0
	}
	k := (r.b.f - r.a.f) / T
	return min(2*n/(r.a.f+math.Sqrt(max(r.a.f*r.a.f+2*k*n, 0))), T)
}

func (r ramp) length() time.Duration { return r.T }
func (r ramp) String() string        { return fmt.Sprintf("ramp(%s, %s, %s)", r.a, r.b, r.T) }

// Rates a, a+d, a+2d, ..., each for T, n of them; the last one stays.
//
//	|       __.. a+2d
//	|    __|
//	| __|   a+d
//	|  a
//	+--+--+--+--> t
//	   T 2T 3T
type steps struct {
	a, d rate
	T    time.Duration
	n    int
}

func (s steps) step(t float64) int {
	return min(int(t/s.T.Seconds()), s.n-1)
}

// before is the area under the first i steps.
func (s steps) before(i int) float64 {
	f := float64(i)
	return s.T.Seconds() * (f*s.a.f + s.d.f*f*(f-1)/2)
}

func (s steps) rate(t float64) float64 { return s.a.f + s.d.f*float64(s.step(t)) }

func (s steps) area(t float64) float64 {
	i := s.step(t)
	return s.before(i) + (s.a.f+s.d.f*float64(i))*(t-float64(i)*s.T.Seconds())
}

func (s steps) instant(a float64) float64 {
	lo := s.at(func(i int) bool { return s.before(i) > a })
	return float64(lo)*s.T.Seconds() + (a-s.before(lo))/(s.a.f+s.d.f*float64(lo))
}

// at is the last step that does not begin beyond an area.
func (s steps) at(beyond func(i int) bool) int {
	return sort.Search(s.n-1, func(i int) bool { return beyond(i + 1) })
}

func (s steps) length() time.Duration { return s.T * time.Duration(s.n) }
func (s steps) String() string        { return fmt.Sprintf("steps(%s, %s, %s, %d)", s.a, s.d, s.T, s.n) }

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
type sine struct {
	m, a rate
	P    time.Duration
}

func (s sine) rate(t float64) float64 { return s.m.f + s.a.f*math.Sin(2*math.Pi*t/s.P.Seconds()) }

func (s sine) area(t float64) float64 {
	P := s.P.Seconds()
	x := math.Sin(math.Pi * t / P) // 1 - cos 2x = 2 sin² x, without cancellation
	return s.m.f*t + s.a.f*P/math.Pi*x*x
}

func (s sine) instant(n float64) float64 {
	P := s.P.Seconds()
	whole := math.Floor(n / (s.m.f * P)) // periods; each has the area mP
	base := whole * P
	n -= whole * s.m.f * P
	lo, hi := 0.0, P
	t := n / s.m.f
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
		if math.Abs(next-t) <= 1e-12*P {
			return base + next
		}
		t = next
	}
	return base + t
}

func (s sine) length() time.Duration { return 0 }
func (s sine) String() string {
	return fmt.Sprintf("sine(mean %s, amp %s, period %s)", s.m, s.a, s.P)
}

func (s Schedule) String() string {
	var b strings.Builder
	for i, p := range s.parts {
		if i > 0 {
			b.WriteString(" then ")
		}
		b.WriteString(p.curve.String())
		if p.forLen {
			b.WriteString(" for " + p.length.String())
		}
	}
	if s.poisson {
		return "poisson(" + b.String() + ")"
	}
	return b.String()
}

// Rate is the rate that is asked for at t, in requests per second.
func (s Schedule) Rate(t time.Duration) float64 {
	for i, p := range s.parts {
		if i == len(s.parts)-1 || t < p.length {
			return p.curve.rate(t.Seconds())
		}
		t -= p.length
	}
	return 0
}

// Count is the area under the rate from 0 to t: how many requests fall due before t, within 1 (of a Poisson schedule: the
// expected number).
func (s Schedule) Count(t time.Duration) float64 {
	n := 0.0
	for i, p := range s.parts {
		if i == len(s.parts)-1 || t < p.length {
			return n + p.curve.area(t.Seconds())
		}
		n += p.curve.area(p.length.Seconds())
		t -= p.length
	}
	return n
}

// Length is the time that the schedule's parts take; false if the last one has no end of its own.
func (s Schedule) Length() (time.Duration, bool) {
	var sum time.Duration
	for _, p := range s.parts {
		if p.length == 0 {
			return 0, false
		}
		sum += p.length
	}
	return sum, len(s.parts) > 0
}

// instant is where the area is reached, in floating point.
func (s Schedule) instant(area float64) time.Duration {
	begin := 0.0
	for i, p := range s.parts {
		if i == len(s.parts)-1 {
			return seconds(begin + p.curve.instant(area))
		}
		length := p.length.Seconds()
		whole := p.curve.area(length)
		if area < whole {
			return seconds(begin + min(p.curve.instant(area), length))
		}
		area -= whole
		begin += length
	}
	return 0
}

// Due is the instant at which request n is due, since the begin of the load; of a Poisson schedule, its mean position.
func (s Schedule) Due(n int64) time.Duration { return (&Dues{s: s, n: n}).next() }

// Dues gives the due instants of requests 0, 1, 2, ... in order. The same seed gives the same instants.
type Dues struct {
	s    Schedule
	n    int64
	area float64    // of a Poisson schedule
	rng  *rand.Rand // of a Poisson schedule; nil: it is none

	place
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
		due = d.next()
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
