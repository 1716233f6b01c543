package loadgen

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// ParseSchedule reads a schedule:
//
//	schedule = part { "then" part } | "poisson(" schedule ")"
//	part     = curve [ "for" duration ]
//	curve    = rate | "constant(" rate ")"
//	         | "ramp(" rate "," rate "," duration ")"             from, to, within
//	         | "steps(" rate "," rate "," duration "," count ")"  first, increment, length of each, how many
//	         | "sine(" "mean" rate "," "amp" rate "," "period" duration ")"
//	rate     = number [ "/" ( "ms" | "s" | "m" | "h" | duration ) ]   a bare number is per second
//	duration = as Go writes it: 30s, 1m30s, 100ms
//
// Examples: "500/s", "30000/m", "ramp(10/s, 500/s, 30s) then 500/s for 1m", "poisson(200/s)".
// Every part but the last needs a length: ramp and steps have one of their own, the others take "for".
// ParseSchedule(s.String()) is s.
func ParseSchedule(text string) (Schedule, error) {
	p := scheduleParser{text: text}
	s, err := p.schedule()
	if err == nil {
		if p.space(); p.pos < len(p.text) {
			err = p.fail("then, for, or the end")
		}
	}
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w", text, err)
	}
	return s, nil
}

// longest is what the parts of a schedule may take together.
const longest = 100 * 365 * 24 * time.Hour

type scheduleParser struct {
	text string
	pos  int
}

func (p *scheduleParser) fail(want string) error {
	rest := p.text[min(p.pos, len(p.text)):]
	if rest == "" {
		rest = "the end"
	} else {
		rest = strconv.Quote(rest)
	}
	return fmt.Errorf("column %d: expected %s, found %s", p.pos+1, want, rest)
}

func (p *scheduleParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// token takes what of the text consists of characters in set.
func (p *scheduleParser) token(set string) string {
	p.space()
	begin := p.pos
	for p.pos < len(p.text) && strings.IndexByte(set, p.text[p.pos]) >= 0 {
		p.pos++
	}
	return p.text[begin:p.pos]
}

func (p *scheduleParser) accept(s string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.pos:], s) {
		return false
	}
	p.pos += len(s)
	return true
}

func (p *scheduleParser) expect(s string) error {
	if !p.accept(s) {
		return p.fail(strconv.Quote(s))
	}
	return nil
}

const letters = "abcdefghijklmnopqrstuvwxyz"

// word takes a word if it is the given one.
func (p *scheduleParser) word(w string) bool {
	before := p.pos
	if p.token(letters) == w {
		return true
	}
	p.pos = before
	return false
}

func (p *scheduleParser) schedule() (Schedule, error) {
	if p.word("poisson") {
		if err := p.expect("("); err != nil {
			return Schedule{}, err
		}
		p.space()
		at := p.pos
		s, err := p.schedule()
		if err != nil {
			return s, err
		}
		if s.poisson {
			p.pos = at
			return s, p.fail("a schedule that is not poisson itself")
		}
		s.poisson = true
		if err := p.expect(")"); err != nil {
			return s, err
		}
		before := p.pos
		if p.word("then") || p.word("for") {
			p.pos = before
			return s, p.fail("the end: poisson takes the whole schedule, as in poisson(100/s for 10s then 200/s)")
		}
		return s, nil
	}
	var s Schedule
	for sum := time.Duration(0); ; {
		p.space()
		at := p.pos
		pt, err := p.part()
		if err != nil {
			return s, err
		}
		if pt.length > longest-sum {
			p.pos = at
			return s, p.fail("parts that together take less than 100 years")
		}
		sum += pt.length
		s.parts = append(s.parts, pt)
		before := p.pos
		if !p.word("then") {
			return s, nil
		}
		if pt.length == 0 {
			p.pos = before
			p.space()
			return s, p.fail(`"for" and a duration, because another part follows`)
		}
	}
}

func (p *scheduleParser) part() (part, error) {
	c, err := p.curve()
	if err != nil {
		return part{}, err
	}
	pt := part{curve: c, length: c.length()}
	if p.word("for") {
		d, err := p.duration()
		if err != nil {
			return pt, err
		}
		pt.length, pt.forLen = d, true
	}
	return pt, nil
}

func (p *scheduleParser) curve() (curve, error) {
	p.space()
	at := p.pos
	name := p.token(letters)
	if name == "" {
		r, err := p.positive("a rate like 500/s, or constant, ramp, steps, sine or poisson")
		return constant{r}, err
	}
	if err := p.expect("("); err != nil {
		if name != "constant" && name != "ramp" && name != "steps" && name != "sine" {
			p.pos = at
			return nil, p.fail("a rate like 500/s, or constant, ramp, steps, sine or poisson")
		}
		return nil, err
	}
	var c curve
	var err error
	switch name {
	case "constant":
		var r rate
		r, err = p.positive("a rate")
		c = constant{r}
	case "ramp":
		var r ramp
		r.a, r.b, r.T, err = p.args([3]string{})
		if err == nil && r.a.f+r.b.f == 0 {
			p.pos = at
			err = p.fail("a ramp that does not stay at 0/s")
		}
		c = r
	case "steps":
		var s steps
		s.a, s.d, s.T, err = p.args([3]string{})
		if err == nil {
			err = p.expect(",")
		}
		if err == nil {
			p.space()
			countAt := p.pos
			s.n, err = strconv.Atoi(p.token("0123456789"))
			if err != nil || s.n < 1 || s.n > 1_000_000 {
				p.pos = countAt
				err = p.fail("a number of steps, at least 1")
			}
		}
		if err == nil && s.T > longest/time.Duration(s.n) {
			p.pos = at
			err = p.fail("steps that take less than 100 years")
		}
		if err == nil && s.a.f <= 0 {
			p.pos = at
			err = p.fail("a first rate above 0/s")
		}
		c = s
	case "sine":
		var s sine
		s.m, s.a, s.P, err = p.args([3]string{"mean", "amp", "period"})
		if err == nil && (s.m.f <= 0 || s.a.Cmp(s.m.Rat) > 0) {
			p.pos = at
			err = p.fail("a sine whose mean is above 0/s and whose amp is at most its mean")
		}
		c = s
	default:
		p.pos = at
		return nil, p.fail("a rate like 500/s, or constant, ramp, steps, sine or poisson")
	}
	if err != nil {
		return nil, err
	}
	return c, p.expect(")")
}

// args reads two rates and a duration, each after its word, if it has one.
func (p *scheduleParser) args(words [3]string) (a, b rate, d time.Duration, err error) {
	rates := [2]*rate{&a, &b}
	for i, w := range words {
		if i > 0 {
			if err := p.expect(","); err != nil {
				return a, b, d, err
			}
		}
		if w != "" && !p.word(w) {
			return a, b, d, p.fail(strconv.Quote(w))
		}
		if i < 2 {
			*rates[i], err = p.rate("a rate like 500/s")
		} else {
			d, err = p.duration()
		}
		if err != nil {
			return a, b, d, err
		}
	}
	return a, b, d, nil
}

func (p *scheduleParser) positive(want string) (rate, error) {
	p.space()
	at := p.pos
	r, err := p.rate(want)
	if err == nil && r.f <= 0 {
		p.pos = at
		err = p.fail("a rate above 0/s")
	}
	return r, err
}

func (p *scheduleParser) rate(want string) (rate, error) {
	p.space()
	at := p.pos
	text := p.token("0123456789.e+-")
	f, err := strconv.ParseFloat(text, 64)
	exact := new(big.Rat)
	if err == nil && f > 0 && f <= 1e9 {
		if _, ok := exact.SetString(text); !ok {
			f = -1
		}
	}
	if err != nil || !(f >= 0 && f <= 1e9) {
		p.pos = at
		return rate{}, p.fail(want)
	}
	if !p.accept("/") {
		return newRate(exact), nil
	}
	p.space()
	at = p.pos
	unit := p.token("0123456789.smhnµu")
	if unit != "" && strings.IndexByte("0123456789.", unit[0]) < 0 {
		unit = "1" + unit
	}
	d, err := time.ParseDuration(unit)
	if err != nil || d <= 0 {
		p.pos = at
		return rate{}, p.fail("a unit of time: ms, s, m or h")
	}
	r := newRate(exact.Mul(exact, big.NewRat(int64(time.Second), int64(d))))
	if r.f > 1e9 {
		p.pos = at
		return rate{}, p.fail("a rate of at most 1e9/s")
	}
	return r, nil
}

func (p *scheduleParser) duration() (time.Duration, error) {
	p.space()
	at := p.pos
	d, err := time.ParseDuration(p.token("0123456789.smhnµu"))
	if err != nil || d <= 0 {
		p.pos = at
		return 0, p.fail("a duration like 30s")
	}
	return d, nil
}
