package capacity

import (
	"fmt"
	"math"
	"strings"
)

// Change is a condition on how a metric differs between two runs, as text:
//
//	change = metric [ "(" [ name { "," name } ] ")" ] ( "<" | "<=" | ">" | ">=" ) percentage [ "±0" ]
//
// e.g. hash_rate(saturated) < -5%: the second run's hash rate is lower than the first's by more than 5 %.
type Change struct {
	Text   string
	metric metric
	args   []string
	limit  Objective // its operator and value
}

// ParseChange reads a condition. A fault is a *ParseError.
func ParseChange(text string) (Change, error) {
	p := &parser{text: []rune(text)}
	c := Change{Text: strings.TrimSpace(text)}
	var err error
	if _, c.args, c.metric, err = p.subject(); err != nil {
		return c, err
	}
	p.space()
	at := p.pos
	c.limit.Op = p.run(func(r rune) bool { return strings.ContainsRune("=!<>", r) })
	switch c.limit.Op {
	case "<", "<=", ">", ">=":
	default:
		return c, p.fail(at, "%q is no comparison of changes; accepted: <, <=, >, >=", c.limit.Op)
	}
	if c.metric.unit == "word" {
		return c, p.fail(0, "%s is no number; accepted: a metric that is one", c.metric.name)
	}
	p.space()
	at = p.pos
	if c.limit.Low, err = p.value(metric{unit: "share"}); err != nil || !strings.Contains(string(p.text[at:p.pos]), "%") {
		return c, p.fail(at, "no percentage; accepted: a change such as -5%% or 10%%")
	}
	c.limit.Exact = p.exact()
	return c, p.end()
}

// Judge says whether the second run differs so from the first. Fail: it does, whatever the two runs' own errors; Pass: it does not;
// Unknown: their errors do not tell. What differs between one run and the next besides is not in these errors.
func (c Change) Judge(a, b *Analysis) Verdict {
	v := Verdict{Objective: c.Text, Result: Unknown}
	var values [2]float64
	for i, run := range []*Analysis{a, b} {
		x, err := c.metric.value(run, c.args)
		if err != nil {
			v.Reason = fmt.Sprintf("%s run: %v", [2]string{"first", "second"}[i], err)
			return v
		}
		values[i] = x
	}
	x, y := values[0], values[1]
	if x <= 0 {
		v.Reason = fmt.Sprintf("it is %s in the first run, of which there is no percentage", c.metric.format(x))
		return v
	}
	change := y/x - 1
	v.Value, v.Result = ptr(change), Pass
	v.Reason = fmt.Sprintf("from %s to %s, %+.1f %%", c.metric.format(x), c.metric.format(y), 100*change)
	if c.limit.holds(change) {
		v.Result = Fail
	}
	if c.metric.estimate == nil || c.limit.Exact {
		return v
	}
	one, other := c.metric.estimate(a, c.args), c.metric.estimate(b, c.args)
	for _, e := range []*Estimate{one, other} {
		if e == nil || e.StdErr == nil {
			v.Result = Unknown
			v.Reason += ", and the error of one is not known; ±0 after the percentage judges it all the same"
			return v
		}
	}
	// The relative errors of a quotient add up like those of a difference, to first order; Welch and Satterthwaite's degrees of freedom.
	u, w := square(*one.StdErr/x), square(*other.StdErr/y)
	if y <= 0 || u+w == 0 {
		return v
	}
	of := 0.0
	for _, e := range []struct {
		df *float64
		v  float64
	}{{one.DF, u}, {other.DF, w}} {
		if e.df != nil {
			of += e.v * e.v / *e.df
		}
	}
	half := studentT((u+w)*(u+w)/of) * (1 + change) * math.Sqrt(u+w)
	v.Low, v.High = ptr(change-half), ptr(change+half)
	v.Reason += fmt.Sprintf(" [%+.1f, %+.1f]", 100*(change-half), 100*(change+half))
	if !c.limit.decided(change-half, change+half) {
		v.Result = Unknown
		v.Reason += ", which may be either way"
	}
	return v
}

func square(x float64) float64 { return x * x }
