package reports

import (
	"fmt"
	"io"
	"math"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/model"
)

// PlanText writes a plan for a terminal: the answer, the runner-up and why it is second, what one dead replica costs, and Theodolite's
// two tables.
func PlanText(w io.Writer, p model.Plan, o TextOptions) error {
	t := newTextWriter(o)
	best := p.Best
	goal := fmt.Sprintf("%s hashes/s", figures(p.Goal.PerS))
	if p.Goal.Headroom > 0 {
		goal += fmt.Sprintf(" and %s headroom (%s hashes/s)", percent(p.Goal.Headroom), figures(p.Goal.Required()))
	}
	if p.Goal.SLO != nil {
		goal += fmt.Sprintf(", a visitor of rng: %s", p.Goal.SLO)
	}
	t.line("Target: %s", goal)
	t.line("Plan:   %s, cost %s", t.style("1", best.Setting.String()), price(best.Cost))
	t.line("        predicted %s hashes/s (± is half the width of the 95 %% interval of a run of 20 s); %s; rng is busy %s, hasher %s%s",
		plusMinus(best.Prediction.HashRate, capacity.Margin(best.Prediction.Spread, best.Prediction.Runs)), limiting(best.Prediction),
		percent(best.Prediction.Use["rng"]), percent(best.Prediction.Use["hasher"]), visitor(best.Prediction))
	if s := best.Prediction.Extrapolated(); s != "" {
		t.line("        %s: beyond what the model was measured in: %s", t.style("33", "extrapolated"), s)
	}
	if r := p.RunnerUp; r != nil {
		t.line("Second: %s, cost %s, predicted %s hashes/s%s: %s", r.Setting, price(r.Cost), figures(r.Prediction.HashRate),
			visitor(r.Prediction), p.Why)
	}
	t.line("        %d predictions were made; costs a replica: worker %s, rng %s, hasher %s", p.Tried, price(p.Goal.Cost["worker"]),
		price(p.Goal.Cost["rng"]), price(p.Goal.Cost["hasher"]))
	t.heading("If one replica dies")
	for _, r := range p.Risks {
		t.line("  %s", r.Text)
	}
	t.heading("demand(load): the least that carries it")
	rows := [][]string{{"hashes/s", "workers", "rng", "hashers", "cost"}}
	for _, d := range p.Demand {
		rows = append(rows, []string{figures(d.PerS), whole(float64(d.Setting.Workers)), whole(float64(d.Setting.RNG)),
			whole(float64(d.Setting.Hasher)), price(d.Cost)})
	}
	t.table(rows, "  ")
	t.heading("capacity(replicas): the most that so many rng carry, with up to twice the workers of the knee")
	rows = [][]string{{"rng", "hashes/s", "from workers"}}
	for _, c := range p.Capacity {
		rows = append(rows, []string{whole(float64(c.RNG)), figures(c.PerS), whole(float64(c.Workers))})
	}
	t.table(rows, "  ")
	return t.flush(w)
}

func visitor(p model.Prediction) string {
	if p.Probe == nil {
		return ""
	}
	return fmt.Sprintf("; a visitor of rng waits %s, p99 %s", capacity.FormatSeconds(p.Probe.MeanS), capacity.FormatSeconds(p.Probe.P99S))
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
	if r.ProbeS > 0 {
		t.line("  a visitor of rng: predicted %s in the mean, measured %s: error %s", capacity.FormatSeconds(r.ProbedS),
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
