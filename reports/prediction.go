package reports

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"coinbench/capacity"
	"coinbench/capacity/model"
)

// ModelText writes a calibrated model for a terminal.
func ModelText(w io.Writer, m model.Model, o TextOptions) error {
	t := newTextWriter(o)
	t.line("Model of %s on %s, %s", m.Scenario, m.Cluster, m.Start.UTC().Format("2006-01-02 15:04:05 UTC"))
	driver, first, last := m.Base.Parts()
	rows := Table{{"cost besides the settings ", "at 0 h/s", "at 10 h/s", "at 40 h/s", "residual", "windows"}}
	for _, c := range []struct {
		name string
		cost model.Cost
	}{{first.Service + ", each request", m.First}, {last.Service + ", each request", m.Last}, {driver.Service + ", each loop", m.Client}} {
		rows = append(rows, []string{c.name, capacity.FormatSeconds(c.cost.At(0)), capacity.FormatSeconds(c.cost.At(10)),
			capacity.FormatSeconds(c.cost.At(40)), capacity.FormatSeconds(c.cost.StdErrS), whole(float64(c.cost.Points))})
	}
	t.table(rows, "  ")
	t.line("  a visitor's connection %s; %s %s a command; service times vary by %s; %s start %s apart",
		capacity.FormatSeconds(m.VisitS), m.Roles.Store.Service, capacity.FormatSeconds(m.StoreS), capacity.FormatSeconds(m.JitterS),
		driver.Plural, capacity.FormatSeconds(m.StartS))
	for _, f := range m.Found {
		t.line("  %s serves %d at once: %s", f.Service, f.Concurrency, f.How)
	}
	t.line("  measured with %d to %d %s, up to %d %s and %s hashes/s", m.Range.MinDrivers, m.Range.MaxDrivers, driver.Plural, m.Range.MaxFirst,
		first.Plural,
		figures(m.Range.MaxPerS))
	t.heading("Residuals on the run itself")
	rows = Table{{"window ", "setting ", "measured", "predicted", "error"}}
	worst, sum := 0.0, 0.0
	for _, r := range m.Residuals {
		rows = append(rows, []string{r.Window, r.Setting.String(), figures(r.Measured), figures(r.Predicted), signed(r.Error)})
		worst = math.Max(worst, math.Abs(r.Error))
		sum += math.Abs(r.Error)
	}
	t.table(rows, "  ")
	if n := len(m.Residuals); n > 0 {
		t.line("  mean %s, worst %s", tenths(sum/float64(n)), tenths(worst))
	}
	for _, n := range m.Notes {
		t.line("  note: %s", n)
	}
	return t.flush(w)
}

// tenths writes a ratio as a percentage with one digit behind the point.
func tenths(ratio float64) string { return fmt.Sprintf("%.1f %%", 100*ratio) }

// signed is tenths with its sign; what rounds to nothing has none.
func signed(ratio float64) string {
	if math.Abs(ratio) < .0005 {
		return "0.0 %"
	}
	return fmt.Sprintf("%+.1f %%", 100*ratio)
}

// PredictionText writes a prediction for a terminal: the simulator's number first, the models next to it, and why they differ.
func PredictionText(w io.Writer, p model.Prediction, o TextOptions) error {
	t := newTextWriter(o)
	t.line("%s: %s hashes/s", p.Setting, t.style("1", plusMinus(p.HashRate, capacity.Margin(p.Spread, p.Runs))))
	t.line("This is a prediction: the setting was simulated with a calibrated model, nothing was measured. %s", runNote)
	rows := Table{{"model ", "hashes/s", "against the simulator", "assumes "}}
	row := func(name string, v float64, assumes string) {
		rows = append(rows, []string{name, figures(v), signed(v/p.HashRate - 1), assumes})
	}
	row("simulator", p.HashRate, "the app's rules, delays as they are set, the machine's costs")
	row("bound", p.Bounds.UpperPerS, "no request waits below the limit")
	row("MVA, common queues", p.MVA.CommonPerS, "exponential service times; no request waits at one replica while another is free")
	row("MVA, a queue each", p.MVA.EachPerS, "exponential service times; a queue for each replica, joined at random")
	row("lower bound", p.Bounds.LowerPerS, "everybody else is always ahead in the queue")
	t.table(rows, "  ")
	for _, s := range p.Why {
		t.line("  %s", s)
	}
	_, first, last := p.Setting.Parts()
	t.line("  %s; %s is busy %s, %s %s; a loop without waiting takes %s", t.style("1", limiting(p)), first.Service,
		percent(p.Use[first.Service]), last.Service, percent(p.Use[last.Service]), capacity.FormatSeconds(p.Bounds.LoopS))
	if l := p.Probe; l != nil {
		t.line("  a visitor of %s's / waits %s in the mean, p50 %s, p90 %s, p99 %s", first.Service, capacity.FormatSeconds(l.MeanS),
			capacity.FormatSeconds(l.P50S), capacity.FormatSeconds(l.P90S), capacity.FormatSeconds(l.P99S))
	}
	if s := p.Extrapolated(); s != "" {
		t.line("  %s: beyond what the model was measured in: %s", t.style("33", "extrapolated"), s)
	}
	return t.flush(w)
}

// limiting names what limits a prediction: on a knee more than one thing does.
func limiting(p model.Prediction) string {
	const full = .995
	driver, first, last := p.Setting.Parts()
	names := []string{limitName(p.Limit, driver)}
	for _, service := range []string{first.Service, last.Service} {
		if service != p.Limit && p.Use[service] >= full {
			names = append(names, service)
		}
	}
	if len(names) == 1 {
		return names[0] + " limits"
	}
	return strings.Join(names, " and ") + " limit"
}

// theory is the range of the two networks of mean value analysis.
func theory(v model.MVA) string {
	low, high := figures(v.EachPerS), figures(v.CommonPerS)
	if low == high {
		return low
	}
	return low + "–" + high
}

// Proof is a table of settings, predicted and measured.
type Proof struct {
	Seed     uint64     `json:"seed"`
	Cluster  string     `json:"cluster"`
	Model    string     `json:"model"` // its run
	LengthS  float64    `json:"length_s"`
	Rows     []ProofRow `json:"rows"`
	Mean     float64    `json:"mean_error"` // of the absolute errors of the hash rate
	Worst    float64    `json:"worst_error"`
	Bias     float64    `json:"bias"`                   // mean of the signed errors
	Probe    float64    `json:"probe_error"`            // sum of the absolute errors of the probes' mean latencies / sum of the latencies
	ProbeAll float64    `json:"probe_bias"`             // of the mean of all latencies
	ProbeRel float64    `json:"mean_probe_error"`       // mean of the absolute relative errors, in which 1 ms of 2 weighs as 400 of 800
	ProbeIn  int        `json:"probes_within_2_spread"` // settings whose latency lies within twice the spread of the simulated runs
	Holds    bool       `json:"holds"`

	Outcome capacity.Outcome `json:"outcome"` // INCONCLUSIVE where only settings break the promise that were disturbed
}

// ProofRow is one setting.
type ProofRow struct {
	Setting   model.Setting `json:"setting"`
	Limit     string        `json:"limit"`
	Predicted float64       `json:"predicted_per_s"`
	Spread    float64       `json:"spread_per_s"` // standard deviation of a single simulated run
	Runs      int           `json:"runs"`         // that Spread and ProbeSD are of
	Bound     float64       `json:"bound_per_s"`
	MVA       model.MVA     `json:"mva"`
	Measured  float64       `json:"measured_per_s"`
	Margin    *float64      `json:"margin_per_s,omitempty"` // half the width of the 95 % interval of Measured
	Error     float64       `json:"error"`                  // predicted/measured - 1
	ProbeS    float64       `json:"probe_measured_s"`
	ProbedS   float64       `json:"probe_predicted_s"`
	ProbeSD   float64       `json:"probe_spread_s"` // of a single simulated run
	ProbeErr  float64       `json:"probe_error"`
	Dir       string        `json:"dir"`
	Busy      *float64      `json:"host_busy,omitempty"`
	Foreign   *float64      `json:"host_foreign,omitempty"`
	Doubt     string        `json:"doubt,omitempty"`
}

// The promise: every setting to 3 %, 1.5 % in the mean, probes to 5 % in the mean.
const (
	WorstProof = .03
	MeanProof  = .015
	ProbeProof = .05
)

// Sum computes the errors of the rows.
func (p *Proof) Sum() {
	p.Mean, p.Worst, p.Bias, p.Probe, p.ProbeAll, p.ProbeRel, p.ProbeIn = 0, 0, 0, 0, 0, 0, 0
	n := float64(max(1, len(p.Rows)))
	measured, predicted := 0.0, 0.0
	for i := range p.Rows {
		r := &p.Rows[i]
		r.Error = r.Predicted/r.Measured - 1
		p.Mean += math.Abs(r.Error) / n
		p.Bias += r.Error / n
		p.Worst = math.Max(p.Worst, math.Abs(r.Error))
		if r.ProbeS > 0 {
			r.ProbeErr = r.ProbedS/r.ProbeS - 1
			p.Probe += math.Abs(r.ProbedS - r.ProbeS)
			p.ProbeRel += math.Abs(r.ProbeErr) / n
			if math.Abs(r.ProbedS-r.ProbeS) <= 2*r.ProbeSD+.0005 {
				p.ProbeIn++
			}
			measured, predicted = measured+r.ProbeS, predicted+r.ProbedS
		}
	}
	if measured > 0 {
		p.ProbeAll = predicted/measured - 1
		p.Probe /= measured
	}
	p.Holds = len(p.Rows) > 0 && p.Worst <= WorstProof && p.Mean <= MeanProof && p.Probe <= ProbeProof
	p.Outcome = capacity.OutcomeFail
	quiet := Proof{Rows: slices.DeleteFunc(slices.Clone(p.Rows), func(r ProofRow) bool { return r.Doubt != "" })}
	switch {
	case p.Holds:
		p.Outcome = capacity.OutcomePass
	case len(quiet.Rows) == len(p.Rows):
	case len(quiet.Rows) == 0:
		p.Outcome = capacity.OutcomeInconclusive
	default:
		if quiet.Sum(); quiet.Holds {
			p.Outcome = capacity.OutcomeInconclusive
		}
	}
}

func (p Proof) table() Table {
	var drawn model.Setting
	if len(p.Rows) > 0 {
		drawn = p.Rows[0].Setting
	}
	driver, first, last := drawn.Parts()
	rows := Table{{"#", driver.Plural, first.Plural, last.Plural, "think", "balancing ", "limit ", "bound", "MVA", "predicted", "measured",
		"error", "probe predicted", "probe measured", "probe error", "note "}}
	for i, r := range p.Rows {
		rows = append(rows, []string{whole(float64(i + 1)), whole(float64(r.Setting.Drivers)), whole(float64(r.Setting.First)),
			whole(float64(r.Setting.Last)), r.Setting.Think.String(), r.Setting.Balance,
			r.Limit, figures(r.Bound), theory(r.MVA), plusMinus(r.Predicted, capacity.Margin(r.Spread, r.Runs)), plusMinus(r.Measured,
				r.Margin), signed(r.Error), plusMinus(1000*r.ProbedS, capacity.Margin(1000*r.ProbeSD, r.Runs)) +
				" ms", capacity.FormatSeconds(r.ProbeS), signed(r.ProbeErr), r.Doubt})
	}
	return rows
}

func (p Proof) verdict() string {
	word := map[capacity.Outcome]string{capacity.OutcomePass: "holds", capacity.OutcomeFail: "does not hold",
		capacity.OutcomeInconclusive: "is not decided (INCONCLUSIVE): the settings that break it were measured while other programs used the " +
			"machine"}[p.Outcome]
	return runNote + " " + fmt.Sprintf("%d settings drawn from seed %d, %g s each on %s: error of the hash rate %s in the mean (promised: "+
		"%s), worst %s (%s), bias %s; of the probes' mean latencies %s of their sum (%s), bias %s, %d of %d within twice the spread of a run "+
		"(and %s as the mean of ratios, for latencies of a few ms are the chance of who began when). The promise %s.",
		len(p.Rows), p.Seed, p.LengthS, p.Cluster, tenths(p.Mean), tenths(MeanProof), tenths(p.Worst), tenths(WorstProof), signed(p.Bias),
		tenths(p.Probe), tenths(ProbeProof), signed(p.ProbeAll), p.ProbeIn, len(p.Rows), tenths(p.ProbeRel), word)
}

// ProofText writes the table for a terminal.
func ProofText(w io.Writer, p Proof, o TextOptions) error {
	_, err := io.WriteString(w, p.table().Text("  ", o.Width)+"\n"+Fold(p.verdict(), o.Width)+"\n")
	return err
}

// ProofMarkdown writes the table as Markdown.
func ProofMarkdown(w io.Writer, p Proof) error {
	_, err := fmt.Fprintf(w, "# Predicted and measured\n\n%s\n\nThe model: %s.\n\n%s", p.verdict(), p.Model, p.table().Markdown())
	return err
}

// ValueJSON writes a value of package model or of this package for programs.
func ValueJSON(w io.Writer, v any) error { return indented(w, v) }
