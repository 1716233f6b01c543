package reports

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/model"
	"coinbench/history"
)

// PlanText writes a plan for a terminal: the answer, the runner-up and why it is second, what one dead replica costs, and Theodolite's
// two tables.
func PlanText(w io.Writer, p model.Plan, o TextOptions) error {
	t := newTextWriter(o)
	best := p.Best
	driver, first, last := best.Setting.Parts()
	goal := fmt.Sprintf("%s hashes/s", figures(p.Goal.PerS))
	if p.Goal.Headroom > 0 {
		goal += fmt.Sprintf(" and %s headroom (%s hashes/s)", percent(p.Goal.Headroom), figures(p.Goal.Required()))
	}
	if p.Goal.SLO != nil {
		goal += fmt.Sprintf(", a visitor of %s: %s", first.Service, p.Goal.SLO)
	}
	t.line("Target: %s", goal)
	t.line("Plan:   %s, cost %s", t.style("1", best.Setting.String()), price(best.Cost))
	t.line("        predicted %s hashes/s (± is half the width of the 95 %% interval of a run of 20 s); %s; %s is busy %s, %s %s%s",
		plusMinus(best.Prediction.HashRate, capacity.Margin(best.Prediction.Spread, best.Prediction.Runs)), limiting(best.Prediction),
		first.Service, percent(best.Prediction.Use[first.Service]), last.Service, percent(best.Prediction.Use[last.Service]),
		visitor(best.Prediction))
	if s := best.Prediction.Extrapolated(); s != "" {
		t.line("        %s: beyond what the model was measured in: %s", t.style("33", "extrapolated"), s)
	}
	if r := p.RunnerUp; r != nil {
		t.line("Second: %s, cost %s, predicted %s hashes/s%s: %s", r.Setting, price(r.Cost), figures(r.Prediction.HashRate),
			visitor(r.Prediction), p.Why)
	}
	t.line("        %d predictions were made; costs a replica: %s", p.Tried, prices(p.Goal, best.Setting))
	t.heading("If one replica dies")
	for _, r := range p.Risks {
		t.line("  %s", r.Text)
	}
	t.heading("demand(load): the least that carries it")
	rows := Table{{"hashes/s", driver.Plural, first.Plural, last.Plural, "cost"}}
	for _, d := range p.Demand {
		rows = append(rows, []string{figures(d.PerS), whole(float64(d.Setting.Drivers)), whole(float64(d.Setting.First)),
			whole(float64(d.Setting.Last)), price(d.Cost)})
	}
	t.table(rows, "  ")
	t.heading(fmt.Sprintf("capacity(replicas): the most that each number of %s carries, with up to twice the %s of the knee", first.Plural,
		driver.Plural))
	rows = Table{{first.Plural, "hashes/s", "from " + driver.Plural}}
	for _, c := range p.Capacity {
		rows = append(rows, []string{whole(float64(c.First)), figures(c.PerS), whole(float64(c.Drivers))})
	}
	t.table(rows, "  ")
	return t.flush(w)
}

func visitor(p model.Prediction) string {
	if p.Probe == nil {
		return ""
	}
	_, first, _ := p.Setting.Parts()
	return fmt.Sprintf("; a visitor of %s waits %s, p99 %s", first.Service, capacity.FormatSeconds(p.Probe.MeanS),
		capacity.FormatSeconds(p.Probe.P99S))
}

// prices are the costs of one replica of each.
func prices(g model.Goal, s model.Setting) string {
	driver, first, last := s.Parts()
	var all []string
	for _, r := range []history.Role{driver, first, last} {
		all = append(all, r.Service+" "+price(g.Cost[r.Service]))
	}
	return strings.Join(all, ", ")
}

// price writes a cost.
func price(v float64) string { return fmt.Sprintf("%.4g", v) }

// Verified is a plan that was deployed and measured.
type Verified struct {
	Row    ProofRow      `json:"row"`
	Target float64       `json:"target_per_s"`
	Length time.Duration `json:"-"` // of the measurement

	Invalid string  `json:"invalid,omitempty"` // why the measurement must not be used
	SLO     string  `json:"slo,omitempty"`
	SLOMet  bool    `json:"slo_met"`
	SLOS    float64 `json:"slo_measured_s,omitempty"`

	SLOLimitS float64          `json:"slo_limit_s,omitempty"`
	SLOMargin *float64         `json:"slo_margin_s,omitempty"` // half the width of the 95 % interval of a run, from the simulated ones
	Outcome   capacity.Outcome `json:"outcome"`                // Verdict
}

// Verdict is PASS where the target was met: the rate, and the objective where there is one. It is INCONCLUSIVE where the target lies within
// the error of the measurement, unless that is small: a plan that is exactly on its bound makes neither more nor less.
func (v Verified) Verdict() capacity.Outcome {
	switch r := v.Row; {
	case v.Invalid != "":
		return capacity.OutcomeInvalid
	case v.SLO != "" && !v.SLOMet && !v.nearly():
		return capacity.OutcomeFail
	case r.Margin == nil:
		return capacity.OutcomeInconclusive
	case r.Measured+*r.Margin < v.Target*(1-model.Tie):
		return capacity.OutcomeFail
	case v.SLO != "" && v.nearly():
		return capacity.OutcomeInconclusive
	case r.Measured-*r.Margin >= v.Target*(1-model.Tie), r.Measured >= v.Target*(1-model.Tie) && *r.Margin <= smallMargin*v.Target:
		return capacity.OutcomePass
	}
	return capacity.OutcomeInconclusive
}

// nearly says whether the objective's limit lies within the error of the measurement.
func (v Verified) nearly() bool {
	return v.SLOMargin != nil && math.Abs(v.SLOS-v.SLOLimitS) < *v.SLOMargin
}

// smallMargin is the error, as a share of the target, that is as good as none.
const smallMargin = .005

// decides is about how long a measurement has to be for its error to be smaller than the distance to the target.
func (v Verified) decides() time.Duration {
	if v.Row.Margin == nil {
		return 2 * v.Length
	}
	apart := math.Max(math.Abs(v.Row.Measured-v.Target), smallMargin*v.Target)
	times := *v.Row.Margin / apart
	return time.Duration(math.Ceil(1.2*times*times*v.Length.Seconds()/10)) * 10 * time.Second
}

// plusMinusMS writes seconds as milliseconds with half the width of their interval.
func plusMinusMS(s float64, margin *float64) string {
	if margin != nil {
		m := 1000 * *margin
		margin = &m
	}
	return plusMinus(1000*s, margin) + " ms"
}

// VerifiedText writes the end of the loop: predicted against measured.
func VerifiedText(w io.Writer, v Verified, cluster string, o TextOptions) error {
	t := newTextWriter(o)
	t.heading("Verified on " + cluster)
	r := v.Row
	t.line("  predicted %s hashes/s, measured %s: error %s", figures(r.Predicted), t.style("1", plusMinus(r.Measured, r.Margin)),
		t.style("1", signed(r.Error)))
	if _, first, _ := r.Setting.Parts(); r.ProbeS > 0 {
		t.line("  a visitor of %s: predicted %s in the mean, measured %s: error %s", first.Service, capacity.FormatSeconds(r.ProbedS),
			capacity.FormatSeconds(r.ProbeS), signed(r.ProbeErr))
	}
	if v.SLO != "" {
		word := "met"
		switch {
		case v.nearly():
			word = t.style("33", "INCONCLUSIVE") + ": the limit lies within the error of the measurement"
		case !v.SLOMet:
			word = "not met"
		}
		t.line("  objective %s: measured %s, %s", v.SLO, plusMinusMS(v.SLOS, v.SLOMargin), word)
	}
	if r.Doubt != "" {
		t.line("  %s: %s", t.style("33", "doubt"), r.Doubt)
	}
	if v.Invalid != "" {
		t.line("  %s: %s", t.style("1;31", "INVALID"), v.Invalid)
	}
	target := fmt.Sprintf("  The target of %s hashes/s", figures(v.Target))
	switch rate := (Verified{Row: r, Target: v.Target}); rate.Verdict() {
	case capacity.OutcomePass:
		t.line("%s is %s.", target, t.style("1;32", "met"))
	case capacity.OutcomeFail:
		t.line("%s is %s: %s short.", target, t.style("1;31", "not met"), tenths(1-r.Measured/v.Target))
	default:
		t.line("%s lies within the error of the measurement: %s. To decide it, measure for longer: --for %s.", target,
			t.style("33", "INCONCLUSIVE"), v.decides())
	}
	return t.flush(w)
}
