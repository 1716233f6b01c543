package loadgen

import (
	"math/big"
	"math/bits"
	"strconv"
	"time"
)

// rate is a number of requests per second, as a fraction and as a float.
type rate struct {
	*big.Rat
	f float64
}

func newRate(r *big.Rat) rate {
	f, _ := r.Float64()
	return rate{r, f}
}

// String is what ParseSchedule reads as the same rate: 500/s, 0.25/s, 46/m, 9/7s.
func (r rate) String() string {
	if digits, finite := r.FloatPrec(); finite && digits <= 20 {
		return r.FloatString(digits) + "/s"
	}
	if m := new(big.Rat).Mul(r.Rat, big.NewRat(60, 1)); m.IsInt() {
		return m.Num().String() + "/m"
	}
	const most = 1e9 // of a number, and of its seconds
	if r.Num().IsInt64() && r.Denom().IsInt64() && r.Num().Int64() <= most && r.Denom().Int64() <= most {
		return r.Num().String() + "/" + r.Denom().String() + "s"
	}
	return r.FloatString(20) + "/s"
}

// rateText is a rate that was found by computing: as many digits as tell it from every other float.
func rateText(perS float64) string { return strconv.FormatFloat(perS, 'f', -1, 64) + "/s" }

// never is no instant.
const never = time.Duration(1<<63 - 1)

// exact is a curve in rational arithmetic. Times are since the curve's begin.
type exact interface {
	// areaTo is the area from 0 to t.
	areaTo(t time.Duration) *big.Rat
	// lineAt is the straight piece of the area in which it reaches n, or none.
	lineAt(n *big.Rat) (line, bool)
	// reaches is the instant at which the area reaches n, where that is in no straight piece.
	reaches(n *big.Rat) time.Duration
}

// line is a time in which the rate is r; area is the one before its begin, end the first instant after it (0: it has no end).
type line struct {
	begin, end time.Duration
	area, r    *big.Rat
}

// areaTo is the area from its begin to t.
func (l line) areaTo(t time.Duration) *big.Rat { return times(l.r, t-l.begin) }

// times is a rate for a time.
func times(r *big.Rat, t time.Duration) *big.Rat {
	return new(big.Rat).Mul(r, big.NewRat(int64(t), int64(time.Second)))
}

func (c constant) areaTo(t time.Duration) *big.Rat { return times(c.r.Rat, t) }
func (c constant) lineAt(*big.Rat) (line, bool)    { return line{area: new(big.Rat), r: c.r.Rat}, true }
func (c constant) reaches(*big.Rat) time.Duration  { return never }

func (s steps) areaTo(t time.Duration) *big.Rat {
	l := s.line(min(int(t/s.T), s.n-1))
	return new(big.Rat).Add(l.area, l.areaTo(t))
}

// line is step i.
func (s steps) line(i int) line {
	f := int64(i)
	sum := new(big.Rat).Mul(s.a.Rat, big.NewRat(f, 1))
	sum.Add(sum, new(big.Rat).Mul(s.d.Rat, big.NewRat(f*(f-1)/2, 1)))
	l := line{begin: s.T * time.Duration(i), area: times(sum, s.T), r: new(big.Rat).Add(s.a.Rat, new(big.Rat).Mul(s.d.Rat, big.NewRat(f, 1)))}
	if i < s.n-1 {
		l.end = l.begin + s.T
	}
	return l
}

func (s steps) lineAt(n *big.Rat) (line, bool) {
	return s.line(s.at(func(i int) bool { return s.line(i).area.Cmp(n) > 0 })), true
}
func (s steps) reaches(*big.Rat) time.Duration { return never }

func (r ramp) areaTo(t time.Duration) *big.Rat {
	if t > r.T {
		l := r.after()
		return new(big.Rat).Add(l.area, l.areaTo(t))
	}
	// (a + (b-a) t/2T) t
	mean := new(big.Rat).Sub(r.b.Rat, r.a.Rat)
	mean.Mul(mean, new(big.Rat).Quo(big.NewRat(int64(t), 2), big.NewRat(int64(r.T), 1)))
	return times(mean.Add(mean, r.a.Rat), t)
}

// after is what follows the ramp.
func (r ramp) after() line { return line{begin: r.T, area: r.areaTo(r.T), r: r.b.Rat} }

func (r ramp) lineAt(n *big.Rat) (line, bool) {
	l := r.after()
	return l, n.Cmp(l.area) > 0
}

// reaches rounds down what floating point finds, where its error is too small to matter. Otherwise whole nanoseconds are tried.
func (r ramp) reaches(n *big.Rat) time.Duration {
	f, _ := n.Float64()
	t := r.instant(f)
	rate := r.rate(t)
	if rate > 0 { // Newton's step mends what was cancelled
		t = min(max(t-(r.area(t)-f)/rate, 0), r.T.Seconds())
	}
	const eps = 1e-15
	err := 1e9 * (8*eps*(f+1)/max(rate, 1e-9) + 4*eps*t) // of t, in ns
	lo, hi := time.Duration(max(t*1e9-err, 0)), time.Duration(min(t*1e9+err, float64(r.T)))
	if lo == hi {
		return lo
	}
	return r.last(n, lo, hi)
}

// last is the last instant from lo to hi at which the area is at most n; beyond them where they are wrong.
func (r ramp) last(n *big.Rat, lo, hi time.Duration) time.Duration {
	reached := func(t time.Duration) bool { return r.areaTo(t).Cmp(n) <= 0 }
	for step := hi - lo; lo > 0 && !reached(lo); step *= 2 {
		lo = max(lo-step, 0)
	}
	for step := hi - lo; hi < r.T && reached(hi); step *= 2 {
		hi = min(hi+step+1, r.T)
	}
	if reached(hi) {
		return hi
	}
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; reached(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// areaTo is exact at the ends of periods.
func (s sine) areaTo(t time.Duration) *big.Rat {
	whole := times(s.m.Rat, t-t%s.P)
	if rest := t % s.P; rest > 0 {
		if s.a.Sign() == 0 {
			return times(s.m.Rat, t)
		}
		within := new(big.Rat)
		within.SetFloat64(s.area(rest.Seconds()))
		whole.Add(whole, within)
	}
	return whole
}

func (s sine) lineAt(*big.Rat) (line, bool) {
	return line{area: new(big.Rat), r: s.m.Rat}, s.a.Sign() == 0
}

func (s sine) reaches(n *big.Rat) time.Duration {
	period := times(s.m.Rat, s.P)
	whole := new(big.Rat).Quo(n, period)
	periods := new(big.Int).Quo(whole.Num(), whole.Denom())
	rest := new(big.Rat).Sub(n, new(big.Rat).Mul(period, new(big.Rat).SetInt(periods)))
	f, _ := rest.Float64()
	if !periods.IsInt64() || periods.Int64() > int64(never/s.P)-1 {
		return never
	}
	begin := s.P * time.Duration(periods.Int64())
	return begin + min(max(seconds(s.instant(f)), 0), s.P-1)
}

// place is where in a schedule Dues is: in which part, and in which straight piece of its area, if it is in one.
type place struct {
	part   int
	begin  time.Duration // of the part
	before *big.Rat      // the area before it
	whole  *big.Rat      // and with it
	fast   piece
}

// piece is a straight piece of the area, in which request n is due at begin + (n u - v)/w; from is the first request in it, to the first
// after it.
type piece struct {
	from, to int64
	begin    time.Duration
	u, v, w  uint64
}

// due is the instant of request n; false: it is not in the piece.
func (p *piece) due(n int64) (time.Duration, bool) {
	if n < p.from || n >= p.to {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(n), p.u)
	lo, borrow := bits.Sub64(lo, p.v, 0)
	hi -= borrow
	if hi >= p.w {
		return never, true
	}
	after, _ := bits.Div64(hi, lo, p.w)
	if after > uint64(never-p.begin) {
		return never, true
	}
	return p.begin + time.Duration(after), true
}

// next is the due instant of request d.n, which is not before the one for which it was called last; never: there is none.
func (d *Dues) next() time.Duration {
	if due, ok := d.fast.due(d.n); ok {
		return due
	}
	n := new(big.Rat).SetInt64(d.n)
	if d.before == nil {
		d.before = new(big.Rat)
		d.enter(0)
	}
	for d.part < len(d.s.parts)-1 && n.Cmp(d.whole) >= 0 {
		d.begin += d.s.parts[d.part].length
		d.before = d.whole
		d.enter(d.part + 1)
	}
	p := d.s.parts[d.part]
	within := new(big.Rat).Sub(n, d.before)
	l, straight := p.curve.lineAt(within)
	if !straight {
		due := p.curve.reaches(within)
		if p.length > 0 && d.part < len(d.s.parts)-1 {
			due = min(due, p.length-1)
		}
		return d.begin + due
	}
	if l.r.Sign() == 0 {
		return never
	}
	// Request n is due at begin + (n - before)/r.
	before := new(big.Rat).Add(d.before, l.area)
	ns := new(big.Rat).Quo(big.NewRat(int64(time.Second), 1), l.r)
	u := new(big.Int).Mul(ns.Num(), before.Denom())
	v := new(big.Int).Mul(ns.Num(), before.Num())
	w := new(big.Int).Mul(ns.Denom(), before.Denom())
	begin := d.begin + l.begin
	after := new(big.Int).Mul(u, n.Num())
	after.Quo(after.Sub(after, v), w)
	if u.IsUint64() && v.IsUint64() && w.IsUint64() {
		d.fast = piece{from: d.n, to: d.firstAfter(l), begin: begin, u: u.Uint64(), v: v.Uint64(), w: w.Uint64()}
	}
	if !after.IsInt64() || after.Int64() > int64(never-begin) {
		return never
	}
	return begin + time.Duration(after.Int64())
}

// enter begins a part.
func (d *Dues) enter(i int) {
	d.part = i
	if p := d.s.parts[i]; i < len(d.s.parts)-1 {
		d.whole = new(big.Rat).Add(d.before, p.curve.areaTo(p.length))
	}
}

// firstAfter is the first request after a straight piece of the present part: the first for which n reaches the area at its end.
func (d *Dues) firstAfter(l line) int64 {
	end := int64(never)
	if l.end > 0 {
		end = min(end, ceil(new(big.Rat).Add(d.before, new(big.Rat).Add(l.area, l.areaTo(l.end)))))
	}
	if d.part < len(d.s.parts)-1 {
		end = min(end, ceil(d.whole))
	}
	return end
}

// ceil is the least whole number that is not below x.
func ceil(x *big.Rat) int64 {
	n := new(big.Int).Add(x.Num(), new(big.Int).Sub(x.Denom(), big.NewInt(1)))
	n.Quo(n, x.Denom())
	if !n.IsInt64() {
		return int64(never)
	}
	return n.Int64()
}
