package gate

import (
	"fmt"
	"math"
	"strings"

	"coinbench/internal/visible"
)

// Metric is a number of a block.
type Metric struct {
	Name  string `json:"name"` // e.g. hash_rate(steady)
	Unit  string `json:"unit,omitempty"`
	Lower bool   `json:"lower,omitempty"` // less is better, as of latencies
	// base and head are compared by their difference, in Unit, and not by their ratio: of counts that may be 0 and of shares near 1
	Difference bool  `json:"difference,omitempty"`
	Limits     *Rule `json:"limits,omitempty"` // its own; nil: the gate's
}

// Share is the unit of metrics from 0 to 1; a difference of .01 is a percentage point.
const Share = "share"

// Rule is the metric's own, or else the gate's. Its limits are in the metric's unit where it is a difference, and else shares of base's
// value.
func (m Metric) Rule(gate Rule) Rule {
	r := gate
	if m.Limits != nil {
		r = *m.Limits
	}
	r.difference = m.Difference
	return r
}

// Check says what is wrong with the metric's rule.
func (m Metric) Check(gate Rule) error {
	if m.Difference && m.Unit != Share && m.Limits == nil {
		return fmt.Errorf("--metric %s: how many more than in base are tolerated, and how many are to be detected, is not known; accepted: "+
			"--metric '%s 10..30'", m.Name, m.Name)
	}
	return m.Rule(gate).Check()
}

// scale is what changes are multiplied with where they are printed, and the unit that they have then.
func (m Metric) scale() (factor float64, unit string) {
	switch {
	case !m.Difference:
		return 100, "%"
	case m.Unit == Share:
		return 100, "points"
	}
	return 1, m.Unit
}

// Scaled is a change as it is printed: -0.031 of a ratio is -3.1, in %.
func (m Metric) Scaled(change float64) float64 {
	factor, _ := m.scale()
	return factor * change
}

// ChangeUnit is the unit of Scaled.
func (m Metric) ChangeUnit() string {
	_, unit := m.scale()
	return unit
}

// signed is a change, scaled, with its sign, to about two digits.
func (m Metric) signed(change float64) string {
	factor, _ := m.scale()
	digits := 1
	if a := math.Abs(change * factor); a < .095 && a > 0 {
		digits = 2
	}
	text := fmt.Sprintf("%+.*f", digits, factor*change)
	if strings.Trim(text, "+-0.") == "" {
		return strings.TrimLeft(text, "+-")
	}
	return text
}

// Amount is the size of a change with its unit: 0.61 %, 0.2 points, 12 hashes.
func (m Metric) Amount(change float64) string {
	factor, unit := m.scale()
	if unit == "%" {
		return Percent(change)
	}
	text := visible.Significant(factor*change, 3)
	if text == "1" {
		unit = strings.TrimSuffix(strings.TrimSuffix(unit, "s"), "e") // a point, a request, a hash
	}
	return text + " " + unit
}

// Value is a block's value with its unit.
func (m Metric) Value(v float64) string {
	if m.Unit == Share {
		return fmt.Sprintf("%.5g %%", 100*v)
	}
	return fmt.Sprintf("%.4g %s", v, m.Unit)
}

// difference is how much better head's value of a pair is than base's, negative where it is worse: of their logarithms, or of themselves.
func (m Metric) difference(p Pair, index int) float64 {
	base, head := p.Base.Values[index], p.Head.Values[index]
	if !m.Difference {
		base, head = math.Log(base), math.Log(head)
	}
	if m.Lower {
		return base - head
	}
	return head - base
}

// change is a mean of differences as a change, in the metric's own direction.
func (m Metric) change(d float64) *float64 {
	if m.Lower {
		d = -d
	}
	if !m.Difference {
		d = math.Expm1(d)
	}
	return &d
}
