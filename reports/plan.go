package reports

import (
	"fmt"
	"io"
	"math"

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
	t.line("        predicted %s hashes/s (± is half the width of the 95 %% interval of a run of 20 s); %s limits; rng is busy %s, hasher %s%s",
		plusMinus(best.Prediction.HashRate, capacity.Margin(best.Prediction.Spread, best.Prediction.Runs)), limitName(best.Prediction.Limit),
		percent(best.Prediction.Use["rng"]), percent(best.Prediction.Use["hasher"]), visitor(best.Prediction))
	if s := best.Prediction.Extrapolated(); s != "" {
		t.line("        %s: beyond what the model was measured in: %s", t.style("33", "extrapolated"), s)
	}
	if r := p.RunnerUp; r != nil {
		t.line("Second: %s, cost %s, predicted %s hashes/s%s: %s", r.Setting, price(r.Cost), figures(r.Prediction.HashRate), visitor(r.Prediction), p.Why)
	}
	t.line("        %d predictions were made; costs a replica: worker %s, rng %s, hasher %s", p.Tried, price(p.Goal.Cost["worker"]), price(p.Goal.Cost["rng"]), price(p.Goal.Cost["hasher"]))
	t.heading("If one replica dies")
	for _, r := range p.Risks {
		t.line("  %s", r.Text)
	}
	t.heading("demand(load): the least that carries it")
	rows := [][]string{{"hashes/s", "workers", "rng", "hashers", "cost"}}
	for _, d := range p.Demand {
		rows = append(rows, []string{figures(d.PerS), whole(float64(d.Setting.Workers)), whole(float64(d.Setting.RNG)), whole(float64(d.Setting.Hasher)), price(d.Cost)})
	}
	t.table(rows, "  ")
	t.heading("capacity(replicas): the most that so many rng carry")
	rows = [][]string{{"rng", "hashes/s", "with workers"}}
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
	return fmt.Sprintf("; a visitor of rng waits %s, p99 %s", ms(p.Probe.MeanS), ms(p.Probe.P99S))
}

// price writes a cost.
func price(v float64) string { return fmt.Sprintf("%.4g", v) }

// Verified is a plan that was deployed and measured.
type Verified struct {
	Row    ProofRow `json:"row"`
	Target float64  `json:"target_per_s"`
	SLO    string   `json:"slo,omitempty"`
	SLOMet bool     `json:"slo_met"`
	SLOS   float64  `json:"slo_measured_s,omitempty"`
}

// Meets says whether the target was met: the rate, and the objective where there is one.
func (v Verified) Meets() bool { return v.Row.Measured >= v.Target && (v.SLO == "" || v.SLOMet) }

// VerifiedText writes the end of the loop: predicted against measured.
func VerifiedText(w io.Writer, v Verified, cluster string, o TextOptions) error {
	t := newTextWriter(o)
	t.heading("Verified on " + cluster)
	r := v.Row
	t.line("  predicted %s hashes/s, measured %s: error %s", figures(r.Predicted), t.style("1", plusMinus(r.Measured, r.Margin)), t.style("1", signed(r.Error)))
	if r.ProbeS > 0 {
		t.line("  a visitor of rng: predicted %s in the mean, measured %s: error %s", ms(r.ProbedS), ms(r.ProbeS), signed(r.ProbeErr))
	}
	if v.SLO != "" {
		word := "met"
		if !v.SLOMet {
			word = "not met"
		}
		t.line("  objective %s: measured %s, %s", v.SLO, ms(v.SLOS), word)
	}
	if r.Doubt != "" {
		t.line("  %s: %s", t.style("33", "doubt"), r.Doubt)
	}
	if v.Meets() {
		t.line("  The target of %s hashes/s is %s.", figures(v.Target), t.style("1;32", "met"))
	} else {
		t.line("  The target of %s hashes/s is %s: %s short.", figures(v.Target), t.style("1;31", "not met"), percent(math.Max(0, 1-r.Measured/v.Target)))
	}
	return t.flush(w)
}
