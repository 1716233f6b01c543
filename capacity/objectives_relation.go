package capacity

import (
	"fmt"
	"math"
	"strings"
	"unicode"

	"coinbench/history"
	"coinbench/internal/visible"
)

// Than is what a metric is compared with: a multiple of what another window, load or rollout of the same run has.
type Than struct {
	Factor float64
	Metric string
	Args   []string
	metric metric
}

func (t Than) text() string {
	what := t.Metric
	if len(t.Args) > 0 {
		what += "(" + strings.Join(t.Args, ", ") + ")"
	}
	if t.Factor == 1 {
		return what
	}
	return fmt.Sprintf("%g x %s", t.Factor, what)
}

// related says whether what comes next is a metric, or a number times one.
func (p *parser) related() bool {
	rest := strings.TrimSpace(string(p.text[p.pos:]))
	number, metric, times := strings.Cut(rest, "*")
	if !times {
		number, metric = "", rest
	}
	open := strings.IndexByte(metric, '(')
	return times && !strings.ContainsFunc(number, func(r rune) bool { return r == '(' || r == ')' }) || open > 0 &&
		unicode.IsLetter([]rune(metric)[0])
}

// relation reads what a metric is compared with instead of a value.
func (p *parser) relation(o *Objective, m metric) error {
	at := p.pos
	if o.Op == "within" {
		return p.fail(at, "a range has values; accepted: <, <=, >, >= before a metric")
	}
	t := Than{Factor: 1}
	if strings.ContainsRune(string(p.text[p.pos:]), '*') {
		var err error
		if t.Factor, err = p.value(metric{name: "factor", unit: "share"}); err != nil || t.Factor <= 0 {
			return p.fail(at, "no number above 0 is before the *; accepted: such as 0.97 or 97%%")
		}
		if p.space(); p.pos >= len(p.text) || p.text[p.pos] != '*' {
			return p.fail(p.pos, "%s; accepted: * and a metric, as in 0.97 * hash_rate(before)", p.found())
		}
		p.pos++
	}
	p.space()
	at = p.pos
	var err error
	if t.Metric, t.Args, t.metric, err = p.subject(); err != nil {
		return err
	}
	if t.metric.unit != m.unit || t.metric.unit == "word" || t.metric.count != m.count {
		return p.fail(at, "%s and %s are not of one kind; accepted: the same metric of another window, load or rollout", o.Metric, t.Metric)
	}
	o.Than = &t
	o.Exact = p.exact()
	return p.end()
}

// relate judges by the difference of the metric and what it is compared with, whose error is that of both: they are of different windows,
// and so independent.
func (o Objective) relate(a *Analysis, m metric, x float64, v *Verdict) {
	t := o.Than
	y, err := t.metric.value(a, t.Args)
	if err != nil {
		v.Reason = err.Error()
		return
	}
	y *= t.Factor
	v.Result = Fail
	v.Reason = fmt.Sprintf("%s, and %s is %s", m.measured(x), t.text(), m.format(y))
	if y > 0 {
		v.Reason += fmt.Sprintf(": %s of it", percent(x/y))
	}
	difference := o
	difference.Low = 0
	lowX, highX, whyX := m.bounds(a, difference, o.Args, x)
	lowY, highY, whyY := t.metric.bounds(a, difference, t.Args, y/t.Factor)
	if low, high := lowX-t.Factor*highY, highX-t.Factor*lowY; low < high && !difference.decided(low, high) {
		v.Result, v.Reason = Unknown, v.Reason+": "+orElse(whyX, whyY)
		return
	}
	if difference.holds(x - y) {
		v.Result = Pass
	}
	if m.estimate != nil && t.metric.estimate != nil && !o.Exact {
		one, other := m.estimate(a, o.Args), t.metric.estimate(a, t.Args)
		if one != nil {
			v.Low, v.High = one.Low, one.High
		}
		if open := undecidedRelation(one, other, t.Factor, difference); open != "" {
			v.Result, v.Reason = Unknown, v.Reason+open
		}
	}
	if (m.whole || t.metric.whole) && v.Result == Pass && a.Run.Status != history.Finished {
		v.Result, v.Reason = Unknown, v.Reason+" so far, in a run that is incomplete"
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// bounds are those of what a generator that was never late would have measured; both are the value where there are none.
func (m metric) bounds(a *Analysis, o Objective, args []string, measured float64) (low, high float64, why string) {
	load := a.Load(strings.Join(args, ""))
	if m.between == nil || load == nil {
		return measured, measured, ""
	}
	return m.between(load, o, measured)
}

// undecidedRelation says why the errors of two estimates do not tell x from factor times y; "": they do, or there is none.
func undecidedRelation(x, y *Estimate, factor float64, o Objective) string {
	if x == nil || y == nil {
		return ""
	}
	for _, e := range []*Estimate{x, y} {
		if e.StdErr == nil {
			return fmt.Sprintf(", and the error of one is not known: %s; ±0 judges it all the same", e.NoInterval)
		}
	}
	// Welch and Satterthwaite, as for any difference of two means.
	u, w := *x.StdErr**x.StdErr, factor*factor**y.StdErr**y.StdErr
	if u+w == 0 {
		return ""
	}
	of := 0.0
	if x.DF != nil {
		of += u * u / *x.DF
	}
	if y.DF != nil {
		of += w * w / *y.DF
	}
	half := studentT((u+w)*(u+w)/of) * math.Sqrt(u+w)
	d := x.Value - factor*y.Value
	if o.decided(d-half, d+half) {
		return ""
	}
	return fmt.Sprintf(": the difference, %s ± %s, may be either way; longer windows tell more", visible.Significant(d, 3),
		visible.Significant(half, 2))
}
